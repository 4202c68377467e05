"""Run many configurations, in order or over a Ray cluster, into one table.

An item is finished when its ``result.json`` exists, which is written last. A sweep that is started again skips finished
items and resumes the one that was being tuned.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from ..errors import TuningError
from ..files import only_user, parse_json, write_text
from ..scoring.scorers import load_scorers
from ..terminal import runs
from ..terminal.config import Config
from ..terminal.interrupt import Interrupted
from ..terminal.run_folder import CONFIG, LOSSES, STATE, with_prompts
from ..terminal.session import Session
from .sweep_items import Item
from .sweep_table import Outcome, as_text, write_tables

RESULT = "result.json"
_STORE_BYTES = 100 * 2**20
"""Ray's shared memory on a local cluster; a result is a few hundred bytes per item."""


@dataclass(frozen=True)
class ScoreModels:
    """Folders of the scoring models; None for the default ones, if they are on this machine."""

    clip: str | None = None
    pickscore: str | None = None


def sweep(
    items: Sequence[Item], folder: Path, ray: str | None = None, models: ScoreModels | None = None
) -> list[Outcome]:
    """Run every item that is not finished, score it, and write the tables to ``folder`` after each.

    A failing item does not stop the others: its error appears in the tables, and it is tried again next time.

    Args:
        ray: address of a Ray cluster, or ``local`` to start one on this machine; None to run in order without Ray. Its
            machines need this package's requirements and the same paths; an item takes one CPU, and a GPU if the
            cluster has any. A Ray that is already initialised is used as it is.
        models: models to score with.

    Returns:
        one outcome per item, in their order.

    Raises:
        ValueError: Ray is not installed, or the cluster cannot be reached.
        Interrupted: after Ctrl-C; finished items are kept.
    """
    outcomes: dict[str, Outcome] = {}
    for item in items:
        finished = Outcome(item.name, item.error) if item.config is None else _finished(item.config)
        if finished:
            outcomes[item.name] = finished
    open_items = [item for item in items if item.name not in outcomes]
    if len(open_items) < len(items):
        tqdm.write(f"{len(items) - len(open_items)} of {len(items)} items are finished or cannot start.")

    def ordered() -> list[Outcome]:
        return [outcomes[item.name] for item in items if item.name in outcomes]

    try:
        models = models or ScoreModels()
        for outcome in _over_ray(open_items, models, ray) if ray else _in_order(open_items, models):
            outcomes[outcome.name] = outcome
            write_tables(folder, ordered())
    except (Interrupted, KeyboardInterrupt):
        write_tables(folder, ordered())
        done = sum(not outcome.error for outcome in outcomes.values())
        raise Interrupted(f"Stopped with {done} of {len(items)} items finished; the same command continues.") from None
    write_tables(folder, ordered())
    return ordered()


def run_item(item: Item, models: ScoreModels) -> Outcome:
    """Tune, invert and sample as ``tav run`` does, and write the result; an error is recorded in the outcome."""
    config, start = item.config, time.perf_counter()
    folder, session = Path(config.output_dir), None
    try:
        with only_user(folder):
            resumed = "latest" if (folder / STATE).exists() and _same_but_prompts(config) else None
            session = Session(replace(config, resume_from_checkpoint=resumed))
            session.load()  # first: an earlier result is kept when the clip or the checkpoint is missing
            (folder / RESULT).unlink(missing_ok=True)
            videos = runs.run(session)
            scorers = load_scorers(models.clip, models.pickscore)
            outcome = Outcome(
                item.name,
                seconds=round(time.perf_counter() - start, 1),
                loss=_last_loss(folder),
                kinds=dict(zip(config.validation_data.prompts, item.kinds)),
                scores=scorers.of_edits(videos, session.clip.frames, session.device),
            )
            write_text(folder / RESULT, json.dumps(asdict(outcome), indent=2, ensure_ascii=False))
            return outcome
    except Interrupted:
        raise
    except Exception as error:  # of any kind: the other items still run
        return Outcome(item.name, _sentence(error), round(time.perf_counter() - start, 1))
    finally:
        if session:
            session.deflate()  # network and inflation hold each other, and the next item needs the memory


def _in_order(items: Sequence[Item], models: ScoreModels) -> Iterator[Outcome]:
    for number, item in enumerate(items, start=1):
        tqdm.write(f"Item {number} of {len(items)}: {item.name}")
        outcome = run_item(item, models)
        if outcome.error:
            tqdm.write(f"{item.name} failed: {outcome.error}")
        yield outcome


def _over_ray(items: Sequence[Item], models: ScoreModels, address: str) -> Iterator[Outcome]:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ValueError("--ray needs the package ray: run 'pip install ray'.") from error

    started = not ray.is_initialized()
    if started:
        # other machines get this very package; one that is started here has it
        package = {"runtime_env": {"py_modules": [str(Path(__file__).parents[1])]}}
        options = {"object_store_memory": _STORE_BYTES} if address == "local" else package
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(
                f"The Ray cluster {address} cannot be used ({_sentence(error)}): give the address that 'ray start' "
                "printed, and set RAY_AUTH_MODE=token if it asks for a token."
            ) from error
    gpus = ray.cluster_resources().get("GPU", 0)
    task = ray.remote(num_cpus=1, max_retries=0)(run_item)
    running = {
        task.options(num_gpus=int(gpus > 0 and item.config.device != "cpu")).remote(item, models): item
        for item in items
    }
    try:
        with tqdm(total=len(items), desc="sweep", unit="item", dynamic_ncols=True) as bar:
            while running:
                (ready,), _ = ray.wait(list(running))
                item = running.pop(ready)
                try:
                    outcome = ray.get(ready)
                except ray.exceptions.RayError as error:
                    *_, reason = str(error).strip().splitlines()  # below where it arose
                    outcome = Outcome(item.name, f"Ray: {reason}")
                bar.update()
                yield outcome
    finally:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=60)  # tuning ends its step and saves
        if started:
            ray.shutdown()


def _finished(config: Config) -> Outcome | None:
    """Return the outcome that an earlier sweep wrote for the same settings and prompts, if any."""
    file = Path(config.output_dir) / RESULT
    if not file.is_file() or not _same_but_prompts(config):
        return None
    try:
        outcome = Outcome(**parse_json(file.read_text(encoding="utf-8")))
        as_text([outcome])  # so that a damaged one fails here rather than when the tables are written
    except (ValueError, TypeError, AttributeError):
        return None
    return outcome if set(outcome.scores) == set(config.validation_data.prompts) else None


def _same_but_prompts(config: Config) -> bool:
    """Return whether the tuning in the item's folder has these settings; more prompts may have been sampled since."""
    try:
        there = Config.read(Path(config.output_dir) / CONFIG)
    except (ValueError, OSError):
        return False
    there = replace(there, output_dir=config.output_dir)  # the folder may have been moved
    return with_prompts(there, config.validation_data.prompts) == config


def _last_loss(folder: Path) -> float:
    lines = (folder / LOSSES).read_text(encoding="utf-8").splitlines()[1:]
    last = [float(line.split(",")[1]) for line in lines[-max(1, len(lines) // 10) :]]
    return sum(last) / len(last)


def _sentence(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return text if isinstance(error, (ValueError, OSError, TuningError)) and text else f"{type(error).__name__}: {text}"
