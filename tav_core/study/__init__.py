"""Run a preference study as in the Tune-A-Video paper: raters see two systems' videos side by side, blind, and choose.

folder.py finds the videos, rating.py makes the questions, answers.py stores the answers, server.py and page/ show them
in a browser on this machine, report.py evaluates them. None of them needs torch.
"""

PORT = 8765
"""Port of the page where none is chosen."""
