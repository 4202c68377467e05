"""Reading clips frame by frame, and writing videos; PyAV does all decoding and encoding."""
