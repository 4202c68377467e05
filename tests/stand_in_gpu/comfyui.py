"""Starts ComfyUI with the stand-in device as its GPU; the arguments are those of its main.py.

The tests do this by themselves: STAND_IN_GPU=1 python -m pytest tests/host; with STAND_IN_GPU=dynamic the weights come
and go as they do on NVIDIA's cards since ComfyUI 0.33. Everything is computed in float32, as the tests compare closely.
"""

import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path.cwd()))  # ComfyUI's folder, as for its main.py

import torch
from device import DEVICE, allocated

MEMORY = 8 * 2**30
FLAGS = ["--force-fp32", "--fp32-vae", "--fp32-text-enc", "--disable-pinned-memory", "--disable-cuda-malloc"]


def stand_in_for_cuda() -> None:
    """Answer what ComfyUI asks ``torch.cuda`` for."""
    in_use = {"reserved_bytes.all.current": 0, "active_bytes.all.current": 0}
    answers = {
        "current_device": lambda: DEVICE.index,
        "device_count": lambda: 1,
        "memory_stats": lambda device=None: in_use | dict.fromkeys(in_use, allocated()),
        "mem_get_info": lambda device=None: (MEMORY - allocated(), MEMORY),
        "get_device_properties": lambda device=None: SimpleNamespace(major=8, minor=6, total_memory=MEMORY),
        "get_device_name": lambda device=None: DEVICE.type,
        "get_allocator_backend": lambda: "native",
        "is_bf16_supported": lambda *_: True,
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "ipc_collect": lambda: None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)


def let_data_change_the_device() -> None:
    """Let ``parameter.data = tensor`` change the device, which torch allows for CUDA only."""
    original = torch._C.TensorBase.data

    def set_data(parameter: torch.nn.Parameter, tensor: torch.Tensor) -> None:
        if parameter.device.type == tensor.device.type:
            original.__set__(parameter, tensor)
        else:
            torch._C._swap_tensor_impl(parameter, torch.nn.Parameter(tensor, parameter.requires_grad))

    torch.nn.Parameter.data = property(lambda parameter: original.__get__(parameter), set_data)


if __name__ == "__main__":
    stand_in_for_cuda()
    let_data_change_the_device()
    known = Path("comfy/cli_args.py").read_text()
    sys.argv += [flag for flag in FLAGS if f'"{flag}"' in known]
    if os.environ["STAND_IN_GPU"] == "dynamic":
        import dynamic_memory

        dynamic_memory.install()
        sys.argv.append("--enable-dynamic-vram")
    sys.argv[0] = "main.py"
    runpy.run_path("main.py", run_name="__main__")
