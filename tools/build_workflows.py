"""Write the example workflows: python tools/build_workflows.py http://127.0.0.1:8188, a running ComfyUI with this pack.

Each function below is one template, named by its file: ComfyUI's template browser shows the name of the file as its
title, and web/js/templates.js sorts the files by it. tools/draw_thumbnails.py and tools/render_edit_pictures.py make
the thumbnails.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from workflow_writer import Node, Output, Workflow

from tav_core.demo import LEARNING_RATE, STEPS
from tav_core.demo.demo import VARIATION, demo_config

SAMPLE_HEIGHT = 440
"""Height of Sample Video, with room for the preview that ComfyUI shows while sampling."""
FOLDER = Path(__file__).parents[1] / "workflows"
TEMPLATES: dict[str, Callable[[Workflow], None]] = {}
"""File name -> what writes it."""
DEMO_TUNE = {"steps": STEPS, "learning_rate": LEARNING_RATE, "gradient_checkpointing": False, "preview_every": 40}
DEMO_STEPS = demo_config().validation_data.num_inference_steps
DEMO_GUIDANCE = demo_config().validation_data.guidance_scale
CLIP = {"video": "man-skiing.mp4", "stride": 2, "frames": 24, "width": 512, "height": 512}
SD15 = "v1-5-pruned-emaonly-fp16.safetensors"
PUBLISHED_CLIP = (
    "The prompts belong to [man-skiing.mp4](https://github.com/showlab/Tune-A-Video/blob/main/data/man-skiing.mp4), "
    "the clip of the published example."
)
GREEN_NODES = "The **green nodes** are the ones to change."


def template(name: str) -> Callable[[Callable[[Workflow], None]], None]:
    """Register a function as the template of this name."""
    return lambda write: TEMPLATES.__setitem__(name, write)


class Start:
    """The nodes that every template begins with: model, clip, its latents, and the prompts."""

    def __init__(
        self, w: Workflow, note: str, *, demo: bool = False, checkpoint: str = SD15, height: int, width: int = 300,
        **clip: int,
    ) -> None:  # fmt: skip
        self.w = w
        w.column("1 · Model and clip", width)
        w.note(note, height)
        if demo:
            self.loader = w.add("TAVLoadDemoModel")
            self.clip = w.add("TAVDemoClip", change=True)
        else:
            self.loader = w.add("CheckpointLoaderSimple", ckpt_name=checkpoint, change=True)
            self.clip = w.add("TAVLoadVideo", change=True, **CLIP | clip)
        self.model, self.vae, self.text_encoder = self.loader["MODEL"], self.loader["VAE"], self.loader["CLIP"]
        self.images, self.fps = self.clip["images"], self.clip["fps"]
        self.latents = w.add("VAEEncode", collapsed=True, pixels=self.images, vae=self.vae)["LATENT"]

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
        negative: Output | None = None, steps: int = 50, guidance: float = 12.5, variation: float = 0.0,
    ) -> Output:  # fmt: skip
        """Invert the clip, sample it with a prompt, and decode."""
        w, name = self.w, title and f"Invert: {title}"
        noise = w.add(
            "TAVDDIMInvert", name, collapsed=True, model=model, latent=self.latents, positive=empty, steps=steps
        )
        return self.sample(
            model, noise["LATENT"], prompt, negative or empty, title, collapsed, steps, guidance, variation
        )

    def sample(
        self, model: Output, noise: Output, prompt: Output, negative: Output, title: str | None = None,
        collapsed: bool = False, steps: int = 50, guidance: float = 12.5, variation: float = 0.0,
    ) -> Output:  # fmt: skip
        """Sample from inverted latents with a prompt, and decode."""
        sampled = self.w.add(
            "TAVSampleVideo", title and f"Sample: {title}", collapsed=collapsed, model=model, latent=noise,
            positive=prompt, negative=negative, steps=steps, guidance=guidance, variation=variation,
            height=SAMPLE_HEIGHT,
        )  # fmt: skip
        return self.w.add("VAEDecode", title and f"Decode: {title}", collapsed=True, samples=sampled["LATENT"],
                          vae=self.vae)["IMAGE"]  # fmt: skip

    def compare(self, labels: str, height: int, *results: Output) -> Node:
        numbered = {f"result_{i}": result for i, result in enumerate(results, 1)}
        return self.w.add(
            "TAVCompareVideos", height=height, source=self.images, labels=labels, fps=self.fps, **numbered
        )

    def save(self, images: Output, name: str) -> Node:
        video = self.w.add("CreateVideo", collapsed=True, images=images, fps=self.fps)
        return self.w.add("SaveVideo", video=video["VIDEO"], filename_prefix=f"video/{name}", height=340)


def _demo_edit(w: Workflow, note: str) -> tuple[Start, Node, Node, Output, Node]:
    """Edit one clip of the demo model, and render the same prompt without tuning beside it."""
    s = Start(w, note, demo=True, height=330, width=286)
    w.column("2 · Prompts", 258)
    caption = s.prompt("What the clip shows", s.clip["caption"], collapsed=True)
    edit_node = w.add("CLIPTextEncode", "What to render instead", text=DEMO_EDITS["another figure"], height=150,
                      clip=s.text_encoder, change=True)  # fmt: skip
    edit, empty = edit_node["CONDITIONING"], s.prompt("Empty prompt", "", collapsed=True)
    inflated = s.inflate()
    w.column("3 · Learn the motion", 310)
    tuned = s.tune(inflated, caption, edit, empty, **DEMO_TUNE)
    w.column("4 · Render", 240)
    result = s.render(tuned["model"], edit, empty, "tuned", steps=DEMO_STEPS, guidance=DEMO_GUIDANCE,
                      variation=VARIATION)  # fmt: skip
    w.space(40)
    plain = s.render(inflated, edit, empty, "not tuned", True, steps=DEMO_STEPS, guidance=DEMO_GUIDANCE,
                     variation=VARIATION)  # fmt: skip
    w.column("5 · Compare", 400)
    compare = s.compare("the clip\ntuned on the clip\nthe same prompt, not tuned", 540, result, plain)
    return s, edit_node, tuned, result, compare


DEMO_EDITS = {
    "another figure": "a man is jumping in the park",
    "another place": "a panda is jumping in the snow",
    "a red shirt": "a panda, wearing a red shirt, is jumping in the park",
    "another style": "a panda is jumping in the park, sketch style",
}
DEMO_SUBJECT = "panda"
"""The words of the demo clip's caption that name its subject."""
DEMO_NOTE = (
    "## Start here\n\nA tiny Stable Diffusion and a clip come with this pack: no download, no GPU.\n\n"
    "1. Press **Run** (a few minutes on a laptop).\n"
    "2. **One-Shot Tune** learns the motion.\n"
    "3. **Compare Videos** plays the clip, the edit, and the same prompt without tuning.\n\n"
    "Then change the **green prompt** and press Run again: only the rendering is repeated.\n\n"
    "*a FIGURE (, wearing a COLOUR shirt,) is VERB in the park (, STYLE style)*: Demo Clip lists the words"
)


