"""Many files are the panel that one process makes of them, whoever works and whoever dies."""

import gzip
import json
import os
import random
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import extract_files, extract_panel, load_study, read_answers, read_panel
from llmdemand.belief.files import many
from llmdemand.belief.files.extraction import Extraction
from llmdemand.errors import ResponseError, UsageError

STUDY = load_study("pampers")
LISTED = [[" Huggies", -0.5], [" Pampers", -1.0]]


def line(k, **more):
    if k % 13 == 5:
        body = {"custom_id": f"{k % 16}-{k // 16}"}
        return {**body, "response": {"status_code": 500, "body": {"error": "busy"}}}
    token = [" Huggies", -0.5 - k / 1000, LISTED]
    return {"run_id": f"{k % 16}-{k // 16}", "raw": {"text": " Huggies", "tokens": [token]} | more}


def lines(first, last, **more):
    return "".join(f"{json.dumps(line(k, **more))}\n" for k in range(first, last)).encode()


@pytest.fixture
def raw(tmp_path):
    """Three files: one that is divided, one that is compressed, one with blank lines."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines(0, 100))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines(100, 160)))
    (folder / "c.jsonl").write_bytes(b"\n" + lines(160, 170) + b"\n\n")
    return folder


def made(raw, out, executor=None, **options):
    given = {"rows": 25, "size": 4000, "executor": executor}
    how = many.Extracting(**given | options)
    return many.extract_all(f"{raw}/*.jsonl*", STUDY, out, None, how)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_parts_are_the_panel_of_all_answers(raw, tmp_path):
    told = []
    found = made(raw, tmp_path / "panel", progress=lambda *seen: told.append(seen))
    answers = [a for path in sorted(raw.iterdir()) for a in read_answers(path, STUDY)]
    wanted = extract_panel(STUDY, answers).frame
    parts = [part.panel().frame for part in found.panel.parts]
    assert all(0 < len(part) <= 25 for part in parts) and len(parts) > 6
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), wanted)
    assert (found.files, found.kept, found.statuses) == (3, 0, {"ok": 157, "failed": 13})
    size = sum(path.stat().st_size for path in raw.iterdir())
    assert told[-1] == (size, size, 170) and found.bytes == size
    names = {p.path.rpartition("/")[2] for p in found.panel.parts}
    assert set(written(tmp_path / "panel")) == names | {many.NOTE}


@dataclass
class Killed(Extraction):
    """Whose worker is killed at a piece in the middle, once it has written something."""

    def _rows(self, piece, builder):
        for k, row in enumerate(super()._rows(piece, builder)):
            mark = Path(self.folder).parent.parent / "killed"
            if piece.path.endswith("b.jsonl.gz") and k == 30 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield row


@pytest.mark.parametrize("who", [2, "dask"])
def test_a_worker_that_is_killed_changes_no_byte(raw, tmp_path, request, monkeypatch, who):
    made(raw, tmp_path / "serial")
    monkeypatch.setattr(many, "Extraction", Killed)
    executor = request.getfixturevalue("dask_client") if who == "dask" else who
    made(raw, tmp_path / "other", executor)
    assert (tmp_path / "killed").exists()
    assert written(tmp_path / "other") == written(tmp_path / "serial")


def test_parts_are_read_in_any_order(raw, tmp_path):
    parts = list(made(raw, tmp_path / "panel").panel.parts)
    whole = pd.concat([p.panel().frame for p in parts]).sort_values("run_id")
    random.Random(1).shuffle(parts)
    shuffled = pd.concat([p.panel().frame for p in parts]).sort_values("run_id")
    pd.testing.assert_frame_equal(shuffled, whole)


def test_what_is_done_is_kept(raw, tmp_path):
    """After a break, a change of one file, a torn part; and not by other options."""
    first = made(raw, tmp_path / "panel")
    before = written(tmp_path / "panel")
    again = made(raw, tmp_path / "panel")
    assert again.kept == again.pieces == first.pieces and written(tmp_path / "panel") == before
    (tmp_path / "panel" / f"part-00010-of-{len(before) - 1:05}.parquet").write_bytes(b"PAR1 torn")
    torn = made(raw, tmp_path / "panel")
    assert torn.kept == torn.pieces - 1 and written(tmp_path / "panel") == before
    for name in list(before)[:4]:  # as if it broke while they were put together
        work = tmp_path / "panel" / many.WORK
        work.mkdir(exist_ok=True)
        if name != many.NOTE:
            piece = json.loads(before[many.NOTE])[name]
            (tmp_path / "panel" / name).replace(work / piece)
    assert made(raw, tmp_path / "panel").kept == first.pieces
    assert written(tmp_path / "panel") == before
    (raw / "c.jsonl").write_bytes(lines(160, 171))
    changed = made(raw, tmp_path / "panel")
    assert changed.kept == changed.pieces - 1 and len(changed.panel) == 171
    assert made(raw, tmp_path / "panel", low_mass=0.2).kept == 0


def test_a_break_leaves_pieces_and_no_panel(raw, tmp_path):
    (raw / "b.jsonl.gz").write_bytes(gzip.compress(lines(100, 160))[:-200])
    with pytest.raises(ResponseError, match=r"b\.jsonl\.gz cannot be read: .*, after line \d+"):
        made(raw, tmp_path / "panel")
    assert not list((tmp_path / "panel").glob("*.parquet"))
    (raw / "b.jsonl.gz").write_bytes(gzip.compress(lines(100, 160)))
    found = made(raw, tmp_path / "panel")
    assert 0 < found.kept < found.pieces and len(found.panel) == 170
    assert len(read_panel(tmp_path / "panel")) == 170


@pytest.mark.parametrize("alone", [True, False])
def test_the_first_line_that_cannot_be_read_is_named(raw, tmp_path, alone, two):
    executor = None if alone else two
    torn = lines(0, 70) + b'{"run_id": "1-9", "raw": {"te\n' + lines(70, 90) + b"also none\n"
    (raw / "a.jsonl").write_bytes(torn)
    with pytest.raises(ResponseError, match=r"a\.jsonl line 71: "):
        made(raw, tmp_path / "panel", executor)


@pytest.mark.parametrize("where", ["other file", "same part", "same file"])
def test_a_run_that_is_answered_twice_is_named(raw, tmp_path, where):
    name = "c.jsonl" if where == "other file" else "a.jsonl"
    with open(raw / name, "ab") as file:
        file.write(lines(98, 99) if where == "same part" else lines(3, 4))
    files = "c.jsonl" if where == "other file" else ""
    run = "2-6" if where == "same part" else "3-0"
    with pytest.raises(
        ResponseError, match=rf"{run}.*answered twice|first {run} in .*a.jsonl"
    ) as e:
        made(raw, tmp_path / "panel")
    assert "a.jsonl" in str(e.value) and files in str(e.value)


def test_answers_that_were_stopped_in_one_part_give_all_the_column(raw, tmp_path):
    stopped = lines(160, 170, whole_probability=0.5, finish_reason="stop")
    (raw / "c.jsonl").write_bytes(stopped)
    parts = made(raw, tmp_path / "panel").panel.parts
    found = pd.concat(p.frame(["run_id", "whole_probability"]) for p in parts)
    assert sorted(set(found["whole_probability"])) == [0.5, 1.0] and len(found) == 170


def test_folders_and_files_that_will_not_do_are_refused(raw, tmp_path):
    for files in ("none/*.jsonl", [raw / "a.jsonl", raw / "../raw/a.jsonl"]):
        with pytest.raises(UsageError, match=r"no file at none|named already"):
            extract_files(files, STUDY, tmp_path / "panel")
    (tmp_path / "file").touch()
    full = tmp_path / "full"
    full.mkdir()
    (full / "part-00001-of-00001.parquet").write_bytes(b"PAR1 of somebody")
    wanted = {tmp_path / "file": "needs? a folder", full: "no part", "s3://x/y": "mounted"}
    for out, message in wanted.items():
        with pytest.raises(UsageError, match=message):
            extract_files(raw / "a.jsonl", STUDY, out)
    assert (full / "part-00001-of-00001.parquet").exists()
    (raw / "a.jsonl").write_bytes(b"\n")
    with pytest.raises(ResponseError, match="empty"):
        extract_files(raw / "a.jsonl", STUDY, tmp_path / "panel")


@dataclass
class Elsewhere(Extraction):
    """A worker of another machine."""

    def __call__(self, piece):
        return super().__call__(replace(piece, place=f"/other/{piece.path}"))


@dataclass
class Apart(Extraction):
    """A worker to whom the folder is another one."""

    def __call__(self, piece):
        self.folder = f"{self.folder}/other"
        return super().__call__(piece)


@pytest.mark.parametrize("kind", [Elsewhere, Apart])
def test_what_a_worker_does_not_see_is_told(raw, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(many, "Extraction", kind)
    with pytest.raises(UsageError, match=r"a worker on .* does not see /"):
        made(raw, tmp_path / "panel")


def test_a_file_that_grows_meanwhile_is_told(raw, tmp_path, monkeypatch):
    pieces_of = many.pieces_of

    def grown(path, size):
        found = pieces_of(path, size)
        with open(path, "ab") as file:
            file.write(b"\n")
        return found

    monkeypatch.setattr(many, "pieces_of", grown)
    with pytest.raises(UsageError, match="it changes"):
        made(raw, tmp_path / "panel")
