"""Start a real ComfyUI with this pack linked in, and drive it over its API as the browser does.

Nothing is written into ComfyUI's folder: models, inputs, outputs and the log live in a folder that the caller gives.

    server = ComfyServer(find_comfyui(), tmp_path)  # see comfy_install
    server.start()
    graph = Graph()
    loader = graph.add("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    latent = graph.add("EmptyLatentImage", width=64, height=64, batch_size=4)
    saved = graph.add("SaveLatent", samples=latent[0])
    entry = server.run(graph)
    server.latent(entry, saved)      # tensor [4, 4, 8, 8]
    server.stop()
"""

import io
import json
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket
from comfy_install import REPOSITORY, ComfyInstall, environment, program

PACK_FOLDER = "Tune A Video-1.0"  # no Python name, on purpose: the pack has to load under any folder name
START_SECONDS = 180


class ComfyError(Exception):
    """A graph was refused or failed. `message` is the text that the user sees; str() has all there is to know."""

    def __init__(self, message: str, details: str = "", node_type: str | None = None):
        super().__init__(f"{message}\n{details}" if details else message)
        self.message = message
        self.node_type = node_type


class Interrupted(ComfyError):
    """The graph was cancelled."""


class Graph:
    """A graph in ComfyUI's API format, built node by node."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict] = {}

    def add(self, class_type: str, **inputs: Any) -> "Node":
        """Add a node; an input is a value, or an output of another node (`node[0]`)."""
        node = Node(str(len(self.nodes) + 1))
        self.nodes[node.id] = {"class_type": class_type, "inputs": inputs}
        return node


@dataclass(frozen=True)
class Node:
    id: str

    def __getitem__(self, output: int) -> list:
        return [self.id, output]


@dataclass(frozen=True)
class Event:
    """One message of ComfyUI to the browser.

    kind: ComfyUI's name (`executing`, `progress`, `progress_state`, `executed`, ...), or `preview` for an image on a
    node (data: node_id, image as the bytes of a JPEG or PNG), or `text` for a line on a node (data: node_id, text).
    """

    kind: str
    data: dict


class ComfyServer:
    """A ComfyUI process on a free port of this machine.

    folder: becomes ComfyUI's base directory, with custom_nodes/, models/, input/ and output/.
    packs: folders to link into custom_nodes: name there -> folder.
    options: more of ComfyUI's command line options.
    """

    def __init__(
        self, install: ComfyInstall, folder: Path, packs: dict[str, Path] | None = None, options: tuple[str, ...] = ()
    ):
        self.install = install
        self.folder = folder
        self.log = folder / "comfyui.log"
        self.events: list[Event] = []
        self._client = uuid.uuid4().hex
        self._options = options
        self._process: subprocess.Popen | None = None
        for name in ("custom_nodes", "input", "output", "models/checkpoints", "models/loras"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, target in ({PACK_FOLDER: REPOSITORY} if packs is None else packs).items():
            (folder / "custom_nodes" / name).symlink_to(target, target_is_directory=True)

    # The process

    def start(self) -> None:
        """Start ComfyUI and return when it answers. Raises RuntimeError with the end of its log when it does not."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            self.install.python, *program(), "--listen", "127.0.0.1", "--port", str(port),
            "--base-directory", self.folder, "--database-url", "sqlite:///:memory:",
            "--disable-auto-launch", "--disable-api-nodes", "--preview-method", "latent2rgb", *self._options,
        ]  # fmt: skip
        variables = environment()
        if "comfyui-workflow-templates==0.1." in (self.install.folder / "requirements.txt").read_text():
            # such a ComfyUI does not start beside a later templates package, which keeps no files of its own
            package = self.folder / "stand-ins" / "comfyui_workflow_templates"
            (package / "templates").mkdir(parents=True, exist_ok=True)
            (package / "templates" / "index.json").write_text("[]")
            (package / "__init__.py").touch()
            variables["PYTHONPATH"] = str(package.parent)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.install.folder, env=variables, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"ComfyUI in {self.install.folder} did not start:\n{self._log_end()}")
            try:
                self.get("/system_stats")
                break
            except OSError:
                time.sleep(0.2)
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}/ws?clientId={self._client}", timeout=10)
        self._socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))

    def stop(self) -> None:
        """End the process; harmless when it has ended already."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    # Graphs

    def post(self, graph: Graph | dict, workflow: str | None = None) -> str:
        """Queue a graph and forget the events before it; returns its prompt id.

        workflow: the id of the workflow that a page would have queued it from.
        Raises ComfyError with what each node objects to when ComfyUI refuses the graph.
        """
        self.events = []
        nodes = graph.nodes if isinstance(graph, Graph) else graph
        extra = {"extra_pnginfo": {"workflow": {"id": workflow}}} if workflow else {}
        answer = self.send("/prompt", {"prompt": nodes, "client_id": self._client, "extra_data": extra})
        if "prompt_id" not in answer or answer["node_errors"]:
            message = answer["error"]["message"] if answer.get("error") else "Prompt has invalid nodes"
            objections = []
            for node in answer["node_errors"].values():
                for error in node["errors"]:
                    objections.append(f"{node['class_type']}: {error['message']}: {error['details']}")
            of = {node["class_type"] for node in answer["node_errors"].values()}
            raise ComfyError("\n".join(objections) or message, message, of.pop() if len(of) == 1 else None)
        return answer["prompt_id"]

    def finish(self, prompt_id: str, timeout: float = 120) -> dict:
        """Wait until the graph is done; returns its history entry (`entry["outputs"][node id]`).

        Raises Interrupted when it was cancelled, ComfyError with the node's message when a node failed, TimeoutError.
        """
        self.wait_for("executing", timeout, node=None, prompt_id=prompt_id)
        entry = self.get(f"/history/{prompt_id}")[prompt_id]
        for kind, data in entry["status"]["messages"]:
            if kind == "execution_interrupted":
                raise Interrupted("cancelled", node_type=data["node_type"])
            if kind == "execution_error":
                details = f"in {data['node_type']}, {data['exception_type']}\n{''.join(data['traceback'])}"
                raise ComfyError(data["exception_message"].strip(), details, data["node_type"])
        return entry

    def run(self, graph: Graph | dict, timeout: float = 120) -> dict:
        """Queue a graph and wait until it is done; see `post` and `finish`."""
        return self.finish(self.post(graph), timeout)

    def wait_for(self, kind: str, timeout: float = 60, **data: Any) -> Event:
        """Return the next event of this kind with these entries in its data, or raise TimeoutError.

        Every event that comes by is kept in `events`.
        """
        deadline = time.monotonic() + timeout
        while True:
            event = self._receive(deadline, kind)
            self.events.append(event)
            if event.kind == kind and all(event.data.get(key, ...) == value for key, value in data.items()):
                return event

    def interrupt(self) -> None:
        """Press Cancel."""
        self.send("/interrupt", {})

    def free(self) -> None:
        """Press "Unload models and execution cache"; ComfyUI acts on it before it takes up the next graph."""
        self.send("/free", {"unload_models": True, "free_memory": True})

    # Files

    def upload(self, path: Path) -> str:
        """Send a file to ComfyUI's input folder as the browser does; returns its name there."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        request = urllib.request.Request(
            f"{self.url}/upload/image", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["name"]

    def files(self, entry: dict, node: Node) -> list[bytes]:
        """Return the contents of the files that a node showed, in order (images, latents, videos)."""
        shown = entry["outputs"].get(node.id, {}).values()
        locations = [item for items in shown for item in items if isinstance(item, dict) and "filename" in item]
        return [self.file(location) for location in locations]

    def file(self, location: dict) -> bytes:
        """Return the contents of a file, by where a node says it is (filename, subfolder, type)."""
        query = urllib.parse.urlencode({key: location[key] for key in ("filename", "subfolder", "type")})
        with urllib.request.urlopen(f"{self.url}/view?{query}", timeout=60) as answer:
            return answer.read()

    def images(self, entry: dict, node: Node) -> Any:
        """Return the images that a Save Image or Preview Image node showed: uint8 array [n, height, width, 3]."""
        import numpy as np
        from PIL import Image

        return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in self.files(entry, node)])

    def latent(self, entry: dict, node: Node) -> Any:
        """Return the tensor that a Save Latent node wrote."""
        from safetensors.torch import load

        return load(self.files(entry, node)[0])["latent_tensor"]

    # The protocol

    def object_info(self, class_type: str | None = None) -> dict:
        """Return ComfyUI's description of its nodes (or of one)."""
        return self.get("/object_info") if class_type is None else self.get(f"/object_info/{class_type}")[class_type]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def send(self, path: str, data: dict) -> dict:
        """POST data as JSON; return the answer, also that of an error."""
        request = urllib.request.Request(
            self.url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text else {}

    def _receive(self, deadline: float, kind: str) -> Event:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            message = self._socket.recv()
        except websocket.WebSocketTimeoutException:
            raise TimeoutError(f"no {kind!r} event came in time; ComfyUI's log ends:\n{self._log_end()}") from None
        except (websocket.WebSocketException, OSError) as error:
            raise RuntimeError(f"ComfyUI went away ({error}); its log ends:\n{self._log_end()}") from error
        if isinstance(message, str):
            content = json.loads(message)
            return Event(content["type"], content["data"])
        number, length = struct.unpack(">II", message[:8])
        first, rest = message[8 : 8 + length], message[8 + length :]
        if number == 3:
            return Event("text", {"node_id": first.decode(), "text": rest.decode()})
        if number == 4:
            return Event("preview", {"node_id": json.loads(first)["node_id"], "image": rest})
        return Event("binary", {"number": number})

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])
