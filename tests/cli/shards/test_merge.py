"""A study in shards on the command line: what docs/shards.md says, as far as one machine goes."""

import json
import re
from pathlib import Path

import pytest

from llmdemand.core.panel import Panel

PAGE = Path(__file__).parents[3] / "docs" / "shards.md"
ASK = ["simulate", "pampers", "--backend", "synthetic", "--runs", 2]


def test_four_shards_in_a_loop_are_the_panel_of_one_command(run, tmp_path):
    text = PAGE.read_text("utf-8")
    assert "--shards 4 --shard $k" in text and "llmdemand merge panel --out" in text
    for k in (1, 2, 3, 4):
        code, out, _ = run(*ASK, "--shards", 4, "--shard", k, "--out", "panel")
        assert code == 0 and f"panel/part-0000{k}-of-00004.parquet" in out
        assert (tmp_path / f"panel/part-0000{k}-of-00004.responses.sqlite").is_file()
    code, out, _ = run("merge", "panel", "--out", "all.parquet")
    assert code == 0 and "32 of 32 runs from 4 files" in out
    assert run(*ASK, "--out", "whole.parquet")[0] == 0
    assert (tmp_path / "all.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    stores = sorted((tmp_path / "panel").glob("*.sqlite"))
    code, out, _ = run("merge", *stores, "--out", "all.sqlite", "--json")
    assert code == 0 and json.loads(out)["answers"] == 32
    # A command that is given again asks nothing again, and writes the same.
    before = (tmp_path / "panel/part-00002-of-00004.parquet").read_bytes()
    assert run(*ASK, "--shards", 4, "--shard", 2, "--out", "panel")[0] == 0
    assert (tmp_path / "panel/part-00002-of-00004.parquet").read_bytes() == before


def test_shards_named_after_a_file_do_not_overwrite_each_other(run, tmp_path):
    for k in (1, 2):
        run(*ASK, "--shards", 2, "--shard", k, "--out", "p.parquet")
    names = {p.name for p in tmp_path.glob("*.parquet")}
    assert names == {"p-00001-of-00002.parquet", "p-00002-of-00002.parquet"}
    code, _, err = run("merge", "p-00001-of-00002.parquet", "--out", "all.parquet")
    assert code == 2 and "no file of shard 2 of 2" in err and "--allow-missing" in err
    code, out, _ = run(
        "merge", "p-00001-of-00002.parquet", "--out", "all.parquet", "--allow-missing"
    )
    own = len(Panel.read(tmp_path / "p-00001-of-00002.parquet"))
    assert code == 0 and f"{32 - own} runs are missing: " in out


def test_a_dry_run_of_a_shard_is_of_the_shard(run):
    code, out, _ = run(*ASK, "--dry-run", "--shards", 2, "--shard", 1)
    (asked,) = re.findall(r"(\d+) answers to ask", out)
    assert code == 0 and 8 <= int(asked) <= 24


@pytest.mark.parametrize(
    "options, words",
    [
        (["--shards", 4], "both or none"),
        (["--shard", 1], "both or none"),
        (["--shards", 4, "--shard", 5], "shard 5 of 4"),
        (["--shards", 4, "--shard", 0], "from 0, give one more"),
    ],
)
def test_what_is_no_shard_ends_with_code_2(run, options, words):
    code, _, err = run(*ASK, *options)
    assert code == 2 and words in " ".join(err.split())


def test_panels_and_stores_are_merged_apart(run):
    run(*ASK, "--out", "p.parquet")
    code, _, err = run("merge", "p.parquet", "p.responses.sqlite", "--out", "all.parquet")
    assert code == 2 and "merge panels and stores apart" in " ".join(err.split())
    assert run("merge", "absent.parquet", "--out", "all.parquet")[0] == 2
