"""Mean quantities of rows in files are those of rows in memory."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import write_shards
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.passes.spread import Spread

N = 500
NUMBERS = ["estimate", "se", "lower", "upper"]


@pytest.fixture(autouse=True)
def few_groups(monkeypatch):
    for model in ("binary", "multinomial"):
        monkeypatch.setattr(f"llmdemand.modeling.estimation.{model}.MOST", 50)
    monkeypatch.setattr("llmdemand.modeling.averages.parts._ROWS", 250)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "price": rng.uniform(0, 30, N),
            "size": rng.choice(["small", "large", "medium"], N),
            "times": rng.integers(0, 3, N),
            "heavy": rng.choice([0.5, 2.0], N),
            "shop": rng.integers(12, size=N),
        }
    )
    share = 1 / (1 + np.exp(0.2 * (frame["price"] - 15) - (frame["size"] == "large")))
    return frame.assign(
        bought=(rng.random(N) < share) * 1,
        belief=np.clip(share + rng.normal(0, 0.05, N), 0, 1),
        brand=np.where(rng.random(N) < share, "acme", rng.choice(["best", "none"], N)),
    )


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    # One file has a single row, another neither all sizes nor all prices.
    by = rows.sort_values(["size", "price"])
    for k, (a, b) in enumerate([(0, 1), (1, 200), (200, N)]):
        by.iloc[a:b].to_parquet(folder / f"{k}.parquet")
    return folder


def same(found, one):
    assert (found.name, found.rule, found.ci, found.unit) == (one.name, one.rule, one.ci, one.unit)
    keys = [c for c in one.table.columns if c not in NUMBERS]
    pd.testing.assert_frame_equal(found.table[keys], one.table[keys])
    a, b = (q.table[NUMBERS].to_numpy(np.float64) for q in (found, one))
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


OF_PRICE = [
    lambda fit: fit.shares(),
    lambda fit: fit.shares(at={"price": [12, 20]}, level=0.9),
    lambda fit: fit.shares(at=pd.DataFrame({"price": [12.0], "size": ["small"]}), reps=50),
    lambda fit: fit.marginal_effects("price"),
]
OWN = [
    lambda fit: fit.elasticity(),
    lambda fit: fit.elasticity(20),
    lambda fit: fit.marginal_effects(),
]


@pytest.mark.parametrize(
    ("fit", "formula", "options", "asked"),
    [
        (ld.logit, "bought ~ price * size", {"vcov": {"CRV1": "shop"}}, OF_PRICE),
        (ld.logit, "bought ~ bs(price, knots=[10, 22]) + size", {"weights": "times"}, OF_PRICE),
        (
            ld.fraclogit,
            "belief ~ price + size",
            {"weights": "heavy", "weights_type": "sampling"},
            OWN,
        ),
        (ld.mnlogit, "brand ~ price + size", {"vcov": "HC1"}, OF_PRICE),
    ],
)
def test_means_are_those_of_memory(rows, folder, fit, formula, options, asked):
    found, one = fit(formula, folder, **options), fit(formula, rows, **options)
    assert isinstance(found.data, Spread)
    for ask in asked:
        same(ask(found), ask(one))


def test_no_bit_depends_on_who_reads(folder, two, monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.averages.parts._ROWS", 1 << 17)  # as in processes
    one, both = (
        ld.logit("bought ~ price + size", folder, executor=k).elasticity() for k in (None, two)
    )
    pd.testing.assert_frame_equal(one.table, both.table, check_exact=True)


def test_panels_in_files_are_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.estimation.binary.MOST", 10)
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=3, seed=3)
    shards = write_shards(panel, tmp_path / "panel", rows=21)
    found, one = (ld.fit_demand(p, formula="price", vcov="HC1") for p in (shards, panel))
    assert isinstance(found.fit.data, Spread)
    same(found.elasticity(), one.elasticity())
    same(found.elasticity(35), one.elasticity(35))


def test_what_is_no_mean_is_refused(rows, folder, tmp_path):
    found = ld.logit("bought ~ price + size", folder)
    for asked, words in (
        ({"average": "share_weighted"}, "average='share_weighted' needs all rows at once"),
        ({"average": "at_means"}, "use 'mean'"),
        ({"ci": "krinsky-robb"}, "ci='krinsky-robb' needs all rows at once.*use 'delta'"),
    ):
        with pytest.raises(UsageError, match=words):
            found.elasticity(**asked)
    with pytest.raises(DesignError, match="no variable 'cost'"):
        found.marginal_effects("cost")
    with pytest.raises(DesignError, match="needs the rows"):
        found.optimal_price(2.0)
    (tmp_path / "zero").mkdir()
    zero = rows.assign(price=np.where(np.arange(N) % 200 == 0, 0.0, rows["price"]))
    zero.to_parquet(tmp_path / "zero" / "0.parquet")
    free = ld.logit("bought ~ price", tmp_path / "zero").elasticity()
    assert free.notes == ("some prices are zero: elasticities there are zero",)
    same(free, ld.logit("bought ~ price", zero).elasticity())
