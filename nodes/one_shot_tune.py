"""One-Shot Tune: the video MODEL learns the motion of one clip."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import tav_core
from ..tav_core.diffusion.settings import OWN_TUNE, PRESETS, TUNE
from . import host
from .schema_compat import advanced, newer, search_aliases
from .setting_inputs import setting_input

_SETTINGS = (
    "steps", "learning_rate", "seed", "precision", "gradient_checkpointing", "lr_scheduler", "warmup_steps",
    "weight_decay", "max_grad_norm", "optimizer",
)  # fmt: skip
"""Published settings in the order of the widgets, which saved workflows depend on; our own follow at the end."""
_BASIC = ("steps", "learning_rate", "seed")
_OWN_HELP = {
    "rank": {
        "default": -1,
        "min": -1,
        "tooltip": "-1: full tuning for SD 1.x and 2.x, as published, and 16 for SDXL, which then fits 12 GB. "
        + TUNE["rank"].metadata["help"],
    },
    "validate_every": {
        "tooltip": TUNE["validate_every"].metadata["help"].removesuffix("0: none.") + "0: with every preview."
    },
}
Tuned = io.Custom("TAV_TUNED")


class OneShotTune(io.ComfyNode):
    """Tune the query projections and the temporal attention on the clip's latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVOneShotTune",
            display_name="One-Shot Tune",
            category="Tune-A-Video",
            **search_aliases(
                "train", "training", "learn motion", "finetune on a video", "fine-tune", "tune a video", "tune-a-video"
            ),
            **newer(has_intermediate_output=True),  # its ui comes with a run that ComfyUI answers from its cache, too
            description="Learns the motion of one clip. The result is an ordinary MODEL that renders the motion with "
            "another prompt.",
            inputs=[
                io.Model.Input("model", tooltip="From Inflate UNet."),
                io.Latent.Input("latent", tooltip="The clip, encoded by the checkpoint's VAE (VAE Encode)."),
                io.Conditioning.Input("positive", tooltip="What the clip shows, in plain words: 'a man is skiing'."),
                *(setting_input(TUNE[name], **({} if name in _BASIC else advanced())) for name in _SETTINGS),
                io.Float.Input(
                    "fps",
                    default=8.0,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    optional=True,
                    tooltip="Frame rate of the clip, kept in the tuned file.",
                ),
                io.Int.Input(
                    "preview_every",
                    default=100,
                    min=0,
                    max=100_000,
                    optional=True,
                    tooltip="Before the first step, after every so many steps, and at the end, the clip is rendered "
                    "with what is learned by then, and shown on this node. 0: no previews.",
                ),
                io.Int.Input(
                    "preview_steps",
                    default=10,
                    min=1,
                    max=100,
                    optional=True,
                    **advanced(),
                    tooltip="DDIM steps of a preview: fewer are quicker, more are nearer to what Sample Video gives. "
                    "With 10, a preview takes about as long as 10 steps of tuning.",
                ),
                io.Conditioning.Input(
                    "preview",
                    optional=True,
                    tooltip="Prompt of the previews: the edit that you want. Without it, the prompt of the clip.",
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="For the previews: the empty prompt, as in DDIM Invert and Sample Video. Without it, the "
                    "prompt of the clip takes its place.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="For the previews: the checkpoint's VAE. Without it they are rough, as those of KSampler.",
                ),
                *(
                    setting_input(setting, optional=True, **_OWN_HELP.get(name, {}), **advanced())
                    for name, setting in OWN_TUNE.items()
                ),
                io.Combo.Input(
                    "preset",
                    options=[*PRESETS, "custom"],
                    default="published",
                    optional=True,
                    tooltip="Sets steps and learning_rate: as published, or quick, in a third of the steps at three "
                    "times the rate. Those two inputs are what counts; with other values, this shows custom.",
                    extra_dict={"tav_presets": PRESETS},
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The tuned video model, an ordinary MODEL."),
                Tuned.Output(display_name="tuned", tooltip="What was learned, for Save Tuned Video Model."),
                io.Image.Output(display_name="loss_plot", tooltip="Loss of every step; validation loss in bold."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,  # runs without anything behind it, to watch it learn
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
        preset: str = "published",  # for the page, which sets the inputs above by it
        **settings: Any,
    ) -> io.NodeOutput:
        if settings.get("rank", 0) < 0:
            settings["rank"] = tav_core.default_rank(model.model.diffusion_model)
        settings["validate_every"] = settings.get("validate_every", 0) or preview_every
        settings = tav_core.TuneSettings(**settings)
        previews = host.Previews(preview_every, preview_steps, preview, negative, vae, fps)
        node_id = cls.hidden.unique_id
        with host.live_run(node_id, cls.hidden.extra_pnginfo, settings.steps, preview_every) as run:
            model, tuned, result = host.tune_model(model, latent, positive, settings, run, previews)
        tuned.metadata.update(prompt=host.prompt_text(cls.hidden.prompt, node_id, "positive"), fps=fps)
        plot = tav_core.loss_plot(result.losses, result.validation)[None]
        return io.NodeOutput(model, tuned, plot, ui={"tav_run": [run.id]})

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> int:
        """Return a number that changes when the user stops the tuning, so that the next run continues it."""
        return host.stops()
