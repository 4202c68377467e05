"""A preference study as in the Tune-A-Video paper: raters see two systems' videos side by side, blind, and choose.

results.py finds the videos, rating.py asks, answers.py keeps what was said, server.py and page/ show it in a browser on
this machine, report.py counts. None of them needs torch.
"""
