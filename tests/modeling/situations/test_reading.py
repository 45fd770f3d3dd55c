"""Files are read in parts that hold whole cases, wherever row groups and batches end."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.core.tables.pieces import Pieces
from llmdemand.errors import DesignError
from llmdemand.modeling.situations.reading import divided, files, together
from llmdemand.scale.session import Session

ROWS = 10


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmdemand.modeling.situations.reading._ROWS", ROWS)
        patch.setattr("llmdemand.core.tables.pieces._BATCH", 7)
        yield


def read(folder, frames, groups):
    for k, frame in enumerate(frames):
        frame.to_parquet(folder / f"{k}.parquet", row_group_size=groups)
    return files(Pieces.open(folder), "case")


@given(st.lists(st.integers(1, 13), min_size=1, max_size=20), st.integers(1, 30))
@settings(max_examples=15)
def test_parts_end_where_cases_do(tmp_path_factory, sizes, groups):
    case = np.repeat(np.arange(len(sizes)), sizes)
    # Categories are read a row group at a time, other columns a batch at a time.
    kind = pd.Categorical([f"k{i % 3}" for i in range(len(case))])
    frame = pd.DataFrame({"case": case, "row": np.arange(len(case)), "kind": kind})
    ((_, file),) = read(tmp_path_factory.mktemp("file"), [frame], groups)
    parts = list(file.parts(("case", "row", "kind")))
    assert np.concatenate([p["row"] for p, _ in parts]).tolist() == list(range(len(case)))
    assert [first for _, first in parts] == [int(p["row"].iloc[0]) for p, _ in parts]
    assert sum(p["case"].nunique() for p, _ in parts) == len(sizes)
    assert all(ROWS <= len(p) < ROWS + 13 for p, _ in parts[:-1])
    others = list(file.parts(("case",)))
    assert [len(p) for p, _ in others] == [len(p) for p, _ in parts]


def test_files_whose_cases_lie_apart_are_read_at_once(tmp_path):
    sorted_, apart = np.repeat(np.arange(12), 3), np.tile(np.arange(12, 24), 3)
    shards = read(tmp_path, [pd.DataFrame({"case": c}) for c in (sorted_, apart)], 5)
    with Session(None) as session:
        found = together(shards, "case", "case", session)
        assert [file.whole for _, file in found] == [False, True]
        assert [len(list(file.parts(("case",)))) for _, file in found] == [3, 1]
        shards = read(tmp_path, [pd.DataFrame({"case": c}) for c in (sorted_, apart - 11)], 5)
        assert divided(shards, "case", session)[1][0] in range(1, 12)
        with pytest.raises(DesignError, match=r"case \d+ is in .*0\.parquet and in .*1\.parquet"):
            together(shards, "case", "case", session)
