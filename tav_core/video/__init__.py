"""Read clips frame by frame, and write videos; PyAV does all decoding and encoding."""
