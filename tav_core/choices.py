"""Choices of settings, for the command line and the nodes; importing this is cheap."""

ATTENTION_MODES = ("sparse_causal", "spatial", "first_frame", "previous_frame", "full")
"""Frames that a frame attends to: frame 0 and the previous frame, itself, frame 0, the previous frame, all frames."""
EXTENSION_MODES = ("mirror", "loop", "noise")
"""Ways to make inverted latents longer than the clip: forward and back, from the beginning again, with new noise."""
RESIZE_MODES = ("stretch", "crop", "pad")
"""Ways to fit frames of another aspect ratio: stretched, cropped, or padded with black."""
LARGEST_SIDE = 2**14
"""Width or height of a frame, in pixels: the limit of H.264."""
TIMESTEP_SPACINGS = ("leading", "trailing", "linspace")
"""Choices of the timesteps that DDIM steps take (arXiv 2305.08891, table 2): evenly spaced ones from the first on
(published), from the last on, or from the first to the last."""
VIDEO_ENDINGS = (
    ".mp4", ".webm", ".m4v", ".mov", ".mkv", ".avi", ".gif", ".wmv", ".flv", ".ts", ".mts", ".m2ts", ".3gp", ".mpg",
    ".mpeg", ".ogv",
)  # fmt: skip
"""File endings of videos that are offered and looked for; of one name with several, the first is taken. Animated WebP
is found by its contents, as stills have the same ending."""
