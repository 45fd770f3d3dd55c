"""Choice situations in files are fitted in passes as they are in memory."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import write_shards
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.passes.cases import SpreadCases

N, ALTERNATIVES = 400, ("none", "acme", "best", "cheap")


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.situations.fits.MOST", 50)


def long_table(seed=3, *, sets="all"):
    rng = np.random.default_rng(seed)
    j = len(ALTERNATIVES)
    case = np.repeat(np.arange(N), j)
    frame = pd.DataFrame(
        {
            "case": [f"c{k}" for k in case],
            "alternative": list(ALTERNATIVES) * N,
            "price": rng.normal(2000, 1.5, N * j),
            "quality": rng.choice(["low", "high", "top"], N * j),
            "income": np.repeat(rng.normal(size=N), j),
            "shop": np.repeat(rng.integers(11, size=N), j),
            "day": np.repeat(rng.integers(7, size=N), j),
            "times": np.repeat(rng.integers(0, 4, N), j),
            "heavy": np.repeat(rng.choice([0.5, 1.0, 3.0], N), j),
            "known": rng.normal(size=N * j),
        }
    )
    if sets == "some":  # the bought one stays
        frame = frame[(rng.random(N * j) < 0.8) | (frame["alternative"] == "none")]
    v = -0.5 * (frame["price"] - 2000) + 0.7 * (frame["quality"] == "top")
    v += np.where(frame["alternative"] == "best", 0.4 * frame["income"], 0.0)
    v += np.where(frame["alternative"] == "none", 0.5, 0.0)
    by = frame["case"]
    best = (v + rng.gumbel(size=len(v))).groupby(by).idxmax()
    e = np.exp(v + rng.normal(0, 0.3, len(v)))
    return frame.assign(
        choice=frame.index.isin(best).astype(int), belief=e / e.groupby(by).transform("sum")
    ).reset_index(drop=True)


def written(frame, folder, column="case"):
    """A file of one case comes last, an empty one first, and the others the wrong way round."""
    folder.mkdir()
    ids = frame[column].unique()
    for k, (a, b) in enumerate([(0, 1), (1, 150), (150, 152), (152, len(ids)), (5, 5)]):
        part = frame[frame[column].isin(ids[a:b])]
        part = part.sample(frac=1, random_state=k)
        part.to_parquet(folder / f"{9 - k}.parquet", row_group_size=90)
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    base = tmp_path_factory.mktemp("long")
    found = {}
    for sets in ("all", "some"):
        frame = long_table(sets=sets)
        found[sets] = frame, written(frame, base / sets)
    return found


def same(found, one, digits=1e-9):
    assert isinstance(found.data, SpreadCases)
    for name in ("nobs", "dropped", "vcov", "ssc", "df", "clusters", "title", "fractional"):
        assert getattr(found, name) == getattr(one, name), name
    assert list(found.params.index) == list(one.params.index)
    np.testing.assert_allclose(found.params, one.params, rtol=digits, atol=digits)
    largest = np.abs(one.cov.to_numpy()).max()
    np.testing.assert_allclose(found.cov, one.cov, rtol=digits, atol=digits * largest)
    np.testing.assert_allclose([found.llf, found.llnull], [one.llf, one.llnull], rtol=digits)


FITS = [
    ("all", "choice ~ price + quality | income", {"vcov": "iid"}),
    ("all", "belief ~ price", {"vcov": {"CRV1": "shop"}, "base": "best"}),
    ("all", "choice ~ price | 1 | quality", {"vcov": "HC1", "weights": "times"}),
    ("all", "choice ~ price | 0", {"vcov": {"CRV1": "shop+day"}, "ssc": "fixest"}),
    ("all", "belief ~ price + offset(known)", {"vcov": "HC3"}),
    ("some", "choice ~ price + quality", {"vcov": {"score": "shop"}}),
    (
        "some",
        "belief ~ price | C(day)",
        {"vcov": "HC2", "weights": "heavy", "weights_type": "sampling"},
    ),
    ("some", "choice ~ price", {"separation": "firth"}),
]


@pytest.mark.parametrize(("sets", "formula", "options"), FITS)
def test_passes_end_where_memory_does(tables, sets, formula, options):
    frame, folder = tables[sets]
    found = ld.clogit(formula, folder, **options)
    same(found, ld.clogit(formula, frame, **options))
    assert "stayed in their files" in " ".join(found.notes)


NESTS = {"brands": ["acme", "best", "cheap"]}


@pytest.mark.parametrize(
    ("sets", "formula", "options"),
    [
        ("all", "choice ~ price + quality", {"vcov": {"CRV1": "shop"}, "nests": NESTS}),
        ("some", "belief ~ price", {"nests": {"name": ["best", "acme"]}, "weights": "times"}),
        ("all", "belief ~ price", {"nests": NESTS, "dissimilarity": {"brands": 0.5}}),
    ],
)
def test_nested_logits_end_where_memory_does(tables, sets, formula, options):
    frame, folder = tables[sets]
    found, one = (ld.nlogit(formula, d, base="none", **options) for d in (folder, frame))
    same(found, one)
    assert set(one.notes) < set(found.notes)


@pytest.mark.parametrize("outcome", ["belief", "choice"])
@pytest.mark.parametrize("model", ["clogit", "nested"])
def test_panels_in_files_stay_there(tmp_path, monkeypatch, model, outcome):
    monkeypatch.setattr("llmdemand.modeling.models.demand.RUNS", 20)
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=4, seed=3)
    order = np.random.default_rng(2).permutation(len(panel))
    shards = write_shards(
        replace(panel, frame=panel.frame.iloc[order]), tmp_path / "panel", rows=61
    )
    how = {"outcome": outcome, "model": model, "vcov": {"CRV1": "cell"}}
    found, one = ld.fit_demand(shards, **how), ld.fit_demand(panel, **how)
    # Few choices leave nests hardly known (SE 16): so many digits the search for them leaves.
    same(found, one, 1e-7 if (model, outcome) == ("nested", "choice") else 1e-9)


def test_gaps_leave_out_whole_cases(tables, tmp_path):
    holed = tables["all"][0].copy()
    holed.loc[[3, 700], "price"] = np.nan
    folder = written(holed, tmp_path / "holed")
    found = ld.clogit("choice ~ price", folder, na="drop")
    assert found.dropped == 2 * len(ALTERNATIVES)
    same(found, ld.clogit("choice ~ price", holed, na="drop"))


def test_a_case_in_two_files_is_named(tables, tmp_path):
    frame = tables["all"][0]
    for k, rows in enumerate((slice(0, 402), slice(402, None))):
        frame.iloc[rows].to_parquet(tmp_path / f"{k}.parquet")
    with pytest.raises(
        DesignError, match=r"case c100 is in .*0\.parquet and in .*1\.parquet.*sort"
    ):
        ld.clogit("choice ~ price", tmp_path)


def test_separation_is_decided_over_all_files(tables, tmp_path):
    frame = tables["all"][0].copy()
    best = frame.groupby("case")["price"].idxmin()
    frame["choice"] = frame.index.isin(best).astype(int)
    with pytest.raises(DesignError, match=r"separated.*price to -inf"):
        ld.clogit("choice ~ price | 0", written(frame, tmp_path / "whole"))
    # One case of one file contradicts it.
    frame.loc[:3, "choice"] = np.roll(frame.loc[:3, "choice"], 1)
    folder = written(frame, tmp_path / "but one")
    same(ld.clogit("choice ~ price | 0", folder), ld.clogit("choice ~ price | 0", frame), 1e-7)


def test_what_cannot_be_is_refused_in_the_same_words(tables, tmp_path):
    frame = tables["all"][0].assign(twice=2 * tables["all"][0]["price"])
    folder = written(frame, tmp_path / "rows")
    for formula in ("choice ~ price + twice", "choice ~ income", "choice ~ price | price"):
        with pytest.raises(DesignError) as one:
            ld.clogit(formula, frame)
        with pytest.raises(DesignError) as found:
            ld.clogit(formula, folder)
        assert str(found.value)[:30] == str(one.value)[:30]
    found = ld.clogit("choice ~ price", folder)
    with pytest.raises((DesignError, UsageError), match="rows"):
        found.elasticity()
