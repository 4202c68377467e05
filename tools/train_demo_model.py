"""Train the demo model and its judge from nothing, on pictures the project draws itself.

    pip install -e . && python tools/train_demo_model.py      # everything, into tav_core/demo/model
    python tools/train_demo_model.py --part denoiser --steps 20000

Three parts, one after the other: the judge, which needs none of the others, the autoencoder, and the denoiser (U-Net
and text encoder together) on its latents. Each writes its state to --work every two minutes and goes on from it when
started again. The learning rate is constant and falls to zero over the last 45 % of the steps, so a run can be given
more or fewer --steps while it is still in its constant part. Use one thread on a machine that is shared
(OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from demo_model_parts import (
    CHANNELS,
    FACTOR,
    new_autoencoder,
    new_text_encoder,
    new_unet,
    tokenize,
    write_scheduler,
    write_tokenizer,
)
from einops import rearrange, reduce
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from train_demo_judge import train_judge
from training_run import Run
from transformers import CLIPTextModel, CLIPTokenizer

import tav_core
from tav_core.demo import MODEL
from tav_core.demo.figures import FIGURES, VERBS
from tav_core.demo.pen import STYLES
from tav_core.demo.places import PLACES
from tav_core.demo.world import ANY, COLOURS, SIZE, Scene, Words, draw, mask, random_scene
from tav_core.files import replacing

SEED = 33
LATENT_DEVIATION = 0.5
"""Spread of the latents: it leaves little of a picture's colours in the noisiest step and so lets edits change them."""


def training_scene(number: int, salt: int) -> Scene:
    """Return training picture `number`, always the same one; no held-out pair is in it, said or unsaid."""
    r = random.Random(SEED * 1_000_003 + salt * 500_000_003 + number)
    while True:
        words = Words(
            r.choice(FIGURES),
            r.choice(VERBS),
            r.choice(list(PLACES)),
            r.choice(list(COLOURS)) if r.random() < 0.45 else ANY,
            r.choices(STYLES, (0.66, 0.17, 0.17))[0],
            r.random() < 0.22,
        )
        scene = random_scene(words, r.randrange(1 << 60))
        if not replace(words, clothes=scene.shirt).held_out:
            return scene


def as_input(pictures: list[np.ndarray]) -> Tensor:
    """Return uint8 pictures as [n, 3, h, w] in -1..1."""
    return rearrange(torch.from_numpy(np.stack(pictures)), "n h w c -> n c h w") / 127.5 - 1


def train_autoencoder(args: argparse.Namespace) -> None:
    """Train on crops, with noise on the latents, as sampled ones have some, and a penalty on their mean and spread."""
    torch.manual_seed(SEED)
    vae = new_autoencoder().to(args.device, memory_format=torch.channels_last)
    run = Run("autoencoder", nn.ModuleDict({"vae": vae}), args.steps or 6600, 1e-3, args.work, decay=0.998)
    size, batch = 64, 16
    held_back = as_input([draw(training_scene(i, salt=3)) for i in range(64)]).to(args.device)
    while run.step < run.steps:
        r = random.Random(run.step)
        crops = []
        for i in range(batch):
            x, y = r.randint(0, SIZE - size), r.randint(0, SIZE - size)
            crops.append(draw(training_scene(run.step * batch + i, salt=2))[y : y + size, x : x + size])
        pictures = as_input(crops).to(args.device, memory_format=torch.channels_last)
        with torch.autocast(args.device, torch.bfloat16):
            latents = vae.encode(pictures).latents
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(run.step)).to(args.device)
            decoded = vae.decode(latents + 0.04 * LATENT_DEVIATION * noise).sample.float()
        latents = latents.float()
        mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
        spread = (mean.square() + (deviation - LATENT_DEVIATION).square()).sum()
        edges = sum(l1_loss(decoded.diff(dim=d), pictures.diff(dim=d)) for d in (2, 3))
        run.update(l1_loss(decoded, pictures) + 2 * mse_loss(decoded, pictures) + 0.5 * edges + 0.2 * spread)
        if run.step % 500 == 0 or run.step == run.steps:
            average = run.average["vae"]
            with torch.no_grad():
                latents = average.encode(held_back).latents
                error = mse_loss(average.decode(latents).sample.clamp(-1, 1), held_back) / 4
            run.note(f"{-10 * error.log10().item():.2f} dB on 64 new pictures, deviation {latents.std().item():.3f}")
    _save_module(run.average["vae"], args.output / "vae")