@template("1 Start here, no checkpoint needed")
def _start(w: Workflow) -> None:
    s, _, _, result, _ = _demo_edit(w, DEMO_NOTE)
    s.save(result, "tune_a_video_demo")


@template("2 Start here without a graph.app")
def _app(w: Workflow) -> None:
    s, edit, tuned, result, compare = _demo_edit(w, "## The same as an app\n\nThis opens in ComfyUI's **app mode**: "
        "a prompt, a Run button and the result. *Graph* in the menu at the top left shows what is "
        "behind it.")  # fmt: skip
    saved = s.save(result, "tune_a_video_demo")
    w.app({"prompt": (edit, "text"), "tuning steps": (tuned, "steps")}, [saved, compare])


@template("3 Four edits from one tuning")
def _four_edits(w: Workflow) -> None:
    s = Start(w, "## Four edits from one tuning\n\nThe clip is tuned **once** and inverted **once**; every prompt "
        "starts from the same noise, so an edit costs only its sampling.\n\nPress **Run**, then change one of the "
        "green prompts: only that video is rendered again.\n\nFor a checkpoint of yours, put its loader and a *Load "
        "Video* in place of the two nodes below.", demo=True, height=300, width=286)  # fmt: skip
    w.column("2 · Learn the motion", 320)
    caption, empty = s.prompt("What the clip shows", s.clip["caption"], collapsed=True), s.prompt(
        "Empty prompt", "", collapsed=True
    )
    inflated = s.inflate()
    tuned = s.tune(inflated, caption, caption, empty, **DEMO_TUNE)["model"]
    w.column("3 · Prompts and renders", 290)
    noise = w.add("TAVDDIMInvert", collapsed=True, model=tuned, latent=s.latents, positive=empty, steps=DEMO_STEPS)[
        "LATENT"
    ]
    edits = [
        s.sample(tuned, noise, s.prompt(title.capitalize(), text, height=90, change=True), empty, title, True,
                 DEMO_STEPS, DEMO_GUIDANCE, VARIATION)
        for title, text in DEMO_EDITS.items()
    ]  # fmt: skip
    w.column("4 · Compare", 620)
    compare = s.compare("\n".join(["the clip", *DEMO_EDITS]), 540, *edits)
    s.save(compare["comparison"], "four_edits")


