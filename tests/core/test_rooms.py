"""The rooms of the code, and which may know which (docs/architecture.md). Imports are read, not run."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOST = {"folder_paths", "server", "nodes", "execution", "latent_preview"}
"""ComfyUI's own modules that are not named after it."""
LEAVES = {"", "__main__", "choices", "errors", "files", "text_table"}
ROOMS = (
    "network", "diffusion", "pictures", "video", "saved", "checkpoint", "scoring", "terminal", "experiments", "study",
    "demo", "terminal.commands",
)  # fmt: skip
"""Each may import the rooms before it and the leaves; the commands are what the command line finds by name."""


def modules(package: str) -> dict[str, Path]:
    """Return dotted names below `package` -> files."""
    found = {}
    for file in (ROOT / package).rglob("*.py"):
        parts = file.relative_to(ROOT / package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the same package that `file` imports, for types only and within functions included."""
    package = name.split(".") if file.name == "__init__.py" and name else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(package) + 1:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            inner = {".".join([*base, alias.name]) for alias in node.names} & known.keys()
            found |= inner or {".".join(base)}
    return found


def room(name: str) -> str:
    return next((r for r in reversed(ROOMS) if name == r or name.startswith(f"{r}.")), "")


def test_arrows_between_rooms_point_one_way():
    known = modules("tav_core")
    assert {name for name in known if not room(name)} == LEAVES
    for name, file in known.items():
        for other in imports(name, file, known) - {""}:
            above = ROOMS[: ROOMS.index(room(name)) + 1] if room(name) else ()
            allowed = ROOMS if name == "__main__" else above
            assert other in LEAVES or room(other) in allowed, f"{name} imports {other}"


def test_no_imports_in_a_circle():
    for package in ("tav_core", "nodes"):
        known = modules(package)
        TopologicalSorter({name: imports(name, file, known) - {name, ""} for name, file in known.items()}).prepare()


def test_only_the_host_room_knows_comfyui():
    for package, allowed in (("tav_core", set()), ("nodes", {"comfy_api"})):
        for name, file in modules(package).items():
            if package == "nodes" and name.split(".")[0] == "host":
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                tops = {n.split(".")[0] for n in names}
                host = {t for t in tops if t.startswith("comfy") or t in HOST}
                assert host <= allowed, f"{package}.{name} imports {host}"