class Pictures:
    """Latents of the training pictures with the figure's share of each cell, encoded when first asked for."""

    def __init__(self, args: argparse.Namespace) -> None:
        side, file = SIZE // FACTOR, args.work / "latents.npy"
        self.vae = new_autoencoder().from_pretrained(args.output / "vae").to(args.device)
        self.device = args.device
        if file.exists():
            self.kept = np.lib.format.open_memmap(file, "r+")
        else:
            self.kept = np.lib.format.open_memmap(file, "w+", np.float16, (args.pictures, CHANNELS + 1, side, side))
            self.kept[:] = np.nan
        self.captions = [training_scene(i, salt=1).words.caption for i in range(len(self.kept))]

    def __len__(self) -> int:
        return len(self.kept)

    @torch.no_grad()
    def __getitem__(self, chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Return latents [n, 8, h, w] and the figure's share of each cell [n, 1, h, w]."""
        new = [i for i in chosen if np.isnan(self.kept[i, 0, 0, 0])]
        if new:
            scenes = [training_scene(i, salt=1) for i in new]
            pictures = as_input([draw(scene) for scene in scenes]).to(self.device)
            with torch.autocast(self.device, torch.bfloat16):
                latents = self.vae.encode(pictures).latents.float().cpu()
            masks = torch.from_numpy(np.stack([mask(scene) for scene in scenes]))
            shares = reduce(masks, "n (h a) (w b) -> n 1 h w", "mean", a=FACTOR, b=FACTOR)
            self.kept[new] = torch.cat([latents, shares], dim=1).numpy()
        both = torch.from_numpy(self.kept[chosen]).float().to(self.device)
        return both[:, :CHANNELS], both[:, CHANNELS:]


def batches(pictures: Pictures, size: int, step: int) -> Iterator[list[int]]:
    """Yield the pictures of every step from `step` on: all of them in a new order each round."""
    per_round = len(pictures) // size
    while True:
        order = list(range(len(pictures)))
        if step >= per_round:
            random.Random(step // per_round).shuffle(order)
        for i in range(step % per_round, per_round):
            yield order[i * size : (i + 1) * size]
            step += 1


def train_denoiser(args: argparse.Namespace) -> None:
    """Train U-Net and text encoder on noise prediction.

    The loss is weighted by 1/SNR between 1 and 20, and half of the timesteps are drawn toward the noisy end: what a
    picture shows is decided there, and an unweighted loss hardly sees it. The other half lies where a figure's place is
    settled and its pose is not, and the latents of the figure count three times.
    """
    torch.manual_seed(SEED)
    write_tokenizer(args.output / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(args.output / "tokenizer")
    unet = new_unet().to(memory_format=torch.channels_last)
    modules = nn.ModuleDict({"unet": unet, "text_encoder": new_text_encoder(tokenizer)}).to(args.device)
    if args.start_from:
        for name, module in modules.items():
            module.load_state_dict(type(module).from_pretrained(args.start_from / name).state_dict())
    run = Run("denoiser", modules, args.steps or 12_600, 1e-3, args.work, decay=0.998)
    schedule = tav_core.NoiseSchedule.stable_diffusion()
    print(f"denoiser: {sum(p.numel() for p in run.parameters) / 1e6:.2f} M parameters, {run.steps} steps", flush=True)
    pictures = Pictures(args)
    tokens = tokenize(tokenizer, pictures.captions).to(args.device)
    nothing = tokenize(tokenizer, [""]).to(args.device)
    chosen = batches(pictures, args.batch, run.step)
    while run.step < run.steps:
        generator = torch.Generator().manual_seed(SEED + run.step)
        numbers = next(chosen)
        latents, shares = pictures[numbers]
        n = len(numbers)
        dropped = torch.rand(n, generator=generator) < 0.12
        said = torch.where(dropped[:, None].to(args.device), nothing, tokens[numbers])
        noise = torch.randn(latents.shape, generator=generator).to(args.device)
        spread = (torch.rand(n, generator=generator) + torch.arange(n)) / n
        spread = spread[torch.randperm(n, generator=generator)]
        timesteps = torch.where(torch.arange(n) % 2 == 0, 1000 * spread**0.65, 150 + 450 * spread).long()
        timesteps = timesteps.clamp(max=999).to(args.device)
        noisy = schedule.add_noise(latents, noise, timesteps).contiguous(memory_format=torch.channels_last)
        context = modules["text_encoder"](said).last_hidden_state
        prediction = unet(noisy, timesteps, context).sample
        error = ((1 + 2 * shares) * mse_loss(prediction, noise, reduction="none")).mean(dim=(1, 2, 3))
        a = schedule.alphas_cumprod[timesteps.cpu()].to(args.device)
        run.update((error * ((1 - a) / a).clamp(1, 20)).mean())
    save_denoiser(run.average, args.output)


def save_denoiser(modules: nn.ModuleDict, output: Path) -> None:
    for name in ("unet", "text_encoder"):
        _save_module(modules[name], output / name)
    write_scheduler(output / "scheduler")


def _save_module(module: nn.Module, folder: Path) -> None:
    """Write config and float16 weights the way diffusers and transformers do, each file whole or not at all."""
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    half = copy.deepcopy(module).half().to(memory_format=torch.contiguous_format)
    half.save_pretrained(temporary, safe_serialization=True)
    if isinstance(half, CLIPTextModel):  # transformers before version 5 needs this level in the names
        state = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in half.state_dict().items()}
        save_file(state, temporary / "model.safetensors", {"format": "pt"})
    for file in temporary.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def write_index(output: Path) -> None:
    """Write the file by which diffusers recognises a pipeline's folder."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny"],
    }
    with replacing(output / "model_index.json") as partial:
        partial.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", "judge", "autoencoder", "denoiser"), default="all")
    parser.add_argument("--output", type=Path, default=MODEL, help="folder of the model")
    parser.add_argument("--work", type=Path, default=Path("demo_model_training"), help="folder of the states")
    parser.add_argument("--steps", type=int, help="training steps of the part (needs --part)")
    parser.add_argument("--batch", type=int, default=32, help="pictures per step of the denoiser")
    parser.add_argument("--pictures", type=int, default=24_000, help="how many different pictures there are")
    parser.add_argument("--start-from", type=Path, help="folder of a model whose denoiser to go on with")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if args.steps and args.part == "all":
        parser.error("--steps needs --part")
    for folder in (args.output, args.work):
        folder.mkdir(parents=True, exist_ok=True)
    parts = {"judge": train_judge, "autoencoder": train_autoencoder, "denoiser": train_denoiser}
    for part, train in parts.items():
        if args.part in ("all", part):
            train(args)
    write_index(args.output)


if __name__ == "__main__":
    main()
