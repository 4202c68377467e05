"""ComfyUI's page in the browser, what a user does there, and pictures of it.

The README and the help pages show pictures that these tests take where they come by the right moment:
`SCREENSHOTS=1 python -m pytest tests/browser` takes them all anew, in place. Without the variable nothing is written.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from comfy_install import REPOSITORY

PICTURES = bool(os.environ.get("SCREENSHOTS"))
SECONDS = 1000  # Playwright counts in milliseconds
WAIT_SECONDS = 120  # for anything: a busy machine takes ten times as long, and a test that passes waits for nothing
LOAD_SECONDS = 300  # for the page itself, which is hundreds of files, and for the end of a run
RENDERERS = {"classic": False, "vue": True}
FIRST_WITH_ELEMENTS = (1, 30)
"""Before this frontend the Vue renderer, then an experiment, leaves out every element that a pack puts on a node."""

READY = """() => !!(window.app?.graph && LiteGraph.registered_node_types['TAVLoadVideo']
    && app.extensionManager?.workflow?.activeWorkflow
    && !app.extensionManager.spinner)"""  # the last two: workflows of before are back
STILL = """addEventListener('DOMContentLoaded', () => {
    const style = document.createElement('style')
    style.textContent = `[role=dialog], [data-testid=dialog-overlay], .p-dialog-mask, .p-overlay-mask {
        animation: none !important; transition: none !important }`
    document.head.append(style)
})"""
"""Take away at once whatever lies over the page: when a file is dropped while the cover of the drop before fades out,
ComfyUI (frontend 1.49) takes away the new cover in place of the old, which stays."""
DIALOGS = "[data-testid=dialog-overlay], .p-dialog-mask"
SET = """async ([type, values]) => {
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))  // what was set before is drawn
    for (const node of app.graph.nodes.filter(node => node.type === type))
        for (const [name, value] of Object.entries(values)) {
            const widget = node.widgets.find(widget => widget.name === name)
            widget.value = value
            widget.callback?.(value)
        }
}"""
NEW_GRAPH = """async types => {
    if (app.canvas.subgraph) { // else ComfyUI may go back to the workflow of the subgraph, which its address names
        app.canvas.setGraph(app.rootGraph ?? app.graph)
        await new Promise(done => setTimeout(done, 300))
    }
    await app.extensionManager.command.execute('Comfy.NewBlankWorkflow')
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [120, 140] // clear of the menus
    let left = 0
    for (const type of types) {
        const node = LiteGraph.createNode(type)
        node.pos = [left, 0]
        app.graph.add(node)
        left += node.size[0] + 60
    }
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))) // elements of before are gone
}"""
SET_NODE = """([number, values]) => {
    for (const [name, value] of Object.entries(values)) {
        const widget = app.graph.nodes[number].widgets.find(widget => widget.name === name)
        widget.value = value
        widget.callback?.(value)
    }
}"""
WATCH = """() => {
    if (window.endings) return
    window.endings = {} // by prompt: the end of a run before this may still be under way
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
        app.api.addEventListener(kind, ({ detail }) => window.endings[detail.prompt_id] = [kind, detail])
}"""
MOMENT = "() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 100))"
A_SECOND = "() => new Promise(done => setTimeout(done, 1000))"  # by the page's clock: its timers of before are over
KEPT = """() => [localStorage, sessionStorage].flatMap(Object.values)
    .some(text => text.includes((app.rootGraph ?? app.graph).serialize().id))"""
THUMBNAILS = """() => [...document.querySelectorAll('[role=dialog] img')]
    .filter(image => image.naturalWidth === 512).length > 3"""  # those in sight, the others load on scrolling
DROP = """async address => {
    const file = await (await fetch(address)).blob()
    const dropped = new DataTransfer()
    const name = new URL(address, location).searchParams.get('filename') ?? address.split('/').pop()
    dropped.items.add(new File([file], name, { type: file.type }))
    const options = { dataTransfer: dropped, bubbles: true, cancelable: true }
    document.querySelector('#graph-canvas').dispatchEvent(new DragEvent('drop', options))
}"""
OPEN = """async nodes => {
    await app.loadApiJson(nodes, 'graph')
    const graph = app.graph.serialize()
    graph.id = crypto.randomUUID()
    await app.loadGraphData(graph)
}"""
LOOK = """([titles, above]) => {
    const margin = 18, largest = 1.5
    const boxes = titles.map(title => app.graph.nodes.find(node => node.title === title).boundingRect)
    const left = Math.min(...boxes.map(([x]) => x)) - margin
    const top = Math.min(...boxes.map(([, y]) => y)) - above
    const width = Math.max(...boxes.map(([x, , width]) => x + width)) + margin - left
    const height = Math.max(...boxes.map(([, y, , height]) => y + height)) + margin - top
    const { ds } = app.canvas
    ds.scale = Math.min(largest, innerWidth / width, innerHeight / height)
    ds.offset = [-left, -top]
    app.canvas.deselectAll()
    app.graph.setDirtyCanvas(true, true)
    return { x: 0, y: 0, width: width * ds.scale, height: height * ds.scale }
}"""
MENUS = "#graph-canvas-container > .z-999 { opacity: 0 !important }"
OPEN_NODE = """type => {
    const node = app.graph.nodes.find(node => node.type === type)
    if (node.flags.collapsed) node.collapse()
    app.canvas.centerOnNode(node)
}"""
SHOWN = """type => {
    const node = app.graph.nodes.find(node => node.type === type)
    const elements = [...(node.imgs ?? []), ...(node.videoContainer?.querySelectorAll('video') ?? [])]
    const shown = elements.map(element => element.src)
    const files = Object.values(app.nodeOutputs[node.id] ?? {}).flat().flatMap(({ filename }) => filename ?? [])
    const all = files.every(name => shown.some(address => address.includes(encodeURIComponent(name))))
    return files.length && all ? shown : null
}"""


class WorkflowPage:
    """A page on ComfyUI at `url`; `pack` is the folder name of this pack there.

    page: Playwright's; errors: the error messages in the console, and where each came from; stale: a test failed on it.
    """

    def __init__(self, browser: Any, url: str, pack: str) -> None:
        self.browser, self.url, self.pack = browser, url, pack
        self.errors: list[tuple[str, str]] = []
        self.stale = False
        self._open()

    def _open(self) -> None:
        self.page = self.browser.new_page(viewport={"width": 1600, "height": 900})
        self.page.set_default_timeout(WAIT_SECONDS * SECONDS)
        self.page.set_default_navigation_timeout(LOAD_SECONDS * SECONDS)
        self.page.add_init_script(STILL)
        self.page.on("console", self._keep)
        self.page.on("pageerror", lambda error: self.errors.append((error.message, error.stack or "")))
        settings = {
            "Comfy.TutorialCompleted": True,
            "Comfy.Minimap.Visible": False,  # it lies over nodes, as the next does
            "Comfy.Graph.CanvasInfo": False,
            "Comfy.VueNodes.Enabled": False,
            "Comfy.Locale": "en",
            "Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"],
        }
        self.page.request.post(f"{self.url}/api/settings", data=settings)
        self.page.goto(self.url)
        self.wait_until(READY, seconds=LOAD_SECONDS)

    def renew(self) -> None:
        """Close a dialog that the test before left open; open a fresh page if it failed, and may have left more."""
        if not self.stale:
            if self.page.locator(DIALOGS).count():
                self.page.keyboard.press("Escape")
                self.page.locator(DIALOGS).first.wait_for(state="hidden")
            return
        self.page.request.post(f"{self.url}/api/interrupt")
        self.page.request.post(f"{self.url}/api/queue", data={"clear": True})
        self.page.close()
        self.stale = False
        self.errors.clear()
        self._open()

    def wait_until(self, expression: str, *, arg: Any = None, seconds: float = WAIT_SECONDS) -> None:
        """Wait until a function of the page is true."""
        self.page.wait_for_function(expression, arg=arg, timeout=seconds * SECONDS)

    def wait_for_selector(self, selector: str, state: str = "visible", seconds: float = WAIT_SECONDS) -> None:
        """Wait for an element."""
        self.page.wait_for_selector(selector, state=state, timeout=seconds * SECONDS)

    def expect(self, read: Callable[[], Any], value: Any) -> None:
        """Wait until `read` returns this. Raises AssertionError with what it returned last."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (seen := read()) != value and time.monotonic() < deadline:
            self.page.wait_for_timeout(100)
        assert seen == value

    def settled(self, expression: str, arg: Any = None) -> Any:
        """Return what a function of the page returns, once it has been the same for a second of the page's own time."""
        seen = []
        while len(seen) < 10 or seen[-10:] != seen[-1:] * 10:
            self.page.evaluate(MOMENT)
            seen.append(self.page.evaluate(expression, arg))
        return seen[-1]

    def _keep(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append((message.text, message.location.get("url", "")))

    def own_errors(self) -> list[tuple[str, str]]:
        """Return the errors that this pack's files in the page caused."""
        return [error for error in self.errors if f"/extensions/{self.pack}/" in " ".join(error)]

    def open_template(self, name: str) -> None:
        """Open a workflow of this pack from the template browser, once they show their thumbnails."""
        dialog = self._browse_templates()
        dialog.get_by_text(name, exact=True).first.click()
        dialog.wait_for(state="hidden")
        active = "app.extensionManager.workflow.activeWorkflow"
        opened = f"name => {active}?.filename?.startsWith(name) && app.graph.nodes.length"
        self.wait_until(opened, arg=name.removesuffix(".app"))

    def template_titles(self) -> list[str]:
        """Return the titles of this pack's workflows in the template browser, in its order."""
        dialog = self._browse_templates()
        titles = dialog.get_by_test_id(re.compile("template-workflow-")).get_by_role("heading").all_inner_texts()
        self.page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")
        return titles

    def _browse_templates(self) -> Any:
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text(self.pack).first.click()  # it lists hundreds of others, too
        self.wait_until(THUMBNAILS)
        return dialog

    def drop(self, address: str) -> None:
        """Drop a file of ComfyUI's on an empty canvas, and wait for the workflow that it brings."""
        self.page.evaluate("() => app.graph.clear()")
        self.page.evaluate(DROP, address)
        self.wait_until("() => app.graph.nodes.length && !app.extensionManager.spinner")

    def drop_workflow(self, name: str) -> None:
        """Open a workflow of this pack by dropping its file."""
        self.drop(f"/api/workflow_templates/{self.pack}/{name}.json")

    def set(self, type: str, **values: Any) -> None:
        """Put values into the widgets of the nodes of a type."""
        self.page.evaluate(SET, [type, values])

    def new_graph(self, *types: str) -> None:
        """Open a new workflow with nodes of these types, in a row."""
        self.page.evaluate(NEW_GRAPH, types)

    def open_graph(self, nodes: dict[str, dict]) -> None:
        """Open a graph in ComfyUI's API format as a new workflow."""
        self.page.evaluate(OPEN, nodes)

    def set_node(self, number: int, **values: Any) -> None:
        """Put values into the widgets of one node of a new graph, counted from 0."""
        self.page.evaluate(SET_NODE, [number, values])

    def run(self) -> tuple[str, dict]:
        """Press Run and wait for the end; returns the name of ComfyUI's last event and what came with it.

        Raises AssertionError with ComfyUI's answer when it refuses the graph.
        """
        return self.end_of(self.queue())

    def queue(self, button: bool = True) -> str:
        """Press Run, or its keys, with which the mouse stays where it is; returns the id of ComfyUI's prompt.

        Raises AssertionError with ComfyUI's answer when it refuses the graph.
        """
        self.page.evaluate(WATCH)
        with self.page.expect_response("**/api/prompt") as answer:
            if button:
                self.page.get_by_test_id("queue-button").click()
            else:
                self.page.keyboard.press("Control+Enter")
        assert answer.value.ok, answer.value.text()
        return answer.value.json()["prompt_id"]

    def end_of(self, prompt: str) -> tuple[str, dict]:
        """Wait for the end of a run; returns the name of ComfyUI's last event and what came with it."""
        self.wait_until("prompt => window.endings[prompt]", arg=prompt, seconds=LOAD_SECONDS)
        return tuple(self.page.evaluate("prompt => window.endings[prompt]", prompt))

    def reload(self, kept: bool = True) -> None:
        """Load the page anew, as F5 does, once ComfyUI has kept the workflow, which it does a moment after a change.

        kept: False for a workflow that need not be there afterwards; ComfyUI keeps no empty one.
        """
        if kept:
            self.page.evaluate(A_SECOND)
            self.wait_until(KEPT)
        self.page.reload()
        self.wait_until(READY, seconds=LOAD_SECONDS)

    def set_setting(self, name: str, value: Any) -> None:
        """Change one of ComfyUI's settings."""
        self.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])

    @contextmanager
    def renderer(self, name: str) -> Iterator[None]:
        """Show nodes by one of ComfyUI's two renderers ("classic" or "vue"); the classic one again afterwards."""
        version = self.page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__")
        if RENDERERS[name] and tuple(map(int, version.split(".")[:2])) < FIRST_WITH_ELEMENTS:
            pytest.skip(f"the Vue renderer of ComfyUI's frontend {version} shows no elements of packs")
        self.set_setting("Comfy.VueNodes.Enabled", RENDERERS[name])
        try:
            yield
        finally:
            self.set_setting("Comfy.VueNodes.Enabled", False)

    def picture(self, path: str, *titles: str, above: int = 24) -> None:
        """Take a picture of a part of the graph for the README or a help page, when pictures are asked for.

        path: of a .png or .jpg file, from the repository's root; titles: what stands on nodes, the picture goes around
        the first of each; above: pixels of the graph over them, 24 show the pack's name and 56 the title of a group.
        """
        if not PICTURES:
            return
        quality = {"quality": 85} if path.endswith(".jpg") else {}
        with self._view_kept():
            for _ in range(2):  # a node may grow when it comes in sight
                area = self.page.evaluate(LOOK, [titles, above])
                self.page.mouse.move(area["width"] - 1, area["height"] - 1)
                self.page.wait_for_timeout(SECONDS / 2)
            self.page.screenshot(path=REPOSITORY / path, clip=area, style=MENUS, **quality)

    def shown(self, type: str) -> list[str]:
        """Return the addresses of the images and videos that the one node of a type shows, once they are its last ones.

        The node comes in sight and is opened, as some versions of the page load nothing for others.
        """
        with self._view_kept():
            self.page.evaluate(OPEN_NODE, type)
            self.wait_until(SHOWN, arg=type)
            return self.page.evaluate(SHOWN, type)

    @contextmanager
    def _view_kept(self) -> Iterator[None]:
        """Restore the visible part of the graph afterwards."""
        view = self.page.evaluate("() => ({ scale: app.canvas.ds.scale, offset: [...app.canvas.ds.offset] })")
        yield
        self.page.evaluate("view => Object.assign(app.canvas.ds, view)", view)
