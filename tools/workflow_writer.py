"""Write workflow files as ComfyUI's page saves them, from short descriptions: nodes in columns, links, groups, notes.

    workflow = Workflow(object_info, chinese={})
    workflow.column("1 · Model and clip", 320)
    model = workflow.add("TAVLoadDemoModel")
    clip = workflow.add("TAVDemoClip", change=True, frames=8)
    latents = workflow.add("VAEEncode", pixels=clip["images"], vae=model["VAE"], collapsed=True)
    workflow.content()                           # the file, as a dictionary
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TITLE, SLOT, WIDGET, TEXT, BADGE = 30, 20, 28, 76, 24  # heights in pixels, those of the renderer that needs more
ERROR = 28  # that a file is missing, under the node
ADVANCED = 24
"""Height of the line that shows and hides advanced inputs."""
GAP, BETWEEN_COLUMNS, GROUP_TITLE, GROUP_MARGIN = 16, 40, 40, 12
PANELS = {
    "TAVLoadVideo": 236,
    "TAVOneShotTune": 332,
    "TAVCompareVideos": 320,
    "TAVEvaluateVideo": 130,
    "TAVLoadTuned": 132,
    "TAVSaveTuned": 50,
}
"""Height of what a node shows below its widgets."""
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
SAVE_VIDEO = {"format": "auto", "format.codec": "auto", "codec": "auto"}  # ComfyUI's dynamic inputs, as saved by 0.33.0
HUGGING_FACE = "https://huggingface.co"
CIVITAI = "https://civitai.com/api/download/models"
MODELS = {
    "v1-5-pruned-emaonly-fp16.safetensors": (
        "checkpoints",
        f"{HUGGING_FACE}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors",
    ),
    "dreamshaper_8.safetensors": (
        "checkpoints",
        f"{CIVITAI}/128713?type=Model&format=SafeTensor&size=pruned&fp=fp16",
    ),
    "blindbox_V1Mix.safetensors": ("loras", f"{CIVITAI}/32988?type=Model&format=SafeTensor&size=full&fp=fp16"),
    "control_v11p_sd15_canny_fp16.safetensors": (
        "controlnet",
        f"{HUGGING_FACE}/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/"
        "control_v11p_sd15_canny_fp16.safetensors",
    ),
}
"""Models that the page offers to download: folder and address."""
GREEN = {"color": "#232", "bgcolor": "#353"}
YELLOW = {"color": "#432", "bgcolor": "#653"}


@dataclass(frozen=True)
class Node:
    """A node of a workflow; ``node["images"]`` is one of its outputs, for an input of another."""

    number: int
    outputs: tuple[str, ...]

    def __getitem__(self, output: str) -> Output:
        return Output(self, self.outputs.index(output))


@dataclass(frozen=True)
class Output:
    """An output of a node, counted from 0."""

    node: Node
    slot: int


class Workflow:
    """A workflow in the making; nodes go below each other into the column that was begun last.

    Args:
        object_info: ComfyUI's answer to ``/object_info``.
        chinese: titles and notes in Chinese, for the page to show in place of these.
    """

    def __init__(self, object_info: dict[str, dict], chinese: dict[str, str]) -> None:
        self._info, self._chinese = object_info, chinese
        self._nodes: list[dict] = []
        self._links: list[list] = []
        self._groups: list[dict] = []
        self._left = self._right = self._bottom = 0
        self._width = self._top = 0
        self._banner = (0, 0)  # right end, and the top of the columns below it
        self._app: dict[str, list] = {}

    def column(self, title: str | None, width: int) -> None:
        """Begin a column of this width; with a title, a group around it."""
        self._left = self._right + BETWEEN_COLUMNS if self._nodes else 0
        self._top = self._banner[1] if self._left < self._banner[0] else 0
        self._right, self._width, self._bottom = self._left + width, width, self._top - GAP
        if title:
            self._groups.append({"id": len(self._groups) + 1, "title": title, "color": "#3f789e", "flags": {}})
            left, top = self._left - GROUP_MARGIN, self._top - TITLE - GROUP_TITLE
            self._groups[-1]["bounding"] = [left, top, width + 2 * GROUP_MARGIN, 0]

    def space(self, pixels: int) -> None:
        """Leave more room below the last node of the column."""
        self._bottom += pixels

    def banner(self, text: str, width: int, height: int) -> None:
        """Add the first note, above the columns that will begin within this width."""
        self._left, self._width, self._bottom = -GROUP_MARGIN, width + 2 * GROUP_MARGIN, -GROUP_TITLE - GAP
        self.note(text, height)
        self._right, self._banner = -BETWEEN_COLUMNS, (width, self._bottom + GAP + GROUP_TITLE + TITLE)

    def note(self, text: str, height: int, title: str = "How it works") -> None:
        """Add a note in Markdown."""
        values = {"widgets_values": [text], "widgets_values_named": {"text": text}}
        self._place({"type": "MarkdownNote", "title": title, **values, **YELLOW, "properties": {}}, height)

    def add(
        self, type: str, title: str | None = None, height: int = 0, collapsed: bool = False, change: bool = False,
        **inputs: Any,
    ) -> Node:  # fmt: skip
        """Add a node.

        Args:
            height: pixels; 0 for what its slots, widgets and panel need.
            collapsed: draw it as its title only.
            change: colour it green, as one for the user to change.
            inputs: a value, or an :class:`Output`; those left out have their default.

        Raises:
            KeyError: ComfyUI does not know the node, or it has no such input or output.
        """
        info = self._info[type]
        specs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        for name in inputs.keys() - specs.keys():
            raise KeyError(f"{type} has no input {name}: choose from {', '.join(specs)}")
        node = Node(len(self._nodes) + 1, tuple(info["output_name"]))
        values = _values(type, specs, inputs)
        slots = [*(name for name in specs if name not in values and not _is_widget(specs[name])), *values]
        slots = [name for name in _shown(type, slots, inputs) if name != "upload"]
        content = {
            "type": type,
            "inputs": [self._slot(node, i, name, specs, inputs.get(name)) for i, name in enumerate(slots)],
            "outputs": [
                {"name": name, "type": kind, "links": []} for name, kind in zip(info["output_name"], info["output"])
            ],
            "properties": {"Node name for S&R": type, **_properties(type, values)},
        }
        if values:
            content |= {"widgets_values": list(values.values()), "widgets_values_named": values}
        if title:
            content["title"] = title
        if change:
            content |= GREEN
        if collapsed:
            content["flags"] = {"collapsed": True}
        height = height or _height(type, specs, len(slots) - len(values.keys() & set(slots)), len(node.outputs), values)
        self._place(content, 0 if collapsed else height, height)
        if type == "TAVLoadTuned" or "models" in content["properties"]:
            self.space(ERROR)
        return node

    def app(self, inputs: dict[str, tuple[Node, str]], outputs: list[Node]) -> None:
        """Open in ComfyUI's app mode, which shows these widgets, by these labels, and the results of these nodes."""
        for label, (node, name) in inputs.items():
            slot = next(slot for slot in self._nodes[node.number - 1]["inputs"] if slot["name"] == name)
            slot["label"] = label
        shown = [[node.number, name] for node, name in inputs.values()]
        self._app = {"inputs": shown, "outputs": [node.number for node in outputs]}

    def content(self) -> dict:
        """Return the workflow as the page saves it. Without an id: the page gives each opening one of its own."""
        extra: dict[str, Any] = {"ds": {"scale": 0.6, "offset": [200, 150]}, "workflowRendererVersion": "LG"}
        notes = [value for node in self._nodes if "Note" in node["type"] for value in node["widgets_values"]]
        groups = [group["title"].split(" · ")[1] for group in self._groups]
        titles = [node["title"] for node in self._nodes if "title" in node]
        chinese = {text: self._chinese[text] for text in [*notes, *groups]}
        chinese |= {title: "：".join(self._chinese.get(it, it) for it in title.split(": ")) for title in titles}  # noqa: RUF001
        extra["tune_a_video_zh"] = chinese
        if self._app:
            extra |= {"linearMode": True, "linearData": self._app}
        return {
            "revision": 0, "last_node_id": len(self._nodes), "last_link_id": len(self._links), "nodes": self._nodes,
            "links": self._links, "groups": self._groups, "config": {}, "extra": extra, "version": 0.4,
        }  # fmt: skip

    def _place(self, content: dict, taken: int, height: int = 0) -> None:
        """Put a node below those of its column, where it takes up `taken` pixels under its title."""
        top = self._bottom + GAP + (TITLE if self._bottom > self._top - GAP else 0)
        node = {"id": len(self._nodes) + 1, "pos": [self._left, top], "size": [self._width, height or taken]}
        node |= {"flags": {}, "order": len(self._nodes), "mode": 0, "inputs": [], "outputs": []} | content
        self._nodes.append(node)
        self._bottom = top + taken
        if self._groups and self._groups[-1]["bounding"][0] == self._left - GROUP_MARGIN:
            bounding = self._groups[-1]["bounding"]
            bounding[3] = self._bottom + GROUP_MARGIN - bounding[1]

    def _slot(self, node: Node, index: int, name: str, specs: dict, source: Any) -> dict:
        kind = "COMFY_DYNAMICCOMBO_V3" if name in SAVE_VIDEO else specs[name][0]
        slot = {"name": name, "type": "COMBO" if isinstance(kind, list) else kind, "link": None}
        if name in SAVE_VIDEO or _is_widget(specs[name]):
            slot["widget"] = {"name": name}
        if isinstance(source, Output):
            output = self._nodes[source.node.number - 1]["outputs"][source.slot]
            slot["link"] = len(self._links) + 1
            output["links"].append(slot["link"])
            self._links.append([slot["link"], source.node.number, source.slot, node.number, index, output["type"]])
        return slot


