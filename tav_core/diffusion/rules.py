"""Fields of settings: a default, a sentence of help, and rules for the values."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import Field, field
from typing import Any

_RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "among": (lambda value, choices: value in choices, "one of {}"),
    "least": (operator.ge, "at least {}"),
    "above": (operator.gt, "above {}"),
    "below": (operator.lt, "below {}"),
    "most": (operator.le, "at most {}"),
    "multiple": (lambda value, of: value % of == 0, "a multiple of {}"),
}


def setting(default: Any, help: str = "", *, widget: Mapping[str, Any] | None = None, **rules: Any) -> Any:
    """Return a dataclass field with a default, a sentence of help, and rules for its values.

    Args:
        widget: bounds and step of the widget that a user interface offers, where they are narrower than the rules.
        rules: ``among``, ``least``, ``above``, ``below``, ``most`` or ``multiple``, with their bound.
    """
    return field(default=default, metadata={"help": help, "widget": widget or {}, **rules})


def like(other: Field, **changes: Any) -> Any:
    """Return a field with the default, the help and the rules of ``other``, for another name of the same setting."""
    metadata = {**other.metadata, **changes}
    return field(default=metadata.pop("default", other.default), metadata=metadata)


def check(name: str, value: Any, rules: Mapping[str, Any]) -> Any:
    """Return ``value``.

    Args:
        rules: metadata of a field from :func:`setting`.

    Raises:
        ValueError: the value breaks a rule.
    """
    for rule, (holds, wanted) in _RULES.items():
        if rule in rules and not holds(value, bound := rules[rule]):
            shown = ", ".join(bound) if rule == "among" else bound
            raise ValueError(f"{name} is {reprlib.repr(value)}, but must be {wanted.format(shown)}.")
    return value
