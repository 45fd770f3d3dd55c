"""A table in files is fitted as the table, however it is divided and whoever reads it."""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.sample.sample import grouped

N = 600


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "price": rng.integers(10, 16, N) / 2,
            "size": rng.choice(["small", "large", "medium"], N),
            "shop": rng.integers(12, size=N),
            "heavy": rng.choice([0.5, 1.0, 3.0], N),
            "times": rng.integers(0, 4, N),
        }
    )
    eta = 2 - 0.4 * frame["price"] + (frame["size"] == "large") + rng.normal(0, 0.4, 12)[frame.shop]
    share = 1 / (1 + np.exp(-eta))
    return frame.assign(
        bought=(rng.random(N) < share).astype(int),
        belief=np.clip(share + rng.normal(0, 0.05, N), 0, 1),
        brand=np.where(rng.random(N) < share, "own", rng.choice(["rival", "none"], N)),
    )


def divided(frame, folder, cuts, order=None):
    """Files of the rows between the cuts, in another order if that is given."""
    ends = [0, *cuts, len(frame)]
    parts = [frame.iloc[a:b] for a, b in itertools.pairwise(ends)]
    folder.mkdir()
    for k, place in enumerate(order or range(len(parts))):
        parts[place].reset_index(drop=True).to_parquet(folder / f"{k:03}.parquet")
    return folder


def same(found, one, digits=1e-10):
    assert found.nobs == one.nobs and found.dropped == one.dropped
    assert (found.vcov, found.ssc, found.df, found.clusters) == (
        one.vcov,
        one.ssc,
        one.df,
        one.clusters,
    )
    assert list(found.params.index) == list(one.params.index)
    np.testing.assert_allclose(found.params, one.params, rtol=digits)
    np.testing.assert_allclose(
        found.cov, one.cov, rtol=digits, atol=digits * np.abs(one.cov.to_numpy()).max()
    )
    np.testing.assert_allclose([found.llf, found.llnull], [one.llf, one.llnull], rtol=digits)


FITS = [
    (ld.logit, "bought ~ price + size", {"vcov": "iid"}),
    (ld.logit, "bought ~ price * size", {"vcov": {"CRV1": "shop"}, "ssc": "fixest"}),
    (ld.logit, "bought ~ price", {"vcov": "HC3", "weights": "times"}),
    (ld.logit, "bought ~ price", {"vcov": {"CRV3": "shop"}}),
    (ld.fraclogit, "belief ~ price + size", {}),
    (ld.fraclogit, "belief ~ price", {"vcov": "HC2"}),
    (
        ld.fraclogit,
        "belief ~ C(size)",
        {"vcov": {"CRV1": "shop+size"}, "weights": "heavy", "weights_type": "sampling"},
    ),
    (ld.mnlogit, "brand ~ price + size", {"vcov": {"CRV1": "shop"}, "base": "none"}),
]


@pytest.mark.parametrize(("fit", "formula", "options"), FITS)
def test_fits_of_files_are_fits_of_the_table(rows, tmp_path, fit, formula, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of two-way covariances
        one = fit(formula, rows, **options)
        for name, cuts, order in [
            ("a", [300], None),
            ("b", [1, 50, 50, 301, 599], [4, 2, 0, 5, 1, 3]),  # one is empty
        ]:
            same(fit(formula, divided(rows, tmp_path / name, cuts, order), **options), one)


def test_no_bit_depends_on_who_reads(rows, tmp_path):
    folder = divided(rows, tmp_path / "rows", [100, 200, 450])
    one = ld.fraclogit("belief ~ price + size", folder)
    two = ld.fraclogit("belief ~ price + size", folder, executor=2)
    assert one.params.equals(two.params) and one.cov.equals(two.cov) and one.llf == two.llf


def test_levels_are_those_of_all_files(rows, tmp_path):
    ordered = rows.sort_values("size", kind="stable", ignore_index=True)
    cuts = np.flatnonzero(ordered["size"].ne(ordered["size"].shift()))[1:].tolist()
    one = ld.logit("bought ~ price + size", rows)
    for k, kind in enumerate((str, "category")):
        # Each file has one level, and as a category no other; the last file comes first.
        parts = divided(ordered, tmp_path / f"{k}", cuts, [2, 0, 1])
        for path in parts.glob("*.parquet"):
            frame = pd.read_parquet(path)
            frame.assign(size=frame["size"].astype(kind)).to_parquet(path)
        same(ld.logit("bought ~ price + size", parts), one)


def test_separation_is_that_of_all_files(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6], "y": [0, 0, 1, 0, 1, 1]})
    # Each file alone is separated; together they are not.
    found = ld.logit("y ~ x", divided(frame, tmp_path / "apart", [2, 3, 4]), separation="raise")
    same(found, ld.logit("y ~ x", frame))
    # No file alone is separated by x; together with the last they are, in its own dummy.
    frame = pd.concat(
        [frame.assign(new="no"), pd.DataFrame({"x": [2.5], "y": [1], "new": ["yes"]})]
    )
    folder = divided(frame, tmp_path / "one", [6])
    with pytest.raises(DesignError, match=r"new\[T\.yes\] to \+inf"):
        ld.logit("y ~ x + new", folder, separation="raise")


def test_gaps_are_counted_over_all_files_and_the_first_is_named(rows, tmp_path):
    holed = rows.astype({"price": float})
    holed.loc[[310, 420, 421], "price"] = np.nan
    folder = divided(holed, tmp_path / "rows", [200, 400])
    with pytest.raises(DesignError, match=r"missing values in 'price' \(the first is row 310\)"):
        ld.logit("bought ~ price", folder)
    found = ld.logit("bought ~ price", folder, na="drop")
    assert found.dropped == 3
    same(found, ld.logit("bought ~ price", holed, na="drop"))
    # A file in which the column has no value at all.
    holed.loc[200:399, "price"] = np.nan
    folder = divided(holed, tmp_path / "hole", [200, 400])
    same(
        ld.logit("bought ~ price", folder, na="drop"),
        ld.logit("bought ~ price", holed, na="drop"),
    )


def test_sums_lose_nothing(tmp_path):
    """Outcomes a hair from 1 beside outcomes a hair from 0, against exact sums."""
    rng = np.random.default_rng(3)
    tiny = 10.0 ** rng.uniform(-14, -1, 3000)
    y = np.where(rng.random(3000) < 0.5, tiny, 1 - tiny)
    frame = pd.DataFrame({"x": np.repeat([0, 1], 1500), "y": y})
    for name, cuts in (("few", [1500]), ("many", list(range(100, 3000, 100)))):
        sample = grouped(divided(frame, tmp_path / name, cuts), "y", ["x"], outcome_columns=["y"])
        for x, mean, within in zip(sample.frame["x"], sample.mean, sample.within, strict=True):
            own = y[frame["x"] == x]
            exact = math.fsum(own) / 1500
            assert abs(mean - exact) <= 1e-14
            assert within == pytest.approx(math.fsum((v - exact) ** 2 for v in own), rel=1e-13)


def test_transforms_that_look_at_all_rows_are_refused(rows, tmp_path):
    with pytest.raises(DesignError, match="knots"):
        ld.logit("bought ~ bs(price, df=4)", divided(rows, tmp_path / "rows", [300]))


def test_an_address_where_nobody_answers(rows, tmp_path):
    folder = divided(rows, tmp_path / "rows", [300])
    with pytest.raises(UsageError, match="executor"):
        ld.logit("bought ~ price", folder, executor=0)
