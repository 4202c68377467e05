"""What settings can be chosen from, for the command line and the nodes too; nothing heavy is imported for these."""

ATTENTION_MODES = ("sparse_causal", "spatial", "first_frame", "previous_frame", "full")
"""What a frame attends to: frame 0 and the frame before it, itself, frame 0, the frame before it, all frames."""
RESIZE_MODES = ("stretch", "crop", "pad")
"""How frames of another shape come to a size: distorted, with their edges cut off, or with black bars."""
LARGEST_SIDE = 2**14
"""Of a frame, in pixels; H.264 takes no larger ones."""
