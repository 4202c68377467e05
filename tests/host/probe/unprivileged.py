"""ComfyUI's list of nodes, as a server makes it that must not read every file; root may otherwise."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from server import PromptServer

import nodes

VERSION = 0x20080522
READING_ALL = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def permissions_kept() -> Iterator[None]:
    """Hold this thread to the permissions of files within the block (capset(2))."""
    system = ctypes.CDLL(None, use_errno=True)
    head, own = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    assert system.capget(head, own) == 0, ctypes.get_errno()
    fewer = (ctypes.c_uint32 * 6)(own[0] & ~READING_ALL, *own[1:])
    assert system.capset(head, fewer) == 0, ctypes.get_errno()
    try:
        yield
    finally:
        assert system.capset(head, own) == 0, ctypes.get_errno()


@PromptServer.instance.routes.get("/probe/unprivileged")
async def list_nodes(request: web.Request) -> web.Response:
    """Return the descriptions of this pack's nodes, as ``/object_info`` does, made without root's permissions."""
    with permissions_kept():
        own = {name: node for name, node in nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("TAV")}
        return web.json_response({name: node.GET_NODE_INFO_V1() for name, node in own.items()})
