"""The files that this project writes: tuned weights, the state to resume a tuning from, and inverted latents."""
