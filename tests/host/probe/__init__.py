"""Test-only ComfyUI nodes that look inside a MODEL, loaded as a custom node pack by the host tests."""

import hashlib
import json
import os
import sys

import comfy.clip_vision
import comfy.utils
import torch
from aiohttp import web
from comfy.cli_args import args
from comfy.patcher_extension import PatcherInjection
from server import PromptServer

from . import unprivileged  # noqa: F401  (adds its route)

OVERRIDDEN = {"forward", "_conv_forward"}


class ProbeModel:
    """Reports the state of a MODEL's network as JSON text on the node.

    weights: a hash of every parameter's and buffer's name, type and bytes; overrides: modules with a method that was
    replaced on the instance; modules: how many there are; requires_grad, gradients: parameters that ask for or hold
    a gradient; injected: whether the host has injections in place; patches: weight patches of this MODEL.
    """

    RETURN_TYPES = ()
    FUNCTION = "probe"
    OUTPUT_NODE = True
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        # `after` makes the node wait for whatever gives it
        return {"required": {"model": ("MODEL",)}, "optional": {"after": ("*",)}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True  # takes `after` from any node

    @classmethod
    def IS_CHANGED(cls, **inputs):
        return float("nan")  # a probe looks anew every time

    def probe(self, model, after=None):
        network = model.model.diffusion_model
        digest = hashlib.sha256()
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        parameters = list(network.parameters())
        report = {
            "weights": digest.hexdigest(),
            "overrides": [name for name, module in network.named_modules() if OVERRIDDEN & vars(module).keys()],
            "modules": sum(1 for _ in network.modules()),
            "requires_grad": sum(parameter.requires_grad for parameter in parameters),
            "gradients": sum(parameter.grad is not None for parameter in parameters),
            "injected": model.is_injected,
            "patches": len(model.patches),
        }
        return {"ui": {"text": [json.dumps(report)]}}


class SmallClipVision:
    """A CLIP_VISION of any size, which ComfyUI's loader, knowing the published sizes alone, does not take.

    folder: holds vision.json, the configuration, and model.safetensors.
    """

    RETURN_TYPES = ("CLIP_VISION",)
    FUNCTION = "load"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"folder": ("STRING", {"default": ""})}}

    def load(self, folder):
        clip_vision = comfy.clip_vision.ClipVisionModel(os.path.join(folder, "vision.json"))
        missing, _ = clip_vision.load_sd(comfy.utils.load_torch_file(os.path.join(folder, "model.safetensors")))
        assert not missing
        return (clip_vision,)


class RandomText:
    """CONDITIONING for a U-Net whose text encoder is too large for tests."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "encode"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        text = {"text_g": ("STRING", {"default": ""})}  # ComfyUI's node for SDXL has this one and text_l
        return {"required": {"width": ("INT", {"default": 1024}), "seed": ("INT", {"default": 0})}, "optional": text}

    def encode(self, width, seed, text_g=""):
        generator = torch.Generator().manual_seed(seed)
        text, pooled = (torch.randn(1, *shape, generator=generator) for shape in ((77, width), (1280,)))
        return ([[text, {"pooled_output": pooled}]],)


class TextPerFrame:
    """CONDITIONING with text embeddings of its own for every frame."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "spread"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"conditioning": ("CONDITIONING",), "frames": ("INT", {"default": 5})}}

    def spread(self, conditioning, frames):
        strengths = torch.linspace(0, 1, frames)[:, None, None]
        return ([[text * strengths, options] for text, options in conditioning],)


