"""Score videos: formulas in metrics and motion, models in clip and scorers, tables in scores and table."""
