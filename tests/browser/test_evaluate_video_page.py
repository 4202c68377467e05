"""Evaluate Video as a user sees it: the table on the node, and an input for one more result."""

from comfy_server import Graph
from workflow_page import PICTURES

STEPS = 25 if PICTURES else 1
INPUTS = """() => app.graph.nodes.find(node => node.type === 'TAVEvaluateVideo').inputs
    .filter(input => !input.widget).map(input => input.name)"""
PANEL = "document.querySelector('.tav-scores')"
STYLE = f"() => {{ const {{ userSelect, color }} = getComputedStyle({PANEL}); return [userSelect, color] }}"


def test_how_well_the_demo_model_rebuilds_its_clip(page):
    graph = Graph()
    model = graph.add("TAVLoadDemoModel")
    clip = graph.add(
        "TAVDemoClip", figure="man", verb="running", place="beach", clothes="red", style="none", frames=8, seed=3
    )
    latents = graph.add("VAEEncode", pixels=clip[0], vae=model[2])
    inflated = graph.add(
        "TAVInflateUNet", model=model[0], attention="sparse_causal", temporal_attention=True, joint_norm=True
    )
    words, nothing = (graph.add("CLIPTextEncode", clip=model[1], text=text) for text in (clip[1], ""))
    noise = graph.add("TAVDDIMInvert", model=inflated[0], latent=latents[0], positive=nothing[0], steps=STEPS)
    sampled = graph.add(
        "TAVSampleVideo", model=inflated[0], latent=noise[0], positive=words[0], negative=nothing[0], steps=STEPS,
        guidance=1.0,
    )  # fmt: skip
    rebuilt = [graph.add("VAEDecode", samples=samples[0], vae=model[2]) for samples in (latents, sampled)]
    graph.add(
        "TAVEvaluateVideo", source=clip[0], prompt="", labels="through the VAE\nto the noise and back", clip="none",
        pickscore="none", reconstruction=True, result_1=rebuilt[0][0], result_2=rebuilt[1][0],
    )  # fmt: skip
    page.open_graph(graph.nodes)
    page.wait_until(f"() => {PANEL}?.textContent === 'Measures here: PSNR in dB, SSIM.'")
    end = page.run()
    assert end[0] == "execution_success", end[1]
    page.wait_until(f"() => {PANEL}.querySelectorAll('tbody tr').length === 2")
    assert page.page.evaluate(f"() => [...{PANEL}.querySelectorAll('tr')].map(row => row.cells[0].textContent)") == [
        "", "through the VAE", "to the noise and back",
    ]  # fmt: skip
    assert page.page.evaluate(f"() => {PANEL}.querySelectorAll('td.tav-best').length") >= 1
    page.picture("web/docs/images/evaluate_video.png", "Evaluate Video")
    selectable, dark = page.page.evaluate(STYLE)
    assert selectable == "text"
    page.set_setting("Comfy.ColorPalette", "light")
    try:
        page.wait_until(f"dark => ({STYLE})()[1] !== dark", arg=dark)
    finally:
        page.set_setting("Comfy.ColorPalette", "dark")
    page.expect(lambda: page.page.evaluate(INPUTS), ["source", "clip_vision", "result_1", "result_2", "result_3"])
    assert page.own_errors() == []
