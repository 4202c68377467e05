"""The one error of the core that no built-in exception names, and how to tell one that torch does not name."""


class TuningError(RuntimeError):
    """Tuning could not go on (the loss is not a number, the device ran out of memory); the message says what to do."""


def is_memory_shortage(error: Exception) -> bool:
    """Whether memory ran out, of the device or the machine; for most of these, torch has words and no class."""
    said = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator", "Invalid buffer size")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)
