"""ComfyUI's own U-Net class, inflated, computes what the published code recorded."""

import json
from pathlib import Path

TOLERANCE = {
    "forward": 1e-4,
    "one frame": 1e-4,
    "inversion": 1e-4,
    "sampling": 1e-4,
    "losses": 1e-5,
    "final parameters": 1e-3,
}


def test_reference_figures_through_comfyui_classes(comfyui):
    out = comfyui.run_script(Path(__file__).parent / "reference_in_comfyui.py")
    errors = json.loads(out.splitlines()[-1])
    assert errors.pop("parameters compared") == 69
    assert {name: error for name, error in errors.items() if error > TOLERANCE[name]} == {}
