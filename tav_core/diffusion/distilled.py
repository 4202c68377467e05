"""Distilled checkpoints and LoRAs, which sample in few steps and do not take the published guidance."""

from __future__ import annotations

import re
from collections.abc import Iterable

LARGEST_GUIDANCE = 2.5
"""More than distilled networks take: guidance is part of what they were distilled from."""
_NAMES = re.compile(r"(?<![a-z])(lcm|turbo|lightning|hyper|dmd2?|tcd|pcm)(?![a-z])", re.IGNORECASE)


def distilled_advice(names: Iterable[str], guidance: float) -> str:
    """Return a sentence where a file of ``names`` is distilled and the guidance scale too large for it, else ""."""
    for name in names:
        found = _NAMES.search(name)
        if found and guidance > LARGEST_GUIDANCE:
            return (
                f"{name} is distilled ({found[0]}) and does not take a guidance of {guidance:g}: use 1 to 2, the few "
                "steps that it is made for, and the spacing trailing."
            )
    return ""
