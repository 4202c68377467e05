"""Advice for the user on the node that it concerns."""

from __future__ import annotations

import logging

from comfy_execution.utils import get_executing_context
from server import PromptServer

_advised: set[str] = set()
"""Nodes that show advice: ComfyUI's page leaves the text of an earlier run there."""


def advise(sentence: str) -> None:
    """Show a sentence on the node that is executing, in the page that queued it, and log it; "" takes away that of an
    earlier run."""
    node = get_executing_context().node_id
    if sentence:
        logging.warning("Tune-A-Video: %s", sentence)
        _advised.add(node)
    elif node in _advised:
        _advised.discard(node)
    else:
        return
    PromptServer.instance.send_progress_text(sentence, node, PromptServer.instance.client_id)
