"""Write files whole or not at all, name them, and parse JSON."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

_LOCK = "lock"
_SECONDS_TO_LOCK = 2
"""A scratch folder that is older and not locked was left by a killed process."""


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to, and move the file to `path` when the block succeeds.

    Missing parent folders are created. When the block fails, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: the folder cannot be created or written to, or another program has the file open (on Windows).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), scratch_folder(path.parent, ".part") as folder:
        partial = folder / f"file{path.suffix}"
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        _move(partial, path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name `path` in errors instead of the temporary file, which the user never sees."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, (str, os.PathLike)) and Path(error.filename).is_relative_to(path.parent):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def scratch_folder(parent: Path, ending: str) -> Iterator[Path]:
    """Create a hidden folder in `parent`, which is removed at the end of the block.

    Folders of this ending that killed processes left behind are removed first.
    """
    for left in parent.glob(f".*{ending}"):
        with suppress(OSError, Timeout):
            if left.is_dir() and time.time() - left.stat().st_mtime > _SECONDS_TO_LOCK:
                with FileLock(left / _LOCK, timeout=0):
                    pass
                rmtree(left, ignore_errors=True)
    folder = parent / f".{uuid4().hex[:12]}{ending}"
    folder.mkdir(mode=0o700)
    try:
        with FileLock(folder / _LOCK):
            yield folder
    finally:
        rmtree(folder, ignore_errors=True)


@contextmanager
def only_user(folder: str | os.PathLike) -> Iterator[None]:
    """Reserve `folder`, which is created if missing, for this process during the block; a killed process loses it.

    Raises:
        ValueError: another process has reserved it.
        OSError: it cannot be written to.
    """
    lock = Path(folder) / ".in-use"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            try:
                yield
            finally:
                with suppress(OSError):
                    lock.unlink()
    except Timeout:
        raise ValueError(
            f"Another run is writing to {folder} at the moment: wait for its end, or choose another output folder."
        ) from None


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


_NO_NAME = re.compile(r'^$|^\.|[<>:"|?*\x00-\x1f]|[. ]$|.{80}|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
"""Parts of a file name that some system does not allow, or that are too long with a number and an ending."""


def unused_path(folder: str | os.PathLike, name: str, suffix: str) -> Path:
    """Return a path in `folder` that does not exist yet: `name` with `suffix`, and a number if the name is taken.

    Args:
        name: may include subfolders, and may already end in `suffix`.

    Raises:
        ValueError: the name is empty, leads out of the folder (links in it may), or is not valid on every system.
    """
    stem = name.strip().removesuffix(suffix)
    if any(_NO_NAME.search(part) for part in re.split(r"[/\\]", stem)):  # ".." ends in a point
        raise ValueError(f"{name!r} is not a valid file name: give a plain one such as 'skiing' or 'sports/skiing'.")
    path = first = Path(folder, stem + suffix)
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
