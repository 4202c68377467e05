"""The preference study: what is asked, what is kept of the answers, and what is concluded from them."""

import json
import subprocess
import sys
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path

import av
import pytest
import torch
import yaml
from study_server import serving

import tav_core
from tav_core import save_video
from tav_core.study.answers import Answer, AnswerLog, read_answers
from tav_core.study.folder import read_results
from tav_core.study.rating import Study, UnknownName
from tav_core.study.report import compare, write_report
from tav_core.study.server import StudyServer
from tav_core.study.statistics import wilson_interval

SYSTEMS = ("brushwork", "turbofilm", "zoetrope")
PROMPTS = {"skiing/robot": "a robot is skiing", "cat": "a cat, cartoon style"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the results of three systems on two clips, one of which has a source."""
    frames = torch.rand(2, 16, 16, 3)
    for name in PROMPTS:
        for system in SYSTEMS:
            save_video(tmp_path / system / f"{name}.mp4", frames, 8)
    save_video(tmp_path / "source" / "skiing.mp4", frames, 8)
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    return tmp_path


def answer(rater: str, clip: str = "cat", preferred: str = "ours", **changes) -> Answer:
    values = {"time": "2026-01-01T00:00:00+00:00", "prompt": f"prompt of {clip}", "question": "quality"}
    return Answer(
        **values | {"rater": rater, "clip": clip, "left": "theirs", "right": "ours", "preferred": preferred} | changes
    )


def test_results_are_found_in_the_layout(folder):
    results = read_results(folder)
    assert results.systems == SYSTEMS
    assert {clip.name: clip.prompt for clip in results.clips} == PROMPTS
    assert [clip.source for clip in results.clips] == [folder / "source" / "skiing.mp4", None]
    (folder / "source" / "skiing.mp4").rename(folder / "source.mp4")  # the one clip of an ablation
    assert {clip.source for clip in read_results(folder).clips} == {folder / "source.mp4"}
    (folder / "prompts.json").unlink()
    (folder / "prompts.csv").write_text('name,prompt\ncat.mp4,"a cat, cartoon style"\n', encoding="utf-8-sig")
    with pytest.warns(UserWarning, match="3 videos without a prompt"):
        (clip,) = read_results(folder).clips
    assert (clip.name, clip.prompt) == ("cat", "a cat, cartoon style")


def test_outputs_of_tav_run_need_no_list_of_prompts(folder):
    (folder / "prompts.json").unlink()
    for system in SYSTEMS[:2]:
        (folder / system / "skiing" / "robot.mp4").rename(folder / system / "skiing" / "a-robot-is-skiing.mp4")
    (folder / SYSTEMS[2] / "skiing" / "a-robot-is-skiing.gif").write_bytes(b"")
    config = {"validation_data": {"prompts": ["a robot is skiing"]}}
    (folder / SYSTEMS[0] / "skiing" / "config.yaml").write_text(yaml.safe_dump(config))
    (clip,) = read_results(folder).clips
    assert (clip.name, clip.prompt) == ("skiing/a-robot-is-skiing", "a robot is skiing")
    assert [path.suffix for path in clip.videos.values()] == [".mp4", ".mp4", ".gif"]


def test_what_is_missing_is_said(folder):
    video = folder / "turbofilm" / "cat.mp4"
    video.unlink()
    with pytest.raises(FileNotFoundError, match=r"turbofilm has no video of 'cat'.*cat\.mp4"):
        read_results(folder)
    video.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"turbofilm.cat\.mp4 is not a video"):
        Study(read_results(folder))
    for name in ("../secret", "/secret", "/"):
        (folder / "prompts.json").write_text(json.dumps({name: "a cat"}))
        with pytest.raises(ValueError, match=f"has the name '{name}': give that of a video within"):
            read_results(folder)
    (folder / "prompts.json").write_text("{}")
    with pytest.raises(ValueError, match="is empty"):
        read_results(folder)
    (folder / "prompts.json").unlink()
    (folder / "prompts.csv").write_text("name,prompt\ncat,un café\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"prompts\.csv cannot be read as CSV in UTF-8"):
        read_results(folder)
    (folder / "prompts.csv").unlink()
    with pytest.raises(ValueError, match=r"write .*prompts\.csv"):
        read_results(folder)
    with pytest.raises(ValueError, match=r"at least two systems.*none"):
        read_results(folder / "source")


def test_videos_that_no_browser_plays_are_converted(folder):
    (folder / "zoetrope" / "cat.mp4").unlink()
    save_video(folder / "zoetrope" / "cat.gif", torch.rand(4, 24, 16, 3), 10)
    study = Study(read_results(folder))
    (moved,) = {path for path in map(study.video, names(study)) if folder not in path.parents}
    with av.open(moved) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert len(list(container.decode(video=0))) == 4
    study.close()
    assert not moved.exists()


def names(study: Study) -> set[str]:
    questions = [study.question("anna", number) for number in range(study.total)]
    return {question[side] for question in questions for side in ("left", "right", "source") if question[side]}


@pytest.mark.parametrize("ending", tav_core.VIDEO_ENDINGS)
def test_videos_of_every_ending_are_found(folder, ending):
    for system in SYSTEMS:
        (folder / system / "cat.mp4").rename(folder / system / f"cat{ending}")
    assert read_results(folder).clips[1].videos["zoetrope"].suffix == ending


def test_a_rater_goes_on_in_the_same_order(folder):
    study = Study(read_results(folder))
    asked = study.questions("Anna")
    assert len(asked) == study.total == 2 * 3 * 2
    assert [question.kind for question in asked] == ["quality", "text"] * 6
    others = [study.questions(f"rater {number}") for number in range(50)]
    assert len({tuple(question.subject[1:] for question in questions) for questions in others}) > 40
    shown_left = [question.left < question.right for questions in others for question in questions[::2]]
    assert 0.4 < sum(shown_left) / len(shown_left) < 0.6

    first = study.question("Anna")
    assert (first["number"], first["answered"], first["chosen"]) == (0, 0, None)
    study.answer("Anna", first["id"], "left")
    study.answer("Anna", study.question("Anna")["id"], "right")

    anew = Study(read_results(folder))
    assert anew.questions(" anna ") == asked
    assert anew.question(" anna ")["number"] == 2
    assert anew.question("anna", 1)["chosen"] == "right"
    assert anew.question("ben")["number"] == 0
    with pytest.raises(UnknownName):
        anew.answer("anna", first["id"], "left")  # a page that was left open
    anew.answer("anna", anew.question("anna", 0)["id"], "right")  # thought better of it
    kept = {answer.subject: answer.preferred for answer in read_answers(folder / "answers.jsonl")}
    assert kept == {asked[0].subject: asked[0].right, asked[1].subject: asked[1].right}
    for _ in range(10):
        anew.answer("anna", anew.question("anna")["id"], "left")
    assert anew.question("anna") == {"total": 12, "answered": 12}


@pytest.mark.parametrize("torn", [b'{"time": "2026-01-', b"\0" * 40, '{"rater": "jos\u00e9'.encode()[:-1]])
def test_answers_survive_a_write_that_broke_off(tmp_path, torn):
    path = tmp_path / "answers.jsonl"
    AnswerLog(path).append(answer("anna"))
    with path.open("ab") as file:
        file.write(torn)
    assert read_answers(path) == [answer("anna")]
    AnswerLog(path).append(answer("josé"))
    assert read_answers(path) == [answer("anna"), answer("josé")]
    assert len(path.read_bytes().splitlines()) == 2


def test_an_answer_that_lacks_only_its_line_end_is_kept(tmp_path):
    path = tmp_path / "answers.jsonl"
    AnswerLog(path).append(answer("anna"))
    path.write_bytes(path.read_bytes().rstrip())
    AnswerLog(path).append(answer("ben"))
    assert read_answers(path) == [answer("anna"), answer("ben")]


def test_an_answer_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    log = AnswerLog(tmp_path / "answers.jsonl")
    log.append(answer("anna"))

    def fail(_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        log.append(answer("ben"))
    assert read_answers(log.path) == [answer("anna")]


def test_a_line_that_is_no_answer_is_named(tmp_path):
    path = tmp_path / "answers.jsonl"
    for wrong in ({"rater": "anna"}, asdict(answer("anna")) | {"left": 5, "preferred": 5}):
        path.write_text(json.dumps(wrong) + "\n")
        with pytest.raises(ValueError, match="Line 1 of"):
            read_answers(path)


@pytest.fixture
def server(folder):
    with serving(folder) as server:
        yield server


def call(server, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, bytes]:
    """Return status, headers and content."""
    connection = HTTPConnection(*server.server_address, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, str(response.headers), content


def test_nothing_that_is_sent_names_a_system(server, folder):
    sent = [call(server, "GET", path) for path in ("/", "/study.js", "/study.css")]
    videos = set()
    while True:
        status, headers, content = call(server, "GET", "/api/question?rater=anna")
        sent.append((status, headers, content))
        question = json.loads(content)
        if "id" not in question:
            break
        videos |= {question[side] for side in ("left", "right", "source") if question[side]}
        body = json.dumps({"rater": "anna", "id": question["id"], "choice": "left"})
        sent.append(call(server, "POST", "/api/answer", body, Content_Type="application/json"))
    assert len(sent) == 3 + 2 * 12 + 1
    assert len(videos) == 7
    sent += [call(server, "GET", f"/video/{name}") for name in videos]
    assert {status for status, _, _ in sent} == {200}
    (folder / "zoetrope" / "cat.mp4").unlink()
    sent += [call(server, "GET", f"/video/{name}") for name in videos]
    assert [status for status, _, _ in sent].count(500) == 1
    everything = b"\n".join(headers.encode() + content for _, headers, content in sent) + " ".join(videos).encode()
    for word in (*SYSTEMS, "cat.mp4", str(folder)):
        assert word.encode() not in everything
    assert len(read_answers(folder / "answers.jsonl")) == 12


def test_the_page_is_for_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    question = "/api/question?rater=anna"
    assert call(server, "GET", question, Host="localhost:9000")[0] == 200
    assert call(server, "GET", question, Host="rebound.example")[0] == 403
    body = json.dumps({"rater": "anna", "id": json.loads(call(server, "GET", question)[2])["id"], "choice": "left"})
    assert call(server, "POST", "/api/answer", body, Content_Type="text/plain")[0] == 400
    assert call(server, "POST", "/api/answer", body[:-9], Content_Type="application/json")[0] == 400
    assert call(server, "GET", "/api/question?rater=")[0] == 400
    assert call(server, "GET", "/../answers.jsonl")[0] == 404
    assert call(server, "GET", "/video/../answers.jsonl")[0] == 409
    with pytest.raises(ValueError, match="--port"):
        StudyServer(server.study, server.server_address[1])


def test_report_counts_and_concludes(tmp_path):
    log = AnswerLog(tmp_path / "answers.jsonl")
    raters = ("anna", "ben", "cleo")
    for clip in map(str, range(10)):
        for rater in raters:
            log.append(answer(rater, clip, "theirs" if rater == "cleo" and clip in "0123" else "ours"))
    for rater in raters:
        log.append(answer(rater, "0", "theirs", question="text"))
    text = write_report(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["answers"], report["raters"]) == (33, {"anna": 11, "ben": 11, "cleo": 11})
    assert report["left_preferred"] == pytest.approx(7 / 33)
    rows = report["comparisons"]
    assert len(rows) == 1 + 10 + 1 + 1
    whole = rows[0]
    assert (whole["first"], whole["second"], whole["answers"], whole["preferring_first"]) == ("ours", "theirs", 30, 26)
    assert (whole["low"], whole["high"]) == pytest.approx(wilson_interval(26, 30))
    assert (whole["shared"], whole["agreement"]) == (10, pytest.approx((6 * 3 + 4 * 1) / 30))
    assert whole["preferred"] == "ours"
    assert (rows[1]["prompt"], rows[1]["answers"], rows[1]["rate"]) == ("prompt of 0", 3, pytest.approx(2 / 3))
    assert rows[1]["preferred"] is None
    assert rows[11]["conclusion"] == "too few answers (3 of 20)"
    assert "ours is preferred" in text and "86.7%" in text


def test_nothing_is_concluded_from_too_little():
    def conclusion(answers):
        return compare(answers)[0].conclusion

    many = [answer(f"rater {i % 3}", str(i)) for i in range(20)]
    assert conclusion(many) == "ours is preferred"
    assert conclusion(many[:19]) == "too few answers (19 of 20)"
    assert conclusion([answer("anna", str(i)) for i in range(40)]) == "too few raters (1 of 3)"
    torn = [answer(f"rater {i % 3}", str(i), "ours" if i < 14 else "theirs") for i in range(20)]
    assert conclusion(torn) == "no preference shown"  # 14 of 20: 48 % to 85 %


def test_the_command_starts_without_torch(folder):
    answers = AnswerLog(folder / "answers.jsonl")
    answers.append(answer("anna"))
    code = (
        "import sys; from tav_core.terminal.cli import main; from tav_core.study import folder, rating, server\n"
        f"rating.Study(folder.read_results({str(folder)!r}))\n"
        f"assert main(['study', {str(folder)!r}, '--report']) == 0\n"
        f"assert main(['study', {str(folder / 'nowhere')!r}]) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("tav: There is no folder")
