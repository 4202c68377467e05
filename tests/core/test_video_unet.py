"""Properties of a video network, whatever its weights are."""

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("diffusers")

from diffusers import UNet2DConditionModel
from einops import rearrange
from ldm_unet import LDMUNet, ldm_names
from networks import (
    CONTEXT,
    LAYOUTS,
    MODES,
    SCHEDULE,
    image_prediction,
    inputs,
    random_tuning,
    relative_error,
    small_unet,
    tuned,
)
from torch import nn

import tav_core


@pytest.fixture(params=LAYOUTS)
def unet(request) -> nn.Module:
    return small_unet(request.param)


def test_inputs_of_the_wrong_shape():
    video_unet = tav_core.inflate(small_unet())
    x, timesteps, context = inputs(videos=3)
    with pytest.raises(ValueError, match="5 dimensions"):
        video_unet(x[0], timesteps, context)
    with pytest.raises(ValueError, match="none of them 0"):
        video_unet(x[:, :, :0], timesteps, context)
    with pytest.raises(ValueError, match="latents are on cpu, the context is on meta"):
        video_unet(x, timesteps, context.to("meta"))
    for wrong, sentence in (
        ((x[:, :3], timesteps, context), "Latents of 3 channels do not fit this U-Net, which takes 4"),
        ((x, timesteps, context[:2]), r"A context \[2, 3, 16\] does not fit 3 videos"),
        ((x, timesteps, context[..., :8]), r"it takes \[3, tokens, 16\]"),
        ((x, timesteps[:2], context), r"Timesteps \[2\] do not fit 3 videos"),
    ):
        with pytest.raises(ValueError, match=sentence):
            video_unet(*wrong)
    with pytest.raises(ValueError, match="Self-attention with a mask"):
        video_unet(x, timesteps, context, attention_mask=torch.ones(3, 12))


@torch.no_grad()
def test_spatial_mode_is_the_image_network_on_every_frame(unet):
    x, timesteps, context = inputs()
    expected = image_prediction(unet, x, timesteps, context)
    output = tav_core.inflate(unet, attention="spatial", joint_norm=False)(x, timesteps, context)
    assert relative_error(output, expected) < 1e-6


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_one_frame_is_the_image_network(unet, mode):
    x, timesteps, context = inputs(frames=1)
    expected = image_prediction(unet, x, timesteps, context)
    assert relative_error(tav_core.inflate(unet, attention=mode)(x, timesteps, context), expected) < 1e-6


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_videos_in_a_batch_do_not_see_each_other(unet, mode):
    video_unet = tuned(tav_core.inflate(unet, attention=mode))
    x, timesteps, context = inputs(videos=3)
    together = video_unet(x, timesteps, context)
    for i in range(3):
        alone = video_unet(x[i : i + 1], timesteps[i : i + 1], context[i : i + 1])
        assert relative_error(together[i : i + 1], alone) < 1e-6


@torch.no_grad()
def test_one_timestep_and_one_context_serve_all_videos(unet):
    video_unet = tav_core.inflate(unet)
    x, _, context = inputs()
    one_each = video_unet(x, torch.tensor([7, 7]), context[:1].expand(2, -1, -1))
    assert torch.equal(video_unet(x, 7, context[:1]), one_each)


@torch.no_grad()
def test_temporal_attention_starts_as_nothing(unet):
    x, timesteps, context = inputs()
    video_unet = tav_core.inflate(unet)
    assert any(".attn_temp." in name for name in video_unet.tuned_state_dict())
    fresh = video_unet(x, timesteps, context)
    video_unet.deflate()
    without = tav_core.inflate(unet, temporal_attention=False)
    assert without.temporal is None and not any("_temp" in name for name in without.tuned_state_dict())
    assert torch.equal(without(x, timesteps, context), fresh)


@pytest.mark.parametrize("joint", [True, False])
@torch.no_grad()
def test_group_norms_over_all_frames_of_a_video(unet, joint):
    """All but the one that opens a spatial transformer."""
    video_unet, checked = tav_core.inflate(unet, joint_norm=joint), set()
    opening = {m.norm for m in unet.modules() if hasattr(m, "transformer_blocks")}

    def check(norm, args, output):
        if norm in opening or not joint:
            expected = F.group_norm(args[0], norm.num_groups, norm.weight, norm.bias, norm.eps)
        else:
            video = rearrange(args[0], "(b f) c h w -> b c f h w", f=3)
            video = F.group_norm(video, norm.num_groups, norm.weight, norm.bias, norm.eps)
            expected = rearrange(video, "b c f h w -> (b f) c h w")
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
        checked.add(norm)

    norms = {m for m in unet.modules() if isinstance(m, nn.GroupNorm)}
    for norm in norms:
        norm.register_forward_hook(check)
    video_unet(*inputs(frames=3))
    assert checked == norms and opening < norms


