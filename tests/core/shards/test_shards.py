"""A folder of panels is one panel, or is refused."""

from dataclasses import replace

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import PanelShards, read_panel, write_shards
from llmdemand.errors import PanelError, UsageError


@pytest.fixture(scope="module")
def panel():
    return ld.load_panel("pampers")


@pytest.fixture
def shards(panel, tmp_path):
    return write_shards(panel, tmp_path / "panel", rows=300)


def test_a_folder_is_the_panel_it_was(panel, shards, tmp_path):
    assert [len(part) for part in shards.parts] == [300, 300, 300, 300, 300, 292]
    pd.testing.assert_frame_equal(shards.panel().frame, panel.frame)
    assert shards.panel().provenance == panel.provenance
    assert read_panel(tmp_path / "panel") == shards
    frames = pd.concat(shards.frames(["run_id", "belief_pampers"]), ignore_index=True)
    pd.testing.assert_frame_equal(frames, panel.frame[["run_id", "belief_pampers"]])


def test_elsewhere_is_read_as_here(panel, shards):
    import fsspec

    there = fsspec.filesystem("memory")
    for part in shards.parts:
        there.put(part.path, f"/panel/{part.path.rpartition('/')[2]}")
    found = read_panel("memory://panel")
    pd.testing.assert_frame_equal(found.panel().frame, panel.frame)
    there.rm("/panel", recursive=True)


def test_parts_are_written_elsewhere_too(panel):
    import fsspec

    there = fsspec.filesystem("memory")
    found = write_shards(panel, "memory://written", rows=1000)
    pd.testing.assert_frame_equal(found.panel().frame, panel.frame)
    assert sorted(path.rpartition("/")[2] for path in there.ls("/written", detail=False)) == [
        "part-00001-of-00002.parquet",
        "part-00002-of-00002.parquet",
    ]
    with pytest.raises(UsageError, match="new folder"):
        write_shards(panel, "memory://written", rows=1000)
    there.rm("/written", recursive=True)


@pytest.mark.parametrize("where", ["memory://half/x.parquet", "{}/x.parquet"])
def test_half_a_file_is_never_met(tmp_path, where):
    """Neither by readers, nor after an error."""
    import fsspec

    from llmdemand.core.tables.places import whole_file

    path = where.format(tmp_path)
    there, inside = fsspec.core.url_to_fs(path)
    with pytest.raises(KeyError), whole_file(path) as file:
        file.write(b"half")
        assert not there.exists(inside)
        raise KeyError
    assert there.ls(inside.rpartition("/")[0]) == []
    with whole_file(path) as file:
        file.write(b"whole")
    assert there.cat(inside) == b"whole"


def test_a_torn_part_is_named(shards):
    torn = shards.parts[2].path
    with open(torn, "r+b") as file:
        file.truncate(5000)
    with pytest.raises(PanelError, match=r"part-00003.*torn"):
        PanelShards.open(torn.rpartition("/")[0])


def test_a_missing_part_is_named(shards, tmp_path):
    (tmp_path / "panel" / "part-00002-of-00006.parquet").unlink()
    with pytest.raises(PanelError, match=r"1 of 6 parts are missing, the first part-00002"):
        PanelShards.open(tmp_path / "panel")


@pytest.mark.parametrize("what", ["study", "run", "two writings", "nothing"])
def test_what_is_not_one_panel_is_refused(panel, shards, tmp_path, what):
    folder = tmp_path / "panel"
    if what == "study":
        other = ld.load_panel("travel-mode")
        other.write(folder / "part-00002-of-00006.parquet")
    elif what == "run":
        replace(panel, provenance={**panel.provenance, "seed": 2}).write(
            folder / "part-00002-of-00006.parquet"
        )
    elif what == "two writings":
        panel.write(folder / "part-00001-of-00001.parquet")
    else:
        folder = tmp_path
    wanted = {
        "study": "another study",
        "run": "another run .*differ in seed",
        "two writings": "several writings",
        "nothing": "no parquet file",
    }
    with pytest.raises(PanelError, match=wanted[what]):
        PanelShards.open(folder)


def test_parts_are_written_once(panel, shards, tmp_path):
    with pytest.raises(UsageError, match="new folder"):
        write_shards(panel, tmp_path / "panel", rows=300)
    with pytest.raises(UsageError, match="rows=0"):
        write_shards(panel, tmp_path / "other", rows=0)
