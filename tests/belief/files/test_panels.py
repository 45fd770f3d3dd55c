"""A file that several processes read is the panel that one process makes of it."""

import gzip
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import extract_file, extract_panel, load_study, read_answers
from llmdemand.belief.files import panels
from llmdemand.belief.files.documents import documents, is_lines, lines_between, spans
from llmdemand.errors import ResponseError, UsageError, WorkersLost

STUDY = load_study("pampers")
SHAPES = Path(__file__).parents[1] / "shapes"
RAW = [
    json.loads((SHAPES / f"{name}.json").read_text("utf-8"))["raw"]
    for name in ("openai_chat", "short_form", "null_token", "glyphs_everywhere", "gemini")
]


def line(k):
    run, raw = f"{k % 16}-{k // 16}", RAW[k % len(RAW)]
    if k % 13 == 5:
        return {"custom_id": run, "response": {"status_code": 500, "body": {"error": "busy"}}}
    if k % 3 == 1:
        return {"custom_id": run, "response": {"status_code": 200, "body": raw}}
    return {"run_id": run, "raw": raw}


def write(path, count, *, change=None):
    """Lines, some of them blank, the last without an end; `change` puts others in place."""
    lines = [json.dumps(line(k), ensure_ascii=False) for k in range(count)]
    for k, other in (change or {}).items():
        lines[k] = other
    path.write_bytes(
        "".join(f"{x}\r\n" + "\n" * (k % 4 == 3) for k, x in enumerate(lines))[:-2].encode()
    )
    return path


@pytest.fixture
def parts(monkeypatch):
    """Files of this size have many parts."""
    monkeypatch.setattr(panels, "_PART", 5000)


def refuse(*_):
    raise AssertionError("this is the workers' work")


@pytest.mark.parametrize("workers", [2, 3])
def test_several_processes_make_the_same_panel(tmp_path, parts, monkeypatch, workers):
    path = write(tmp_path / "a.jsonl", 160)
    told = {"source": "a"}
    wanted = extract_panel(STUDY, read_answers(path, STUDY), told, low_mass=0.2)
    one = extract_file(path, STUDY, told, low_mass=0.2)
    monkeypatch.setattr(panels, "_rows", refuse)  # of this process alone
    several = extract_file(path, STUDY, told, low_mass=0.2, workers=workers)
    for found in (one, several):
        pd.testing.assert_frame_equal(found.frame, wanted.frame, check_exact=True)
        assert found.provenance == wanted.provenance
    assert len(wanted) == 160 and (wanted.frame["status"] == "failed").sum() == 12
    assert len(list(spans(path, 5000))) > 10


@pytest.mark.parametrize("other", ["{", '{"run_id":"3-1","raw":{"a":1}}', '{"run_id":"99-0"}'])
def test_the_first_line_that_cannot_be_read_is_named(tmp_path, parts, other):
    path = write(tmp_path / "a.jsonl", 120, change={70: other, 110: "also none"})
    with pytest.raises(ResponseError) as one:
        extract_file(path, STUDY)
    with pytest.raises(ResponseError) as several:
        extract_file(path, STUDY, workers=2)
    # 17 blank lines before it
    assert str(several.value) == str(one.value) and f"{path} line 88: " in str(one.value)


@pytest.mark.parametrize("cut", [False, True])
def test_lines_of_streamed_answers_stay_together(tmp_path, parts, cut):
    listed = [{"token": t, "logprob": v} for t, v in ((" H", -0.5), (" P", -1.0))]
    pieces = [("I", []), (" pick", []), (" H", listed), ("uggies", [])]
    lines = []
    for k in range(160):
        for text, top in pieces:
            logprob = {"token": text, "logprob": -0.5, "top_logprobs": top}
            lines.append({"message": {"content": text}, "logprobs": [logprob], "done": False})
        lines.append({"message": {"content": ""}, "done": True, "run_id": f"{k % 16}-{k // 16}"})
    path = tmp_path / "streamed.jsonl"
    path.write_text("".join(f"{json.dumps(x)}\n" for x in (lines[:-1] if cut else lines)))
    if cut:
        with pytest.raises(ResponseError, match="ends before its last answer does"):
            extract_file(path, STUDY, workers=2)
        return
    one, several = (extract_file(path, STUDY, workers=w).frame for w in (1, 2))
    pd.testing.assert_frame_equal(one, several, check_exact=True)
    assert (one["pivot_index"] == 2).all() and len(one) == 160


