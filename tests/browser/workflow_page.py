"""ComfyUI's page in the browser, and what a person does there."""

from typing import Any

SECONDS = 1000  # Playwright counts in milliseconds
READY = """() => !!(window.app?.graph && LiteGraph.registered_node_types['TAVLoadVideo']
    && app.extensionManager?.workflow?.activeWorkflow)"""  # the last: workflows of before are back
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
}"""
SET_NODE = """([number, values]) => {
    for (const [name, value] of Object.entries(values)) {
        const widget = app.graph.nodes[number].widgets.find(widget => widget.name === name)
        widget.value = value
        widget.callback?.(value)
    }
}"""
WATCH = """() => { window.ended = new Promise(done => {
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
        app.api.addEventListener(kind, event => done([kind, event.detail]), { once: true })
}) }"""
THUMBNAILS = """() => [...document.querySelectorAll('[role=dialog] img')]
    .filter(image => image.naturalWidth === 512).length > 3"""  # those in sight, the others load on scrolling
SHOWN = """type => app.graph.nodes.filter(node => node.type === type)
    .map(node => [...(node.imgs ?? []), ...(node.videoContainer?.querySelectorAll('video') ?? [])].map(it => it.src))"""


class WorkflowPage:
    """A page on ComfyUI at `url`; `pack` is the folder name of this pack there.

    page: Playwright's; errors: the error messages in the console, and where each came from.
    """

    def __init__(self, browser: Any, url: str, pack: str) -> None:
        self.pack = pack
        self.errors: list[tuple[str, str]] = []
        self.page = browser.new_page(viewport={"width": 1600, "height": 900})
        self.page.set_default_timeout(60 * SECONDS)
        self.page.on("console", self._keep)
        self.page.on("pageerror", lambda error: self.errors.append((error.message, error.stack or "")))
        settings = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}  # the map lies over nodes
        self.page.request.post(f"{url}/api/settings", data=settings)
        self.page.goto(url)
        self.page.wait_for_function(READY)

    def _keep(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append((message.text, message.location.get("url", "")))

    def own_errors(self) -> list[tuple[str, str]]:
        """The errors that this pack's files in the page caused."""
        return [error for error in self.errors if f"/extensions/{self.pack}/" in " ".join(error)]

    def open_template(self, name: str) -> None:
        """Open a workflow of this pack from the template browser, once they show their thumbnails."""
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text(self.pack).first.click()
        self.page.wait_for_function(THUMBNAILS)
        dialog.get_by_text(name, exact=True).click()
        self.page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'TAVSampleVideo')")
        dialog.wait_for(state="hidden")

    def set(self, type: str, **values: Any) -> None:
        """Put values into the widgets of the nodes of a type."""
        self.page.evaluate(SET, [type, values])

    def new_graph(self, *types: str) -> None:
        """Open a new workflow with nodes of these types, in a row."""
        self.page.evaluate(NEW_GRAPH, types)

    def set_node(self, number: int, **values: Any) -> None:
        """Put values into the widgets of one node of a new graph, counted from 0."""
        self.page.evaluate(SET_NODE, [number, values])

    def run(self) -> tuple[str, dict]:
        """Press Run and wait for the end; returns the name of ComfyUI's last event and what came with it.

        Raises AssertionError with ComfyUI's answer when it refuses the graph.
        """
        self.page.evaluate(WATCH)
        self.queue()
        return tuple(self.page.evaluate("() => window.ended"))

    def queue(self) -> None:
        """Press Run. Raises AssertionError with ComfyUI's answer when it refuses the graph."""
        with self.page.expect_response("**/api/prompt") as answer:
            self.page.get_by_test_id("queue-button").click()
        assert answer.value.ok, answer.value.text()

    def reload(self) -> None:
        """Load the page anew, as F5 does."""
        self.page.reload()
        self.page.wait_for_function(READY)

    def set_setting(self, name: str, value: Any) -> None:
        """Change one of ComfyUI's settings."""
        self.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])

    def shown(self, type: str) -> list[str]:
        """The addresses of the images and videos that the one node of a type shows, waiting for the first."""
        self.page.wait_for_function(f"type => ({SHOWN})(type)[0].length > 0", arg=type)
        return self.page.evaluate(SHOWN, type)[0]
