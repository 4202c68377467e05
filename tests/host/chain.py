"""The nodes of the method on the small checkpoint and a clip, for graphs to build on."""

import json

import torch
from comfy_server import ComfyServer, Graph, Node

FRAMES, SIZE = 3, 64


class Chain(Graph):
    """Checkpoint, text and clip, and the five nodes on demand.

    demo: the demo model, which learns in a fraction of the time, in place of the checkpoint in the SD 1.5 layout.
    """

    def __init__(self, clip: str, demo: bool = False) -> None:
        super().__init__()
        loader = ("TAVLoadDemoModel", {}) if demo else ("CheckpointLoaderSimple", {"ckpt_name": "tiny.safetensors"})
        self.checkpoint = self.add(loader[0], **loader[1])
        self.words, self.empty = (
            self.add("CLIPTextEncode", clip=self.checkpoint[1], text=text) for text in ("a square is moving", "")
        )
        self.video = self.add(
            "TAVLoadVideo", video=clip, start=0, stride=1, frames=FRAMES, width=SIZE, height=SIZE, resize="stretch"
        )
        self.latents = self.add("VAEEncode", pixels=self.video[0], vae=self.checkpoint[2])

    def inflate(self, model: list | None = None, **options) -> Node:
        options = {"attention": "sparse_causal", "temporal_attention": True, "joint_norm": True, **options}
        return self.add("TAVInflateUNet", model=model or self.checkpoint[0], **options)

    def tune(self, model: list, **options) -> Node:
        options = {
            "steps": 3, "learning_rate": 1e-2, "seed": 1, "precision": "auto", "gradient_checkpointing": True,
            "lr_scheduler": "constant", "warmup_steps": 0, "weight_decay": 0.01, "max_grad_norm": 1.0,
            "optimizer": "adamw", **options,
        }  # fmt: skip
        return self.add(
            "TAVOneShotTune", model=model, latent=self.latents[0], positive=self.words[0], fps=self.video[1], **options
        )

    def invert(self, model: list, steps: int = 3, latent: list | None = None, **options) -> Node:
        latent = latent or self.latents[0]
        return self.add("TAVDDIMInvert", model=model, latent=latent, positive=self.empty[0], steps=steps, **options)

    def sample(self, model: list, latent: list, steps: int = 3, guidance: float = 3.0, **options) -> Node:
        return self.add(
            "TAVSampleVideo", model=model, latent=latent, positive=self.words[0], negative=self.empty[0],
            steps=steps, guidance=guidance, **options,
        )  # fmt: skip

    def ksample(self, model: list, latent: list, steps: int = 3, cfg: float = 3.0, noise: str = "enable") -> Node:
        return self.add(
            "KSamplerAdvanced", model=model, latent_image=latent, positive=self.words[0], negative=self.empty[0],
            add_noise=noise, noise_seed=7, steps=steps, cfg=cfg, sampler_name="ddim", scheduler="ddim_uniform",
            start_at_step=0, end_at_step=10000, return_with_leftover_noise="disable",
        )  # fmt: skip

    def hinted(self, control: list, hint: list) -> Node:
        """Add a ControlNet to both prompts."""
        return self.add(
            "ControlNetApplyAdvanced", positive=self.words[0], negative=self.empty[0], control_net=control,
            image=hint, strength=1.0, start_percent=0.0, end_percent=1.0,
        )  # fmt: skip

    def save(self, latent: list) -> Node:
        return self.add("SaveLatent", samples=latent, filename_prefix="test")

    def probe(self, after: list | None = None) -> Node:
        """Look at the checkpoint's network as ComfyUI has it loaded without any patches (after one plain step)."""
        step = self.ksample(self.checkpoint[0], after or self.latents[0], steps=1)
        return self.add("ProbeModel", model=self.checkpoint[0], after=step[0])


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def report(entry: dict, probe: Node) -> dict:
    """Return the report of :meth:`Chain.probe`."""
    return json.loads(entry["outputs"][probe.id]["text"][0])


def base_state(server: ComfyServer, clip: str) -> dict:
    """Return the probe's report on the checkpoint's network."""
    graph = Chain(clip)
    probe = graph.probe()
    return report(server.run(graph), probe)
