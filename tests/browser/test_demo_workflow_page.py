"""The workflow that needs no checkpoint, from the template browser to the comparison of its four edits.

When pictures are asked for, it runs with its own settings.
"""

from workflow_page import LOAD_SECONDS, PICTURES

STEPS, PREVIEW_EVERY, SEEN = (120, 40, 85) if PICTURES else (6, 3, 1)
POINTS = "() => document.querySelector('.tav-tune .tav-raw')?.getAttribute('d').split('L').length ?? 0"
FILM = "() => [...document.querySelectorAll('.tav-strip button')].map(frame => frame.textContent)"
LOOK = """type => {
    const node = app.graph.nodes.find(node => node.type === type)
    app.canvas.ds.scale = 0.7
    app.canvas.ds.offset = [300 - node.pos[0], 120 - node.pos[1]]
    app.graph.setDirtyCanvas(true, true)
}"""
NARROW = "type => app.graph.nodes.find(node => node.type === type).setSize([520, 640])"
FRAME = "() => document.querySelector('.tav-compare .tav-bar output')?.textContent"
HELP = "web/docs/images"


def test_four_edits_without_a_checkpoint(server, page):
    if PICTURES:
        for type, title, name in (
            ("TAVDDIMInvert", "DDIM Invert", "ddim_invert"),
            ("TAVSampleVideo", "Sample Video", "sample_video"),
        ):
            page.new_graph(type)
            page.picture(f"{HELP}/{name}.png", title)
    page.open_template("3 Four edits from one tuning")
    page.set("TAVOneShotTune", steps=STEPS, preview_every=PREVIEW_EVERY)
    if not PICTURES:
        page.set("TAVOneShotTune", preview_steps=2)
        page.set("TAVDDIMInvert", steps=2)
        page.set("TAVSampleVideo", steps=2)
    page.picture(f"{HELP}/load_demo_model.png", "Load Demo Model", "Demo Clip")
    page.picture(f"{HELP}/demo_clip_node.png", "Demo Clip")
    page.picture(f"{HELP}/inflate_unet.png", "Inflate UNet")
    prompt = page.queue()
    page.page.evaluate(LOOK, "TAVOneShotTune")
    page.wait_until(f"() => ({POINTS})() >= {SEEN}", seconds=LOAD_SECONDS)
    page.picture(f"{HELP}/one_shot_tune.png", "One-Shot Tune")
    end = page.end_of(prompt)
    assert end[0] == "execution_success", end[1]
    page.page.evaluate(LOOK, "TAVOneShotTune")
    page.wait_until(f"() => ({POINTS})() === {STEPS}")
    steps = [str(step) for step in range(0, STEPS + 1, PREVIEW_EVERY)]
    page.wait_until(f"steps => ({FILM})().join() === steps", arg=",".join(steps))
    page.page.evaluate(LOOK, "TAVCompareVideos")
    page.wait_until(f"() => ({FRAME})()?.endsWith('/ 12')")
    assert page.page.locator(".tav-stage figcaption").all_text_contents() == [
        "the clip", "another figure", "another place", "a red shirt", "another style",
    ]  # fmt: skip
    assert page.shown("SaveVideo")
    page.page.get_by_title("Play or pause (space)").click()
    page.page.locator(".tav-compare .tav-bar input").fill("5")
    assert page.page.evaluate(FRAME) == "6 / 12"
    page.page.evaluate(NARROW, "TAVCompareVideos")
    page.picture(f"{HELP}/compare_videos.jpg", "Compare Videos")
    page.page.get_by_role("button", name="Wipe").click()
    page.page.get_by_title("The video on the right").select_option("another place")
    page.picture(f"{HELP}/compare_wipe.jpg", "Compare Videos")
    assert page.own_errors() == []
