"""The picture that shows clips side by side."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from tav_core.pictures.contact_sheet import contact_sheet


def test_contact_sheet_shows_the_rows_under_their_labels(tmp_path):
    rows = [torch.linspace(0, 1, 20)[:, None, None, None].expand(20, 64, 96, 3), torch.full((3, 64, 64, 3), 0.5)]
    path = tmp_path / "sheets" / "sheet.png"
    contact_sheet(path, rows, ["source", "a very long prompt " * 40], frames_shown=5)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    assert pixels.shape[1] >= 5 * 96
    for number in (0, 5, 10, 14, 19):  # evenly spaced, first and last among them
        assert (np.abs(pixels - round(255 * number / 19)).max(-1) <= 1).sum() >= 96 * 64
    grey = (np.abs(pixels - 128).max(-1) <= 1).sum()
    assert 3 * 128 * 128 <= grey < 4 * 128 * 128  # small frames are shown larger
    assert [entry.name for entry in path.parent.iterdir()] == ["sheet.png"]


def test_letters_that_the_usual_font_lacks_are_drawn(tmp_path):
    try:
        ImageFont.truetype("DejaVuSans.ttf")
    except OSError:
        pytest.skip("this system has no DejaVu Sans")
    sheets = []
    for label in "éü":
        contact_sheet(tmp_path / "sheet.png", [torch.zeros(1, 64, 64, 3)], [label])
        sheets.append((tmp_path / "sheet.png").read_bytes())
    assert sheets[0] != sheets[1]


def test_contact_sheet_refuses_rows_without_labels(tmp_path):
    with pytest.raises(ValueError, match="2 rows and 1 labels"):
        contact_sheet(tmp_path / "sheet.png", [torch.zeros(1, 8, 8, 3)] * 2, ["source"])
