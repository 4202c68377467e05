"""Compute scores from CLIP embeddings of a video's frames, or from the frames. Higher is always better.

Frame consistency and textual alignment are the automatic metrics of Tune-A-Video's Table 1 (Wu et al., ICCV 2023,
arXiv 2212.11565); the LOVEU-TGVE 2023 competition takes the same two with CLIP ViT-L/14 (openai/clip-vit-large-patch14)
and adds PickScore (Kirstain et al. 2023, arXiv 2305.01569).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, normalize

_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_OVERLAP_SIDE = 64


def frame_consistency(embeddings: Tensor) -> float:
    """Compute the mean cosine similarity of all pairs of different frames, x100.

    ``100 / (f (f - 1)) * sum over i != j of cos(e_i, e_j)``, as in Tune-A-Video's Table 1 and LOVEU-TGVE 2023.

    Args:
        embeddings: CLIP image embeddings of the frames ``[f, d]``, of any norm, f at least 2.

    Returns:
        -100 to 100; 100 for identical frames. A still video scores best, so read it beside :func:`motion_fidelity`.

    Raises:
        ValueError: there are fewer than two frames.
    """
    unit = _unit(embeddings)
    frames = len(unit)
    total = (unit @ unit.T).sum() - (unit * unit).sum()
    return 100 * float(total) / (frames * (frames - 1))


def consecutive_consistency(embeddings: Tensor) -> float:
    """Compute the mean cosine similarity of consecutive frames, ``cos(e_i, e_i+1)``, x100.

    Unlike :func:`frame_consistency` it separates flicker from change: slow changes keep a high value.
    """
    unit = _unit(embeddings)
    return 100 * float((unit[1:] * unit[:-1]).sum(-1).mean())


def textual_alignment(image_embeddings: Tensor, text_embedding: Tensor) -> float:
    """Compute how well the frames fit the prompt: the mean over frames of ``cos(image, text)``, x100.

    As in Tune-A-Video's Table 1 and LOVEU-TGVE 2023 (CLIPScore without its clamp at 0 and factor of 2.5).

    Args:
        image_embeddings: CLIP image embeddings of the frames ``[f, d]``.
        text_embedding: CLIP text embedding of the prompt ``[d]``, from the same model.

    Returns:
        -100 to 100; photographs and their captions reach 20 to 35 with the usual CLIP models.
    """
    cosines = normalize(image_embeddings.double(), dim=-1) @ normalize(text_embedding.double(), dim=-1)
    return 100 * float(cosines.mean())


def pick_score(image_embeddings: Tensor, text_embedding: Tensor, logit_scale: float) -> float:
    """Compute PickScore, trained on human preferences between images: the mean of ``logit_scale * cos(image, text)``.

    Kirstain et al. 2023, arXiv 2305.01569; over frames as in LOVEU-TGVE 2023.

    Args:
        image_embeddings, text_embedding: as for :func:`textual_alignment`, from the PickScore model.
        logit_scale: that model's, about 100.

    Returns:
        about 15 to 25; with a difference of 1, 73 % of people are expected to prefer the better image.
    """
    return logit_scale / 100 * textual_alignment(image_embeddings, text_embedding)


def steadiness(frames: Tensor) -> float:
    """Compute how little a video flickers: the PSNR in dB of each frame to the mean of its two neighbours.

    Slow motion hardly counts, as frames then lie halfway between their neighbours. A still video scores best, so read
    it beside a score of motion. Needs no model.

    Args:
        frames: ``[f, h, w, c]`` in 0..1, f at least 3.

    Returns:
        0 to 100; 100 for a still video.

    Raises:
        ValueError: there are fewer than three frames.
    """
    if len(frames) < 3:
        raise ValueError(f"Steadiness compares a frame with its neighbours, but got {len(frames)}: give 3 or more.")
    return min(100.0, psnr(frames[1:-1], (frames[:-2] + frames[2:]) / 2))


def motion_overlap(frames: Tensor, source: Tensor) -> float:
    """Compute how well a video changes where and when its source does, x100.

    The cosine similarity of the two videos' absolute changes from frame to frame, in grey at 64 pixels for the longer
    side. Unlike :func:`motion_fidelity` it does not see the direction of motion, and needs no optional package.

    Args:
        frames, source: ``[f, h, w, 3]`` in 0..1, frame i of one belonging to frame i of the other, at least 2; of the
            longer video only the first frames are used.

    Returns:
        0 to 100; 100 for the same video (also when nothing moves in either), 0 for a still one.

    Raises:
        ValueError: a video has fewer than two frames.
    """
    count = frames_in_common(frames, source)
    height, width = (max(1, round(side * _OVERLAP_SIDE / max(frames.shape[1:3]))) for side in frames.shape[1:3])
    changes = []
    for video in (frames, source):
        grey = video[:count].float().cpu().mean(-1)[:, None]
        grey = interpolate(grey, (height, width), mode="bilinear", antialias=True, align_corners=False)
        changes.append((grey[1:] - grey[:-1]).abs().flatten().double())
    (a, b), norms = changes, [float(change.norm()) for change in changes]
    if not all(norms):
        return 0.0 if any(norms) else 100.0
    return 100 * float(a @ b) / (norms[0] * norms[1])


def frames_in_common(first: Tensor, second: Tensor) -> int:
    """Return the number of frames of the shorter of two videos.

    Raises:
        ValueError: fewer than two, in which nothing can move.
    """
    count = min(len(first), len(second))
    if count < 2:
        raise ValueError("Motion needs at least two frames, but a video has only one: give longer videos.")
    return count


def psnr(frames: Tensor, reference: Tensor) -> float:
    """Compute the peak signal-to-noise ratio ``10 log10(1 / MSE)`` in dB, with the MSE over the whole video.

    Args:
        frames, reference: ``[f, h, w, c]`` in 0..1, of equal shape.

    Returns:
        0 (opposite) or more; infinity for equal videos.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(frames, reference)
    error = float((frames.double() - reference.double()).square().mean())
    return 10 * math.log10(1 / error) if error else math.inf


