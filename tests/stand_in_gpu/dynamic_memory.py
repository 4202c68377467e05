"""ComfyUI's dynamic memory on the stand-in device: what the native library of comfy-aimdo does, in Python.

A weight that is in use lies in a buffer on the device while there is room, and is brought there again when it has been
thrown out. What is thrown out is overwritten, so that whoever kept it computes nonsense.
"""

import ctypes
import mmap
from collections import Counter
from typing import IO

import comfy_aimdo.control
import comfy_aimdo.host_buffer
import comfy_aimdo.model_mmap
import comfy_aimdo.model_vbar
import comfy_aimdo.torch
import torch
from device import DEVICE

ROOM = 150 * 2**20
"""Bytes of weights that a model may have on the device: less than the tests' U-Net takes in float32."""
_NONSENSE = 0x7E

Allocation = tuple["Buffers", int, int]


class Buffers:
    """The weights of one model on the device (ModelVBAR)."""

    def __init__(self, size: int, device: int) -> None:
        self._resident: dict[int, torch.Tensor] = {}
        self._in_use: Counter[int] = Counter()
        self._times_made: Counter[int] = Counter()
        self._end = 0

    def prioritize(self) -> None:
        """Keep this model longest: throw others out first."""

    def alloc(self, size: int) -> Allocation:
        """Reserve a place for a weight; nothing lies there yet."""
        self._end += size
        return self, self._end - size, size

    def loaded_size(self) -> int:
        """Return how many bytes are on the device."""
        return sum(map(len, self._resident.values()))

    def free_memory(self, size: int) -> int:
        """Throw out as many bytes, of those not in use; return how many."""
        before = self.loaded_size()
        for offset in [offset for offset in self._resident if not self._in_use[offset]]:
            if before - self.loaded_size() >= size:
                break
            self._resident.pop(offset).fill_(_NONSENSE)
        return before - self.loaded_size()

    def fault(self, offset: int, size: int) -> ctypes.Array | None:
        """Bring a place into being; returns what changes when it had to be made anew, None when there is no room."""
        if offset not in self._resident:
            if self.loaded_size() + size > ROOM:
                return None
            self._resident[offset] = torch.empty(size, dtype=torch.uint8, device=DEVICE)
            self._times_made[offset] += 1
        self._in_use[offset] += 1
        return (ctypes.c_uint64 * 1)(self._times_made[offset])

    def unpin(self, offset: int, size: int) -> None:
        """Mark a place as no longer in use."""
        self._in_use[offset] -= 1

    def tensor(self, offset: int) -> torch.Tensor:
        return self._resident[offset]


class PinnedMemory:
    """Main memory for faster copies (HostBuffer); there is none."""

    def __init__(self, *_: object) -> None:
        self.size = 0

    def truncate(self, *_: object, **__: object) -> None:
        """Give it back."""


class MappedFile:
    """A file of weights in memory (ModelMMAP)."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - open as long as the weights
        self._map = mmap.mmap(self._file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def get(self) -> int:
        return self._address

    def get_file_handle(self) -> IO[bytes]:
        return self._file

    def bounce(self) -> bool:
        return True


def _read_to_device(file: IO[bytes], offset: int, size: int, stream: int, address: int, *_: object, **__: bool) -> None:
    file.seek(offset)
    ctypes.memmove(address, file.read(size), size)


def install() -> None:
    """Put all this in the place of the library, before ComfyUI uses it."""
    control = comfy_aimdo.control
    control.init = control.init_devices = lambda *_, **__: True
    control.analyze = lambda *_: None
    for level in ("debug", "detail", "info", "warning", "error", "critical"):
        setattr(control, f"set_log_{level}", lambda: None)
    comfy_aimdo.model_vbar.ModelVBAR = Buffers
    comfy_aimdo.model_vbar.vbars_analyze = lambda device=None: 0
    comfy_aimdo.model_vbar.vbars_reset_watermark_limits = lambda: None
    comfy_aimdo.torch.aimdo_to_tensor = lambda allocation, device: allocation[0].tensor(allocation[1])
    comfy_aimdo.host_buffer.HostBuffer = PinnedMemory
    comfy_aimdo.host_buffer.read_file_to_device = _read_to_device
    comfy_aimdo.host_buffer.cleanup_file_reader = lambda: None
    comfy_aimdo.model_mmap.ModelMMAP = MappedFile
