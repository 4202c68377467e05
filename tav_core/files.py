"""Write files whole or not at all, name them, and parse JSON."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, and move the file into place when the block succeeds.

    Missing parent folders are created. When the block fails, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: the folder cannot be created or written to, or another program has the file open (on Windows).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex[:12]}.part{path.suffix}")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        _move(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _move(partial: Path, path: Path) -> None:
    """Replace `path`; on Windows, wait for up to 1.5 s while a virus scanner or another program has it open."""
    for patience in (0.1, 0.2, 0.4, 0.8, 0):
        try:
            return os.replace(partial, path)
        except PermissionError as error:
            if not patience:
                raise PermissionError(error.errno, error.strerror, str(path)) from None
            time.sleep(patience)


def check_writable(folder: str | os.PathLike) -> None:
    """Create `folder` if it is missing, and check that a file can be written there.

    Raises:
        OSError: it cannot be created or written to.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


_NO_NAME = re.compile(r'^$|[<>:"|?*\x00-\x1f]|[. ]$|.{80}|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
"""Parts of a file name that some system does not allow, or that are too long with a number and an ending."""


def unused_path(folder: str | os.PathLike, name: str, suffix: str) -> Path:
    """Return a path in `folder` that does not exist yet: `name` with `suffix`, and a number if the name is taken.

    Args:
        name: may include subfolders, and may already end in `suffix`.

    Raises:
        ValueError: the name is empty, leads out of the folder, or is not valid on every system.
    """
    folder = Path(folder).resolve()
    stem = name.strip().removesuffix(suffix)
    named = not any(_NO_NAME.search(part) for part in re.split(r"[/\\]", stem))
    path = first = (folder / (stem + suffix)).resolve() if named else folder
    if not named or not path.is_relative_to(folder):
        raise ValueError(f"{name!r} is not a valid file name: give a plain one such as 'skiing' or 'sports/skiing'.")
    number = 2
    while path.exists():
        path = first.with_name(f"{first.stem}_{number}{suffix}")
        number += 1
    return path


def file_name(prompt: str) -> str:
    """Return the file name, without ending, for a prompt: its words joined by hyphens.

    Valid on every system and unique to the prompt: a hash is added when the words do not determine the prompt.
    """
    words = "-".join(re.findall(r"\w+", prompt)).encode()[:100].decode(errors="ignore")
    if words.replace("-", " ") == prompt == prompt.lower() and not _NO_NAME.search(words):
        return words
    return f"{words}-{sha256(prompt.encode()).hexdigest()[:6]}".lstrip("-")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; errors as for :func:`replacing`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
