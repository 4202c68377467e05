"""Look for faults at random: kills, cancels, damaged clips and files, hostile requests. Not part of ``make test``.

    python tests/campaign.py --seed 1

The same seed and counts give the same damage; when a process is killed depends on the machine. It prints, per kind of
trial, how many there were and how they ended. Its exit status is 1 where anything ended as it must not (the columns
after "bad:").
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "core")]

GOOD = ("read", "refused", "finished", "resumed", "answered")
"""Allowed endings of a trial; everything else is a fault."""
MEMORY = 2 * 2**30
"""Bytes that reading a damaged file of a few kilobytes may take above what the process had."""
SECONDS = 20


def work(kind: str, seed: int, first: int, last: int) -> None:
    """Try the damage of these numbers, and print how each ended; in a process of its own, which it may bring down."""
    import av
    import torch
    from campaign_files import SOURCES, BrokenPromise, damage

    from tav_core.errors import TuningError

    torch.set_num_threads(1)
    av.logging.set_level(av.logging.PANIC)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        whole = list(SOURCES[kind](Path(folder)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        for number in range(first, last):
            chance = random.Random(f"{seed} {kind} {number}")
            data, suffix, read = chance.choice(whole)
            path = Path(folder) / f"damaged{suffix}"
            path.write_bytes(damage(data, chance))
            print(json.dumps([number, "started"]), flush=True)
            began, end = time.monotonic(), "read"
            try:
                read(path)
            except BrokenPromise:
                end = "broken promise"
            except (ValueError, OSError, TuningError) as error:
                sentence = str(error)
                end = "refused" if len(sentence) < 3000 and sentence[-1:] in ".?)'" else f"no sentence: {sentence[:80]}"
            except Exception as error:
                end = f"traceback: {type(error).__name__}"
            if time.monotonic() - began > SECONDS:
                end = "slow"
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before > MEMORY:
                end = "much memory"
            print(json.dumps([number, end]), flush=True)
            if end == "much memory":
                return


def damaged(kind: str, seed: int, count: int, seconds: float) -> Counter:
    """Try ``count`` damaged files, in as many processes as it takes; starting the first takes no part of the time."""
    ends, number, deadline = Counter(), 0, None
    while number < count and (deadline is None or time.monotonic() < deadline):
        command = [sys.executable, __file__, "--work", kind, str(seed), str(number), str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
            last = "started"
            for line in worker.stdout:
                number, last = json.loads(line)
                deadline = deadline or time.monotonic() + seconds
                if last != "started":
                    ends[last] += 1
                if time.monotonic() > deadline:
                    worker.kill()
                    return ends
        if deadline is None:
            return Counter({"did not start": 1})
        if last == "started":
            ends[f"crash ({worker.returncode})"] += 1
        number += 1
    return ends


def interrupted(kind: str, seed: int, count: int, seconds: float) -> Counter:
    """Kill or cancel runs of the command line at a random moment, and resume them."""
    import torch
    from cli_runs import PROMPTS, settings
    from tiny_checkpoint import make_folder

    import tav_core
    from tav_core.files import file_name
    from tav_core.saved.inverted import load_inverted

    ends, chance = Counter(), random.Random(f"{seed} {kind}")
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        make_folder(world / "model")
        tav_core.save_video(world / "clip.mp4", torch.rand(8, 32, 32, 3), 10)
        changes = {"checkpointing_steps": 1, "validation_steps": 2, "max_train_steps": 4}
        began = time.monotonic()
        run = [sys.executable, "-m", "tav_core", "run"]
        quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*run, settings(world, "first", **changes), "--device", "cpu"], check=True, **quiet)
        whole = time.monotonic() - began
        deadline = time.monotonic() + seconds
        for number in range(count):
            if time.monotonic() > deadline:
                break
            output = world / str(number)
            command = [*run, settings(world, str(number), **changes), "--device", "cpu"]
            with subprocess.Popen(command, **quiet) as process:
                time.sleep(chance.uniform(0.3, 1) * whole)
                number_of_signal = signal.SIGKILL if kind == "kills" else chance.choice((signal.SIGINT, signal.SIGTERM))
                process.send_signal(number_of_signal)
            try:
                for reader, pattern in (
                    (tav_core.load_tuned, "tuned.safetensors"),
                    (tav_core.load_tune_state, "tune-state.safetensors"),
                    (load_inverted, "inverted.safetensors"),
                    (tav_core.probe_video, "**/*.mp4"),
                ):
                    for path in output.glob(pattern):
                        reader(path)
            except ValueError:
                ends["corrupt file"] += 1
                continue
            if kind == "cancels" and process.returncode not in (130, 0, -signal.SIGTERM, -signal.SIGINT):
                ends[f"status {process.returncode}"] += 1
                continue
            time.sleep(2)  # a folder that was just made may still become someone's
            resumed = subprocess.run([*command, "--resume"], **quiet).returncode
            names = [file_name(prompt) for prompt in PROMPTS]
            wanted = [output / "tuned.safetensors", *(output / f"{name}.mp4" for name in names)]
            wanted += [output / "samples" / "step-2" / f"{name}.mp4" for name in names]
            if resumed:
                ends[f"not resumed ({resumed})"] += 1
            elif not all(path.is_file() for path in wanted):
                ends["lost work"] += 1
            elif list(output.rglob(".*")):
                ends["leftovers"] += 1
            else:
                ends["resumed"] += 1
    return ends


def requests(seed: int, count: int, seconds: float) -> Counter:
    """Ask a study's server for what it must not do, and for nonsense; it must answer, and go on."""
    import torch

    import tav_core
    from tav_core.study.folder import read_results
    from tav_core.study.rating import Study
    from tav_core.study.server import StudyServer

    ends = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for system in ("ours", "theirs"):
            tav_core.save_video(Path(folder) / system / "cat.mp4", torch.rand(2, 16, 16, 3), 8)
        (Path(folder) / "prompts.json").write_text('{"cat": "a cat"}')
        with StudyServer(Study(read_results(folder)), port=0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            deadline = time.monotonic() + seconds
            for number in range(count):
                if time.monotonic() > deadline:
                    break
                ends[_hostile(server, random.Random(f"{seed} requests {number}"))] += 1
            server.shutdown()
        answers = Path(folder) / "answers.jsonl"
        if answers.exists() and answers.read_bytes():
            ends["wrote an answer"] += 1
    return ends


def _hostile(server: object, chance: random.Random) -> str:
    paths = (
        "/",
        "/api/question",
        "/api/answer",
        "/video/x",
        "/../answers.jsonl",
        "/video/../../etc/passwd",
        "//",
        "/%00",
    )
    queries = (
        "",
        "?rater=anna",
        "?rater=%ED%A0%80",
        "?rater=a&number=-1",
        f"?rater=a&number={'9' * 5000}",
        "?rater=" * 50,
    )
    bodies = (b"", b"{", b"[" * 4000, b'{"rater": "\\ud800", "id": "x", "choice": "left"}', b"\xff" * 100, b"x" * 10**5)
    headers = {
        "Content-Type": chance.choice(("application/json", "text/plain", "")),
        "Host": chance.choice(("localhost", "127.0.0.1", "elsewhere.example", "[", "a" * 1000)),
        "Origin": chance.choice(("http://elsewhere.example", "null", "http://[", "")),
    }
    if chance.random() < 0.2:
        headers["Content-Length"] = chance.choice(("-1", "x", "9" * 30, "0"))
    connection = HTTPConnection(*server.server_address, timeout=5)
    try:
        method = chance.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "X" * 100))
        connection.request(method, chance.choice(paths) + chance.choice(queries), chance.choice(bodies), headers)
        response = connection.getresponse()
        content = response.read()
    except (HTTPException, OSError) as error:
        # a body that nobody reads is cut off, which is right
        return (
            "answered" if isinstance(error, (ConnectionError, HTTPException)) else f"no answer: {type(error).__name__}"
        )
    finally:
        connection.close()
    if response.status >= 500 and response.status != 501:
        return f"status {response.status}"
    return "traceback sent" if b"Traceback" in content else "answered"


