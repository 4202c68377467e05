"""The tuned file: what is written is read, what does not fit is refused, and strength scales between the two."""

import base64
import io
import json

import pytest
import torch

pytest.importorskip("diffusers")

from networks import inputs, random_tuning, small_unet, tune
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import tav_core
from tav_core.saved.inverted import load_inverted, save_inverted

METADATA = {"prompt": "a man is skiing — schön", "frames": 24, "fps": 8.0, "learning_rate": 3e-5, "other": None}
WRONG = {
    "frames": "24",
    "steps": True,
    "fps": float("nan"),
    "width": -8,
    "temporal_attention": 1,
    "base_architecture": 5,
    "format_version": None,
}


@pytest.fixture
def video_unet() -> tav_core.VideoUNet:
    return tav_core.inflate(small_unet())


def prediction(video_unet: tav_core.VideoUNet) -> Tensor:
    with torch.no_grad():
        return video_unet(*inputs())


def equal(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in state.items())


def test_round_trip_between_the_layouts(video_unet, tmp_path):
    path = tmp_path / "new folder" / "skiing.safetensors"
    state = random_tuning(video_unet)
    tav_core.save_tuned(path, state, METADATA)
    loaded, metadata = tav_core.load_tuned(path)
    assert equal(loaded, {name: tensor.half() for name, tensor in state.items()})
    tav_core.save_tuned(path, state, METADATA, torch.float32)  # as versions before low rank wrote it
    loaded, metadata = tav_core.load_tuned(path)
    assert equal(loaded, state)
    assert metadata == METADATA | {"format_version": 1}
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(state)  # published names, for other programs

    for unet in (small_unet(), small_unet("ldm")):
        other = tav_core.inflate(unet)
        other.load_tuned_state_dict(loaded)
        assert equal(other.tuned_state_dict(), state)
        video_unet.load_tuned_state_dict(state)
        torch.testing.assert_close(prediction(other), prediction(video_unet), rtol=1e-4, atol=1e-5)


def test_what_a_file_says_of_itself_is_read(video_unet, tmp_path):
    metadata = tav_core.tuned_metadata(
        video_unet,
        tav_core.fingerprint(video_unet.unet),
        frames=3,
        width=64,
        height=32,
        steps=2,
        learning_rate=3e-5,
        prompt="a man is skiing",
        fps=8.0,
    )
    frame = torch.zeros(600, 300, 3)
    frame[..., 0] = 1.0
    metadata["preview"] = tav_core.preview_frame(frame)
    tav_core.save_tuned(tmp_path / "a.safetensors", random_tuning(video_unet), metadata)
    read = tav_core.load_tuned_metadata(tmp_path / "a.safetensors")
    assert read == metadata | {"format_version": 1}
    image = Image.open(io.BytesIO(base64.b64decode(read["preview"])))
    assert image.format == "JPEG" and image.size == (128, 256)
    assert all(abs(a - b) < 4 for a, b in zip(image.getpixel((5, 5)), (255, 0, 0)))


def test_strength(video_unet):
    untuned = video_unet.tuned_state_dict()
    before, state = prediction(video_unet), random_tuning(video_unet)
    predictions = {}
    for strength in (1, 0.5, 0):  # each is of the network's own weights, not of those loaded before
        video_unet.load_tuned_state_dict(state, strength)
        predictions[strength] = prediction(video_unet)
        for name, tensor in video_unet.tuned_state_dict().items():
            if ".attn_temp.to_out." in name:
                expected = strength * state[name]
            elif "_temp." in name:
                expected = state[name]
            else:
                expected = untuned[name] + strength * (state[name] - untuned[name])
            torch.testing.assert_close(tensor, expected, msg=name)
        if strength == 1:
            assert equal(video_unet.tuned_state_dict(), state)
    assert torch.equal(predictions[0], before)
    assert not torch.allclose(predictions[1], before) and not torch.allclose(predictions[0.5], predictions[1])
    video_unet.load_tuned_state_dict(state)
    own = video_unet.tuned_state_dict()
    for strength in (0, 0.5, 1):
        video_unet.load_tuned_state_dict(own, strength)
        assert torch.equal(prediction(video_unet), predictions[strength])
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            video_unet.load_tuned_state_dict(state, strength)


def test_nothing_stays_of_what_was_learned_before(video_unet):
    state, before = video_unet.tuned_state_dict(), prediction(video_unet)
    tune(video_unet, learning_rate=1e-1, trainable_modules=("attn1.to_q", "attn2.to_k"))
    assert not torch.allclose(prediction(video_unet), before)
    video_unet.load_tuned_state_dict(state)
    assert torch.equal(prediction(video_unet), before)


