"""SDXL at its full width, with random weights and a few small frames: minutes of CPU, 15 GB of memory, 5 GB on disk.

FULL_SDXL=1 python -m pytest tests/host/test_full_sdxl.py -s
"""

import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from chain import Chain, difference
from checkpoint import make_checkpoint, make_full_sdxl_unet
from comfy_install import REPOSITORY
from comfy_server import PACK_FOLDER, ComfyServer

from tav_core import load_tuned, save_video

pytestmark = pytest.mark.skipif("FULL_SDXL" not in os.environ, reason="takes minutes; FULL_SDXL=1 runs it")


@pytest.fixture
def server(comfyui, tmp_path):
    """A ComfyUI that keeps the U-Net in float16, with a U-Net of SDXL's size and the small checkpoint's autoencoder."""
    packs = {PACK_FOLDER: REPOSITORY, "probe": Path(__file__).parent / "probe"}
    server = ComfyServer(comfyui, tmp_path / "comfyui", packs, options=("--fp16-unet",))
    make_checkpoint(server.folder / "models" / "checkpoints" / "tiny.safetensors")
    make_full_sdxl_unet(server.folder / "models" / "diffusion_models" / "sdxl.safetensors")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder / "models")


def used_by(process: int) -> tuple[float, float]:
    """CPU seconds so far, and the highest resident memory in GB."""
    spent = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    (peak,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1e6


def test_the_whole_chain(server):
    frames = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    save_video(server.folder / "clip.gif", frames, fps=8)
    graph = Chain(server.upload(server.folder / "clip.gif"))
    model = graph.add("UNETLoader", unet_name="sdxl.safetensors", weight_dtype="default")
    graph.words, graph.empty = (graph.add("RandomText", width=2048, seed=seed) for seed in range(2))
    inflated = graph.inflate(model[0])
    tuned = graph.tune(inflated[0], steps=2, rank=-1)
    inverted = graph.invert(tuned[0], steps=2)
    results = [graph.save(graph.sample(each[0], inverted[0], steps=2)[0]) for each in (tuned, inflated)]
    graph.add("TAVSaveTuned", tuned=tuned[1], name="sdxl")
    began, _ = used_by(server.pid)
    start = time.monotonic()
    entry = server.run(graph, timeout=1500)
    seconds, gigabytes = used_by(server.pid)
    file = server.folder / "models" / "tune_a_video" / "sdxl.safetensors"
    state, metadata = load_tuned(file)
    learned = sum(tensor.numel() for name, tensor in state.items() if "norm_temp" not in name)
    print(
        f"\n{seconds - began:.0f} CPU seconds, {time.monotonic() - start:.0f} s, at most {gigabytes:.1f} GB; "
        f"{learned / 1e6:.1f} million learned weights, {file.stat().st_size / 1e6:.1f} MB"
    )
    assert (metadata["rank"], learned) == (16, 10_732_800)
    with_motion, without = (server.latent(entry, result) for result in results)
    assert with_motion.isfinite().all() and difference(with_motion, without) > 1e-4
