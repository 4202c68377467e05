"""Train the demo model from nothing, on pictures the project draws itself.

    pip install -e . && python tools/train_demo_model.py      # everything, into tav_core/demo/model
    python tools/train_demo_model.py --part denoiser --minutes 5

Two parts that do not depend on each other: "denoiser" (U-Net and text encoder together) and "decoder" (of the
autoencoder). Each writes a checkpoint to --work every few minutes and goes on from it when started again. The
learning rate is constant and then falls to zero over the last part of the steps, so a run can be given more or fewer
--steps while it is still in its constant part.

Measured on a busy CPU: 28 ms of one core per picture; 32 pictures per step for the denoiser, 16 for the decoder.
The weights in the repository were given 900 steps for the decoder and 7500 for the denoiser, in one run during which
this script and the drawn world still changed: the loss looks around the object since step 2800, shapes are large since
3950, and timesteps are drawn as now since 5400. 12000 is the default.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import random
import shutil
import time
from functools import cache
from pathlib import Path

import torch
from demo_model_parts import (
    new_autoencoder,
    new_scheduler,
    new_text_encoder,
    new_unet,
    tokenize,
    write_tokenizer,
)
from einops import rearrange
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from transformers import CLIPTextModel, CLIPTokenizer

from tav_core.demo import MODEL
from tav_core.demo.world import SIZE, Scenes, Words, all_words, draw, random_scenes
from tav_core.files import replacing

SEED = 33
TRAINED = [words for words in all_words() if not words.held_out]


def drawn_scenes(number: int, size: int, salt: int) -> tuple[Scenes, list[Words]]:
    """Batch `number` of the training pictures' scenes, always the same one, and what their captions say."""
    generator = torch.Generator().manual_seed(SEED * 1_000_003 + salt * 500_000 + number)
    words = [TRAINED[i] for i in torch.randint(len(TRAINED), (size,), generator=generator)]
    return random_scenes(words, generator), words


def importance(scenes: Scenes) -> Tensor:
    """[n, 1, 16, 16] weights of the latents: 4 around the object, 1 elsewhere."""
    line = (torch.arange(16) + 0.5) * SIZE / 16
    x, y, reach = (rearrange(v, "n -> n 1 1 1") for v in (scenes.x, scenes.y, 1.6 * scenes.size + 2))
    near = ((line - x).abs() < reach) & ((line[:, None] - y).abs() < reach)
    return 1.0 + 3.0 * near


def share_the_machine() -> None:
    """Use as many threads as other programs leave cores: two that wait for each other's turn are slower than one."""
    others = os.getloadavg()[0] - torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - round(max(0.0, others))))


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(module).requires_grad_(False), decay

    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)