def main() -> int:
    """Run the campaign; see the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=12, help="shared by the kinds of trials; setting up is extra")
    for name, default in (("kills", 20), ("cancels", 12), ("clips", 600), ("files", 600), ("requests", 400)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"at most so many (default {default})")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        kind, *numbers = arguments.work
        work(kind, *map(int, numbers))
        return 0
    shares = {"requests": 0.05, "files": 0.2, "clips": 0.25, "cancels": 0.2, "kills": 0.3}
    faults = 0
    print(f"seed {arguments.seed}, at most {arguments.minutes:g} minutes of trials\n")
    for kind, share in shares.items():
        began, count = time.monotonic(), getattr(arguments, kind)
        if not count:
            continue
        seconds = 60 * arguments.minutes * share
        if kind == "requests":
            ends = requests(arguments.seed, count, seconds)
        else:
            ends = (damaged if kind in ("clips", "files") else interrupted)(kind, arguments.seed, count, seconds)
        bad = {end: times for end, times in ends.items() if end not in GOOD}
        faults += sum(bad.values())
        good = ", ".join(f"{times} {end}" for end, times in sorted(ends.items()) if end in GOOD)
        print(
            f"{kind:9} {sum(ends.values()):4} in {time.monotonic() - began:4.0f} s: {good}; bad: {bad or 'none'}",
            flush=True,
        )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
