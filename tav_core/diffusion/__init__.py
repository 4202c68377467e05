"""The noise schedule, DDIM inversion and sampling, and one-shot tuning."""
