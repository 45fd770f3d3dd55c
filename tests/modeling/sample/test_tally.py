"""Counting 0/1 outcomes in a table: what grouping all rows at once gives."""

import numpy as np
import pandas as pd
import pytest

from llmdemand.modeling.sample import sample
from llmdemand.modeling.sample.sample import grouped
from llmdemand.modeling.sample.tally import Tally


def rows(n, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "price": rng.choice([2.5, 3.0, 3.5], n),
            "shop": rng.choice(["b", "a", "c"], n),
            # The least and the greatest number are seen late.
            "home": rng.integers(-3, 4, n) * np.linspace(1, 3, n).astype(int),
            "count": rng.integers(0, 4, n),
            "choice": rng.integers(0, 2, n),
        }
    ).astype({"home": np.int16})


@pytest.mark.parametrize("weights", [None, "count"])
def test_a_sample_in_chunks_is_the_sample_at_once(tmp_path, monkeypatch, weights):
    frame, keys = rows(1000), ["price", "shop", "home"]
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path, row_group_size=130)
    counted = []
    add = Tally.add
    monkeypatch.setattr(Tally, "add", lambda *a: counted.append(add(*a)) or counted[-1])
    monkeypatch.setattr(sample, "_CHUNK", 1)
    found = grouped(path, "choice", keys, outcome_columns=["choice"], weights=weights)
    assert counted and all(counted)
    by = frame.assign(n=1 if weights is None else frame["count"])
    by["ones"] = by["n"] * by["choice"]
    expected = by.groupby(keys)[["n", "ones"]].sum().query("n > 0")
    index = pd.MultiIndex.from_frame(found.frame)
    assert found.frame.dtypes["home"] == "int16" and found.frame.dtypes["price"] == "float64"
    assert sorted(index) == sorted(expected.index)
    expected = expected.reindex(index)
    assert found.count.tolist() == expected["n"].tolist()
    mean = (expected["ones"] / expected["n"]).to_numpy()
    np.testing.assert_allclose(found.mean, mean, rtol=1e-14)
    np.testing.assert_allclose(found.within, found.count * mean * (1 - mean), atol=1e-12)


def test_what_a_table_cannot_hold_is_refused_and_nothing_is_lost(monkeypatch):
    frame = rows(200)
    tally, y = Tally(["home"], 40), frame["choice"].to_numpy(float)
    assert tally.add(frame, y, None)
    before = tally.groups()
    assert not tally.add(frame, np.where(y > 0, 0.5, 0.0), None)  # fractions
    assert not tally.add(frame.assign(home=frame["home"] * 50), y, None)  # too wide
    assert not tally.add(frame.astype({"home": "category"}), y, None)
    after = tally.groups()
    assert after[0].equals(before[0]) and (after[1] == before[1]).all()
    assert after[1].sum() == 200 and after[2].sum() == y.sum()
    # Refused chunks are merged with what was counted before.
    monkeypatch.setattr(sample, "_CHUNK", 1)
    half = frame.assign(choice=np.where(np.arange(200) < 100, frame["choice"], 0.5))
    chunks = [half.iloc[:100], half.iloc[100:]]
    monkeypatch.setattr(sample, "chunks", lambda data, read: (c[list(read)] for c in chunks))
    found = grouped(half, "choice", ["home"], outcome_columns=["choice"])
    expected = half.groupby("home")["choice"].agg(["size", "mean"]).reindex(found.frame["home"])
    assert found.count.tolist() == expected["size"].tolist()
    np.testing.assert_allclose(found.mean, expected["mean"], rtol=1e-14)
