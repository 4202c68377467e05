"""Compare the motion of two videos by optical flow."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from .metrics import frames_in_common

_SIDE = 256
"""Longer side in pixels at which optical flow is measured: enough for motion, without detail."""
MISSING_OPENCV = (
    "Motion fidelity is measured with OpenCV, which is not installed: run 'pip install opencv-python-headless' "
    "in the Python environment that this runs in."
)


def motion_fidelity(source: Tensor, result: Tensor) -> float:
    """Compute how well ``result`` keeps the motion of ``source`` in place, direction and speed, x100.

    With u and v the optical flow from each frame to the next at each pixel, in the source and in the result::

        100 * 2 * sum(u . v) / (sum(|u|^2) + sum(|v|^2))

    This is Dice's coefficient of the two displacement fields: their cosine similarity, reduced where speeds differ.
    A pixel is weighted by how far it moves, so a still background does not count. The motion fidelity of Yatim et al.
    2023 ("Space-Time Diffusion Features", arXiv 2311.17009) also takes cosines of displacements, but of tracked points
    that may match anywhere and at any speed; here the frames correspond pixel by pixel, as they do in an edit.

    Flow is dense inverse search (Kroeger et al. 2016, OpenCV's, medium preset) at 256 pixels for the longer side, on
    each video's principal colour: between two hues of one brightness, grey values show no edge.

    Args:
        source, result: ``[f, h, w, 3]`` in 0..1. Frame i of one belongs to frame i of the other; of the longer video
            only the first frames are used, at least 2. The source is stretched to the result's size.

    Returns:
        -100 to 100: 100 for the same motion (also when nothing moves in either), 0 for a result that is still or
        moves independently of the source, 80 for the same path at half the speed, below 0 for the opposite motion.
        Equal motion of different textures reaches 90 to 99, as flow is an estimate, least certain on plain surfaces.

    Raises:
        ValueError: OpenCV is not installed, or a video has fewer than two frames.
    """
    if find_spec("cv2") is None:
        raise ValueError(MISSING_OPENCV)
    frames = frames_in_common(source, result)
    height, width = result.shape[1:3]
    scale = _SIDE / max(height, width)
    size = max(32, round(height * scale)), max(32, round(width * scale))
    u, v = (_flow(clip[:frames], size) for clip in (source, result))
    moved = float((u * u).sum() + (v * v).sum())
    return 100 * 2 * float((u * v).sum()) / moved if moved else 100.0


def _flow(frames: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Compute displacements ``[f - 1, height, width, 2]`` in pixels, float64."""
    import cv2

    pictures = rearrange(frames[..., :3].detach().float().cpu(), "f h w c -> f c h w")
    pictures = interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False)
    grey = _principal_colour(rearrange(pictures, "f c h w -> f h w c"))
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = [search.calc(first, second, None) for first, second in pairwise(grey)]
    return np.stack(flow).astype(np.float64)


def _principal_colour(pictures: Tensor) -> np.ndarray:
    """Project ``[f, h, w, 3]`` on the direction of colour space in which it varies most, as uint8 ``[f, h, w]``."""
    colours = pictures.reshape(-1, 3).double()
    colours = colours - colours.mean(0)
    _, directions = torch.linalg.eigh(colours.T @ colours)
    values = (colours @ directions[:, -1]).reshape(pictures.shape[:3])
    values = values - values.min()
    return (255 * values / values.max().clamp(min=1e-6)).round().to(torch.uint8).numpy()
