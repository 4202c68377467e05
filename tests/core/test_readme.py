"""The README's Python example, run as it stands on a small checkpoint."""

import re
from pathlib import Path

import tav_core

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(cli_world: Path, tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    model, clip = (repr(str(cli_world / name)) for name in ("model", "clip.mp4"))
    for theirs, ours in {
        '"stable-diffusion-v1-5", torch.device("cuda"), torch.float16': f'{model}, torch.device("cpu"), torch.float32',
        '"clip.mp4", frames=16': f"{clip}, frames=3, width=32, height=24",
        "steps=300": "steps=1",
        '"robot.mp4"': repr(str(tmp_path / "robot.mp4")),
        "latents, empty)": "latents, empty, steps=2)",
        "edit, empty)": "edit, empty, steps=2)",
    }.items():
        assert theirs in code
        code = code.replace(theirs, ours)
    exec(code, {})
    assert tav_core.load_video(tmp_path / "robot.mp4", 3, width=None, height=None).frames.shape == (3, 24, 32, 3)