class Run:
    """A training run's state, on disk and in memory: modules, their averages, the optimizer and the step."""

    def __init__(self, name: str, modules: nn.ModuleDict, steps: int, lr: float, work: Path) -> None:
        self.file, self.log = work / f"{name}.safetensors", work / f"{name}.log"
        self.modules, self.steps, self.lr = modules, steps, lr
        self.average = Average(modules, decay=0.998)
        self.parameters = [p for p in modules.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, foreach=True)
        self.step, self.started, self.saved, self.losses = 0, time.time(), time.time(), []
        self.began_at = 0
        if self.file.exists():
            self.load()

    def learning_rate(self) -> float:
        """Warm-up over 100 steps, constant, and to zero over the last 40 % as a cosine."""
        fall = max(0.0, (self.step / self.steps - 0.6) / 0.4)
        return self.lr * min(1.0, (self.step + 1) / 100) * (1 + math.cos(math.pi * min(1.0, fall))) / 2

    def update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.step()
        self.step += 1
        self.average.update(self.modules, self.step)
        self.losses.append(loss.item())
        if self.step % 20 == 0 or self.step == self.steps:
            speed = (self.step - self.began_at) / (time.time() - self.started)
            mean = sum(self.losses) / len(self.losses)
            line = f"step {self.step}/{self.steps}  loss {mean:.4f}  {torch.get_num_threads()} threads"
            line += f"  {speed:.2f} steps/s  {(self.steps - self.step) / speed / 60:.1f} min left"
            self.losses.clear()
            share_the_machine()
            print(line, flush=True)
            with self.log.open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        if time.time() - self.saved > 120 or self.step == self.steps:
            self.save()

    def save(self) -> None:
        tensors = {f"modules/{name}": value for name, value in self.modules.state_dict().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.module.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": value for name, value in values.items()}
        with replacing(self.file) as partial:
            save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {"step": str(self.step)})
        self.saved = time.time()

    def load(self) -> None:
        optimizer = self.optimizer.state_dict()
        with safe_open(self.file, "pt") as file:
            parts = {"modules": {}, "average": {}, "optimizer": {}}
            for key in file.keys():  # noqa: SIM118
                part, name = key.split("/", 1)
                parts[part][name] = file.get_tensor(key)
            self.step = self.began_at = int(file.metadata()["step"])
        self.modules.load_state_dict(parts["modules"])
        self.average.module.load_state_dict(parts["average"])
        for key, value in parts["optimizer"].items():
            number, name = key.split("/")
            optimizer["state"].setdefault(int(number), {})[name] = value
        self.optimizer.load_state_dict(optimizer)


