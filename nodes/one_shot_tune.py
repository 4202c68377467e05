"""One-Shot Tune: the video MODEL learns the motion of one clip."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import tav_core
from . import host
from .newer_schema import newer, search_aliases

Tuned = io.Custom("TAV_TUNED")


class OneShotTune(io.ComfyNode):
    """Tunes the queries and the temporal attention on the clip's latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVOneShotTune",
            display_name="One-Shot Tune",
            category="Tune-A-Video",
            **search_aliases("train motion", "learn motion", "finetune on a video", "tune a video"),
            **newer(has_intermediate_output=True),  # its ui comes with a run that ComfyUI answers from its cache, too
            description="Learns the motion of one clip. The result is an ordinary MODEL that renders the motion with "
            "other words.",
            inputs=[
                io.Model.Input("model", tooltip="From Inflate UNet."),
                io.Latent.Input("latent", tooltip="The clip, encoded by the checkpoint's VAE (VAE Encode)."),
                io.Conditioning.Input("positive", tooltip="What the clip shows, in plain words: 'a man is skiing'."),
                io.Int.Input(
                    "steps",
                    default=500,
                    min=1,
                    max=100_000,
                    tooltip="How long to learn. Published: 500. Too few: the motion is lost; too many: edits are.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=3e-5,
                    min=1e-8,
                    max=1.0,
                    step=1e-6,
                    round=1e-9,
                    tooltip="How fast to learn. Published: 0.00003.",
                ),
                io.Int.Input(
                    "seed",
                    default=33,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Seed of the noise it learns with. Another seed gives another, equally good, tuning.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", "fp32", "fp16", "bf16"],
                    default="auto",
                    tooltip="What the network computes in; auto: as ComfyUI loaded it (bf16 for fp16 on Apple's and "
                    "Intel's GPUs). Learned weights are float32.",
                ),
                io.Boolean.Input(
                    "gradient_checkpointing",
                    default=True,
                    tooltip="Much less memory for a slower step. Switch it off if the memory suffices.",
                ),
                io.Combo.Input(
                    "lr_scheduler",
                    options=["constant", "linear", "cosine"],
                    default="constant",
                    tooltip="What the learning rate does after the warm-up: stay (published) or sink to zero.",
                ),
                io.Int.Input(
                    "warmup_steps", default=0, min=0, max=10_000, tooltip="Steps over which the learning rate rises."
                ),
                io.Float.Input(
                    "weight_decay", default=0.01, min=0.0, max=1.0, step=0.001, tooltip="AdamW's. Published: 0.01."
                ),
                io.Float.Input(
                    "max_grad_norm", default=1.0, min=0.01, max=1000.0, step=0.1, tooltip="Gradients are cut to this."
                ),
                io.Combo.Input(
                    "optimizer",
                    options=["adamw", "adamw8bit"],
                    default="adamw",
                    tooltip="adamw8bit needs the package bitsandbytes, and saves about 0.4 GB for SD 1.5.",
                ),
                io.Float.Input(
                    "fps",
                    default=8.0,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    optional=True,
                    tooltip="Frame rate of the clip, kept in the tuned file for whoever loads it.",
                ),
                io.Int.Input(
                    "preview_every",
                    default=0,
                    min=0,
                    max=100_000,
                    optional=True,
                    tooltip="Every so many steps, and at the end, the clip is rendered with what is learned by then, "
                    "and shown on this node. 0: no previews.",
                ),
                io.Int.Input(
                    "preview_steps",
                    default=10,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="DDIM steps of a preview: fewer are quicker, more are nearer to what Sample Video gives. "
                    "With 10, a preview takes about as long as 10 steps of tuning.",
                ),
                io.Conditioning.Input(
                    "preview",
                    optional=True,
                    tooltip="What the previews show: the new words. Without it, the words of the clip.",
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="For the previews: the empty prompt, as in DDIM Invert and Sample Video. Without it, the "
                    "words of the clip take its place.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="For the previews: the checkpoint's VAE. Without it they are rough, as those of KSampler.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The tuned video model, an ordinary MODEL."),
                Tuned.Output(display_name="tuned", tooltip="What was learned, for Save Tuned Video Model."),
                io.Image.Output(display_name="loss_plot", tooltip="The loss of every step."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        latent: io.Latent.Type,
        positive: io.Conditioning.Type,
        fps: float = 8.0,
        preview_every: int = 0,
        preview_steps: int = 10,
        preview: io.Conditioning.Type | None = None,
        negative: io.Conditioning.Type | None = None,
        vae: io.Vae.Type | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        settings = tav_core.TuneSettings(**settings)
        previews = host.Previews(preview_every, preview_steps, preview, negative, vae, fps)
        node_id = cls.hidden.unique_id
        with host.live_run(node_id, cls.hidden.extra_pnginfo, settings.steps, preview_every) as run:
            model, tuned, losses = host.tune_model(model, latent, positive, settings, run, previews)
        tuned.metadata.update(prompt=host.prompt_text(cls.hidden.prompt, node_id, "positive"), fps=fps)
        return io.NodeOutput(model, tuned, tav_core.loss_plot(losses)[None], ui={"tav_run": [run.id]})
