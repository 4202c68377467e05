"""A tuning as the page shows it: stored here for pages that load later, and sent to those that are open."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management
from comfy.cli_args import args
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ... import tav_core
from .folders import KEY

_SECONDS_BETWEEN_MESSAGES = 0.1
_MOST_RUNS = 50
_runs: OrderedDict[str, Run] = OrderedDict()
"""The last runs by their ids, oldest first."""
_stops: Counter[str] = Counter()
"""Count of stopped tunings, by node."""


class Run:
    """One execution of One-Shot Tune.

    Args:
        node: ComfyUI's id of the node; "12:5" is node 5 within the subgraph node 12.
        workflow: id of the workflow in the page that queued it; None for one queued without a page.
        steps: steps in all.
        preview_every: steps from one preview to the next; 0 for none.
    """

    def __init__(self, node: str, workflow: str | None, steps: int, preview_every: int) -> None:
        context = get_executing_context()
        self.id = uuid.uuid4().hex
        self.node, self.workflow, self.steps, self.preview_every = node, workflow, steps, preview_every
        self.prompt = context.prompt_id if context else None
        self._client = PromptServer.instance.client_id
        self.state = "running"
        """``running``, then ``done``, ``stopped`` (and kept), ``cancelled`` or ``failed``."""
        self.losses: list[float] = []
        self.validation: list[tuple[int, float]] = []
        """(step, validation loss), from step 0 on; see :mod:`tav_core.diffusion.validation`."""
        self.previews: list[dict] = []
        """For each preview its step (None: the clip itself), where /view finds the file, and a sprite sheet of it."""
        self._continued_from = 0
        self._learning_rate: float | None = None
        self._sampling = False
        self._stop = threading.Event()
        self._started = self._step_began = time.monotonic()
        self._reason = self._note = ""
        self._ended: float | None = None
        self._step_seconds: deque[float] = deque(maxlen=20)
        self._preview_seconds: deque[float] = deque(maxlen=3)
        self._sent_at, self._sent_losses = 0.0, 0

    @property
    def stopping(self) -> bool:
        """Return whether the user pressed "Stop and keep"."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End the tuning after the current step."""
        self._stop.set()

    def begin(self, state: tav_core.TuneState | None, previews: list[dict], note: str) -> None:
        """Begin after the steps of an earlier run, if there is its state.

        Args:
            previews: those of the earlier run that still hold.
            note: for the user: why an earlier run is not continued; "" if it is, or if there was none.
        """
        if state:
            self.losses = [_short(loss) for loss in state.losses]
            self.validation = [(step, _short(loss)) for step, loss in state.validation]
        self.previews, self._note = list(previews), note
        self._continued_from = self._sent_losses = len(self.losses)
        self._step_began = time.monotonic()
        _send("start", self.summary(), self._client)

    def step(self, loss: float, learning_rate: float) -> None:
        """Record a finished step."""
        now = time.monotonic()
        self._step_seconds.append(now - self._step_began)
        self._step_began = now
        self.losses.append(_short(loss))
        self._learning_rate = learning_rate
        if now - self._sent_at >= _SECONDS_BETWEEN_MESSAGES or len(self.losses) == self.steps:
            self._send_steps()

    def validated(self, step: int, loss: float) -> None:
        """Record a validation loss; it is sent with the next step."""
        self.validation.append((step, _short(loss)))

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Mark the time in which a preview is sampled; it does not count as that of a step."""
        self._sampling, began = True, time.monotonic()
        self._send_steps()
        try:
            yield
        finally:
            self._sampling = False
            self._step_began = time.monotonic()
            self._preview_seconds.append(self._step_began - began)

    def add_preview(self, step: int | None, files: dict) -> None:
        """Record a preview of the weights after ``step``, or the clip itself, by its files in ComfyUI's temporary
        folder."""
        preview = {"step": step, **files}
        self.previews = [p for p in self.previews if p["step"] != step] + [preview]
        _send("preview", {**self._names(), "preview": preview}, self._client)

    def end(self, state: str, reason: str = "") -> None:
        """Record how it ended: a ``state``, and for a failure the error message."""
        self.state, self._reason, self._ended = state, reason, time.monotonic()
        self._send_steps()
        _send("end", self._progress(), self._client)

    def summary(self) -> dict:
        """Return everything that the page shows, as JSON."""
        return {
            **self._progress(),
            "preview_every": self.preview_every,
            "continued_from": self._continued_from,
            "losses": list(self.losses),
            "previews": list(self.previews),
        }

    def _names(self) -> dict:
        return {"run": self.id, "node": self.node, "prompt": self.prompt, "workflow": self.workflow}

    def _progress(self) -> dict:
        return {
            **self._names(),
            "state": self.state,
            "reason": self._reason,
            "note": self._note,
            "steps": self.steps,
            "validation": list(self.validation),
            "learning_rate": self._learning_rate,
            "sampling": self._sampling,
            "stopping": self.stopping,
            "seconds": round((self._ended or time.monotonic()) - self._started, 1),
            "seconds_left": self._seconds_left(),
        }

    def _seconds_left(self) -> float | None:
        if self.state != "running" or not self._step_seconds:
            return None
        done = len(self.losses)
        seconds = (self.steps - done) * _mean(self._step_seconds)
        if self.preview_every and self._preview_seconds:
            last = self.steps // self.preview_every + (self.steps % self.preview_every > 0)
            seconds += (last - done // self.preview_every) * _mean(self._preview_seconds)
        return round(seconds, 1)

    def _send_steps(self) -> None:
        first, self._sent_losses, self._sent_at = self._sent_losses, len(self.losses), time.monotonic()
        _send("step", {**self._progress(), "from": first, "losses": self.losses[first:]}, self._client)


@contextmanager
def live_run(node: str, extra_pnginfo: dict | None, steps: int, preview_every: int) -> Iterator[Run]:
    """Register a run that pages see from now on, and that ends with this block.

    Args:
        extra_pnginfo: ComfyUI's metadata for pictures; holds the workflow if a page queued it.
    """
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    content = workflow if isinstance(workflow, dict) else {}
    workflow = content.get("id")
    workflow = workflow if isinstance(workflow, str) else None
    run = Run(node, workflow, steps, preview_every)
    if isinstance(content.get("extra"), dict):  # files that this prompt saves with it name the run
        content["extra"][f"{KEY}_runs"] = {**content["extra"].get(f"{KEY}_runs", {}), node: run.id}
    _runs[run.id] = run
    if len(_runs) > _MOST_RUNS:
        _runs.popitem(last=False)
    try:
        yield run
    except comfy.model_management.InterruptProcessingException:
        run.end("cancelled")
        raise
    except BaseException as error:
        run.end("failed", str(error) or type(error).__name__)
        raise
    if run.stopping and len(run.losses) < run.steps:
        _stops[node] += 1
        run.end("stopped")
    else:
        run.end("done")


def runs_of(workflow: str | None) -> list[Run]:
    """Return the last run of every node of a workflow; for None, the runs that came without a workflow, which with
    ``--multi-user`` may be another user's and are not given."""
    if workflow is None and args.multi_user:
        return []
    return list({run.node: run for run in list(_runs.values()) if run.workflow == workflow}.values())


def find_run(run_id: str) -> Run | None:
    """Return a run of any workflow by its id, if it is still known."""
    return _runs.get(run_id)


def stops() -> int:
    """Return how often a tuning of the node at work was stopped: ComfyUI runs it again when that changes."""
    # ComfyUI 0.3.64 gives a node no hidden inputs when it asks for its fingerprint
    return _stops[get_executing_context().node_id]


def _short(loss: float) -> float:
    return float(f"{loss:.6g}")


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values)


def _send(event: str, data: dict, client: str | None) -> None:
    """Send an event to every open page, which ignores those of nodes that it does not show; with ``--multi-user`` only
    to the page that queued the run, whose id lets it be stopped."""
    if PromptServer.instance.sockets:
        PromptServer.instance.send_sync(f"{KEY}.{event}", data, client if args.multi_user else None)
