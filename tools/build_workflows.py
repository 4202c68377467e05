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

from workflow_parts import Start
from workflow_texts import NOTES, TITLES
from workflow_writer import Node, Output, Workflow

from tav_core.demo import LEARNING_RATE, STEPS
from tav_core.demo.demo import CLIP, EDITS, VARIATION, demo_config
from tav_core.experiments.ablation_rows import ROWS

FOLDER = Path(__file__).parents[1] / "workflows"
TEMPLATES: dict[str, Callable[[Workflow], None]] = {}
"""File name -> what writes it."""
DEMO_TUNE = {
    "steps": STEPS,
    "learning_rate": LEARNING_RATE,
    "preset": "custom",
    "gradient_checkpointing": False,
    "preview_every": 40,
}
DEMO_STEPS = demo_config().validation_data.num_inference_steps
DEMO_GUIDANCE = demo_config().validation_data.guidance_scale
DEMO_EDITS = dict(
    zip(("another figure", "another place", "a red shirt", "another style"), (words.caption for words in EDITS))
)
"""Title -> caption."""


def template(name: str) -> Callable[[Callable[[Workflow], None]], None]:
    """Register a function as the template of this name."""
    return lambda write: TEMPLATES.__setitem__(name, write)


def _demo_edit(w: Workflow, note: str) -> tuple[Start, Node, Node, Output, Node]:
    """Edit one clip of the demo model, and render the same prompt without tuning beside it."""
    s = Start(w, note, demo=True, height=180, width=286, across=584)
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
    compare = s.compare("the clip\ntuned on the clip\nthe same prompt, not tuned", 790, result, plain)
    return s, edit_node, tuned, result, compare


@template("1 Start here, no checkpoint needed")
def _start(w: Workflow) -> None:
    s, _, _, result, _ = _demo_edit(w, "start")
    s.save(result, "tune_a_video_demo")


@template("2 Start here without a graph.app")
def _app(w: Workflow) -> None:
    s, edit, tuned, result, compare = _demo_edit(w, "app")
    saved = s.save(result, "tune_a_video_demo")
    w.app({"prompt": (edit, "text"), "tuning steps": (tuned, "steps")}, [saved, compare])


