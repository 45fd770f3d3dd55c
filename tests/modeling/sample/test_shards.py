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


def test_an_executor_that_is_none_is_refused(rows, tmp_path):
    folder = divided(rows, tmp_path / "rows", [300])
    with pytest.raises(UsageError, match="executor"):
        ld.logit("bought ~ price", folder, executor=0)


# What others have reported, rebuilt small.


def test_more_observations_than_32_bits_count(tmp_path):
    """Lfe issue 2: sums by cluster of more than 2^31 observations."""
    frame = pd.DataFrame({"x": [0, 0, 1, 1] * 2, "y": [0, 1] * 4, "g": [0, 0, 0, 0, 1, 1, 1, 1]})
    frame["n"] = np.array([3, 1, 1, 2, 2, 1, 1, 3]) * 1_000_000_000
    found = ld.logit(
        "y ~ x", divided(frame, tmp_path / "rows", [3]), weights="n", vcov={"CRV1": "g"}
    )
    small = ld.logit("y ~ x", frame.assign(n=frame["n"] // 1_000_000_000), weights="n")
    assert found.nobs == 14e9
    np.testing.assert_allclose(found.params, small.params, rtol=1e-10)


def test_the_constant_keeps_its_place(rows, tmp_path):
    """dask-ml issue 860: the constant was first or last by the kind of the array."""
    folder = divided(rows, tmp_path / "rows", [300])
    for data in (rows, folder, sorted(folder.glob("*.parquet"))):
        assert list(ld.logit("bought ~ price", data).params.index) == ["const", "price"]


def test_parts_in_which_nothing_varies(rows, tmp_path):
    """Biglm and Spark's MLlib: chunks with one outcome, or with a constant regressor."""
    ordered = rows.sort_values(["bought", "price"], kind="stable", ignore_index=True)
    cuts = np.flatnonzero(ordered["price"].diff().fillna(0) != 0).tolist()
    same(
        ld.logit("bought ~ price", divided(ordered, tmp_path / "rows", cuts)),
        ld.logit("bought ~ price", ordered),
    )


def test_a_fit_of_parts_is_no_mean_of_fits(rows, tmp_path):
    """Statsmodels issue 3091: separate models of each part, averaged, are another estimate."""
    ordered = rows.sort_values("price", ignore_index=True)
    folder = divided(ordered, tmp_path / "rows", [300])
    parts = [ld.logit("bought ~ price + size", p).params for p in sorted(folder.glob("*.parquet"))]
    found = ld.logit("bought ~ price + size", folder)
    same(found, ld.logit("bought ~ price + size", rows))
    assert abs(sum(parts)["price"] / 2 - found.params["price"]) > 0.01


def test_two_clusters_are_said_to_be_few(rows, tmp_path):
    """Fixest issue 438: clusters of two values made absurdly small standard errors."""
    folder = divided(rows.assign(half=rows["shop"] % 2), tmp_path / "rows", [300])
    found = ld.logit("bought ~ price", folder, vcov={"CRV1": "half"})
    assert found.df == 1 and "fewer than 30 clusters (2)" in " ".join(found.notes)


def test_files_that_hold_a_column_as_whole_numbers_and_as_others(rows, tmp_path):
    """Pandas and Arrow: a column without gaps is int in one file, with gaps float in another."""
    folder = divided(rows.assign(price=rows["price"].round()), tmp_path / "rows", [300])
    one = pd.read_parquet(folder / "001.parquet")
    one.astype({"price": "int16", "shop": "float64"}).to_parquet(folder / "001.parquet")
    found = ld.logit("bought ~ price", folder, vcov={"CRV1": "shop"})
    same(
        found,
        ld.logit("bought ~ price", rows.assign(price=rows["price"].round()), vcov={"CRV1": "shop"}),
    )


def test_one_cluster_under_two_kinds_of_name_is_refused(rows, tmp_path):
    """A cluster that is 5 in one file and "5" in another would be two."""
    folder = divided(rows, tmp_path / "rows", [300])
    one = pd.read_parquet(folder / "001.parquet")
    one.astype({"shop": str}).to_parquet(folder / "001.parquet")
    with pytest.raises(DesignError, match=r"'shop' holds numbers in .*000.*and text in .*001"):
        ld.logit("bought ~ price", folder, vcov={"CRV1": "shop"})
    ld.logit("bought ~ price", folder)