def test_weights_that_do_not_fit_are_listed(video_unet):
    before = video_unet.tuned_state_dict()
    state = random_tuning(video_unet)
    place = "down_blocks.0.attentions.0.transformer_blocks.0"
    wrong = state | {
        f"{place}.attn2.to_q.weight": torch.zeros(16, 12),
        "mid_block.somewhere.attn_temp.x": torch.ones(1),
    }
    del wrong[f"{place}.norm_temp.bias"]
    with pytest.raises(ValueError) as refused:
        video_unet.load_tuned_state_dict(wrong)
    for difference in (
        f"1 missing (first: {place}.norm_temp.bias)",
        "1 not in this network (first: mid_block.somewhere.attn_temp.x)",
        f"1 of another shape (first: {place}.attn2.to_q.weight [16, 12] instead of [16, 16])",
    ):
        assert difference in str(refused.value)
    with pytest.raises(ValueError, match="not in this network"):
        tav_core.inflate(small_unet(), temporal_attention=False).load_tuned_state_dict(state)
    assert equal(video_unet.tuned_state_dict(), before)  # refused as a whole


@pytest.mark.parametrize("folder", ["unet", "."])
def test_a_published_checkpoint(video_unet, folder, tmp_path):
    """All weights of the video U-Net in one file; its tuned ones are those that are wanted."""
    state = random_tuning(video_unet)
    path = tmp_path / folder / "diffusion_pytorch_model.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(video_unet.unet.state_dict() | state, path, {"format": "pt"})
    for given in (path, tmp_path):
        loaded, metadata = tav_core.load_tuned(given)
        assert metadata == {}
        video_unet.load_tuned_state_dict(loaded)
        assert equal(loaded, state) and equal(video_unet.tuned_state_dict(), state)


def test_a_checkpoint_of_an_image_network(video_unet, tmp_path):
    path = tmp_path / "image.safetensors"
    save_file(video_unet.unet.state_dict(), path)
    with pytest.raises(ValueError, match="holds no tuned video weights"):
        tav_core.load_tuned(path)
    with pytest.raises(ValueError, match="is not a saved tuning state"):
        tav_core.load_tune_state(path)
    tav_core.save_tune_state(path, tune(video_unet)[1].state)
    with pytest.raises(ValueError, match="is the state that a tuning resumes from: give the tuned file"):
        tav_core.load_tuned(path)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "tuned.pt", "tuned.ckpt"])
