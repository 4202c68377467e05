"""The demo model in ComfyUI: the same as without it, at home among ComfyUI's nodes, and enough for a whole graph."""

import torch
from comfy_server import Graph, Node
from einops import rearrange

import tav_core
from tav_core.demo import MODEL
from tav_core.demo.world import Words, draw_clip, track
from tav_core.pipeline import Pipeline

CLIP = {"colour": "red", "shape": "circle", "background": "blue", "style": "plain", "motion": "line", "frames": 4}
CAPTION, EDIT = "a red circle on a blue background", "a striped red circle on a green background"
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


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_it_computes_what_the_core_computes_without_comfyui(server):
    graph = DemoGraph()
    model = graph.add(
        "TAVInflateUNet", model=graph.model[0], attention="sparse_causal", temporal_attention=True, joint_norm=True
    )
    caption = graph.words(graph.clip[1])
    inverted = graph.add("TAVDDIMInvert", model=model[0], latent=graph.latents[0], positive=caption, steps=STEPS)
    sampled = graph.add(
        "TAVSampleVideo", model=model[0], latent=inverted[0], positive=graph.words(EDIT), negative=graph.words(""),
        steps=STEPS, guidance=GUIDANCE,
    )  # fmt: skip
    latents = {"encoded": graph.latents, "inverted": inverted, "sampled": sampled}
    saved = {name: graph.save(node[0]) for name, node in latents.items()}
    pictures = graph.decode(sampled[0])
    entry = server.run(graph)

    pipeline = Pipeline.load(MODEL, device="cpu")
    frames = draw_clip(Words("red", "circle", "blue"), track("line", (18, 22), (46, 42), 4), seed=3, size=12.0)
    unet, schedule = pipeline.inflate(), pipeline.schedule
    encoded = pipeline.encode_video(frames)
    noise = tav_core.ddim_invert(unet, schedule, encoded, pipeline.encode_prompt(CAPTION), STEPS)[-1]
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
    seen = torch.from_numpy(server.images(entry, pictures) / 255.0)
    assert (seen - pipeline.decode_video(rendered)).abs().max() < 1.01 / 255