@torch.no_grad()
def test_a_constant_context_is_projected_once_and_forgotten(unet, monkeypatch):
    seen, forward = [], nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: seen.append((self, x)) or forward(self, x))
    video_unet = tuned(tav_core.inflate(unet))
    x, timesteps, context = inputs(videos=2)
    fresh, other = video_unet(x, timesteps, context), video_unet(x, timesteps, -context)

    def rows() -> list[int]:
        return [len(tokens) for module, tokens in seen if module is video_unet.blocks[0].module.attn2.to_k]

    seen.clear()
    with video_unet.text_cache.constant():
        for _ in range(2):
            assert torch.equal(video_unet(x, timesteps, context), fresh)
        assert rows() == [2]  # once per video, not per frame or call
        assert torch.equal(video_unet(x, timesteps, -context), other)  # as a preview within a loop would
        assert torch.equal(video_unet(x, timesteps, context), fresh)
    seen.clear()
    assert torch.equal(video_unet(x, timesteps, context), fresh) and rows() == [2]


def test_inputs_of_sdxl_by_name():
    """diffusers gives a pooled text and the sizes in a dictionary."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=4,
        cross_attention_dim=CONTEXT, attention_head_dim=4, addition_embed_type="text_time",
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 5,
    ).eval()  # fmt: skip
    x, timesteps, context = inputs()
    added = {"text_embeds": torch.randn(2, 5), "time_ids": torch.rand(2, 6)}
    expected = image_prediction(unet, x, timesteps, context, added_cond_kwargs=added)
    spatial = tav_core.inflate(unet, attention="spatial", joint_norm=False)
    with torch.no_grad():
        assert relative_error(spatial(x, timesteps, context, added_cond_kwargs=added), expected) < 1e-6
    settings = tav_core.TuneSettings(steps=1)
    condition = {"context": context, "added_cond_kwargs": added}
    assert tav_core.tune(spatial, SCHEDULE, x, condition, settings).losses


@torch.no_grad()
def test_the_blocks_of_sdxl_and_a_vector_per_video():
    """No attention at the top, transformers of several blocks, an embedded vector: both layouts, the same names."""
    torch.manual_seed(0)
    diffusers = UNet2DConditionModel(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=CONTEXT,
        attention_head_dim=4,
        transformer_layers_per_block=[1, 1, 2],
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=6,
    ).eval()
    ldm = LDMUNet((16, 32, 32), (0, 1, 2), (4, 4, 4), CONTEXT, groups=4, linear=True, adm=6).eval()
    ldm.load_state_dict(ldm_names(diffusers.state_dict()))
    assert tav_core.fingerprint(ldm) == tav_core.fingerprint(diffusers) != tav_core.fingerprint(small_unet())
    x, timesteps, context = inputs()
    vector = torch.randn(2, 6)
    expected = image_prediction(ldm, x, timesteps, context, y=vector)
    spatial = tav_core.inflate(ldm, attention="spatial", joint_norm=False)
    assert relative_error(spatial(x, timesteps, context, y=vector), expected) < 1e-6
    spatial.deflate()

    video = tav_core.inflate(ldm)
    reference = tav_core.inflate(diffusers)
    places = {block.published_name: block.name for block in video.blocks}
    assert places["down_blocks.2.attentions.0.transformer_blocks.1"] == "input_blocks.5.1.transformer_blocks.1"
    assert places["up_blocks.1.attentions.1.transformer_blocks.0"] == "output_blocks.3.1.transformer_blocks.0"
    assert all(ldm.get_submodule(block.name) is block.module for block in video.blocks)
    assert [b.published_name for b in video.blocks] == [b.name for b in reference.blocks]
    state = random_tuning(reference)
    for video_unet in (video, reference):
        video_unet.load_tuned_state_dict(state)
    expected = reference(x, timesteps, context, class_labels=vector)
    assert relative_error(video(x, timesteps, context, y=vector), expected) < 1e-5
