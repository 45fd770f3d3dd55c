"""Rows that do not compress are fitted in passes as they are in memory."""

import re

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.passes.spread import Spread

N = 900


@pytest.fixture(autouse=True)
def few_groups(monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.estimation.binary.MOST", 50)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "price": rng.normal(20, 3, N),
            "size": rng.choice(["small", "large", "medium"], N),
            "shop": rng.integers(12, size=N),
            "day": rng.integers(9, size=N),
            "heavy": rng.choice([0.5, 1.0, 3.0], N),
            "times": rng.integers(0, 4, N),
        }
    )
    share = 1 / (1 + np.exp(0.3 * (frame["price"] - 20) - (frame["size"] == "large")))
    return frame.assign(
        bought=(rng.random(N) < share).astype(int),
        belief=np.clip(share + rng.normal(0, 0.05, N), 0, 1),
    )


def written(frame, folder):
    """A file of one row comes last, an empty one first, and the others the wrong way round."""
    folder.mkdir()
    for k, (a, b) in enumerate([(0, 1), (1, 400), (400, 402), (402, len(frame)), (5, 5)]):
        frame.iloc[a:b].to_parquet(folder / f"{9 - k}.parquet")
    return folder


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    return written(rows, tmp_path_factory.mktemp("rows") / "rows")


def same(found, one):
    assert isinstance(found.fit.data if hasattr(found, "fit") else found.data, Spread)
    for name in ("nobs", "dropped", "vcov", "ssc", "df", "clusters", "title", "fractional"):
        assert getattr(found, name) == getattr(one, name), name
    assert list(found.params.index) == list(one.params.index)
    np.testing.assert_allclose(found.params, one.params, rtol=1e-10)
    largest = np.abs(one.cov.to_numpy()).max()
    np.testing.assert_allclose(found.cov, one.cov, rtol=1e-10, atol=1e-10 * largest)
    np.testing.assert_allclose([found.llf, found.llnull], [one.llf, one.llnull], rtol=1e-10)


FITS = [
    (ld.logit, "bought ~ price + size", {"vcov": "iid"}),
    (ld.logit, "bought ~ log(price) * size", {"vcov": {"CRV1": "shop"}, "ssc": "fixest"}),
    (ld.logit, "bought ~ price", {"vcov": "HC3", "weights": "times"}),
    (ld.logit, "bought ~ price", {"separation": "firth"}),
    (ld.logit, "bought ~ bs(price, knots=[18, 21]) + C(day)", {"vcov": {"score": "shop"}}),
    (ld.logit, "bought ~ price - 1", {"vcov": {"CRV1": "shop+day"}}),
    (ld.fraclogit, "belief ~ price + offset(heavy)", {"vcov": "HC2"}),
    (
        ld.fraclogit,
        "belief ~ price + C(shop)",
        {"vcov": {"CRV1": "size+day"}, "weights": "heavy", "weights_type": "sampling"},
    ),
]


@pytest.mark.parametrize(("fit", "formula", "options"), FITS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_passes_end_where_memory_does(rows, folder, fit, formula, options):
    same(fit(formula, folder, **options), fit(formula, rows, **options))


def test_gaps_are_left_out_and_counted(rows, tmp_path):
    holed = rows.copy()
    holed.loc[[3, 500], "price"] = np.nan
    holed.loc[[7], "size"] = None
    folder = written(holed, tmp_path / "rows")
    found = ld.logit("bought ~ price + size", folder, na="drop")
    assert found.dropped == 3
    same(found, ld.logit("bought ~ price + size", holed, na="drop"))
    with pytest.raises(DesignError, match="missing values"):
        ld.logit("bought ~ price", folder)


def test_no_bit_depends_on_who_reads(folder, two):
    one, both = (ld.logit("bought ~ price", folder, executor=k) for k in (None, two))
    assert one.params.equals(both.params) and one.cov.equals(both.cov)


def test_separation_is_decided_over_all_files(tmp_path):
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(2, N))
    frame = pd.DataFrame({"x": x, "z": z, "y": (x + 0.01 * z > 0).astype(int)})
    with pytest.raises(DesignError, match=r"separated.*x to \+inf"):
        ld.logit("y ~ x + z", written(frame, tmp_path / "whole"))
    # One row of one file contradicts it.
    frame.loc[0, "y"] = 1 - frame.loc[0, "y"]
    same(ld.logit("y ~ x + z", written(frame, tmp_path / "but one")), ld.logit("y ~ x + z", frame))
    rare = frame.assign(new=np.where(np.arange(N) == N - 1, "yes", "no"))
    with pytest.raises(DesignError, match=re.escape("new[T.yes] to ")):
        ld.logit("y ~ x + new", written(rare, tmp_path / "rare"))


def test_designs_without_coefficients_are_refused_in_the_same_words(rows, tmp_path):
    frame = rows.assign(twice=2 * rows["price"], one=1.0, near=rows["price"] + 1e-14 * rows["shop"])
    folder = written(frame, tmp_path / "rows")
    for formula in ("bought ~ price + twice", "bought ~ price + one", "bought ~ price + near"):
        with pytest.raises(DesignError) as one:
            ld.logit(formula, frame)
        with pytest.raises(DesignError) as found:
            ld.logit(formula, folder)
        assert str(found.value)[:60] == str(one.value)[:60]
    with pytest.raises(DesignError, match="not 0/1"):
        ld.logit("belief ~ price", folder)


def test_what_needs_the_rows_says_so(rows, folder):
    found = ld.logit("bought ~ price", folder)
    assert "stayed in their files" in str(found.summary()).replace("\n", " ")
    for vcov in ({"CRV3": "shop"}, {"pairs": "shop"}, {"within": "shop"}):
        with pytest.raises(UsageError, match="needs the rows"):
            ld.logit("bought ~ price", folder, vcov=vcov)
    with pytest.raises(UsageError):
        found.conf_int(kind="profile")
    with pytest.raises(DesignError, match="needs the rows"):
        found.optimal_price(5.0)


def test_outcomes_on_the_curve_have_no_noise(rows, tmp_path):
    exact = rows.assign(belief=1 / (1 + np.exp(rows["price"] - 20)))
    with pytest.warns(UserWarning, match="vary"):
        one = ld.fraclogit("belief ~ price", exact)
    with pytest.warns(UserWarning, match="vary"):
        found = ld.fraclogit("belief ~ price", written(exact, tmp_path / "rows"))
    assert found.bse.tolist() == one.bse.tolist() == [0.0, 0.0]
