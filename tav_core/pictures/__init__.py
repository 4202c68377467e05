"""Pictures of frames, losses and scores, drawn with Pillow."""
