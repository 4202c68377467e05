"""Checkpoints loaded with diffusers: folders and single files, without network and without pickles."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tiny_checkpoint import make_file, make_folder

from tav_core.checkpoint.pipeline import Pipeline
from tav_core.diffusion.distilled import distilled_advice

FRAMES = torch.rand(5, 16, 24, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module", params=["v1", "v2"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp(kind) / "model", v2=kind == "v2")


def everything(pipeline: Pipeline) -> list[torch.Tensor]:
    """Compute with each part of a pipeline."""
    (context,), latents = pipeline.encode_prompts(["a man is skiing, fast"]), pipeline.encode_video(FRAMES)
    prediction = pipeline.inflate()(latents, 500, context)
    return [context, latents, prediction, pipeline.decode_video(latents), pipeline.schedule.alphas_cumprod]


def test_folder(folder: Path, kind: str):
    pipeline = Pipeline.load(folder, "cpu")
    context, latents, prediction, frames, _ = everything(pipeline)
    assert context.shape == (1, 77, 64)
    assert latents.shape == prediction.shape == (1, 4, 5, 8, 12)
    assert frames.shape == FRAMES.shape
    assert pipeline.schedule.prediction_type == {"v1": "epsilon", "v2": "v_prediction"}[kind]
    assert pipeline.schedule.timesteps(50)[-1] == 1  # steps_offset of a PNDM configuration
    assert pipeline.schedule.final_alpha_cumprod == pipeline.schedule.alpha(0)


def test_single_file_computes_what_the_folder_does(folder: Path, kind: str, tmp_path: Path):
    file = make_file(tmp_path / "model.safetensors", folder, v2=kind == "v2")
    one, other = (
        Pipeline.load(folder, "cpu"),
        Pipeline.load(file, "cpu", tokenizer=folder / "tokenizer"),
    )
    assert one.schedule.prediction_type == other.schedule.prediction_type
    for a, b in zip(everything(one), everything(other)):
        torch.testing.assert_close(a, b)


def test_clip_is_encoded_frame_by_frame_without_noise(folder: Path):
    pipeline = Pipeline.load(folder, "cpu")
    latents = pipeline.encode_video(FRAMES)
    with torch.no_grad():
        one = pipeline.vae.encode(FRAMES[4:].permute(0, 3, 1, 2) * 2 - 1).latent_dist.mean * 0.18215
    torch.testing.assert_close(latents[:, :, 4], one)


def test_values_that_are_no_numbers_are_told(folder: Path):
    """Not saved as a black video."""
    pipeline = Pipeline.load(folder, "cpu")
    with pytest.raises(ValueError, match="rendered video contains NaN or infinite values"):
        pipeline.decode_video(torch.full((1, 4, 1, 2, 3), torch.nan))
    pipeline.vae.encoder.conv_in.weight.data.fill_(torch.inf)
    with pytest.raises(ValueError, match="encoded clip contains NaN or infinite values"):
        pipeline.encode_video(FRAMES)


def test_tiny_autoencoder(tmp_path: Path):
    folder = make_folder(tmp_path / "model", tiny_autoencoder=True)
    file = make_file(tmp_path / "model.safetensors", folder)
    one, other = Pipeline.load(folder, "cpu"), Pipeline.load(file, "cpu", tokenizer=folder / "tokenizer")
    latents = one.encode_video(FRAMES)
    assert latents.shape == (1, 4, 5, 2, 3)
    assert one.vae_scale_factor == other.vae_scale_factor == 8
    torch.testing.assert_close(other.encode_video(FRAMES), latents)
    torch.testing.assert_close(other.decode_video(latents), one.decode_video(latents))


def test_half_precision_files(folder: Path):
    plain, half = (folder / f"unet/diffusion_pytorch_model.{name}" for name in ("safetensors", "fp16.safetensors"))
    save_file({name: tensor.half() for name, tensor in load_file(plain).items()}, half)
    whole = plain.rename(folder / "kept")
    try:
        assert Pipeline.load(folder, "cpu").unet.conv_in.weight.dtype == torch.float32
    finally:
        half.unlink()
        whole.rename(plain)


def test_prompt_beyond_77_tokens_is_cut_with_a_warning(folder: Path):
    with pytest.warns(UserWarning, match="first 77 tokens"):
        assert Pipeline.load(folder, "cpu").encode_prompts(["a b c " * 40])[0].shape == (1, 77, 64)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("tokenizer/vocab.json", b"{", "cannot be read as an SD 1.x, SD 2.x or SDXL checkpoint"),
        (
            "tokenizer/vocab.json",
            b'{"<|endoftext|>": 0, "a": 60000}',
            "has the token 60000, but its text encoder knows",
        ),
        ("unet/config.json", b'"somebody/model"', "is not the configuration of a model"),
        ("unet/config.json", b"\xff", "cannot be read as an SD 1.x, SD 2.x or SDXL checkpoint"),
        ("unet/x.safetensors.index.json", b'{"weight_map": {"w": "w.bin"}}', r"names other files than \.safetensors"),
    ],
)
def test_damage_in_a_folder_is_told(folder: Path, tmp_path: Path, name: str, content: bytes, told: str):
    damaged = shutil.copytree(folder, tmp_path / "model")
    (damaged / name).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        Pipeline.load(damaged, "cpu")


def test_pickles_are_refused(folder: Path, tmp_path: Path):
    checkpoint = tmp_path / "model.ckpt"
    checkpoint.write_bytes(b"")
    with pytest.raises(ValueError, match="pickle"):
        Pipeline.load(checkpoint, "cpu")
    weights = folder / "vae/diffusion_pytorch_model.safetensors"
    hidden = weights.rename(folder / "vae/diffusion_pytorch_model.bin")
    try:
        with pytest.raises(ValueError, match="pickle"):
            Pipeline.load(folder, "cpu")
    finally:
        hidden.rename(weights)


def test_single_file_without_a_tokenizer(folder: Path, kind: str, tmp_path: Path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    file = make_file(tmp_path / "model.safetensors", folder, v2=kind == "v2")
    with pytest.raises(FileNotFoundError, match="--tokenizer"):
        Pipeline.load(file, "cpu")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: {k: v for k, v in state.items() if "first_stage" not in k}, "no autoencoder"),
        (lambda state: {k: v for k, v in state.items() if "middle_block.0" not in k}, "U-Net lacks"),
        (lambda state: state | {"model.diffusion_model.label_emb.0.0.weight": torch.ones(1)}, "refiner or an unCLIP"),
        (lambda state: state | {"embedder.model.visual.proj": torch.ones(1)}, "an unCLIP checkpoint"),
        (lambda state: {"model.diffusion_model.joint_blocks.0.x": torch.ones(1)}, "an SD3 checkpoint"),
        (lambda state: {"double_blocks.0.img_attn.qkv.weight": torch.ones(1)}, "a Flux checkpoint"),
        (lambda state: {"clip_txt_mapper.weight": torch.ones(1)}, "a Stable Cascade checkpoint"),
        (lambda state: state | {"model.diffusion_model.middle_block.1.time_stack.0.x": torch.ones(1)}, "Stable Video"),
        (lambda state: {"lora_unet_mid_block_attn1_to_q.lora_up.weight": torch.ones(1)}, "is a LoRA, not a checkpoint"),
        (lambda state: {"mid_block.attentions.0.x.attn_temp.to_q.weight": torch.ones(1)}, "with --tuned"),
        (
            lambda state: state | {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(32, 9, 3, 3)},
            "inpainting",
        ),
    ],
)
def test_files_that_are_no_checkpoint(spoil, message: str, tmp_path: Path):
    folder = make_folder(tmp_path / "model")
    file = make_file(tmp_path / "model.safetensors", folder)
    save_file(spoil(load_file(file)), file)
    with pytest.raises(ValueError, match=message):
        Pipeline.load(file, "cpu", tokenizer=folder / "tokenizer")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_folder_that_lacks_weights(tmp_path: Path, part: str):
    """The libraries would put random ones in their place."""
    folder = make_folder(tmp_path / "model")
    (file,) = (folder / part).glob("*.safetensors")
    state = load_file(file)
    save_file(dict(list(state.items())[1:]), file, {"format": "pt"})
    with pytest.raises(ValueError, match=f"{part} lacks 1 weights"):
        Pipeline.load(folder, "cpu")


def test_half_a_file_and_no_folder(folder: Path, kind: str, tmp_path: Path):
    file = make_file(tmp_path / "model.safetensors", folder, v2=kind == "v2")
    file.write_bytes(file.read_bytes()[:10_000])
    with pytest.raises(ValueError, match="cannot be read"):
        Pipeline.load(file, "cpu", tokenizer=folder / "tokenizer")
    with pytest.raises(FileNotFoundError, match="lacks unet, vae"):
        Pipeline.load(tmp_path, "cpu")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Pipeline.load(tmp_path / "nowhere", "cpu")


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_schedulers_configuration_is_read(tmp_path: Path):
    """Spacing, zero terminal SNR; flow matching and LCM are refused instead of being taken for DDIM's."""
    folder = make_folder(tmp_path / "model", v2=True)
    scheduler = folder / "scheduler/scheduler_config.json"
    edit_json(scheduler, timestep_spacing="trailing", rescale_betas_zero_snr=True)
    schedule = Pipeline.load(folder, "cpu").schedule
    assert schedule.timesteps(4) == [999, 749, 499, 249] and schedule.alpha(999) == 0
    edit_json(scheduler, _class_name="FlowMatchEulerDiscreteScheduler")
    with pytest.raises(ValueError, match="is a flow-matching model"):
        Pipeline.load(folder, "cpu")
    edit_json(folder / "unet/config.json", time_cond_proj_dim=256)
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    state = UNet2DConditionModel(**json.loads((folder / "unet/config.json").read_text())).state_dict()
    save_file(state, folder / "unet/diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"latent consistency model .LCM."):
        Pipeline.load(folder, "cpu")


def test_marks_of_a_single_file_are_read(tmp_path: Path):
    folder = make_folder(tmp_path / "model")
    file = make_file(tmp_path / "model.safetensors", folder)
    state = load_file(file)
    save_file(state | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, file)
    schedule = Pipeline.load(file, "cpu", tokenizer=folder / "tokenizer").schedule
    assert schedule.prediction_type == "v_prediction" and schedule.alpha(schedule.timesteps(1)[0]) == 0
    save_file(state | {"model.diffusion_model.time_embed.cond_proj.weight": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"latent consistency model .LCM."):
        Pipeline.load(file, "cpu", tokenizer=folder / "tokenizer")


def test_folders_of_other_families_are_refused_by_name(tmp_path: Path):
    folder = make_folder(tmp_path / "model")
    for part, family in (("transformer", "SD3, Flux"), ("image_encoder", "image-to-video or unCLIP")):
        (folder / part).mkdir()
        with pytest.raises(ValueError, match=f"{family}.* use an ordinary text-to-image checkpoint"):
            Pipeline.load(folder, "cpu")
        (folder / part).rmdir()
    edit_json(folder / "unet/config.json", down_block_types=["CrossAttnDownBlock3D", "DownBlock3D"])
    with pytest.raises(ValueError, match="output of the published Tune-A-Video code: give it with --tuned"):
        Pipeline.load(folder, "cpu")


def test_a_tokenizer_as_transformers_5_saves_it(folder: Path, tmp_path: Path):
    """tokenizer.json alone."""
    whole = Pipeline.load(folder, "cpu")
    copy = shutil.copytree(folder, tmp_path / "model")
    whole.text_encoders[0].tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved/tokenizer.json").replace(copy / "tokenizer/tokenizer.json")
    for name in ("vocab.json", "merges.txt"):
        (copy / "tokenizer" / name).unlink()
    one, other = (p.encode_prompts(["a man is skiing, fast"])[0] for p in (whole, Pipeline.load(copy, "cpu")))
    torch.testing.assert_close(one, other)


def test_guidance_that_a_distilled_checkpoint_does_not_take_is_told():
    for name in (
        "sd_xl_turbo_1.0_fp16.safetensors",
        "loras/SDXL-Lightning_4step.safetensors",
        "Hyper-SD15.safetensors",
    ):
        assert "does not take a guidance of 12.5" in distilled_advice(["base.safetensors", name], 12.5)
        assert not distilled_advice([name], 1.5)
    assert not distilled_advice(["hyperrealism.safetensors", "dreamshaper.safetensors"], 12.5)
