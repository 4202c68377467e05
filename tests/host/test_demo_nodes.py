"""The demo model in ComfyUI: the same as without it, at home among ComfyUI's nodes, and enough for a whole graph."""

import pytest
import torch
from comfy_install import REPOSITORY
from comfy_server import ComfyError, Graph, Node
from einops import rearrange
from safetensors.torch import save_file
from workflow_file import api_graph

import tav_core
from tav_core.checkpoint.pipeline import Pipeline
from tav_core.demo import MODEL
from tav_core.demo.clips import draw_clip
from tav_core.demo.judge import compare, read
from tav_core.demo.world import Words, parse_caption

CLIP = {"figure": "man", "verb": "running", "place": "beach", "clothes": "red", "style": "none", "frames": 4}
CAPTION, EDIT = Words("man", "running", "beach", "red").caption, Words("robot", "running", "beach").caption
CLIP_WORDS = Words("panda", "jumping", "park")
STEPS, GUIDANCE = 4, 3.0


class DemoGraph(Graph):
    """The demo model and a drawn clip, encoded."""

    def __init__(self, **clip) -> None:
        super().__init__()
        self.model = self.add("TAVLoadDemoModel")
        self.clip = self.add("TAVDemoClip", **{**CLIP, "seed": 3, **clip})
        self.latents = self.add("VAEEncode", pixels=self.clip[0], vae=self.model[2])

    def words(self, text: str | list) -> list:
        return self.add("CLIPTextEncode", clip=self.model[1], text=text)[0]

    def save(self, latent: list) -> Node:
        return self.add("SaveLatent", samples=latent, filename_prefix="demo")

    def decode(self, latent: list) -> Node:
        images = self.add("VAEDecode", samples=latent, vae=self.model[2])
        return self.add("SaveImage", images=images[0], filename_prefix="demo")

    def draw(self, model: list, clip: list, caption: str, steps: int) -> list:
        """Sample two pictures from random noise."""
        grey = self.add("EmptyImage", width=96, height=96, batch_size=2, color=0x808080)
        latent = self.add("VAEEncode", pixels=grey[0], vae=self.model[2])
        positive, negative = (self.add("CLIPTextEncode", clip=clip, text=text)[0] for text in (caption, ""))
        return self.add(
            "KSampler", model=model, positive=positive, negative=negative, latent_image=latent[0],
            seed=1, steps=steps, cfg=4.0, sampler_name="ddim", scheduler="ddim_uniform", denoise=1.0,
        )[0]  # fmt: skip


def pictures(server, entry: dict, node: Node) -> torch.Tensor:
    return torch.from_numpy(server.images(entry, node) / 255.0).float()


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_it_computes_what_the_core_computes_without_comfyui(server):
    graph = DemoGraph()
    model = graph.add(
        "TAVInflateUNet", model=graph.model[0], attention="sparse_causal", temporal_attention=True, joint_norm=True
    )
    caption = graph.words(graph.clip[1])
    inverted = graph.add(
        "TAVDDIMInvert", model=model[0], latent=graph.latents[0], positive=caption, steps=STEPS, refine=0,
        keep_trajectory=False,
    )  # fmt: skip
    sampled = graph.add(
        "TAVSampleVideo", model=model[0], latent=inverted[0], positive=graph.words(EDIT), negative=graph.words(""),
        steps=STEPS, guidance=GUIDANCE,
    )  # fmt: skip
    latents = {"encoded": graph.latents, "inverted": inverted, "sampled": sampled}
    saved = {name: graph.save(node[0]) for name, node in latents.items()}
    shown = graph.decode(sampled[0])
    entry = server.run(graph)

    pipeline = Pipeline.load(MODEL, device="cpu")
    frames = draw_clip(Words("man", "running", "beach", "red"), frames=4, seed=3)
    unet, schedule = pipeline.inflate(), pipeline.schedule
    encoded = pipeline.encode_video(frames)
    noise = tav_core.ddim_invert(unet, schedule, encoded, *pipeline.encode_prompts([CAPTION]), STEPS)[-1]
    rendered = tav_core.ddim_sample(
        unet, schedule, noise, *pipeline.encode_prompts([EDIT, ""]), steps=STEPS, guidance_scale=GUIDANCE
    )
    expected = {
        "encoded": encoded,
        "inverted": noise / schedule.alpha(schedule.timesteps(STEPS)[0]) ** 0.5,
        "sampled": rendered,
    }
    for name, node in saved.items():
        ours = rearrange(server.latent(entry, node), "f c h w -> 1 c f h w")
        assert difference(ours, expected[name]) < 1e-5, name
    assert (pictures(server, entry, shown) - pipeline.decode_video(rendered)).abs().max() < 1.01 / 255


