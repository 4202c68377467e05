"""Read the LOVEU-TGVE 2023 benchmark (arXiv 2310.16003): its list of clips and edits, as the organisers published it.

``LOVEU-TGVE-2023_Dataset.csv`` has a line per clip, below lines such as ``DAVIS Videos:`` that open a section. Its
columns are the clip's name, its caption (``Our GT caption``) and one edited caption per kind of edit. The archive
that comes with it holds the clips as ``DAVIS_480p/480p_videos/NAME.mp4``, and so on for the other sections.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..choices import VIDEO_ENDINGS

NAME, CAPTION = "Video name", "Our GT caption"
EDITS = {
    "style": "Style Change Caption",
    "object": "Object Change Caption",
    "background": "Background Change Caption",
    "multiple": "Multiple Changes Caption",
}
"""The column of each kind of edit."""
SECTIONS = {"davis": "DAVIS_480p", "youtube": "youtube_480p", "videvo": "videvo_480p"}
"""The folder of each section, by the first word of the line that opens it."""


@dataclass(frozen=True)
class Entry:
    """Hold one clip of the list."""

    name: str
    section: str
    """Folder of the clip; empty above the first section."""
    caption: str
    edits: dict[str, str]
    """Edited captions by kind, in the order of ``EDITS``."""


def read_list(path: Path) -> list[Entry]:
    """Read the published list, or another in its layout; sections and kinds of edits may be missing.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not in this layout.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no list of clips {path}: check the name and the folder.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8 ({error}): export it again.") from error
    found = {column.strip() for column in (lines[0] if lines else {}) if column}
    if not {NAME, CAPTION} <= found or not found & set(EDITS.values()):
        raise ValueError(
            f"{path} is not a list of clips: its first line must name the columns {NAME!r}, {CAPTION!r} and at least "
            f"one of {', '.join(map(repr, EDITS.values()))}."
        )
    entries, section = [], ""
    for line in lines:
        cells = {column.strip(): (text or "").strip() for column, text in line.items() if isinstance(column, str)}
        name, caption = cells[NAME], cells[CAPTION]
        if name and caption:
            edits = {kind: cells[column] for kind, column in EDITS.items() if cells.get(column)}
            entries.append(Entry(name, section, caption, edits))
        elif name:
            section = SECTIONS.get(name.split()[0].lower(), section)
    clips = [(entry.section, entry.name) for entry in entries]
    twice = sorted({name for section, name in clips if clips.count((section, name)) > 1})
    if twice:
        raise ValueError(f"{path} lists {', '.join(twice)} more than once in a section: a clip has one line.")
    return entries


def find_video(entry: Entry, folder: Path) -> Path:
    """Find the clip of ``entry`` in the unpacked archive, or in a folder with the clips themselves.

    Raises:
        FileNotFoundError: the clip is missing.
    """
    places: Sequence[Path] = (folder / entry.section / "480p_videos", folder / entry.section, folder)
    for place in places:
        for ending in VIDEO_ENDINGS:
            if (place / f"{entry.name}{ending}").is_file():
                return place / f"{entry.name}{ending}"
    raise FileNotFoundError(
        f"There is no clip {entry.name} in {folder}: expected {places[0].relative_to(folder) / entry.name}.mp4, or "
        f"{entry.name}.mp4."
    )
