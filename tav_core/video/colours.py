"""Bring HDR frames to sRGB: BT.2020 primaries, and the transfer functions PQ and HLG of ITU-R BT.2100."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from av.video.reformatter import Colorspace

PQ, HLG = 16, 18
BT2020 = 9
"""Numbers of transfer functions and primaries in ITU-T H.273."""
_UNSPECIFIED = 2
_HD_LINES = 720
_WHITE = 203.0
"""Luminance of diffuse white in HDR, in cd/m2 (ITU-R BT.2408); it becomes white, and what is brighter is clipped."""
_HLG_PEAK = 1000.0
_FULL = 65283
"""White in swscale's pictures of 16 bits."""
_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)


def needs_mapping(transfer: int, primaries: int) -> bool:
    """Return whether frames with these tags must go through :func:`to_srgb`."""
    return transfer in (PQ, HLG) or primaries == BT2020


def source_matrix(colorspace: int, height: int) -> int | None:
    """Return the YCbCr matrix for untagged frames of HD, which players take as BT.709; None for that of the frame."""
    return Colorspace.ITU709 if colorspace == _UNSPECIFIED and height >= _HD_LINES else None


def to_srgb(picture: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Convert RGB uint16 ``[h, w, 3]`` with these tags to sRGB uint8."""
    light = _linear(transfer)[picture]
    if transfer == HLG:  # the reference display's system gamma at 1000 cd/m2
        light *= (light @ _LUMINANCE)[..., None] ** 0.2 * np.float32(_HLG_PEAK / _WHITE)
    if primaries == BT2020:
        light = light @ _TO_BT709.T
    light = light.clip(0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * encoded).round().astype(np.uint8)


@lru_cache(maxsize=3)
def _linear(transfer: int) -> np.ndarray:
    """Return the linear light of each 16-bit value, float32, 1 for diffuse white; for HLG the light of the scene."""
    signal = (np.arange(65536) / _FULL).clip(0, 1)
    if transfer == PQ:
        power = signal ** (1 / 78.84375)
        light = 10000 / _WHITE * ((power - 0.8359375).clip(0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    elif transfer == HLG:
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