def test_ksampler_draws_what_the_caption_says_with_previews(server):
    graph = DemoGraph()
    sampled = graph.draw(graph.model[0], graph.model[1], "a panda is jumping in the snow", steps=16)
    shown = graph.decode(sampled)
    entry = server.run(graph)
    for reading in read(pictures(server, entry, shown)):
        assert (reading.named["figure"], reading.named["place"]) == ("panda", "snow")
    assert sampled[0] in {event.data["node_id"] for event in server.events if event.kind == "preview"}


def test_loras_fit(server):
    weights = {}
    for module, size in {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": 40,
        "lora_te_text_model_encoder_layers_0_self_attn_v_proj": 96,
    }.items():
        weights[f"{module}.lora_down.weight"] = torch.eye(size)
        weights[f"{module}.lora_up.weight"] = torch.eye(size)
    save_file(weights, server.folder / "models" / "loras" / "demo.safetensors")
    graph = DemoGraph()
    lora = {"lora_name": "demo.safetensors", "model": graph.model[0], "clip": graph.model[1]}
    saved = []
    for strengths in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        loaded = graph.add("LoraLoader", **lora, strength_model=strengths[0], strength_clip=strengths[1])
        saved.append(graph.save(graph.draw(loaded[0], loaded[1], CAPTION, steps=1)))
    entry = server.run(graph)
    plain, *changed = (server.latent(entry, node) for node in saved)
    assert min(difference(latents, plain) for latents in changed) > 1e-3


def test_a_workflow_saved_with_the_inputs_of_before_gets_one_sentence(server):
    graph = DemoGraph(figure="red", verb="circle", place="blue", clothes="plain", style="arc")
    graph.decode(graph.latents[0])
    with pytest.raises(ComfyError) as refused:
        server.run(graph)
    assert "it now draws figures" in str(refused.value)


def test_workflow_that_needs_no_checkpoint(server):
    nodes = api_graph(REPOSITORY / "workflows" / "3 Four edits from one tuning.json", server.object_info())

    def of_kind(kind: str) -> list[str]:
        return [number for number, node in nodes.items() if node["class_type"] == kind]

    def before(number: str, name: str) -> str:
        return nodes[number]["inputs"][name][0]

    (clip,), (saved,), decoded = of_kind("TAVDemoClip"), of_kind("SaveVideo"), of_kind("VAEDecode")
    words = [nodes[before(before(number, "samples"), "positive")]["inputs"]["text"] for number in decoded]
    for number in (clip, *decoded):
        nodes[f"show {number}"] = {
            "class_type": "SaveImage",
            "inputs": {"images": [number, 0], "filename_prefix": "demo"},
        }
    nodes[of_kind("TAVOneShotTune")[0]]["inputs"].update(steps=5, preview_every=0)
    entry = server.run(nodes)

    source, *edited = (pictures(server, entry, Node(f"show {number}")) for number in (clip, *decoded))
    said = [parse_caption(text) for text in words]
    assert len(set(said)) == 4
    seen = [compare(video, source, one, CLIP_WORDS) for one, video in zip(said, edited)]
    assert sum(one.frames_right for one in seen) / len(seen) >= 0.6, seen
    assert max(one.pose_distance for one in seen) < 0.15, seen
    assert server.files(entry, Node(saved))
