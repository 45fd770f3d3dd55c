"""Files become a folder of parts at the command line."""

import gzip
import json

import pytest

import llmdemand as ld

RAW = {"text": " Huggies", "tokens": [[" Huggies", -0.5, [[" Huggies", -0.5], [" P", -1.0]]]]}


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    for k in range(2):
        lines = [json.dumps({"run_id": f"{c}-{k}", "raw": RAW}) for c in range(16)]
        (tmp_path / "raw" / f"{k}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return "raw/*.jsonl.gz"


def test_a_pattern_is_extracted_and_taken_up_again(run, tmp_path, raw):
    asked = ("extract", raw, "--study", "pampers", "--out", "panel", "--workers", 1)
    code, out, err = run(*asked)
    assert code == 0 and "32 runs: ok 32\npanel: panel, 2 parts\n" in out
    assert "2 files" in err and "less than two minutes with 1 at work" in err
    assert 30 <= int(err.partition("some ")[2].partition(" answers")[0]) <= 40
    code, out, _ = run(*asked, "--json")
    told = json.loads(out)
    assert (told["runs"], told["kept"], told["pieces"], told["parts"]) == (32, 2, 2, 2)
    assert told["statuses"] == {"ok": 32} and told["expected_seconds"] > 0
    panel = ld.read_panel(tmp_path / "panel")
    assert panel.provenance["source"] == raw and len(panel) == 32


def test_a_cluster_writes_the_same(run, tmp_path, raw, dask_client):
    run("extract", raw, "--study", "pampers", "--out", "one", "--workers", 1)
    where = dask_client.scheduler.address
    code, out, _ = run("extract", raw, "--study", "pampers", "--out", "two", "--cluster", where)
    assert code == 0 and "32 runs" in out
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--out", "panel.parquet"), "a folder of parts, name it panel"),
        (("--out", "p", "--workers", "2", "--cluster", "tcp://127.0.0.1:1"), "give one"),
        (("--out", "p", "--cluster", "tcp://127.0.0.1:1"), "no Dask scheduler answers"),
        (("--out", "p", "--model", "m"), "of one store"),
    ],
)
def test_what_cannot_be_done_is_told(run, raw, more, message, monkeypatch):
    import distributed

    monkeypatch.setattr(distributed, "Client", refused)
    code, _, err = run("extract", raw, "--study", "pampers", *more)
    assert code == 2 and message in err


def refused(*_, **__):
    raise OSError("refused")


def test_a_store_is_extracted_by_itself(run, tmp_path):
    ld.simulate(ld.load_study("pampers"), "synthetic", runs=1, store=tmp_path / "s.sqlite")
    stores = ("s.sqlite", "s.sqlite.copy")
    (tmp_path / stores[1]).write_bytes((tmp_path / stores[0]).read_bytes())
    code, _, err = run("extract", *stores, "--study", "pampers", "--out", "panel")
    assert code == 2 and "extract each store by itself" in err
