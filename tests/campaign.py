"""Look for faults at random: kills, cancels, damaged clips and files, hostile requests. Not part of ``make test``.

    python tests/campaign.py --seed 1
    python tests/campaign.py --seed 1 --only kills comfyui

The same seed and counts give the same damage; when a process is killed depends on the machine. It prints, per kind of
trial, how many there were, how they ended, and the CPU seconds that they took. Its exit status is 1 where anything
ended as it must not (after "bad:").
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import re
import resource
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
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / name) for name in ("", "core", "host"))]

GOOD = re.compile(r"read|refused|resumed \(\w+\)|answered|closed|cancelled [\w ]+|status [234]\d\d")
"""Allowed endings of a trial; everything else is a fault."""
COUNTS = {"requests": 400, "files": 900, "clips": 600, "cancels": 20, "kills": 30, "comfyui": 600, "stops": 12}
SHARES = {"requests": 0.3, "files": 2, "clips": 3, "cancels": 2, "kills": 3, "comfyui": 1.5, "stops": 2}
"""Minutes that a kind of trial takes at most, setting up left out."""
MEMORY = 2 * 2**30
"""Bytes that reading a damaged file of a few kilobytes may take above what the process had."""
SECONDS = 20


def work(kind: str, seed: int, first: int, last: int) -> None:
    """Try the damage of these numbers, and print how each ended; in a process of its own, which it may bring down."""
    import torch
    from campaign_files import SOURCES, BrokenPromise, damage

    from tav_core.errors import TuningError

    torch.set_num_threads(1)
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
            faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # where it hangs
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


def requests(seed: int, count: int, deadline: float) -> Counter:
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
        dropped = isinstance(error, (ConnectionError, HTTPException))
        return "answered" if dropped else f"no answer: {type(error).__name__}"
    finally:
        connection.close()
    if response.status >= 500 and response.status != 501:
        return f"status {response.status}"
    return "traceback sent" if b"Traceback" in content else "answered"


def in_comfyui(kind: str, seed: int, count: int, seconds: float) -> Counter:
    """Ask or cancel a real ComfyUI."""
    import campaign_comfyui

    with tempfile.TemporaryDirectory() as folder, campaign_comfyui.started(Path(folder)) as server:
        trial = campaign_comfyui.requests if kind == "comfyui" else campaign_comfyui.cancels
        return trial(server, seed, count, time.monotonic() + seconds)


def try_all(kind: str, seed: int, count: int, seconds: float) -> Counter:
    """Make the trials of a kind, and count how they ended."""
    if kind in ("clips", "files"):
        return damaged(kind, seed, count, seconds)
    if kind in ("comfyui", "stops"):
        return in_comfyui(kind, seed, count, seconds)
    if kind == "requests":
        return requests(seed, count, time.monotonic() + seconds)
    from campaign_runs import interrupted

    return interrupted(kind, seed, count, time.monotonic() + seconds)


def main() -> int:
    """Run the campaign; see the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=COUNTS, default=list(COUNTS), help="kinds of trials")
    parser.add_argument("--slower", type=float, default=1, help="multiply the time limits, on a busy machine")
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"at most so many (default {default})")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        kind, *numbers = arguments.work
        work(kind, *map(int, numbers))
        return 0
    faults = 0
    print(f"seed {arguments.seed}", flush=True)
    for kind in arguments.only:
        began, before = time.monotonic(), _cpu_seconds()
        ends = try_all(kind, arguments.seed, getattr(arguments, kind), 60 * SHARES[kind] * arguments.slower)
        bad = {end: times for end, times in ends.items() if not GOOD.fullmatch(end)}
        faults += sum(bad.values())
        good = ", ".join(f"{times} {end}" for end, times in sorted(ends.items()) if end not in bad)
        print(
            f"{kind:9} {sum(ends.values()):4} in {time.monotonic() - began:4.0f} s, {_cpu_seconds() - before:.0f} s of "
            f"CPU: {good}; bad: {bad or 'none'}",
            flush=True,
        )
    return int(faults > 0)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    sys.exit(main())
