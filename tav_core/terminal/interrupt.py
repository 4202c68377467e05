"""Stop at the end of a step on Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading


class Interrupted(Exception):
    """Report that the user stopped the work; the message says how to continue."""


class StopRequest:
    """Set ``pressed`` on the first Ctrl-C (or SIGTERM) within this context; a second one ends the program at once."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.pressed = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.pressed = True
        for number in self._SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        print("\nStopping after this step; press Ctrl-C again to end at once.", file=sys.stderr)
