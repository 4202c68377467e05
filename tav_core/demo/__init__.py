"""The demo: a drawn world, a small model that knows it, and a judge of its pictures."""

from pathlib import Path

MODEL = Path(__file__).parent / "model"
"""The demo model, a Stable Diffusion in the layout of diffusers."""
STEPS, LEARNING_RATE = 120, 5e-4
"""Tuning of the demo model, which is small and learns fast."""