def test_what_cannot_be_divided_is_read_by_one_process(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(panels, "mapped", refuse)
    path = write(tmp_path / "a.jsonl", 40)
    wanted, data = extract_file(path, STUDY).frame, path.read_bytes()
    texts = [x for x in data.decode().splitlines() if x.strip()]
    others = {
        "b.jsonl.gz": gzip.compress(data),
        "mark.jsonl": data.decode().encode("utf-8-sig"),
        "wide.jsonl": data.decode().encode("utf-16"),
        "array.json": f"[{','.join(texts)}]".encode(),
        "pretty.json": "\n".join(json.dumps(json.loads(x), indent=1) for x in texts).encode(),
    }
    for name, written in others.items():
        (tmp_path / name).write_bytes(written)
        assert not is_lines(tmp_path / name)
        found = extract_file(tmp_path / name, STUDY, workers=2).frame
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    for name, message in (("none.jsonl", "no file"), ("empty.jsonl", "is empty")):
        (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
        with pytest.raises(ResponseError, match=message):
            extract_file(tmp_path / name, STUDY, workers=2)


@pytest.mark.parametrize("size", [1, 700, 5000, 10**7])
def test_the_parts_of_a_file_are_its_lines(tmp_path, size):
    path = write(tmp_path / "a.jsonl", 30)
    whole, number, found = path.read_bytes(), 1, []
    places = list(spans(path, size))
    assert [a for a, _ in places[1:]] == [b for _, b in places[:-1]]
    assert (places[0][0], places[-1][1]) == (0, len(whole))
    for start, end in places:
        found += lines_between(path, start, end, number=number)
        number += whole[start:end].count(b"\n")
    assert found == list(documents(path))


def test_how_many_processes_a_file_is_worth(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", 16)
    assert panels._worth(path) == panels._worth(tmp_path / "none") == 1
    monkeypatch.setattr(panels, "_LARGE", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert panels._worth(path) == 3
    asked = []
    monkeypatch.setattr(panels, "extracted", lambda path, make, n: asked.append(n) or iter(()))
    extract_file(path, STUDY, workers=None)
    extract_file(path, STUDY)
    assert asked == [3, 1]


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_workers_are_a_number_of_processes(tmp_path, workers):
    with pytest.raises(UsageError, match="number of processes"):
        extract_file(write(tmp_path / "a.jsonl", 1), STUDY, workers=workers)


def test_processes_that_die_are_an_error_of_one_sentence(tmp_path):
    path = write(tmp_path / "a.jsonl", 16)
    with pytest.raises(WorkersLost, match=r"ended by themselves.*__main__"):
        list(panels.extracted(path, partial(os._exit, 1), 2))


def test_progress_is_told(tmp_path):
    told = []
    extract_file(write(tmp_path / "a.jsonl", 2100), STUDY, progress=told.append)
    assert told == [1000, 2000]


SCRIPT = """
import os, sys, time
from functools import partial
from pathlib import Path
from llmdemand import load_study
from llmdemand.belief.files import panels
from llmdemand.belief.rows import PanelBuilder

class Slow(PanelBuilder):
    def row(self, answer):
        time.sleep(0.05)
        return super().row(answer)

if __name__ == "__mp_main__":
    # All processes but the first are still on their way when the interrupt comes.
    try:
        os.close(os.open(__file__ + ".first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        time.sleep(2)

if __name__ == "__main__":
    path = Path(sys.argv[1])
    # One process is at work for seven seconds, two have nothing to do.
    middle, end = next(panels.spans(path, 2000))[1], path.stat().st_size
    panels.spans = lambda path, size: iter([(0, middle), (middle, end)])
    for row in panels.extracted(path, partial(Slow, load_study("pampers")), 3):
        print(row["run_id"], flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups to interrupt")
def test_an_interrupt_ends_all_processes_at_once(tmp_path):
    script, path = tmp_path / "script.py", write(tmp_path / "a.jsonl", 160)
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        assert process.stdout.readline() == "0-0\n"
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (
        process.returncode != 0 and said.count("Traceback") == said.count("KeyboardInterrupt") == 1
    )
