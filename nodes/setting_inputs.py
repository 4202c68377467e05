"""Inputs of nodes made from the core's settings, which hold their defaults, ranges and tooltips."""

from __future__ import annotations

from dataclasses import Field
from typing import Any

from comfy_api.latest import io


def setting_input(setting: Field, name: str = "", **options: Any) -> io.Input:
    """Return the input of a node for a field of the core's settings.

    Args:
        name: of the input, where it is not that of the setting.
        options: further arguments of the input, in place of those that the setting gives.
    """
    rules, default = setting.metadata, setting.default
    options = {"default": default, "tooltip": rules["help"]} | options
    name = name or setting.name
    if "among" in rules:
        return io.Combo.Input(name, options=list(rules["among"]), **options)
    if isinstance(default, bool):
        return io.Boolean.Input(name, **options)
    kind = io.Int if isinstance(default, int) else io.Float
    bounds = {bound: rules[rule] for rule, bound in (("least", "min"), ("most", "max")) if rule in rules}
    return kind.Input(name, **bounds | rules["widget"] | options)
