"""Advice for the user on the node that it concerns."""

from __future__ import annotations

import logging

from comfy_execution.utils import get_executing_context
from server import PromptServer


def advise(sentence: str) -> None:
    """Show a sentence on the node that is executing, and log it."""
    logging.warning("Tune-A-Video: %s", sentence)
    context = get_executing_context()
    if context is not None:
        PromptServer.instance.send_progress_text(sentence, context.node_id)
