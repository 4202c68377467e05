"""Inflates a text-to-image U-Net to a video U-Net in place, and takes it back (Tune-A-Video, section 3.2).

Nothing of the network is copied or rebuilt. On the instances, these forwards are overridden, and come off again without
a trace: of transformer blocks, their self-attention, their feed-forward, and what their cross-attention does with the
text; of group norms; of residual blocks and their first convolutions; and how convolutions compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from . import frozen_convolution, patches
from .attention import Kernel, TemporalAttention, attention_kernel, check_mode
from .casting import CastWeights
from .checkpointing import Recomputation
from .inputs import Extra, check_inputs, map_tensors
from .overrides import Overrides
from .structure import (
    Block,
    context_dim,
    find_blocks,
    first_convolutions,
    in_channels,
    is_diffusers_layout,
    joint_norms,
    recomputed_parts,
)
from .text_cache import TextStates
from .tuned_weights import LearnedWeights

_INFLATED = "_tune_a_video"


class VideoUNet:
    """A text-to-image U-Net seen as a video U-Net.

    Args:
        unet: a diffusers ``UNet2DConditionModel`` or an LDM-layout U-Net as ComfyUI builds it (SD 1.x, 2.x, SDXL).
        attention: what self-attention becomes: ``sparse_causal`` (frame 0 and the previous frame; the paper's),
            ``spatial`` (each frame alone), ``first_frame``, ``previous_frame`` or ``full`` (all frames).
        temporal_attention: close every transformer block with attention over time, whose output starts at zero; a
            ``temporal`` of an earlier video U-Net to use that one.
        joint_norm: group norms take their statistics over all frames of a video (published behaviour).
        kernel: attention kernel, ``sdpa`` or ``xformers``; ``video_unet.kernel`` may be replaced by another between
            calls, which the attention over time does not take part in.

    Raises:
        ValueError: the network has no Stable Diffusion transformer blocks, an option is unknown, or xformers is not
            installed.
    """

    def __init__(
        self,
        unet: nn.Module,
        attention: str = "sparse_causal",
        temporal_attention: bool | nn.ModuleList = True,
        joint_norm: bool = True,
        kernel: str = "sdpa",
    ) -> None:
        self.unet = unet
        self.attention = check_mode(attention)
        self.joint_norm = joint_norm
        self.kernel = attention_kernel(kernel)
        self.blocks: list[Block] = find_blocks(unet)
        self.diffusers_layout = is_diffusers_layout(unet)
        self.frames = 1
        """Frames per video of the batch under way; a caller that calls ``unet`` itself sets it first."""
        self.gradient_checkpointing = False
        self.compute_dtype: torch.dtype | None = None
        """What the network computes in; None means the precision of its weights."""
        temporal = self._make_temporal() if temporal_attention is True else temporal_attention or None
        self.learned = LearnedWeights(self.blocks, temporal)
        self._replacements: list[tuple[nn.Module, str, Callable[[VideoUNet, Callable], Callable]]] = []
        self._parameters = [
            (module, name) for module in unet.modules() for name, _ in module.named_parameters(recurse=False)
        ]
        self._convolutions = [module for module in unet.modules() if isinstance(module, nn.Conv2d)]
        self._overrides = Overrides()
        self._required_grad: list[tuple[nn.Module, str]] = []
        self.text = TextStates()
        self.recomputation = Recomputation()

    @property
    def temporal(self) -> nn.ModuleList | None:
        """The temporal attention of every block, in the order of ``blocks``; None without temporal attention."""
        return self.learned.temporal

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the network computes in."""
        return self.compute_dtype or self.blocks[0].module.attn1.to_k.weight.dtype

    def attach(self) -> VideoUNet:
        """Put the overrides on. The network's own parameters stop asking for gradients.

        Raises:
            ValueError: the network is inflated already.
        """
        if hasattr(self.unet, _INFLATED):
            raise ValueError("This U-Net is inflated already: deflate it first, or use the VideoUNet that inflated it.")
        object.__setattr__(self.unet, _INFLATED, self)
        if not self._replacements:
            self._replacements = list(self._find_replacements())
        for module, method, make in self._replacements:
            self._overrides.set(module, method, partial(make, self))
        for module in self._convolutions:
            self._overrides.set(module, "_conv_forward", partial(frozen_convolution.frozen, module))
        self.learned.attach()
        for module, name in self._parameters:
            parameter = getattr(module, name)
            if parameter is not None and parameter.requires_grad:
                parameter.requires_grad_(False)
                self._required_grad.append((module, name))
        return self

    def detach(self) -> None:
        """Take the overrides off; what was learned stays here, and the network is what it was before, to the bit.

        Raises:
            ValueError: the network is not inflated by this object.
        """
        self._check_attached()
        self.learned.detach()
        self._overrides.clear()
        self.text.end()
        object.__delattr__(self.unet, _INFLATED)
        while self._required_grad:
            module, name = self._required_grad.pop()
            parameter = getattr(module, name)
            with torch.inference_mode(parameter.is_inference()):
                parameter.requires_grad_(True)

    @contextmanager
    def attached(self, frames: int, kernel: Kernel | None = None) -> Iterator[VideoUNet]:
        """Within this, a direct call of the U-Net computes on videos of ``frames`` frames, video-major in the batch.

        Args:
            kernel: attention kernel for meanwhile, which the attention over time does not take part in.
        """
        self.frames = frames
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
            context: text states ``[b, tokens, dim]`` (or ``[1, tokens, dim]`` for all).
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
        check_inputs(latents, timesteps, context, in_channels(self.unet), context_dim(self.blocks))
        self.learned.move(latents.device)  # temporal attention is no part of the network that the caller moves
        b, _, self.frames, _, _ = latents.shape
        dtype = self.dtype
        x = rearrange(latents, "b c f h w -> (b f) c h w").to(dtype)
        per_frame = map_tensors(extra, lambda v: v.to(dtype) if v.is_floating_point() else v)
        per_frame = map_tensors(per_frame, lambda v: repeat(v, "b ... -> (b f) ...", f=self.frames))
        self.recomputation.begin()
        text = self.text.begin(context, b, self.frames, dtype)
        timesteps = repeat(timesteps.expand(b), "b -> (b f)", f=self.frames)
        with self.casting():
            if self.diffusers_layout:
                out = self.unet(x, timesteps, text, return_dict=False, **per_frame)[0]
            else:
                out = self.unet(x, timesteps, context=text, **per_frame)
        return rearrange(out, "(b f) c h w -> b c f h w", b=b).to(latents.dtype)

    def trainable_parameters(self, modules: tuple[str, ...] | None = None) -> dict[str, nn.Parameter]:
        """The parameters that tuning changes, by published name; float32, and the only ones that hold a gradient.

        Args:
            modules: as for :class:`TuneSettings`.

        Raises:
            ValueError: one of them cannot be tuned here.
        """
        return self.learned.trainable_parameters(modules)

    def tuned_state_dict(self) -> dict[str, Tensor]:
        """Published names -> copies: ``attn1.to_q``, ``attn2.to_q``, ``attn_temp.*`` and ``norm_temp.*`` of
        every block."""
        return self.learned.state_dict()

    def projection_weights(self) -> dict[str, tuple[str, Tensor]]:
        """Published name -> (the network's own name, its own weight) of every projection in the tuned state."""
        return self.learned.projection_weights()

    def load_tuned_state_dict(self, state: dict[str, Tensor], strength: float = 1.0) -> None:
        """Use what was learned elsewhere.

        Args:
            state: as :meth:`tuned_state_dict` gives it.
            strength: 0 (the untuned network) to 1 (all of it); scales the change of the projections and the output of
                the temporal attention.

        Raises:
            ValueError: the names or shapes do not fit this network (the message lists what differs), or the strength
                is out of range.
        """
        self.learned.load_state_dict(state, strength)

    def constant_context(self) -> AbstractContextManager[None]:
        """Within this, the keys and values of a context are kept for as long as the same tensor comes in every call."""
        return self.text.constant()

    def casting(self) -> AbstractContextManager:
        """Within this, weights are cast to the precision of what they meet, where ``compute_dtype`` asks for that."""
        return nullcontext() if self.compute_dtype is None else CastWeights()

    def _check_attached(self) -> None:
        if getattr(self.unet, _INFLATED, None) is not self:
            raise ValueError("This U-Net is not inflated (any more): inflate it first.")

    def _find_replacements(self) -> Iterator[tuple[nn.Module, str, Callable[[VideoUNet, Callable], Callable]]]:
        """Every module that computes something else here, by which method, and what makes that from the original.

        None holds this object, which holds them: its memory is free as soon as nobody else does.
        """
        for i, block in enumerate(self.blocks):
            attn1, attn2 = block.module.attn1, block.module.attn2
            yield block.module, "forward", partial(patches.block, index=i)
            yield block.module.ff, "forward", patches.feed_forward
            yield attn1, "forward", partial(patches.self_attention, attention=attn1)
            if not self.diffusers_layout:
                yield attn2, "forward", partial(patches.learning_cross_attention, attention=attn2)
            for projection in (attn2.to_k, attn2.to_v):
                yield projection, "forward", partial(patches.text_projection, projection=projection)
        for module in recomputed_parts(self.unet):
            yield module, "forward", patches.recomputed
        for module in first_convolutions(self.unet):
            yield module, "forward", patches.first_convolution
        for norm in joint_norms(self.unet) if self.joint_norm else ():
            yield norm, "forward", patches.joint_norm

    def _make_temporal(self) -> nn.ModuleList:
        def for_block(attn1: nn.Module) -> TemporalAttention:
            inner_dim, dim = attn1.to_q.weight.shape
            temporal = TemporalAttention(dim, inner_dim, attn1.heads, attn1.to_q.bias is not None, self.kernel)
            return temporal.to(attn1.to_q.weight.device)

        with torch.inference_mode(False):
            return nn.ModuleList(for_block(block.module.attn1) for block in self.blocks)


def inflate(
    unet: nn.Module,
    attention: str = "sparse_causal",
    temporal_attention: bool = True,
    joint_norm: bool = True,
    kernel: str = "sdpa",
) -> VideoUNet:
    """Inflate ``unet`` in place and return it as a :class:`VideoUNet`, whose arguments and errors these are.

    Raises:
        ValueError: also when the network is inflated already.
    """
    return VideoUNet(unet, attention, temporal_attention, joint_norm, kernel).attach()
