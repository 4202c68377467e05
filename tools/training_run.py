"""A training run that can be stopped and gone on with: modules, their averages, the optimizer, the step and the log."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tav_core.files import replacing


class Run:
    """State of a training run, in memory and in `work`/`name`.safetensors.

    Args:
        name: of the files.
        modules: what is trained.
        steps: in all; the learning rate falls to zero over the last `fall` of them, as a cosine.
        lr: the highest learning rate, reached after 100 steps.
        decay: of the exponential moving average of the weights.
        work: folder of the state and the log.
    """

    def __init__(
        self, name: str, modules: nn.ModuleDict, steps: int, lr: float, work: Path, decay: float, fall: float = 0.45
    ) -> None:
        self.file, self.log = work / f"{name}.safetensors", work / f"{name}.log"
        self.modules, self.steps, self.lr, self.decay, self.fall = modules, steps, lr, decay, fall
        self.average = copy.deepcopy(modules).requires_grad_(False)
        self.parameters = [p for p in modules.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, foreach=True)
        self.step, self.cpu_seconds, self.losses = 0, 0.0, []
        if self.file.exists():
            self._load()
        self.saved, self.clock = time.time(), time.process_time()

    def learning_rate(self) -> float:
        falling = max(0.0, (self.step / self.steps - 1 + self.fall) / self.fall)
        return self.lr * min(1.0, (self.step + 1) / 100) * (1 + math.cos(math.pi * min(1.0, falling))) / 2

    def update(self, loss: Tensor) -> None:
        """Take one optimizer step, and log and save now and then."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.modules.parameters()), 1 - decay)
        self.losses.append(loss.item())
        if self.step % 50 == 0 or self.step == self.steps:
            now = time.process_time()
            self.cpu_seconds, self.clock = self.cpu_seconds + now - self.clock, now
            self.note(f"loss {sum(self.losses) / len(self.losses):.4f}  {self.cpu_seconds / 60:.1f} CPU minutes")
            self.losses.clear()
        if time.time() - self.saved > 120 or self.step == self.steps:
            self.save()

    def note(self, text: str) -> None:
        """Print and log a line about this step."""
        line = f"step {self.step}/{self.steps}  {text}"
        print(line, flush=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def save(self) -> None:
        tensors = {f"modules/{name}": value for name, value in self.modules.state_dict().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": value for name, value in values.items()}
        metadata = {"step": str(self.step), "cpu_seconds": str(self.cpu_seconds)}
        with replacing(self.file) as partial:
            save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata)
        self.saved = time.time()

    def _load(self) -> None:
        optimizer = self.optimizer.state_dict()
        parts: dict[str, dict[str, Tensor]] = {"modules": {}, "average": {}, "optimizer": {}}
        with safe_open(self.file, "pt") as file:
            for key in file.keys():  # noqa: SIM118
                part, name = key.split("/", 1)
                parts[part][name] = file.get_tensor(key)
            self.step, self.cpu_seconds = int(file.metadata()["step"]), float(file.metadata()["cpu_seconds"])
        self.modules.load_state_dict(parts["modules"])
        self.average.load_state_dict(parts["average"])
        for key, value in parts["optimizer"].items():
            number, name = key.split("/")
            optimizer["state"].setdefault(int(number), {})[name] = value
        self.optimizer.load_state_dict(optimizer)
