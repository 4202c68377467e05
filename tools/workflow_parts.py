"""Parts that the example workflows share: model and clip, prompts, tuning, rendering, comparing."""

from __future__ import annotations

from functools import cached_property

from workflow_texts import NOTES
from workflow_writer import Node, Output, Workflow

SAMPLE_HEIGHT = 512
"""Height of Sample Video, with room for the preview that ComfyUI shows while sampling."""
CLIP = {"video": "man-skiing.mp4", "stride": 2, "frames": 24}
SD15 = "v1-5-pruned-emaonly-fp16.safetensors"


class Start:
    """The nodes that every template begins with: model, clip, its latents, and the prompts."""

    def __init__(
        self, w: Workflow, note: str, *, demo: bool = False, checkpoint: str = SD15, height: int, width: int = 300,
        across: int = 0, **clip: int,
    ) -> None:  # fmt: skip
        """Add them, and the note: `height` pixels high, above all columns within `across` pixels, or with 0 within the
        first."""
        self.w = w
        if across:
            w.banner(NOTES[note][0], across, height)
        w.column("1 · Model and clip", width)
        if not across:
            w.note(NOTES[note][0], height)
        if demo:
            self.loader = w.add("TAVLoadDemoModel")
            self.clip = w.add("TAVDemoClip", change=True)
        else:
            self.loader = w.add("CheckpointLoaderSimple", ckpt_name=checkpoint, change=True)
            self.clip = w.add("TAVLoadVideo", change=True, **CLIP | clip)
        self.model, self.vae, self.text_encoder = self.loader["MODEL"], self.loader["VAE"], self.loader["CLIP"]
        self.images, self.fps = self.clip["images"], self.clip["fps"]

    @cached_property
    def latents(self) -> Output:
        """Encode the clip, in the column that first needs it."""
        return self.w.add("VAEEncode", collapsed=True, pixels=self.images, vae=self.vae)["LATENT"]

    def prompt(self, title: str, text: str | Output, **look: bool | int) -> Output:
        """Add a prompt."""
        return self.w.add("CLIPTextEncode", title, text=text, clip=self.text_encoder, **look)["CONDITIONING"]

    def inflate(self, title: str | None = None, **settings: object) -> Output:
        return self.w.add("TAVInflateUNet", title, model=self.model, **settings)["MODEL"]

    def tune(self, inflated: Output, caption: Output, preview: Output, empty: Output, **settings: object) -> Node:
        return self.w.add(
            "TAVOneShotTune", model=inflated, latent=self.latents, positive=caption, preview=preview, negative=empty,
            vae=self.vae, fps=self.fps, **settings,
        )  # fmt: skip

    def render(
        self, model: Output, prompt: Output, empty: Output, title: str | None = None, collapsed: bool = False,
        negative: Output | None = None, steps: int = 50, **settings: float,
    ) -> Output:  # fmt: skip
        """Invert the clip, sample it with a prompt, and decode."""
        noise = self.invert(model, empty, title, steps)
        sampled = self.sample(model, noise, prompt, negative or empty, title, collapsed, steps, **settings)
        return self.decode(sampled, title)

    def invert(self, model: Output, empty: Output, title: str | None = None, steps: int = 50) -> Output:
        name = title and f"Invert: {title}"
        return self.w.add("TAVDDIMInvert", name, collapsed=True, model=model, latent=self.latents, positive=empty,
                          steps=steps)["LATENT"]  # fmt: skip

    def sample(
        self, model: Output, noise: Output, prompt: Output, negative: Output, title: str | None = None,
        collapsed: bool = False, steps: int = 50, guidance: float = 12.5, **settings: object,
    ) -> Output:  # fmt: skip
        """Sample from inverted latents with a prompt."""
        return self.w.add(
            "TAVSampleVideo", title and f"Sample: {title}", collapsed=collapsed, model=model, latent=noise,
            positive=prompt, negative=negative, steps=steps, guidance=guidance, **settings,
            height=0 if collapsed else SAMPLE_HEIGHT,
        )["LATENT"]  # fmt: skip

    def decode(self, latents: Output, title: str | None = None) -> Output:
        name = title and f"Decode: {title}"
        return self.w.add("VAEDecode", name, collapsed=True, samples=latents, vae=self.vae)["IMAGE"]

    def compare(self, labels: str, height: int, *results: Output) -> Node:
        numbered = {f"result_{i}": result for i, result in enumerate(results, 1)}
        return self.w.add(
            "TAVCompareVideos", height=height, source=self.images, labels=labels, fps=self.fps, **numbered
        )

    def save(self, images: Output, name: str) -> Node:
        video = self.w.add("CreateVideo", collapsed=True, images=images, fps=self.fps)
        return self.w.add("SaveVideo", collapsed=True, video=video["VIDEO"], filename_prefix=f"video/{name}")
