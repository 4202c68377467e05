"""Compare the window of Inflate UNet with ComfyUI's own Context Windows, on the demo model in a real ComfyUI.

    python bench/context_windows.py OUT            # three seeds; takes the weights that bench/long_demo.py OUT tuned
    python bench/context_windows.py OUT --seeds 1

ComfyUI is found as the tests find it ($COMFYUI_PATH, else ~/comfy/ComfyUI). Each way inverts a clip of 64 frames,
rebuilds it without guidance (PSNR), and samples an edited prompt. What is measured is kept in OUT, so a run that was
stopped goes on where it was. Right: frames that show what the prompt says. Drift: mean change of the figure's and the
place's colours from frame to frame. Change: their mean distance between the first and the last eight frames.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from long_demo import EDIT, Figures, TunedDemo, measured, show
from torch import Tensor

import tav_core
from tav_core.demo.demo import CLIP, demo_config
from tav_core.demo.judge import drift, read
from tav_core.demo.world import SIZE
from tav_core.pictures.image import to_pil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "host"))
from comfy_install import find_comfyui
from comfy_server import ComfyServer, Graph, Node

WINDOW = 16
WAYS = {
    "all frames at once": {"window": 0, "overlap": 0},
    "window 16, overlap 15": {"window": WINDOW, "overlap": WINDOW - 1},
    "Context Windows 16, overlap 4": {"retained": ""},
    "the same, with the true first frame": {"retained": "0"},
}
ENDS = 8
"""Frames at either end that are compared for change."""


@contextmanager
def comfyui(demos: list[TunedDemo]) -> Iterator[ComfyServer]:
    """Start a ComfyUI with the clip as a folder of pictures, and the tuned weights of every seed."""
    install = find_comfyui()
    if install is None:
        raise SystemExit("No ComfyUI was found: set COMFYUI_PATH.")
    with TemporaryDirectory() as folder:
        server = ComfyServer(install, Path(folder))
        (server.folder / "input" / "clip").mkdir()
        for number, frame in enumerate(demos[0].source):
            to_pil(frame).save(server.folder / "input" / "clip" / f"{number:04}.png")
        models = server.folder / "models" / "tune_a_video"
        models.mkdir()
        for demo in demos:
            _ = demo.pipeline  # tunes where there are no weights yet
            shutil.copy(demo.args.output / file_of(demo), models)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def file_of(demo: TunedDemo) -> str:
    return f"tuned-{demo.seed}.safetensors"


def measure(
    server: ComfyServer, demo: TunedDemo, window: int = 0, overlap: int = 0, retained: str | None = None
) -> Figures:
    """Return the figures of one way: windows of Inflate UNet, or with ``retained`` context windows of ComfyUI."""
    graph, steps = Graph(), demo.args.ddim_steps
    loader = graph.add("TAVLoadDemoModel")
    clip = graph.add(
        "TAVLoadVideo", video="clip/", start=0, stride=1, frames=0, width=SIZE, height=SIZE, resize="stretch"
    )
    latents = graph.add("VAEEncode", pixels=clip[0], vae=loader[2])
    empty, caption, edit = (
        graph.add("CLIPTextEncode", clip=loader[1], text=text)[0] for text in ("", CLIP.caption, EDIT.caption)
    )
    inflated = graph.add(
        "TAVInflateUNet", model=loader[0], attention="sparse_causal", temporal_attention=True, joint_norm=True,
        window=window, overlap=overlap,
    )  # fmt: skip
    model = graph.add("TAVLoadTuned", model=inflated[0], name=file_of(demo), strength=1.0)
    if retained is not None:
        model = graph.add(
            "ContextWindowsManual", model=model[0], context_length=WINDOW, context_overlap=4, context_stride=1,
            context_schedule="standard_static", closed_loop=False, fuse_method="pyramid", dim=0, freenoise=False,
            cond_retain_index_list="", split_conds_to_windows=False, latent_retain_index_list=retained,
            causal_window_fix=True,
        )  # fmt: skip
    noise = graph.add("TAVDDIMInvert", model=model[0], latent=latents[0], positive=empty, steps=steps)

    def rendered(prompt: list, guidance: float) -> Node:
        result = graph.add(
            "TAVSampleVideo", model=model[0], latent=noise[0], positive=prompt, negative=empty, steps=steps,
            guidance=guidance,
        )  # fmt: skip
        frames = graph.add("VAEDecode", samples=result[0], vae=loader[2])
        return graph.add("SaveImage", images=frames[0], filename_prefix="frame")

    saved = [rendered(caption, 1.0), rendered(edit, demo.data.guidance_scale)]
    server.free()
    began = cpu_seconds(server.pid)
    entry = server.run(graph, timeout=1800)
    seconds = cpu_seconds(server.pid) - began
    rebuilt, edited = (torch.from_numpy(server.images(entry, node) / 255.0).float() for node in saved)
    readings = read(edited)
    return {
        "PSNR": tav_core.psnr(rebuilt, demo.source),
        "right, %": 100 * sum(all(reading.right(EDIT).values()) for reading in readings) / len(readings),
        "steadiness": tav_core.steadiness(edited),
        "motion": tav_core.motion_fidelity(demo.source, edited),
        "drift": drift(edited),
        "change": change(torch.stack([reading.colours for reading in readings])),
        "CPU s per frame": seconds / len(edited),
    }


def change(colours: Tensor) -> float:
    """Return how far colours ``[f, 5, 3]`` are apart between the first and the last frames, 0..1."""
    return float((colours[:ENDS].mean(dim=0) - colours[-ENDS:].mean(dim=0)).abs().mean())


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process (Linux)."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of bench/long_demo.py")
    parser.add_argument("--frames", type=int, default=64, help="of the clip")
    parser.add_argument("--steps", type=int, default=120, help="tuning steps")
    parser.add_argument("--ddim-steps", type=int, default=demo_config().validation_data.num_inference_steps)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    args.window = WINDOW
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    demos = [TunedDemo(args, seed) for seed in range(args.seeds)]
    rows: dict[str, list[Figures]] = {}
    with comfyui(demos) as server:
        for demo in demos:
            for way, options in WAYS.items():
                name = f"ComfyUI, {way}, seed {demo.seed}"
                figures = measured(args, name, lambda: measure(server, demo, **options))  # noqa: B023
                rows.setdefault(way, []).append(figures)
    show(rows)


if __name__ == "__main__":
    main()