def test_a_pickle_is_refused_with_the_way_out(name, tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    torch.save({"x": Trap()}, tmp_path / name)
    given = tmp_path if name.startswith("diffusion") else tmp_path / name
    with pytest.raises(ValueError, match=r"is a pickle.*safetensors\.torch\.save_file"):
        tav_core.load_tuned(given)


def test_files_that_are_missing_or_broken(video_unet, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing"):
        tav_core.load_tuned(tmp_path / "nothing.safetensors")
    with pytest.raises(FileNotFoundError, match="holds neither tuned"):
        tav_core.load_tuned(tmp_path)
    path = tmp_path / "tuned.safetensors"
    tav_core.save_tuned(path, video_unet.tuned_state_dict(), {})
    whole = path.read_bytes()
    for broken in (whole[:-100], whole[:5], b"", b"\xff" * 500):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is not a safetensors file"):
            tav_core.load_tuned(path)


def test_values_that_are_no_numbers_are_refused(video_unet, tmp_path):
    state = video_unet.tuned_state_dict()
    name = next(iter(state))
    state[name][0] = torch.nan
    save_file(state, tmp_path / "nan.safetensors", {"tune_a_video": "{}"})
    with pytest.raises(ValueError, match=f"contains NaN or infinite values .first in {name}"):
        tav_core.load_tuned(tmp_path / "nan.safetensors")


@pytest.mark.parametrize(
    "metadata",
    ["[" * 5000, "1", "{", *({key: value} for key, value in WRONG.items())],
    ids=["deep", "number", "half", *WRONG],
)
def test_a_damaged_header_is_told(tmp_path, metadata):
    path = tmp_path / "tuned.safetensors"
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    save_file({"x": torch.ones(1)}, path, {"tune_a_video": text})
    for load in (tav_core.load_tuned, tav_core.load_tuned_metadata):
        with pytest.raises(ValueError, match=r"The header of .* is damaged.*: get the file again"):
            load(path)


def test_other_kinds_of_numbers_are_refused(tmp_path):
    path = tmp_path / "tuned.safetensors"
    for tensor in (torch.ones(1).to(torch.float8_e4m3fn), torch.ones(1, dtype=torch.int32)):
        save_file({"x": tensor}, path, {"tune_a_video": "{}"})
        with pytest.raises(ValueError, match=r"holds x as torch\..*: convert it to float32"):
            tav_core.load_tuned(path)


@pytest.mark.parametrize("damage", ["generator", "key", "losses", "metadata"])
def test_a_damaged_state_is_told(video_unet, tmp_path, damage):
    path = tmp_path / "state.safetensors"
    tav_core.save_tune_state(path, tune(video_unet)[1].state)
    tensors, text = load_file(path), {"scaler": {}, "losses": [0.5], "base_fingerprint": ""}
    if damage == "generator":
        tensors["generator"] = torch.ones(3)
    elif damage == "key":
        tensors["weights"] = torch.ones(3)
    elif damage == "losses":
        text["losses"] = ["0.5"]
    else:
        del text["scaler"]
    save_file(tensors, path, {"tune_a_video_state": json.dumps(text)})
    with pytest.raises(ValueError, match=r"is an incomplete tuning state .*: start anew"):
        tav_core.load_tune_state(path)


def test_damaged_latents_are_told(tmp_path):
    path = tmp_path / "inverted.safetensors"
    save_inverted(path, torch.ones(1, 4, 2, 3, 3), torch.ones(1, 4, 3, 3, 3), {})
    with pytest.raises(ValueError, match=r"holds no latents .b, c, f, h, w. of a clip: invert the clip again"):
        load_inverted(path)
    save_inverted(path, torch.ones(1, 4, 3, 3, 3), torch.full((1, 4, 3, 3, 3), 7.0), {})
    seven, nan = (torch.tensor(value).numpy().tobytes() for value in (7.0, torch.nan))
    path.write_bytes(path.read_bytes().replace(seven, nan))  # the clip's, to which a mask returns
    with pytest.raises(ValueError, match="holds no latents"):
        load_inverted(path)
    tav_core.save_tuned(path, {"x": torch.ones(1)}, {})
    with pytest.raises(ValueError, match="holds no inverted latents: give the file that"):
        load_inverted(path)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "tuned.safetensors"
    save_file({"x": torch.ones(1)}, path, {"tune_a_video": json.dumps({"format_version": 99})})
    with pytest.raises(ValueError, match="format version 99, this program reads up to 2: update"):
        tav_core.load_tuned(path)


def test_a_failed_save_leaves_the_old_file(video_unet, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "tuned.safetensors"
    tav_core.save_tuned(path, video_unet.tuned_state_dict(), METADATA)
    old, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(old) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"tuned\.safetensors could not be written .*: see that there is space"):
            tav_core.save_tuned(path, video_unet.tuned_state_dict(), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"written as \.safetensors, not as 'tuned.bin'"):
        tav_core.save_tuned(tmp_path / "tuned.bin", video_unet.tuned_state_dict(), {})


def test_the_fingerprint_tells_base_weights_apart(video_unet):
    print_ = tav_core.fingerprint(video_unet.unet)
    for same in (small_unet("ldm"), small_unet().half(), small_unet().bfloat16()):
        assert tav_core.fingerprint(same) == print_
    video_unet.load_tuned_state_dict(random_tuning(video_unet))
    assert tav_core.fingerprint(video_unet.unet) == print_ != tav_core.fingerprint(small_unet(seed=5))
    assert tav_core.architecture(video_unet.unet) == "custom (4 blocks, channels 16-32, context 16)"


def test_the_folder_of_a_run_is_read(video_unet, tmp_path):
    tav_core.save_tuned(tmp_path / "tuned.safetensors", video_unet.tuned_state_dict(), METADATA)
    assert tav_core.load_tuned(tmp_path)[1]["prompt"] == METADATA["prompt"]


def test_a_motion_of_another_family_is_named(video_unet):
    """Not by a list of parameters: SD 1.x has 16 transformer blocks, SDXL 70."""
    state = video_unet.tuned_state_dict()
    few = {name: tensor for name, tensor in state.items() if not name.startswith("mid_block")}
    wide = {f"{i}.transformer_blocks.0.attn1.to_q.weight": torch.ones(2, 2) for i in range(70)}
    for other, family in ((few, "another family .3 transformer"), (wide, "the SDXL family .70 transformer")):
        with pytest.raises(ValueError, match=rf"belong to a U-Net of {family}.*use a checkpoint of the family"):
            video_unet.load_tuned_state_dict(other)
