"""Covariances by statsmodels' names, and confidence levels by either of two."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from llmdemand import clogit, fit_demand, fraclogit, logit, mnlogit
from llmdemand.errors import UsageError
from llmdemand.modeling.estimation.options import alpha_of
from llmdemand.modeling.models.logit import fit


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    n = 300
    price = rng.choice([1.0, 2, 3, 4], n)
    p = 1 / (1 + np.exp(price - 2.5))
    return pd.DataFrame(
        {
            "price": price,
            "choice": (rng.random(n) < p).astype(float),
            "belief": rng.beta(4 * p, 4 * (1 - p)),
            "mode": rng.choice(list("abc"), n),
            "home": rng.integers(0, 20, n),
            "week": rng.integers(0, 9, n),
        }
    )


def test_cov_type_is_a_synonym_of_vcov_in_every_door(data):
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(300), 2),
            "alternative": ["a", "b"] * 300,
            "price": np.column_stack([data["price"], 5 - data["price"]]).ravel(),
            "choice": np.column_stack([data["choice"], 1 - data["choice"]]).ravel(),
            "home": np.repeat(data["home"], 2).to_numpy(),
            "week": np.repeat(data["week"], 2).to_numpy(),
        }
    )
    doors = (
        (logit, "choice ~ price", data),
        (fraclogit, "belief ~ price", data),
        (mnlogit, "mode ~ price", data),
        (clogit, "choice ~ price", long),
    )
    for door, formula, frame in doors:
        for vcov, names in (
            ("HC0", {"cov_type": "HC0"}),
            ("HC1", {"cov_type": "robust"}),
            ({"CRV1": "home"}, {"cov_type": "cluster", "cov_kwds": {"groups": "home"}}),
            ({"CRV1": "home"}, {"cov_type": "cluster", "cov_kwds": {"groups": frame["home"]}}),
            (
                {"CRV1": "home+week"},
                {"cov_type": "cluster", "cov_kwds": {"groups": frame[["home", "week"]]}},
            ),
        ):
            ours, theirs = door(formula, frame, **names), door(formula, frame, vcov=vcov)
            assert ours.vcov == theirs.vcov
            pd.testing.assert_frame_equal(ours.cov, theirs.cov)
    assert logit("choice ~ price", data, cov_type="nonrobust").vcov == "iid"


def test_the_cluster_option_gives_statsmodels_numbers(data):
    kwds = {"groups": data["home"]}
    ours = logit("choice ~ price", data, cov_type="cluster", cov_kwds=kwds, ssc="sandwich")
    model = sm.Logit(data["choice"], sm.add_constant(data["price"]))
    theirs = model.fit(disp=0, cov_type="cluster", cov_kwds=kwds)
    np.testing.assert_allclose(ours.cov, theirs.cov_params(), rtol=1e-7)


def test_arrays_take_their_clusters_as_arrays(data):
    x, y = sm.add_constant(data["price"]).to_numpy(), data["choice"].to_numpy()
    named = logit("choice ~ price", data, vcov={"CRV1": "home"})
    for groups in (data["home"].to_numpy(), data["home"], data["home"].tolist()):
        ours = fit(y, x, named.params.index, cov_type="cluster", cov_kwds={"groups": groups})
        np.testing.assert_allclose(ours.cov, named.cov, rtol=1e-9)
    with pytest.raises(ValueError, match="2 values for 300 outcomes"):
        fit(y, x, named.params.index, cov_type="cluster", cov_kwds={"groups": [1, 2]})


def test_a_panel_is_clustered_by_its_columns(synthetic_panel):
    kwds = {"groups": synthetic_panel.frame["cell"]}
    ours = fit_demand(synthetic_panel, cov_type="cluster", cov_kwds=kwds)
    assert ours.fit.vcov == "CRV1 (clusters: cell)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cov_type": "HC1", "vcov": "HC1"}, "give one"),
        ({"cov_kwds": {"groups": "home"}}, "cov_type, which is missing"),
        ({"cov_type": "HC1", "cov_kwds": {"groups": "home"}}, "takes none"),
        ({"cov_type": "cluster"}, "found nothing"),
        ({"cov_type": "cluster", "cov_kwds": {"groups": np.arange(300)}}, "found ndarray"),
        ({"cov_type": "cluster", "cov_kwds": {"groups": "home", "use_t": True}}, "ssc="),
        ({"cov_type": "HC9"}, "no covariance 'HC9'"),
    ],
)
def test_impossible_names_are_refused_in_words(data, options, message):
    with pytest.raises(UsageError, match=message):
        logit("choice ~ price", data, **options)


def test_a_column_by_a_known_name_must_hold_the_same_values(data):
    moved = data["home"].iloc[::-1]
    with pytest.raises(UsageError, match=r"data\.assign"):
        logit("choice ~ price", data, cov_type="cluster", cov_kwds={"groups": moved})


def test_levels():
    assert alpha_of(0.1) == 0.1 and alpha_of(level=0.99) == pytest.approx(0.01)
    for options in ({"alpha": 0.1, "level": 0.9}, {"level": 95}, {"alpha": 0}):
        with pytest.raises(UsageError, match="give"):
            alpha_of(**options)