@template("4 Edit your own clip (SD 1.5)")
def _own_clip(w: Workflow) -> None:
    s = Start(w, "## Edit your own clip\n\n1. **Model**: any Stable Diffusion 1.5 checkpoint.\n2. **Clip**: drop one "
        "on Load Video; 8 to 24 frames of one clear movement.\n3. **Prompts**: what the clip shows, and what to render "
        "instead.\n4. **Run**. Try 8 frames, 256 x 256 and 20 tuning steps first.\n\n"
        f"{PUBLISHED_CLIP} {GREEN_NODES}", height=290)  # fmt: skip
    w.column("2 · Prompts", 290)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing on the beach, cartoon style", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    w.note("The clip's sentence with **one** change; keep the verb:\n\n- subject: *spider man is skiing*\n- place: *a "
        "man is skiing on the beach*\n- look: *a man, wearing pink clothes, is skiing*\n- style: *a man is skiing, "
        "cartoon style*", 190, "Which prompts")  # fmt: skip
    inflated = s.inflate()
    w.column("3 · Learn the motion", 330)
    tuned = s.tune(inflated, caption, edit, empty, preview_every=100)
    w.add("TAVSaveTuned", tuned=tuned["tuned"], preview=s.images, name="man_skiing")
    w.column("4 · Render", 270)
    result = s.render(tuned["model"], edit, empty)
    w.note("- motion lost: more tuning steps\n- prompt ignored: more guidance, or fewer tuning steps\n- harsh colours: "
        "guidance 7 to 10\n- out of memory: fewer or smaller frames", 150, "If the result is poor")  # fmt: skip
    w.column("5 · Compare", 520)
    s.compare("the clip\nthe edit", 500, result)
    s.save(result, "tune_and_edit")


@template("5 Reuse a saved motion")
def _reuse(w: Workflow) -> None:
    s = Start(w, "## Reuse a saved motion\n\nA motion saved by template 4, on another checkpoint and with a LoRA, "
        "without tuning again.\n\n1. **Model**: a checkpoint of the same family.\n2. **Clip**: the same clip, frames "
        "and size as when it was tuned.\n3. **Saved motion**: the node shows what it was tuned with; **R** refreshes "
        f"the list.\n4. **LoRA**: any for that family; **Ctrl B** bypasses it.\n\n{GREEN_NODES}",
        checkpoint="dreamshaper_8.safetensors", height=300)  # fmt: skip
    w.column("2 · Saved motion and LoRA", 340)
    lora = w.add("LoraLoaderModelOnly", model=s.model, lora_name="blindbox_V1Mix.safetensors", strength_model=0.8,
                 change=True)  # fmt: skip
    motion = w.add("TAVLoadTuned", model=lora["MODEL"], name="man_skiing.safetensors", change=True)["MODEL"]
    w.note("*full body, chibi* are the words that this LoRA asks for.\n\nOn a checkpoint far from the one it was "
        "tuned on, try a **strength** of 0.7 to 1.", 110, "LoRA and strength")  # fmt: skip
    w.column("3 · Prompt and render", 340)
    prompt = s.prompt("What to render", "full body, chibi, wonder woman, wearing a cowboy hat, is skiing", change=True)
    result = s.render(motion, prompt, s.prompt("Empty prompt", "", collapsed=True))
    w.column("4 · Compare", 560)
    s.compare("the clip\nwith the saved motion", 500, result)
    s.save(result, "reuse_a_saved_motion")