class OptionPerFrame:
    """A MODEL with a patch that adds a number to every frame: as transformer_options give it, and as the frame's place
    in the video gives it, which is looked up as packs for AnimateDiff do."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "frames": ("INT", {"default": 5})}}

    def patch(self, model, frames):
        numbers = torch.linspace(0, 1, frames)[:, None, None]

        def add(tokens, options):
            looked_up = numbers[options["ad_params"]["sub_idxs"]] if "ad_params" in options else numbers
            of_frames = options["numbers"] + looked_up.to(tokens)
            return tokens + of_frames.repeat(len(tokens) // len(of_frames), 1, 1)

        model = model.clone()
        model.model_options["transformer_options"]["numbers"] = numbers
        model.set_model_attn2_output_patch(add)
        return (model,)


class FileName:
    """The name of a file, as nodes give it that choose among files."""

    RETURN_TYPES = ("COMBO",)
    FUNCTION = "name"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": ("STRING", {"default": ""})}}

    def name(self, file):
        return (file,)


class SilencedVideoAttention:
    """A MODEL whose attention is replaced as packs do it, by one that gives nothing where keys are of two frames."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "silence"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def silence(self, model):
        def override(function, q, k, v, *args, **kwargs):
            out = function(q, k, v, *args, **kwargs)
            return out * 0 if k.shape[-2] == 2 * q.shape[-2] else out

        model = model.clone()
        model.model_options["transformer_options"]["optimized_attention_override"] = override
        return (model,)


class Tiles:
    """A MODEL that sees the left and the right half of its latents alone, one after the other or in one batch, as
    Tiled Diffusion has them: all of the left half, for every prompt, then all of the right one."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "tile"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "batched": ("BOOLEAN", {"default": True})}}

    def tile(self, model, batched):
        def tiled(apply_model, args):
            halves = args["input"].chunk(2, dim=-1)
            timestep, conds = args["timestep"], args["c"]
            if not batched:
                return torch.cat([apply_model(half, timestep, **conds) for half in halves], dim=-1)
            twice = {
                name: torch.cat([value, value]) if torch.is_tensor(value) else value for name, value in conds.items()
            }
            both = apply_model(torch.cat(halves), torch.cat([timestep, timestep]), **twice)
            return torch.cat(both.chunk(2), dim=-1)

        model = model.clone()
        model.set_model_unet_function_wrapper(tiled)
        return (model,)


class ModulesOfOthers:
    """A MODEL that has further modules in the network as long as it is loaded, behind every output block, as
    AnimateDiff puts its own there."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "add"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def add(self, model):
        def inject(patcher):
            for block in patcher.model.diffusion_model.output_blocks:
                block.append(torch.nn.Identity())

        def eject(patcher):
            for block in patcher.model.diffusion_model.output_blocks:
                del block[-1]

        model = model.clone()
        model.set_injections("others", [PatcherInjection(inject, eject)])
        return (model,)


class RecordMemory:
    """A MODEL whose requests for memory are recorded from now on."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "record"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def record(self, model):
        network, ask = model.model, type(model.model).memory_required
        network.images_asked = []

        def recorded(input_shape, **kwargs):
            network.images_asked.append(input_shape[0])
            return ask(network, input_shape, **kwargs)

        network.memory_required = recorded
        return (model,)


class MemoryAsked:
    """Reports for how many images at once memory was asked since RecordMemory, which ends."""

    RETURN_TYPES = ()
    FUNCTION = "report"
    OUTPUT_NODE = True
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "after": ("LATENT",)}}

    def report(self, model, after):
        del model.model.memory_required
        return {"ui": {"text": [json.dumps(sorted(set(model.model.images_asked)))]}}


NODES = (
    ProbeModel, SmallClipVision, RandomText, TextPerFrame, OptionPerFrame, FileName, SilencedVideoAttention, Tiles,
    ModulesOfOthers, RecordMemory, MemoryAsked,
)  # fmt: skip
NODE_CLASS_MAPPINGS = {node.__name__: node for node in NODES}


@PromptServer.instance.routes.get("/probe/modules")
async def loaded_modules(request):
    """Return the names of all Python modules that are loaded."""
    return web.json_response(sorted(sys.modules))


@PromptServer.instance.routes.post("/probe/multi_user")
async def set_multi_user(request):
    """Behave as with ``--multi-user``, or not."""
    args.multi_user = (await request.json())["on"]
    return web.json_response({})
