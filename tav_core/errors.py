"""``TuningError``, and a test for out-of-memory errors, for which PyTorch has no common class."""


class TuningError(RuntimeError):
    """Report that tuning had to stop (the loss is NaN, the device is out of memory); the message says what to do."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the device or the machine is out of memory; most of these errors differ only by their message."""
    messages = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator", "Invalid buffer size")
    return isinstance(error, MemoryError) or any(message in str(error) for message in messages)


def short(text: str) -> str:
    """Shorten a text from a file, which may be of any length, for messages."""
    return text if len(text) <= 200 else f"{text[:60]}... ({len(text)} characters)"
