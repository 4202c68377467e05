"""Pictures drawn for people: the loss plot, videos side by side, sprite sheets."""

import io

import pytest
import torch
from PIL import Image

import tav_core

RED, GREEN = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.8, 0.2])


def flat(colour: torch.Tensor, frames: int, height: int, width: int) -> torch.Tensor:
    return colour.expand(frames, height, width, 3).clone()


def highest_ink(plot: torch.Tensor, left: int, right: int) -> int:
    """Return the first row of the curve in a part of the plot; the curve is bluish, everything else is grey."""
    part = plot[:, left:right]
    return int((part[..., 2] - part[..., 0] > 0.2).any(dim=1).nonzero()[0])


def test_a_falling_loss_is_drawn_falling():
    plot = tav_core.loss_plot([1 / (1 + step) for step in range(50)])
    assert plot.shape == (432, 768, 3) and plot.min() >= 0 and plot.max() <= 1
    assert highest_ink(plot, 60, 120) < highest_ink(plot, 300, 360) < highest_ink(plot, 650, 740)
    rising = tav_core.loss_plot([step / 50 for step in range(50)])
    assert highest_ink(rising, 60, 120) > highest_ink(rising, 650, 740)


def test_the_validation_loss_is_drawn_over_the_losses():
    plot = tav_core.loss_plot([0.1] * 50, [(0, 0.9), (25, 0.5), (50, 0.2)])
    assert highest_ink(plot, 60, 120) < highest_ink(plot, 300, 360) < highest_ink(plot, 650, 740)


@pytest.mark.parametrize("losses", [[0.5], [0.0, 0.0]])
def test_the_shortest_curves_can_be_drawn(losses):
    assert tav_core.loss_plot(losses).isfinite().all()


def test_videos_stand_side_by_side_at_one_height_below_their_names():
    sheet = tav_core.side_by_side([flat(RED, 3, 32, 32), flat(GREEN, 2, 16, 32)], ["clip", "edit"])
    frames, height, width, _ = sheet.shape
    assert frames == 3 and width == 32 + 8 + 64 and height % 2 == 0
    for frame in sheet:  # the shorter video holds its last frame
        assert torch.allclose(frame[-16, 16], RED, atol=0.02)
        assert torch.allclose(frame[-16, 32 + 8 + 32], GREEN, atol=0.02)
    bar = sheet[0, : height - 32]
    assert bar[:, :32].std() > 0.01 and bar[:, 40:].std() > 0.01
    with pytest.raises(ValueError, match="1 clips and 2 labels"):
        tav_core.side_by_side([flat(RED, 1, 8, 8)], ["a", "b"])


def test_labels_are_the_lines_of_a_text_and_else_numbered():
    assert tav_core.comparison_labels("a panda\n\n snow ", 4) == ["a panda", "result 1", "snow", "result 3"]
    assert tav_core.comparison_labels("", 2) == ["source", "result 1"]


def test_every_frame_stands_at_its_place_on_the_sprite_sheet():
    frames = torch.stack([torch.full((24, 40, 3), number / 7) for number in range(7)])
    sheet = tav_core.video_sheet(frames)
    assert isinstance(sheet, tav_core.VideoSheet) and sheet.frames == 7
    picture = Image.open(io.BytesIO(sheet.jpeg))
    assert picture.width == sheet.columns * sheet.width
    for number in range(7):
        row, column = divmod(number, sheet.columns)
        middle = picture.getpixel((int((column + 0.5) * sheet.width), int((row + 0.5) * sheet.height)))
        assert all(abs(value - 255 * number / 7) < 4 for value in middle)


@pytest.mark.parametrize("frames, width, height", [(1, 512, 512), (64, 4096, 2160), (1024, 4096, 4096), (3, 9, 5000)])
def test_sheets_of_any_video_stay_small(frames, width, height):
    size = tav_core.sheet_frame_size(frames, width, height, 512)
    assert all(side % 8 == 0 and side >= 8 for side in size) and max(size) <= 512
    assert frames * size[0] * size[1] <= 1.1 * 16 * 2**20


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tav_core.check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        tav_core.check_writable(tmp_path / "file" / "folder")