@template("3 Four edits from one tuning")
def _four_edits(w: Workflow) -> None:
    s = Start(w, "four edits", demo=True, height=300, width=286)
    inflated = s.inflate()
    w.column("2 · Learn the motion", 320)
    caption = s.prompt("What the clip shows", s.clip["caption"], collapsed=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    tuned = s.tune(inflated, caption, caption, empty, **DEMO_TUNE)["model"]
    w.column("3 · Prompts", 290)
    prompts = {
        title: s.prompt(title.capitalize(), text, height=102, change=True) for title, text in DEMO_EDITS.items()
    }
    w.column("4 · Render", 225)
    noise = s.invert(tuned, empty, steps=DEMO_STEPS)
    edits = [
        s.decode(s.sample(tuned, noise, prompt, empty, title, True, DEMO_STEPS, DEMO_GUIDANCE, variation=VARIATION),
                 title)
        for title, prompt in prompts.items()
    ]  # fmt: skip
    w.column("5 · Compare", 620)
    compare = s.compare("\n".join(["the clip", *DEMO_EDITS]), 740, *edits)
    s.save(compare["comparison"], "four_edits")


@template("4 Edit your own clip (SD 1.5)")
def _own_clip(w: Workflow) -> None:
    s = Start(w, "own clip", height=190, across=630)
    w.column("2 · Prompts", 290)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing on the beach, cartoon style", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    w.note(NOTES["which prompts"][0], 190, "Which prompts")
    inflated = s.inflate()
    w.column("3 · Learn the motion", 330)
    tuned = s.tune(inflated, caption, edit, empty, preview_every=100)
    w.add("TAVSaveTuned", tuned=tuned["tuned"], preview=s.images, name="man_skiing")
    w.column("4 · Render", 270)
    result = s.render(tuned["model"], edit, empty)
    w.note(NOTES["poor"][0], 150, "If the result is poor")
    w.column("5 · Compare", 520)
    s.compare("the clip\nthe edit", 500, result)
    s.save(result, "tune_and_edit")


@template("5 Reuse a saved motion")
def _reuse(w: Workflow) -> None:
    s = Start(w, "reuse", checkpoint="dreamshaper_8.safetensors", height=205, across=680)
    w.column("2 · Saved motion and LoRA", 340)
    lora = w.add("LoraLoaderModelOnly", model=s.model, lora_name="blindbox_V1Mix.safetensors", strength_model=0.8,
                 change=True)  # fmt: skip
    motion = w.add("TAVLoadTuned", model=lora["MODEL"], name="man_skiing.safetensors", change=True)["MODEL"]
    w.note(NOTES["lora"][0], 110, "LoRA and strength")
    w.column("3 · Prompt and render", 340)
    prompt = s.prompt("What to render", "full body, chibi, wonder woman, wearing a cowboy hat, is skiing", change=True)
    result = s.render(motion, prompt, s.prompt("Empty prompt", "", collapsed=True))
    w.column("4 · Compare", 560)
    s.compare("the clip\nwith the saved motion", 500, result)
    s.save(result, "reuse_a_saved_motion")


@template("6 A long clip, made longer")
def _long_clip(w: Workflow) -> None:
    s = Start(w, "long clip", height=205, across=630, frames=0, stride=1)
    w.column("2 · Prompts", 290)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    inflated = s.inflate(window=16, overlap=15)
    w.note(NOTES["poor long clip"][0], 150, "If the result is poor")
    w.column("3 · Learn the motion", 330)
    tuned = s.tune(inflated, caption, edit, empty, preview_every=100)["model"]
    w.column("4 · Render", 290)
    noise = w.add("TAVDDIMInvert", collapsed=True, model=tuned, latent=s.latents, positive=empty)["LATENT"]
    longer = w.add("TAVExtendVideoLatent", latent=noise, frames=96, change=True)["LATENT"]
    result = s.decode(s.sample(tuned, longer, edit, empty))
    w.column("5 · Compare", 520)
    s.compare("the clip\nedited, made longer", 500, result)
    s.save(result, "a_long_clip")


@template("7 With ControlNet")
def _controlnet(w: Workflow) -> None:
    s = Start(w, "controlnet", height=165, across=630)
    w.column("2 · Prompts and edges", 290)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    edges = w.add("Canny", image=s.images, low_threshold=0.2, high_threshold=0.5)["IMAGE"]
    control = w.add("ControlNetLoader", control_net_name="control_v11p_sd15_canny_fp16.safetensors", height=86,
                    change=True)  # fmt: skip
    w.column("3 · Learn the motion", 330)
    tuned = s.tune(s.inflate(), caption, edit, empty, preview_every=100)
    w.column("4 · Render", 270)
    held = w.add("ControlNetApplyAdvanced", positive=edit, negative=empty, control_net=control["CONTROL_NET"],
                 image=edges, strength=0.6, end_percent=0.8)  # fmt: skip
    result = s.render(tuned["model"], held["positive"], empty, negative=held["negative"])
    w.note(NOTES["how firmly"][0], 96, "How firmly")
    w.column("5 · Compare", 520)
    s.compare("the clip\nwith ControlNet", 500, result)
    s.save(result, "with_controlnet")


ABLATION = {
    "A: each frame alone": ROWS[0],
    "B: each frame alone, tuned": ROWS[1],
    "C: sparse-causal, untuned": ROWS[2],
    "D: full method": ROWS[3],
    "E: factorised, tuned": ROWS[4],
    "F: first frame, tuned": ROWS[5],
}
"""Short title -> row of the ablation."""


@template("8 What each part does, with scores")
def _ablation(w: Workflow) -> None:
    s = Start(w, "ablation", height=170, width=280, across=550)
    w.column("2 · Prompts", 230)
    caption = s.prompt("What the clip shows", "a man is skiing", change=True)
    edit = s.prompt("What to render instead", "spider man is skiing on the beach, cartoon style", change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    w.column("3 · Six networks", 270)
    models = {
        name: s.inflate(name, height=144, attention=row.attention, temporal_attention=row.temporal_attention)
        for name, row in ABLATION.items()
    }
    w.column("4 · Tune and render", 225)
    for name, row in ABLATION.items():
        if row.tuned:
            models[name] = w.add("TAVOneShotTune", f"{name[0]}: tune", collapsed=True, model=models[name],
                                 latent=s.latents, positive=caption, fps=s.fps)["model"]  # fmt: skip
    noises = {name: s.invert(model, empty, name[0]) for name, model in models.items()}
    videos = {name: s.sample(models[name], noises[name], edit, empty, name[0], True) for name in ABLATION}
    results = [s.decode(video, name[0]) for name, video in videos.items()]
    w.column("5 · Compare", 430)
    compare = s.compare("\n".join(["the clip", *ABLATION]), 900, *results)
    s.save(compare["comparison"], "ablation")
    w.column("6 · Score", 330)
    numbered = {f"result_{i}": result for i, result in enumerate(results, 1)}
    w.add("TAVEvaluateVideo", source=s.images, labels="\n".join(ABLATION), height=700, **numbered)


def _masked_edit(w: Workflow, note: str, edit: str, keep_subject: bool) -> None:
    """Edit the demo clip inside or outside of the mask of its subject, and without a mask beside it."""
    s = Start(w, note, demo=True, height=210, width=286, across=584)
    w.column("2 · Prompts", 258)
    caption = s.prompt("What the clip shows", s.clip["caption"], collapsed=True)
    prompt = s.prompt("What to render instead", edit, height=120, change=True)
    empty = s.prompt("Empty prompt", "", collapsed=True)
    w.column("3 · Learn the motion", 310)
    tuned = s.tune(s.inflate(), caption, prompt, empty, **DEMO_TUNE)["model"]
    w.column("4 · What may change", 280)
    mask = w.add(
        "TAVMaskFromPrompt", model=tuned, clip=s.text_encoder, latent=s.latents, prompt=s.clip["caption"],
        words=CLIP.figure, grow=0 if keep_subject else 8, images=s.images, height=560, change=True,
    )["MASK"]  # fmt: skip
    if keep_subject:
        mask = w.add("InvertMask", collapsed=True, mask=mask)["MASK"]
    w.column("5 · Render", 270)
    noise = w.add("TAVDDIMInvert", model=tuned, latent=s.latents, positive=empty, steps=DEMO_STEPS, refine=2,
                  keep_trajectory=True)["LATENT"]  # fmt: skip
    result = s.decode(s.sample(tuned, noise, prompt, empty, None, False, DEMO_STEPS, DEMO_GUIDANCE, mask=mask))
    free = s.decode(s.sample(tuned, noise, prompt, empty, "no mask", True, DEMO_STEPS, DEMO_GUIDANCE), "no mask")
    w.column("6 · Compare", 370)
    s.compare("the clip\nwith the mask\nwithout", 700, result, free)
    s.save(result, "masked_edit")


@template("9 Change the subject, keep the background")
def _keep_background(w: Workflow) -> None:
    _masked_edit(w, "keep background", DEMO_EDITS["another figure"], keep_subject=False)


@template("10 Change the background, keep the subject")
def _keep_subject(w: Workflow) -> None:
    _masked_edit(w, "keep subject", DEMO_EDITS["another place"], keep_subject=True)


def build(object_info: dict[str, dict]) -> dict[str, str]:
    """Return the content of every file by its name without the ending.

    Args:
        object_info: ComfyUI's answer to ``/object_info``.
    """
    files, chinese = {}, TITLES | dict(NOTES.values())
    for name, write in TEMPLATES.items():
        workflow = Workflow(object_info, chinese)
        write(workflow)
        files[name] = json.dumps(workflow.content(), indent=1, ensure_ascii=False) + "\n"
    return files


if __name__ == "__main__":
    with urllib.request.urlopen(f"{sys.argv[1]}/object_info") as answer:
        for name, content in build(json.load(answer)).items():
            (FOLDER / f"{name}.json").write_text(content, encoding="utf-8")