@template("6 A long clip, without tuning")
def _long_clip(w: Workflow) -> None:
    s = Start(w, "## A long clip, zero-shot\n\n**window** on Inflate UNet (an advanced input): how many frames are "
        "computed at once. A clip of any length takes the memory of 16 frames, and all of them see the first.\n\n"
        "No tuning: *first_frame* keeps the subject the same, and the movement comes from the clip's own noise: "
        f"minutes instead of the tuning time, and less faithful.\n\n{PUBLISHED_CLIP} {GREEN_NODES}",
        height=330, frames=48, stride=1)  # fmt: skip
    w.column("2 · Prompt and render", 340)
    prompt = s.prompt("What to render", "spider man is skiing", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    inflated = s.inflate(attention="first_frame", temporal_attention=False, window=16)
    result = s.render(inflated, prompt, empty, guidance=7.5)
    w.note("- out of memory: a window of 8\n- longer than the clip: *Extend Video Latent* behind DDIM Invert\n- prompt "
        "ignored: more guidance; layout lost: less (4 to 7)\n- not steady enough: template 4, with *window* 16 and "
        "*overlap* 15", 160, "If the result is poor")  # fmt: skip
    w.column("3 · Compare", 640)
    s.compare("the clip\nuntuned edit", 500, result)
    s.save(result, "zero_shot")


@template("7 With ControlNet")
def _controlnet(w: Workflow) -> None:
    s = Start(w, "## With ControlNet\n\nThe tuned motion and the clip's edges together: ControlNet holds every frame "
        "to the outlines of that frame. Depth and pose go in the same place.\n\nA ControlNet for SD 1.5 belongs in "
        f"`models/controlnet`.\n\n{PUBLISHED_CLIP} {GREEN_NODES}", height=280)  # fmt: skip
    w.column("2 · Prompts and edges", 290)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    edges = w.add("Canny", image=s.images, low_threshold=0.2, high_threshold=0.5)["IMAGE"]
    control = w.add("ControlNetLoader", control_net_name="control_v11p_sd15_canny_fp16.safetensors", change=True)
    held = w.add("ControlNetApplyAdvanced", positive=edit, negative=empty, control_net=control["CONTROL_NET"],
                 image=edges, strength=0.6, end_percent=0.8)  # fmt: skip
    w.note("**strength** 0.5 to 0.8 and an **end_percent** below 1 leave the new subject room for its own shape.", 80,
           "How firmly")  # fmt: skip
    w.column("3 · Learn the motion", 330)
    tuned = s.tune(s.inflate(), caption, edit, empty, preview_every=100)
    w.column("4 · Render", 270)
    result = s.render(tuned["model"], held["positive"], empty, negative=held["negative"])
    w.column("5 · Compare", 520)
    s.compare("the clip\nwith ControlNet", 500, result)
    s.save(result, "with_controlnet")


ABLATION = {
    "A: each frame alone": ("spatial", False, False),
    "B: each frame alone, tuned": ("spatial", False, True),
    "C: sparse-causal, untuned": ("sparse_causal", False, False),
    "D: full method": ("sparse_causal", True, True),
    "E: factorised, tuned": ("spatial", True, True),
    "F: first frame, tuned": ("first_frame", True, True),
}
"""Attention, temporal attention, tuned."""


@template("8 What each part does, with scores")
def _ablation(w: Workflow) -> None:
    s = Start(w, "## What each part does\n\nThe same clip, prompt, seed and noise steps, rendered six ways, compared "
        f"and scored. This tunes **four times**: take few frames and steps at first.\n\n{PUBLISHED_CLIP} {GREEN_NODES}",
        height=300, width=280)  # fmt: skip
    w.column("2 · Prompts", 230)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing on the beach, cartoon style", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    w.column("3 · Six networks", 270)
    models = {
        name: s.inflate(name, height=144, attention=attention, temporal_attention=temporal)
        for name, (attention, temporal, _) in ABLATION.items()
    }
    w.column("4 · Tune and render", 180)
    results = []
    for name, (_, _, tuned) in ABLATION.items():
        if tuned:
            models[name] = w.add("TAVOneShotTune", f"{name[0]}: tune", collapsed=True, model=models[name],
                                 latent=s.latents, positive=caption, fps=s.fps)["model"]  # fmt: skip
        else:
            w.space(46)
        results.append(s.render(models[name], edit, empty, name[0], True))
        w.space(6)
    w.column("5 · Compare", 480)
    compare = s.compare("\n".join(["the clip", *ABLATION]), 680, *results)
    s.save(compare["comparison"], "ablation")
    w.column("6 · Score", 330)
    numbered = {f"result_{i}": result for i, result in enumerate(results, 1)}
    w.add("TAVEvaluateVideo", source=s.images, labels="\n".join(ABLATION), height=700, **numbered)


def _masked_edit(w: Workflow, edited: str, kept: str, edit: str, keep_subject: bool) -> None:
    """Edit the demo clip inside or outside of the mask of its subject, and without a mask beside it."""
    s = Start(w, f"## Change {edited}, keep {kept}\n\n1. **Video Mask from Prompt** finds what words of the clip's "
        "caption name, in every frame.\n2. **DDIM Invert** keeps the clip as it is at every step (*keep_trajectory*), "
        "and inverts more exactly (*refine*).\n3. **Sample Video** returns to that outside of the mask.\n\nWith a "
        f"clip of yours: name its subject in the green node, and try **grow** and **structure**. {GREEN_NODES}",
        demo=True, height=330, width=286)  # fmt: skip
    w.column("2 · Prompts", 258)
    caption = s.prompt("What the clip shows", s.clip["caption"], collapsed=True)
    prompt = s.prompt("What to render instead", edit, height=120, change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    w.column("3 · Learn the motion", 310)
    tuned = s.tune(s.inflate(), caption, prompt, empty, **DEMO_TUNE)["model"]
    w.column("4 · What may change", 280)
    mask = w.add(
        "TAVMaskFromPrompt", model=tuned, clip=s.text_encoder, latent=s.latents, prompt=s.clip["caption"],
        words=DEMO_SUBJECT, grow=0 if keep_subject else 8, images=s.images, height=560, change=True,
    )["MASK"]  # fmt: skip
    if keep_subject:
        mask = w.add("InvertMask", collapsed=True, mask=mask)["MASK"]
    w.column("5 · Render", 270)
    noise = w.add("TAVDDIMInvert", model=tuned, latent=s.latents, positive=empty, steps=DEMO_STEPS, refine=2,
                  keep_trajectory=True)["LATENT"]  # fmt: skip
    sampled = w.add("TAVSampleVideo", height=SAMPLE_HEIGHT, model=tuned, latent=noise, positive=prompt,
                    negative=empty, steps=DEMO_STEPS, guidance=DEMO_GUIDANCE, mask=mask)["LATENT"]  # fmt: skip
    result = w.add("VAEDecode", collapsed=True, samples=sampled, vae=s.vae)["IMAGE"]
    free = s.sample(tuned, noise, prompt, empty, "no mask", True, DEMO_STEPS, DEMO_GUIDANCE)
    w.column("6 · Compare", 370)
    s.compare("the clip\nwith the mask\nwithout", 540, result, free)
    s.save(result, "masked_edit")


@template("9 Change the subject, keep the background")
def _keep_background(w: Workflow) -> None:
    _masked_edit(w, "the subject", "the background", DEMO_EDITS["another figure"], keep_subject=False)


@template("10 Change the background, keep the subject")
def _keep_subject(w: Workflow) -> None:
    _masked_edit(w, "the background", "the subject", DEMO_EDITS["another place"], keep_subject=True)


def build(object_info: dict[str, dict]) -> dict[str, str]:
    """Return the content of every file by its name without the ending.

    Args:
        object_info: ComfyUI's answer to ``/object_info``.
    """
    files = {}
    for name, write in TEMPLATES.items():
        workflow = Workflow(object_info)
        write(workflow)
        files[name] = json.dumps(workflow.content(), indent=1, ensure_ascii=False) + "\n"
    return files


if __name__ == "__main__":
    with urllib.request.urlopen(f"{sys.argv[1]}/object_info") as answer:
        for name, content in build(json.load(answer)).items():
            (FOLDER / f"{name}.json").write_text(content, encoding="utf-8")