def ssim(frames: Tensor, reference: Tensor) -> float:
    """Compute the structural similarity (Wang et al. 2004), the mean over pixels, channels and frames.

    With the published Gaussian window of 11 pixels and sigma 1.5, C1 = 0.01^2 and C2 = 0.03^2, without padding.

    Args:
        frames, reference: ``[f, h, w, c]`` in 0..1, of equal shape, at least 11 pixels high and wide.

    Returns:
        -1 to 1; 1 for equal videos.

    Raises:
        ValueError: the shapes differ, or the frames are too small.
    """
    _check_shapes(frames, reference)
    if min(frames.shape[1:3]) < _SSIM_WINDOW:
        raise ValueError(
            f"SSIM looks at windows of {_SSIM_WINDOW} pixels, but the frames are {frames.shape[2]}x{frames.shape[1]}: "
            "give larger frames."
        )
    return sum(_ssim_of_frame(x, y) for x, y in zip(frames, reference)) / len(frames)


def _ssim_of_frame(x: Tensor, y: Tensor) -> float:
    x, y = (frame.double().permute(2, 0, 1)[:, None] for frame in (x, y))
    offsets = torch.arange(_SSIM_WINDOW, dtype=torch.float64, device=x.device) - _SSIM_WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    window = window / window.sum()

    def mean(values: Tensor) -> Tensor:
        return conv2d(conv2d(values, window[None, None, :, None]), window[None, None, None])

    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def _unit(embeddings: Tensor) -> Tensor:
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(
            f"Consistency compares frames with each other, but got embeddings of shape {list(embeddings.shape)}: "
            "give one row per frame, of at least two frames."
        )
    return normalize(embeddings.double(), dim=-1)


def _check_shapes(frames: Tensor, reference: Tensor) -> None:
    if frames.shape != reference.shape or frames.ndim != 4:
        raise ValueError(
            f"The videos are compared pixel by pixel, but have shapes {list(frames.shape)} and "
            f"{list(reference.shape)}: give two of the same [frames, height, width, channels]."
        )
