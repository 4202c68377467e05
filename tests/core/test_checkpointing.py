"""Gradient checkpointing: what it saves, and what it recomputes."""

import pytest
import torch

pytest.importorskip("diffusers")

from networks import CONTEXT, TOKENS, inputs, random_tuning, small_unet
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import tav_core
from tav_core.network import checkpointing


@pytest.mark.parametrize("dropout, budget", [(0.0, checkpointing.LARGEST_SAVED), (0.3, 5000)])
def test_gradient_checkpointing_saves_less_and_changes_nothing(dropout, budget, monkeypatch):
    monkeypatch.setattr(checkpointing, "LARGEST_SAVED", budget)
    x, timesteps, context = inputs()

    def backward(checkpointing: bool) -> tuple[int, dict[str, Tensor]]:
        video_unet, saved = tav_core.inflate(small_unet().train()), {}
        for module in video_unet.unet.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        torch.manual_seed(3)
        video_unet.load_tuned_state_dict(random_tuning(video_unet))
        video_unet.gradient_checkpointing = checkpointing
        parameters = video_unet.trainable_parameters()

        def pack(tensor: Tensor) -> Tensor:
            saved[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            video_unet(x, timesteps, context).square().sum().backward()
        return sum(saved.values()), {name: parameter.grad for name, parameter in parameters.items()}

    (few, checkpointed), (many, plain) = backward(True), backward(False)
    assert few < many / 4
    for name, gradient in checkpointed.items():
        torch.testing.assert_close(gradient, plain[name], msg=name)


@pytest.mark.parametrize("budget", [checkpointing.LARGEST_SAVED, 5000])
def test_gradient_checkpointing_computes_self_attention_and_convolutions_once_within_the_budget(budget, monkeypatch):
    monkeypatch.setattr(checkpointing, "LARGEST_SAVED", budget)

    class Calls(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            names.append(operation.name())
            return operation(*args, **(kwargs or {}))

    def calls(part: str, checkpointing: bool) -> int:
        video_unet = tav_core.inflate(small_unet(v2=True), temporal_attention=False)
        video_unet.gradient_checkpointing = checkpointing
        video_unet.trainable_parameters()
        names.clear()
        with Calls():
            video_unet(torch.zeros(1, 4, 3, 24, 24), 1, torch.zeros(1, TOKENS, CONTEXT)).sum().backward()
        return sum(part in name and "backward" not in name for name in names)

    names: list[str] = []
    blocks = len(tav_core.inflate(small_unet()).blocks)
    enough = budget > 5000
    assert (calls("convolution", True) == calls("convolution", False)) == enough
    assert calls("convolution", False) > 10 and calls("attention", False) == 2 * blocks
    assert (calls("attention", True) == 3 * blocks) == enough  # cross-attention twice
