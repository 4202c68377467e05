"""``TuningError``, and a test for out-of-memory errors, for which PyTorch has no common class."""

_SYSTEM = ("Cannot allocate memory", "failed to map segment")


class TuningError(RuntimeError):
    """Report that tuning had to stop (the loss is NaN, the device is out of memory); the message says what to do."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the device or the machine is out of memory; most of these errors differ only by their message."""
    messages = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator", "Invalid buffer size", *_SYSTEM)
    return isinstance(error, MemoryError) or any(message in str(error) for message in messages)


def is_of_the_system(error: Exception) -> bool:
    """Return whether the system reports the error, such as missing permission; libraries use OSError for damaged files
    too, without a number."""
    return isinstance(error, OSError) and error.errno is not None


def short(text: str) -> str:
    """Shorten a text from a file, which may be of any length, for messages."""
    return text if len(text) <= 200 else f"{text[:60]}... ({len(text)} characters)"


def check_text(text: str, what: str) -> str:
    """Return ``text``.

    Raises:
        ValueError: it contains half of a surrogate pair, as damaged files and JSON escapes can; no file can hold it.
    """
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{what} contains a character that is not valid Unicode: type it again.")
    return text
