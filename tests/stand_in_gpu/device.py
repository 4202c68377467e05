"""The device "stand_in": main memory that behaves as a GPU's, for a machine that has none.

Tensors of it and of the CPU do not mix, so that whatever forgets to bring one to the other fails as it would on a GPU.
Importing this builds it first, which takes a minute and needs a C++ compiler and ninja. It says nothing of a GPU's
speed, memory or kernels.
"""

import re
from pathlib import Path
from types import ModuleType

import torch
from torch.utils import cpp_extension

NAME = "stand_in"


def _build() -> ModuleType:
    name = re.sub(r"\W", "_", f"{NAME}_{torch.__version__}")  # each torch needs a build of its own
    return cpp_extension.load(name, [str(Path(__file__).with_name("device.cpp"))])


def _module() -> ModuleType:
    """Return the functions that torch calls on a device module, like those of ``torch.cuda``."""
    module = ModuleType(f"torch.{NAME}")
    module.is_available = module.is_initialized = lambda: True
    module._is_in_bad_fork = lambda: False
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.set_device = module.synchronize = lambda device=None: None
    module.manual_seed = module.manual_seed_all = lambda seed: None  # random numbers come from the CPU's generator
    module.get_rng_state = lambda device=0: torch.get_rng_state()
    module.set_rng_state = lambda state, device=0: None
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    return module


allocated = _build().allocated
"""Bytes in use on the device."""
torch.utils.rename_privateuse1_backend(NAME)
torch._register_device_module(NAME, _module())
torch.utils.generate_methods_for_privateuse1_backend()
DEVICE = torch.device(NAME, 0)