def _is_widget(spec: list) -> bool:
    return isinstance(spec[0], list) or spec[0] in WIDGETS


def _values(type: str, specs: dict, inputs: dict) -> dict[str, Any]:
    """Return the values of a node's widgets, in the order in which the page makes them."""
    values = {}
    for name, spec in specs.items():
        if not _is_widget(spec):
            continue
        options = spec[1] if len(spec) > 1 else {}
        choices = spec[0] if isinstance(spec[0], list) else options.get("options", [""])
        value = inputs.get(name)
        default = options.get("default", "" if spec[0] == "STRING" else choices[0] if choices else "")
        values[name] = default if value is None or isinstance(value, Output) else value
        if options.get("video_upload"):
            values["upload"] = "image"
    if type == "TAVLoadVideo":
        values["upload"] = values.pop("upload")  # its own button, the last of its widgets
    return values | SAVE_VIDEO if type == "SaveVideo" else values


def _shown(type: str, slots: list[str], inputs: dict) -> list[str]:
    """Leave out results that are not connected, but one."""
    free = [name for name in slots if name.startswith("result_") and name not in inputs][1:]
    return [name for name in slots if name not in free]


def _height(type: str, specs: dict, sockets: int, outputs: int, values: dict) -> int:
    """Return the pixels that a node needs below its title, with the advanced widgets hidden."""
    options = {name: spec[1] if len(spec) > 1 else {} for name, spec in specs.items()}
    lines = [name for name in values if not options.get(name, {}).get("advanced")]
    texts = [name for name in lines if options.get(name, {}).get("multiline")]
    height = max(sockets, outputs) * SLOT + (len(lines) - len(texts)) * WIDGET + len(texts) * TEXT
    advanced = any(option.get("advanced") for option in options.values())
    return height + 14 + PANELS.get(type, 0) + type.startswith("TAV") * (BADGE + advanced * ADVANCED)


def _properties(type: str, values: dict) -> dict:
    if type.startswith("TAV"):
        return {"cnr_id": "comfyui-tune-a-video", "ver": "0.1.0"}
    models = [
        {"name": value, "url": MODELS[value][1], "directory": MODELS[value][0]}
        for value in values.values()
        if isinstance(value, str) and value in MODELS
    ]
    return {"models": models} if models else {}
