"""Multinomial logits of files whose rows do not compress end where those of memory do."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import write_shards
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.passes.cases import SpreadCases

N = 700


@pytest.fixture(autouse=True)
def few_groups(monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.estimation.multinomial.MOST", 50)
    # Several slices of every part.
    monkeypatch.setattr("llmdemand.modeling.passes.labelled._MADE", 3000)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "income": rng.normal(20, 3, N),
            "size": rng.choice(["small", "large", "medium"], N),
            "shop": rng.integers(12, size=N),
            "day": rng.integers(9, size=N),
            "heavy": rng.choice([0.5, 1.0, 3.0], N),
            "times": rng.integers(0, 4, N),
        }
    )
    v = np.column_stack(
        [
            np.zeros(N),
            0.2 * (frame["income"] - 20) - 0.3,
            0.8 * (frame["size"] == "large") - 0.1 * (frame["income"] - 20),
        ]
    )
    place = (v + rng.gumbel(size=v.shape)).argmax(axis=1)
    share = np.exp(v + rng.normal(0, 0.3, v.shape))
    share /= share.sum(axis=1, keepdims=True)
    labels = np.array(["none", "acme", "best"])[place]
    return frame.assign(
        brand=labels,
        number=place * 1.0,
        kind=pd.Categorical(labels, ["best", "none", "acme", "never"]),
        **dict(zip(("a", "b", "c"), share.T, strict=True)),
    )


def written(frame, folder, cuts):
    """Files in no order; of three or more one has a single row, and one none."""
    folder.mkdir()
    ends = [0, *sorted(cuts), len(frame)]
    for k, (a, b) in enumerate(pairwise(ends)):
        frame.iloc[a:b].to_parquet(folder / f"{9 - k}.parquet", row_group_size=200)
    return folder


CUTS = {1: [], 3: [1, 400], 7: [1, 60, 60, 200, 333, 690]}


@pytest.fixture(scope="module")
def folders(rows, tmp_path_factory):
    base = tmp_path_factory.mktemp("rows")
    return {n: written(rows, base / str(n), cuts) for n, cuts in CUTS.items()}


def same(found, one):
    assert isinstance(found.data, SpreadCases)
    for name in ("nobs", "dropped", "vcov", "ssc", "df", "clusters", "title", "fractional"):
        assert getattr(found, name) == getattr(one, name), name
    assert list(found.params.index) == list(one.params.index)
    size = np.abs(one.params).max()
    np.testing.assert_allclose(found.params, one.params, rtol=1e-10, atol=1e-10 * size)
    largest = np.abs(one.cov.to_numpy()).max()
    np.testing.assert_allclose(found.cov, one.cov, rtol=1e-10, atol=1e-10 * largest)
    np.testing.assert_allclose([found.llf, found.llnull], [one.llf, one.llnull], rtol=1e-10)


FITS = [
    (1, "brand ~ income + size", {"vcov": "iid"}),
    (3, "brand ~ income + size", {"vcov": {"CRV1": "shop"}, "base": "none"}),
    (7, "brand ~ log(income) * size", {"vcov": {"CRV1": "shop+day"}, "ssc": "fixest"}),
    (3, "number ~ income", {"vcov": "HC1", "weights": "times"}),
    (7, "kind ~ income - 1", {"vcov": {"score": "shop"}}),
    (3, "a + b + c ~ income + C(day)", {"vcov": "HC3", "base": "b"}),
    (
        7,
        "a + b + c ~ income",
        {"vcov": {"CRV1": "day"}, "weights": "heavy", "weights_type": "sampling"},
    ),
    (7, "brand ~ income", {"separation": "firth"}),
]


@pytest.mark.parametrize(("files", "formula", "options"), FITS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_passes_end_where_memory_does(rows, folders, files, formula, options):
    same(ld.mnlogit(formula, folders[files], **options), ld.mnlogit(formula, rows, **options))


def test_no_bit_depends_on_who_reads(folders, monkeypatch, two):
    monkeypatch.setattr("llmdemand.modeling.passes.labelled._MADE", 1 << 22)  # as in processes
    one, both = (ld.mnlogit("brand ~ income", folders[7], executor=k) for k in (None, two))
    assert one.params.equals(both.params) and one.cov.equals(both.cov)
    assert "stayed in their files" in " ".join(one.notes)


def test_gaps_are_left_out_and_counted(rows, tmp_path):
    holed = rows.copy()
    holed.loc[[3, 500], "income"] = np.nan
    folder = written(holed, tmp_path / "rows", [1, 400])
    found = ld.mnlogit("brand ~ income", folder, na="drop")
    assert found.dropped == 2
    same(found, ld.mnlogit("brand ~ income", holed, na="drop"))


def test_what_is_wrong_is_said(rows, folders, tmp_path):
    folder = folders[3]
    with pytest.raises(DesignError, match=r"'income' holds fractions|has \d+ values"):
        ld.mnlogit("income ~ size", folder)
    many = rows.assign(many=np.arange(N))
    with pytest.raises(DesignError, match=r"has .* values: is it the alternative"):
        ld.mnlogit("many ~ income", written(many, tmp_path / "many", [300]))
    with pytest.raises(DesignError, match=r"sum to .* nothing is renormalised"):
        ld.mnlogit("a + b ~ income", folder)
    with pytest.raises(UsageError, match="base='never'"):
        ld.mnlogit("brand ~ income", folder, base="never")
    twice = rows.assign(twice=2 * rows["income"], one=1.0)
    folder = written(twice, tmp_path / "twice", [300])
    with pytest.raises(DesignError, match="collinear regressors: 'twice:best' is made up of"):
        ld.mnlogit("brand ~ income + twice", folder)
    with pytest.raises(DesignError, match="'one' has one value"):
        ld.mnlogit("brand ~ income + one", folder)
    with pytest.raises(DesignError, match="quantiles or means of all rows"):
        ld.mnlogit("brand ~ scale(income)", folder)


def test_what_fits_samples_of_the_rows_takes_them_into_memory(rows, folders):
    how = {"vcov": {"CRV3": "shop"}}
    found, one = (ld.mnlogit("brand ~ income", d, **how) for d in (folders[3], rows))
    assert not isinstance(found.data, SpreadCases)
    np.testing.assert_allclose(found.cov, one.cov, rtol=1e-9)


@pytest.mark.parametrize("outcome", ["belief", "choice"])
def test_panels_in_files_stay_there(tmp_path, monkeypatch, outcome):
    monkeypatch.setattr("llmdemand.modeling.estimation.multinomial.MOST", 10)
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=4, seed=3)
    order = np.random.default_rng(2).permutation(len(panel))
    mixed = replace(panel, frame=panel.frame.iloc[order])
    shards = write_shards(mixed, tmp_path / "panel", rows=21)
    how = {"outcome": outcome, "model": "mnlogit", "vcov": {"CRV1": "cell"}}
    same(ld.fit_demand(shards, **how), ld.fit_demand(panel, **how))
