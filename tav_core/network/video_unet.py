"""`VideoUNet`: puts the patches on a text-to-image U-Net, calls it on videos, and takes them off without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from . import patches
from .attention import Kernel, attention_kernel, check_mode
from .overrides import Overrides
from .state import VideoState
from .structure import (
    checkpointed_modules,
    context_dim,
    find_blocks,
    first_convolutions,
    in_channels,
    is_diffusers_layout,
    joint_norms,
)
from .temporal import TemporalAttention
from .tuned_weights import TunedWeights

Extra = Tensor | dict[str, Tensor]
"""A further input of a network: a tensor with one row per video, or several by name."""

_INFLATED = "_tune_a_video"


class VideoUNet(VideoState):
    """A text-to-image U-Net as a video U-Net (Tune-A-Video, section 3.2).

    Nothing of the network is copied or rebuilt: methods of its modules are overridden, see :mod:`.patches`.

    Args:
        unet: a diffusers ``UNet2DConditionModel`` or an LDM-layout U-Net as ComfyUI builds it (SD 1.x, 2.x, SDXL).
        attention: the frames that self-attention sees: ``sparse_causal`` (frame 0 and the previous frame; the
            paper's), ``spatial`` (each frame alone), ``first_frame``, ``previous_frame`` or ``full`` (all frames).
        temporal_attention: close every transformer block with temporal attention, whose output starts at zero; the
            ``temporal`` of an earlier video U-Net to use that one.
        joint_norm: take the statistics of group norms over all frames of a video (published behaviour).
        kernel: attention kernel, ``sdpa`` or ``xformers``; ``video_unet.kernel`` may be replaced between calls, which
            temporal attention does not follow.
        window: frames computed at once, which decide the memory; 0 for all. See :mod:`.windows` for what is exact.
        overlap: frames before a window that its temporal attention sees.
        rank: of the tuning to come, see :attr:`.TuneSettings.rank`; given here, temporal attention need not be made at
            its full width first.

    Raises:
        ValueError: the network has no Stable Diffusion transformer blocks, an option is unknown or out of range, or
            xformers is not installed.
    """

    def __init__(
        self,
        unet: nn.Module,
        attention: str = "sparse_causal",
        temporal_attention: bool | nn.ModuleList = True,
        joint_norm: bool = True,
        kernel: str = "sdpa",
        window: int = 0,
        overlap: int = 0,
        rank: int = 0,
    ) -> None:
        if window < 0 or overlap < 0:
            raise ValueError(f"The window ({window}) and its overlap ({overlap}) are numbers of frames from 0 up.")
        computes, blocks = attention_kernel(kernel), find_blocks(unet)
        if temporal_attention is True:
            with torch.inference_mode(False):
                new = nn.ModuleList(TemporalAttention(block.module.attn1, rank, computes) for block in blocks)
            tuned = TunedWeights(blocks, new, rank, untuned=True)
        else:
            tuned = TunedWeights(blocks, temporal_attention or None, rank, untuned=False)
        super().__init__(unet, blocks, check_mode(attention), computes, tuned, window, overlap)
        self.joint_norm = joint_norm
        self.diffusers_layout = is_diffusers_layout(unet)
        self._patches = list(self.find_patches())
        self._parameters = [
            (module, name) for module in unet.modules() for name, _ in module.named_parameters(recurse=False)
        ]
        self._overrides = Overrides()
        self._required_grad: list[tuple[nn.Module, str]] = []

    def attach(self) -> VideoUNet:
        """Put the patches on. The network's own parameters stop requiring gradients.

        Raises:
            ValueError: the network is inflated already.
        """
        if hasattr(self.unet, _INFLATED):
            raise ValueError("This U-Net is inflated already: deflate it first, or use the VideoUNet that inflated it.")
        object.__setattr__(self.unet, _INFLATED, self)
        for module, method, patch in self._patches:
            self._overrides.set(module, method, patch, self)
        self.tuned.attach()
        for module, name in self._parameters:
            parameter = getattr(module, name)
            if parameter is not None and parameter.requires_grad:
                parameter.requires_grad_(False)
                self._required_grad.append((module, name))
        return self

    def detach(self) -> None:
        """Take the patches off: the network is what it was before, to the bit. Tuned weights stay here.

        Raises:
            ValueError: the network is not inflated by this object.
        """
        self._check_attached()
        self.tuned.detach()
        self._overrides.clear()
        self.text_cache.end()
        object.__delattr__(self.unet, _INFLATED)
        while self._required_grad:
            module, name = self._required_grad.pop()
            parameter = getattr(module, name)
            with torch.inference_mode(parameter.is_inference()):
                parameter.requires_grad_(True)

    @contextmanager
    def attached(self, frames: int, kernel: Kernel | None = None) -> Iterator[VideoUNet]:
        """Attach for direct calls of the U-Net on videos of ``frames`` frames, video-major in the batch.

        Args:
            kernel: attention kernel within this context; temporal attention keeps its own.
        """
        self.kept.begin(range(frames), keeping=False)
        self.attach()
        own, self.kernel = self.kernel, kernel or self.kernel
        try:
            yield self
        finally:
            self.detach()
            self.kernel = own

    def deflate(self) -> nn.Module:
        """Undo :func:`inflate` and return the U-Net: same modules, same state-dict keys, same outputs.

        Raises:
            ValueError: it is deflated already.
        """
        self.detach()
        return self.unet

    def __call__(self, latents: Tensor, timesteps: Tensor | int, context: Tensor, **extra: Extra) -> Tensor:
        """Predict noise or velocity.

        Args:
            latents: ``[b, c, f, h, w]``, b videos of f frames.
            timesteps: ``[b]`` or one for all, 0 to the number of training timesteps minus 1.
            context: text embeddings ``[b, tokens, dim]`` (or ``[1, tokens, dim]`` for all).
            extra: further inputs of the network, one row per video: of SDXL, ``y`` in the LDM layout and the dictionary
                ``added_cond_kwargs`` in diffusers'.

        Returns:
            ``[b, c, f, h, w]``, in the precision of ``latents``.

        Raises:
            ValueError: the shapes do not fit, or the network is deflated.
        """
        self._check_attached()
        if isinstance(timesteps, int):  # filled in on the device, where a copy would wait for it
            timesteps = torch.full((), timesteps, device=latents.device)
        timesteps = torch.as_tensor(timesteps, device=latents.device)
        self._check_inputs(latents, timesteps, context)
        self.tuned.move(latents.device)  # temporal attention is not part of the network that the caller moves
        self.checkpointing.begin()
        with self.windows(latents.shape[2]) as windows, self.casting():
            parts = [self._predict(latents[:, :, w.start : w.stop], timesteps, context, extra) for w in windows]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _predict(self, latents: Tensor, timesteps: Tensor, context: Tensor, extra: dict[str, Extra]) -> Tensor:
        b, dtype = len(latents), self.dtype
        x = rearrange(latents, "b c f h w -> (b f) c h w").to(dtype)
        per_frame = map_tensors(extra, lambda v: v.to(dtype) if v.is_floating_point() else v)
        per_frame = map_tensors(per_frame, lambda v: repeat(v, "b ... -> (b f) ...", f=self.frames))
        text = self.text_cache.begin(context, b, self.frames, dtype)
        timesteps = repeat(timesteps.expand(b), "b -> (b f)", f=self.frames)
        if self.diffusers_layout:
            out = self.unet(x, timesteps, text, return_dict=False, **per_frame)[0]
        else:
            out = self.unet(x, timesteps, context=text, **per_frame)
        return rearrange(out, "(b f) c h w -> b c f h w", b=b).to(latents.dtype)

    def trainable_parameters(self, modules: tuple[str, ...] | None = None) -> dict[str, nn.Parameter]:
        """Return the parameters that tuning changes, by published name; float32, the only ones that require gradients.

        Args:
            modules: see :attr:`.TuneSettings.trainable_modules`.

        Raises:
            ValueError: one of them cannot be tuned here.
        """
        return self.tuned.trainable_parameters(modules)

    def tuned_state_dict(self) -> dict[str, Tensor]:
        """Return copies of ``attn1.to_q``, ``attn2.to_q``, ``attn_temp.*``, ``norm_temp.*`` and any other tuned
        projection of every block, by published name."""
        return self.tuned.state_dict()

    def load_tuned_state_dict(self, state: dict[str, Tensor], strength: float = 1.0) -> None:
        """Load tuned weights.

        Args:
            state: as :meth:`tuned_state_dict` gives it.
            strength: 0 (the untuned network) to 1 (all of it); scales the change of the projections and the output of
                the temporal attention.

        Raises:
            ValueError: the names or shapes do not fit this network (the message lists the differences), or the
                strength is out of range.
        """
        self.tuned.load_state_dict(state, strength)

    def _check_attached(self) -> None:
        if getattr(self.unet, _INFLATED, None) is not self:
            raise ValueError("This U-Net is not inflated (any more): inflate it first.")

    def _check_inputs(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> None:
        channels, dim = in_channels(self.unet), context_dim(self.blocks)
        if latents.ndim != 5 or 0 in latents.shape:
            raise ValueError(
                f"Video latents have 5 dimensions [b, c, f, h, w], none of them 0: not {list(latents.shape)}."
            )
        b = latents.shape[0]
        if latents.shape[1] != channels:
            raise ValueError(
                f"Latents of {latents.shape[1]} channels do not fit this U-Net, which takes {channels}: encode the "
                "clip with the same checkpoint's VAE, and use no inpainting checkpoint."
            )
        if context.ndim != 3 or context.shape[0] not in (1, b) or context.shape[2] != dim:
            raise ValueError(
                f"A context {list(context.shape)} does not fit {b} videos in this U-Net: it takes [{b}, tokens, {dim}],"
                f" or [1, tokens, {dim}] for all; encode the text with the same checkpoint's text encoder."
            )
        if context.device != latents.device:
            raise ValueError(
                f"The latents are on {latents.device}, the context is on {context.device}: move one of them."
            )
        if timesteps.shape not in ((), (1,), (b,)):
            raise ValueError(f"Timesteps {list(timesteps.shape)} do not fit {b} videos: give one per video, or one.")

    def find_patches(self) -> Iterator[tuple[nn.Module, str, Callable]]:
        """Yield (module, method, patch) for everything that inflating changes."""
        for block in (block.module for block in self.blocks):
            yield block, "forward", patches.transformer_block
            yield block.ff, "forward", patches.feed_forward
            yield block.attn1, "forward", patches.self_attention
            if not self.diffusers_layout:
                yield block.attn2, "forward", patches.cross_attention
            for projection in (block.attn2.to_k, block.attn2.to_v):
                yield projection, "forward", patches.text_projection
        for module in checkpointed_modules(self.unet):
            yield module, "forward", patches.checkpointed
        for convolution in first_convolutions(self.unet):
            yield convolution, "forward", patches.first_convolution
        for norm in joint_norms(self.unet) if self.joint_norm else ():
            yield norm, "forward", patches.joint_norm
        for module in self.unet.modules():
            if isinstance(module, nn.Conv2d):
                yield module, "_conv_forward", patches.frozen_convolution


def inflate(
    unet: nn.Module,
    attention: str = "sparse_causal",
    temporal_attention: bool = True,
    joint_norm: bool = True,
    kernel: str = "sdpa",
    window: int = 0,
    overlap: int = 0,
    rank: int = 0,
) -> VideoUNet:
    """Inflate ``unet`` in place and return it as a :class:`VideoUNet`, which documents the arguments.

    Raises:
        ValueError: an argument does not fit, or the network is inflated already.
    """
    return VideoUNet(unet, attention, temporal_attention, joint_norm, kernel, window, overlap, rank).attach()


def map_tensors(values: dict[str, Extra], change: Callable[[Tensor], Tensor]) -> dict[str, Extra]:
    """Return ``values`` with every tensor changed, including those in inner dictionaries."""
    return {k: map_tensors(v, change) if isinstance(v, dict) else change(v) for k, v in values.items()}
