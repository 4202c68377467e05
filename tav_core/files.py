"""Files that appear whole or not at all, and names for them."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and move the file into place when the block succeeds.

    Missing parent folders are created. When the block fails, the temporary file is removed and what `path` held stays.

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
    """Replace `path`; on Windows, that may have to wait for a virus scanner, or in vain for who has the file open."""
    for patience in (0.1, 0.2, 0.4, 0.8, 0):
        try:
            return os.replace(partial, path)
        except PermissionError as error:
            if not patience:
                raise PermissionError(error.errno, error.strerror, str(path)) from None
            time.sleep(patience)


def check_writable(folder: str | os.PathLike) -> None:
    """Create `folder` where it is missing, and see that a file can be written there, before any work is done for it.

    Raises:
        OSError: it cannot.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


_NO_NAME = re.compile(r'^$|[<>:"|?*\x00-\x1f]|[. ]$|.{80}|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
"""In a file's or a folder's name, what some system does not take, or what gets too long with a number and an ending."""


def unused_path(folder: str | os.PathLike, name: str, suffix: str) -> Path:
    """A file in `folder` that does not exist yet: `name` with `suffix`, and a number where it is taken.

    Args:
        name: may lead into a folder below, and may end in `suffix` already.

    Raises:
        ValueError: the name is empty, leads out of the folder, or is none on every system.
    """
    folder = Path(folder).resolve()
    stem = name.strip().removesuffix(suffix)
    named = not any(_NO_NAME.search(part) for part in re.split(r"[/\\]", stem))
    path = first = (folder / (stem + suffix)).resolve() if named else folder
    if not named or not path.is_relative_to(folder):
        raise ValueError(f"{name!r} is no name for a file: give a plain one such as 'skiing' or 'sports/skiing'.")
    number = 2
    while path.exists():
        path = first.with_name(f"{first.stem}_{number}{suffix}")
        number += 1
    return path


def file_name(prompt: str) -> str:
    """The name, without ending, of the files that are rendered with a prompt: its words joined by hyphens.

    Safe on every system, and of no other prompt's files: words that do not say all of the prompt get a mark of it.
    """
    words = "-".join(re.findall(r"\w+", prompt)).encode()[:100].decode(errors="ignore")
    if words.replace("-", " ") == prompt == prompt.lower() and not _NO_NAME.search(words):
        return words
    return f"{words}-{sha256(prompt.encode()).hexdigest()[:6]}".lstrip("-")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; errors as for :func:`replacing`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
