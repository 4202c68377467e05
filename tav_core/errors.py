"""The one error of the core that no built-in exception names."""


class TuningError(RuntimeError):
    """Tuning could not go on (the loss is not a number, the device ran out of memory); the message says what to do."""
