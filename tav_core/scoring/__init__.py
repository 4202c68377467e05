"""Scores of videos: the models that are asked, what `tav evaluate` and Evaluate Video compute, and their tables. The
formulas are in metrics.py and motion.py."""
