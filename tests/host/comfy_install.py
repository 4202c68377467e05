"""Find the ComfyUI to test against, and run Python inside it.

It is the folder in $COMFYUI_PATH, else ~/comfy/ComfyUI; the Python that runs it is $COMFYUI_PYTHON, else the one in
the folder's own .venv, else the one that runs the tests.
"""

import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
IN_FLOAT32 = ["--force-fp32", "--fp32-vae", "--fp32-text-enc"]


@dataclass(frozen=True)
class ComfyInstall:
    """A ComfyUI folder and the Python that runs it."""

    folder: Path
    python: Path

    @property
    def version(self) -> str:
        return runpy.run_path(str(self.folder / "comfyui_version.py"))["__version__"]

    def run_script(self, script: Path, *arguments: str | Path, timeout: float = 120) -> str:
        """Run a Python file in ComfyUI's own Python, where `import comfy` works, on the CPU; returns what it printed.

        Raises AssertionError with the output when the script fails.
        """
        code = (
            "import runpy, sys; script = sys.argv[1]; sys.argv = sys.argv[1:];"
            "import comfy.cli_args; comfy.cli_args.args.cpu = True;"
            "runpy.run_path(script, run_name='__main__')"
        )
        done = subprocess.run(
            [self.python, "-c", code, str(script), *map(str, arguments)],
            cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0, f"{script.name} failed:\n{done.stdout}{done.stderr}"
        return done.stdout


def find_comfyui() -> ComfyInstall | None:
    """Return the ComfyUI to test against, or None when there is none.

    Raises FileNotFoundError when $COMFYUI_PATH or $COMFYUI_PYTHON names something that is not there.
    """
    named = os.environ.get("COMFYUI_PATH")
    folder = Path(named or "~/comfy/ComfyUI").expanduser().resolve()
    if not (folder / "main.py").is_file():
        if named:
            raise FileNotFoundError(
                f"COMFYUI_PATH is {named}, which holds no ComfyUI (no main.py): correct or unset it."
            )
        return None
    python = Path(os.environ.get("COMFYUI_PYTHON", folder / ".venv/bin/python")).expanduser()
    if not python.exists():
        if "COMFYUI_PYTHON" in os.environ:
            raise FileNotFoundError(f"COMFYUI_PYTHON is {python}, which does not exist: correct or unset it.")
        python = Path(sys.executable)
    return ComfyInstall(folder, python)


def environment() -> dict[str, str]:
    """Return the environment for ComfyUI's Python: no bytecode beside its sources or ours, no trace of the tests' own.

    Threads that wait do not spin: on a busy machine the spinning made small graphs ten times slower. A GPU computes
    float32 as such, not as TensorFloat-32.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {"OMP_WAIT_POLICY": "passive", "NVIDIA_TF32_OVERRIDE": "0", **kept, "PYTHONDONTWRITEBYTECODE": "1"}


def program() -> list[str | Path]:
    """Return the program that starts ComfyUI: its main.py on the CPU; on the GPU where $ON_GPU is set, in float32, as
    the tests compare closely; on a stand-in for a GPU where $STAND_IN_GPU is set."""
    if os.environ.get("STAND_IN_GPU"):
        return [REPOSITORY / "tests" / "stand_in_gpu" / "comfyui.py"]
    return ["main.py", *(IN_FLOAT32 if os.environ.get("ON_GPU") else ["--cpu"])]