def train_denoiser(args: argparse.Namespace) -> None:
    """U-Net and text encoder, on noise prediction.

    The loss is weighted by 1/SNR between 1 and 20, and timesteps are drawn toward the noisy end: what a picture shows
    is decided there, and an unweighted loss hardly sees it. Shape is what the model learns last: it matters only at
    the timesteps where the object's place is settled and its outline is not, and there only around the object. So two
    thirds of the timesteps lie there, and the latents around the object count more than the rest of the background.
    """
    torch.manual_seed(SEED)
    write_tokenizer(args.output / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(args.output / "tokenizer")
    unet = new_unet().to(memory_format=torch.channels_last)
    modules = nn.ModuleDict({"unet": unet, "text_encoder": new_text_encoder(tokenizer)}).to(args.device)
    if args.start_from:
        for name, module in modules.items():
            module.load_state_dict(type(module).from_pretrained(args.start_from / name).state_dict())
    encode_pictures = new_autoencoder().to(args.device).encode
    run = Run("denoiser", modules, args.steps or 12000, 1e-3, args.work)
    alphas = new_scheduler().alphas_cumprod.to(args.device)
    print(f"denoiser: {sum(p.numel() for p in run.parameters) / 1e6:.2f} M parameters, {run.steps} steps", flush=True)

    @cache
    def batch(number: int) -> tuple[Tensor, Tensor, Tensor]:
        scenes, words = drawn_scenes(number, args.batch, salt=1)
        pictures = draw(scenes)
        with torch.no_grad():
            latents = encode_pictures(pictures.to(args.device) * 2 - 1).latents
        latents = latents.to(memory_format=torch.channels_last)
        tokens = tokenize(tokenizer, [w.caption for w in words])
        return latents, tokens.to(args.device), importance(scenes).to(args.device)

    nothing = tokenize(tokenizer, [""]).to(args.device)
    while run.step < run.steps and time.time() < args.until:
        generator = torch.Generator().manual_seed(SEED + run.step)
        first_round = run.step < args.batches
        latents, tokens, weights = batch(run.step if first_round else random.Random(run.step).randrange(args.batches))
        n = len(latents)
        dropped = torch.rand(n, generator=generator) < 0.12
        tokens = torch.where(dropped[:, None].to(args.device), nothing, tokens)
        noise = torch.randn(latents.shape, generator=generator).to(args.device)
        spread = (torch.rand(n, generator=generator) + torch.arange(n)) / n
        anywhere, where_shape_forms = 1000 * spread**0.65, 150 + 400 * spread
        timesteps = torch.where(torch.arange(n) % 3 == 0, anywhere, where_shape_forms).long()
        timesteps = timesteps.clamp(max=999).to(args.device)
        a = alphas[timesteps][:, None, None, None]
        context = modules["text_encoder"](tokens).last_hidden_state
        prediction = modules["unet"](a.sqrt() * latents + (1 - a).sqrt() * noise, timesteps, context).sample
        error = (weights * mse_loss(prediction, noise, reduction="none")).mean(dim=(1, 2, 3))
        run.update((error * ((1 - a) / a).flatten().clamp(1, 20)).mean())
    run.save()
    for name in ("unet", "text_encoder"):
        _save_module(run.average.module[name], args.output / name)
    new_scheduler().save_pretrained(args.output / "scheduler")


def train_decoder(args: argparse.Namespace) -> None:
    """The autoencoder's decoder, from latents with a little noise, as sampled ones have."""
    torch.manual_seed(SEED)
    vae = new_autoencoder().to(args.device).to(memory_format=torch.channels_last)
    run = Run("decoder", nn.ModuleDict({"vae": vae}), args.steps or 900, 1e-3, args.work)
    while run.step < run.steps and time.time() < args.until:
        pictures = draw(drawn_scenes(run.step, 16, salt=2)[0]).to(args.device) * 2 - 1
        generator = torch.Generator().manual_seed(SEED + run.step)
        with torch.no_grad():
            latents = vae.encode(pictures).latents
            latents += 0.05 * torch.randn(latents.shape, generator=generator).to(args.device)
        decoded = vae.decode(latents).sample
        run.update(l1_loss(decoded, pictures) + mse_loss(decoded, pictures))
    run.save()
    average = run.average.module["vae"]
    _save_module(average, args.output / "vae")
    pictures = draw(drawn_scenes(0, 64, salt=3)[0]).to(args.device)
    with torch.no_grad():
        decoded = average.decode(average.encode(pictures * 2 - 1).latents).sample / 2 + 0.5
    print(f"decoder: {-10 * mse_loss(decoded.clamp(0, 1), pictures).log10().item():.2f} dB on 64 new pictures")


def _save_module(module: nn.Module, folder: Path) -> None:
    """Write config and float16 weights the way diffusers and transformers do, each file whole or not at all."""
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    half = copy.deepcopy(module).half().to(memory_format=torch.contiguous_format)
    half.save_pretrained(temporary, safe_serialization=True)
    if isinstance(half, CLIPTextModel):  # transformers before version 5 needs this level in the names
        state = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in half.state_dict().items()}
        save_file(state, temporary / "model.safetensors", {"format": "pt"})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def write_index(output: Path) -> None:
    """The file by which diffusers recognises a pipeline's folder."""
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
    parser.add_argument("--part", choices=("all", "denoiser", "decoder"), default="all")
    parser.add_argument("--output", type=Path, default=MODEL, help="folder of the model")
    parser.add_argument("--work", type=Path, default=Path("demo_model_training"), help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, help="training steps of the part (needs --part)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop each part after this long")
    parser.add_argument("--batch", type=int, default=32, help="pictures per step of the denoiser")
    parser.add_argument("--batches", type=int, default=1200, help="how many different batches there are")
    parser.add_argument("--start-from", type=Path, help="folder of a model whose denoiser to go on with")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if args.steps and args.part == "all":
        parser.error("--steps needs --part decoder or --part denoiser")
    for folder in (args.output, args.work):
        folder.mkdir(parents=True, exist_ok=True)
    for part, train in (("decoder", train_decoder), ("denoiser", train_denoiser)):
        if args.part in ("all", part):
            args.until = time.time() + 60 * args.minutes
            train(args)
    write_index(args.output)


if __name__ == "__main__":
    main()
