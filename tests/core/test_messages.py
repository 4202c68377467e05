"""Messages: one true sentence, without a traceback, a library's words, or another cause."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from cli_runs import settings
from study_server import serving

import tav_core
from tav_core.files import parse_json
from tav_core.study.folder import read_results
from tav_core.study.rating import Study
from tav_core.terminal import cli


def said(capsys, *arguments: str, code: int = 2) -> str:
    """Return the one sentence on stderr with which a command ends."""
    assert cli.main(list(arguments)) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tav: ")]
    assert len(lines) == 1 and lines[0].endswith((".", '"'))
    return lines[0]


def test_half_a_surrogate_pair_is_refused_where_it_is_read(cli_world: Path, tmp_path: Path, capsys):
    file = settings(cli_world, "surrogate", validation_data={"prompts": ["x"]})
    file.write_text(file.read_text().replace("- x", '- "\\ud800"'))
    assert "validation_data.prompts contains a character that is not valid Unicode" in said(capsys, "run", str(file))
    for system in ("ours", "theirs"):
        tav_core.save_video(tmp_path / system / "a.mp4", torch.rand(2, 16, 16, 3), 8)
    (tmp_path / "prompts.json").write_text('{"a": "\\ud800"}')
    with pytest.raises(ValueError, match=r"The prompt of a in .* contains a character that is not valid Unicode"):
        read_results(tmp_path)
    (tmp_path / "prompts.json").write_text('{"a": "a cat"}')
    study = Study(read_results(tmp_path))
    with pytest.raises(ValueError, match="The name contains a character"):
        study.question("\ud800")
    study.close()


def test_what_is_nested_too_deeply_is_refused(cli_world: Path, tmp_path: Path, capsys):
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)
    for system in ("ours", "theirs"):
        (tmp_path / system).mkdir()
    (tmp_path / "prompts.json").write_text("[" * 100_000)
    assert "cannot be read as JSON in UTF-8 (it is nested too deeply)" in said(capsys, "study", str(tmp_path))
    file = str(settings(cli_world, "nested"))
    assert "is not valid YAML" in said(capsys, "run", file, "--set", f"seed={'[' * 5000}")


def test_a_device_that_computes_nothing_is_refused(cli_world: Path, capsys):
    assert "The device 'meta' cannot be used" in said(
        capsys, "run", str(settings(cli_world, "meta")), "--device", "meta"
    )


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (ImportError("libx.so: failed to map segment from shared object"), "Out of memory", 1),
        (ImportError("libx.so: undefined symbol: y"), "A library cannot be loaded (libx.so: undefined symbol: y)", 2),
        (OSError(12, "Cannot allocate memory"), "Out of memory", 1),
        (PermissionError(13, "Permission denied", "config.json"), "config.json: Permission denied; check", 2),
        (OSError(28, "No space left on device"), "see that there is space for it", 2),
        (OSError(5, "Input/output error"), "Input/output error: a file could not be written or read; try again", 2),
    ],
)
def test_a_failure_of_the_system_is_named(cli_world: Path, monkeypatch, capsys, error, sentence: str, code: int):
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("tav_core.checkpoint.pipeline.load_folder", fail)
    assert sentence in said(capsys, "run", str(settings(cli_world, "fails")), "--device", "cpu", code=code)


def test_a_closed_pipe_is_no_full_disk(cli_world: Path):
    """``tav ... | head`` closes one."""
    code = (
        "import os, sys; from tav_core.terminal.cli import main\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "from argparse import Namespace; import tav_core.terminal.commands.study as command\n"
        "def run(arguments): print('x', flush=True)\n"
        "command.run = run; sys.exit(main(['study', '.']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_file_that_must_not_be_read_is_not_called_missing(tmp_path: Path, monkeypatch):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")

    def denied(path: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))  # root may read everything

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(PermissionError, match="Permission denied"):
        tav_core.load_tuned(tmp_path / "a.safetensors")


def test_long_names_in_files_are_shortened(tmp_path: Path):
    name = f"{'a' * 100_000}.attn_temp.to_q.weight"
    save_file({name: torch.tensor([torch.nan])}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="contains NaN or infinite values") as raised:
        tav_core.load_tuned(tmp_path / "a.safetensors")
    assert len(str(raised.value)) < 600
    from networks import small_unet

    with pytest.raises(ValueError, match="not in this network") as raised:
        tav_core.inflate(small_unet()).load_tuned_state_dict({name: torch.zeros(1)})
    assert len(str(raised.value)) < 1000


@pytest.fixture
def study(tmp_path: Path):
    """Serve a study; yield its server."""
    for system in ("ours", "theirs"):
        tav_core.save_video(tmp_path / system / "a.mp4", torch.rand(2, 16, 16, 3), 8)
    (tmp_path / "prompts.json").write_text(json.dumps({"a": "a cat"}))
    with serving(tmp_path) as server:
        yield server


def test_another_pages_answers_and_broken_ones_are_refused(study):
    from test_study import call

    question = json.loads(call(study, "GET", "/api/question?rater=anna")[2])
    body = json.dumps({"rater": "anna", "id": question["id"], "choice": "left"})
    post = "POST", "/api/answer"
    assert call(study, *post, body, Content_Type="application/json", Origin="http://elsewhere.example")[0] == 403
    for broken in ("[" * 4000, '"\\ud800"', "{"):
        status, _, content = call(study, *post, broken, Content_Type="application/json")
        assert status == 400 and json.loads(content)["error"].startswith("An answer ")
    assert call(study, "GET", f"/api/question?rater=anna&number={'9' * 5000}")[0] == 400
    own = f"http://127.0.0.1:{study.server_address[1]}"
    assert call(study, *post, body, Content_Type="application/json", Origin=own)[0] == 200


def test_raters_wait_in_line_and_slow_ones_do_not_hold_it(study, monkeypatch):
    assert study.RequestHandlerClass.timeout <= 60
    monkeypatch.setattr(study.RequestHandlerClass, "timeout", 0.2)
    with socket.create_connection(study.server_address, timeout=20) as slow:
        slow.sendall(b"POST /api/answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        assert slow.recv(1000) == b""  # closed
    waiting = [socket.create_connection(study.server_address, timeout=20) for _ in range(300)]
    for connection in waiting:
        connection.sendall(b"GET /study.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in waiting)
    for connection in waiting:
        connection.close()
