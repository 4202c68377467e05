"""Stable Diffusion checkpoints outside ComfyUI: a diffusers folder or a single ``.safetensors`` file."""
