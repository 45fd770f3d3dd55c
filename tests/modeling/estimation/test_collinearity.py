"""Near collinearity: p2 = 2 price + 3 + e z is the model of price and z, in other coordinates.

What coefficients, errors and likelihood must be follows from the fit in price and z, which is
well conditioned: b(p2) = b(z) / e, and b(price) + 2 b(p2) = b(price) there. Rounding of p2,
about 1e-14, is all that may be lost of z: one part in e / 1e-14.
"""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError
from llmdemand.modeling.estimation.regressors import check_regressors
from llmdemand.modeling.likelihood.conditioning import orthogonal_basis
from llmdemand.modeling.models.logit import fit

N = 500


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    price, z = rng.choice(np.arange(30, 46.0), N), rng.standard_normal(N)
    y = (rng.random(N) < 1 / (1 + np.exp(0.2 * (price - 37) - 0.5 * z))).astype(int)
    return pd.DataFrame({"y": y, "price": price, "z": z, "who": np.arange(N) % 50})


def _near(data, e):
    return data.assign(p2=2 * data["price"] + 3 + e * data["z"])


@pytest.mark.parametrize("e", [1e-3, 1e-5, 1e-7, 1e-9, 1e-10])
@pytest.mark.parametrize(
    "options",
    [
        {"vcov": "iid"},
        {"vcov": "HC1"},
        {"vcov": "HC3"},
        {"vcov": {"CRV1": "who"}},
        {"vcov": {"CRV3": "who"}},
        {"separation": "firth"},
    ],
    ids=str,
)
def test_estimates_and_errors_are_those_of_the_difference(data, e, options):
    clear = ld.logit("y ~ price + z", data, **options)
    near = ld.logit("y ~ price + p2", _near(data, e), **options)
    lost = max(1e-8, 1e-12 / e)  # a hundred times the rounding of p2
    assert near.converged
    assert near.params["p2"] * e == pytest.approx(clear.params["z"], rel=lost)
    assert near.bse["p2"] * e == pytest.approx(clear.bse["z"], rel=lost)
    moved = near.params["price"] + 2 * near.params["p2"]
    # A difference of estimates of size 1 / e.
    assert moved == pytest.approx(clear.params["price"], rel=lost, abs=1e-14 / e)
    assert near.llf == pytest.approx(clear.llf, abs=100 * lost)


def test_exact_agreement_where_the_data_are_exact(data):
    """With z in steps of 2^-10 and e = 2^-20 nothing is rounded: all digits must be there."""
    z = np.round(data["z"] * 2**10) / 2**10
    clear = ld.logit("y ~ price + z", data.assign(z=z))
    near = ld.logit("y ~ price + p2", _near(data.assign(z=z), 2.0**-20))
    assert near.params["p2"] / 2**20 == pytest.approx(clear.params["z"], rel=1e-8)
    assert near.bse["p2"] / 2**20 == pytest.approx(clear.bse["z"], rel=1e-8)
    assert near.llf == pytest.approx(clear.llf, abs=1e-7)


def test_digits_lost_are_said(data):
    assert ld.logit("y ~ price + p2", _near(data, 1e-3)).notes == ()
    (note,) = ld.logit("y ~ price + p2", _near(data, 1e-9)).notes
    assert "condition number 2e+10" in note
    assert "'p2' is made up of 'price'" in note and "about 5 of 16 digits" in note
    assert note in ld.logit("y ~ price + p2", _near(data, 1e-9)).summary()


@pytest.mark.parametrize("e", [1e-11, 1e-12])
def test_too_few_digits_are_refused(data, e):
    with pytest.raises(
        DesignError, match=r"nearly collinear regressors: 'p2' is made up of 'price'"
    ):
        ld.logit("y ~ price + p2", _near(data, e))


@pytest.mark.parametrize("e", [0.0, 1e-16])
def test_collinear_regressors_are_refused(data, e):
    for scale in (1e-6, 1.0, 1e9):
        near = _near(data, e).assign(p2=lambda d: d["p2"] * scale)  # noqa: B023
        with pytest.raises(DesignError, match=r"^collinear regressors: 'p2' is made up of 'price'"):
            ld.logit("y ~ price + p2", near)
        x = np.column_stack([np.ones(N), near["p2"], near["price"]])
        with pytest.raises(DesignError, match="'price' is made up of 'p2'"):
            fit(data["y"].to_numpy(float), x, ["const", "p2", "price"])


def test_all_others_are_named():
    rng = np.random.default_rng(1)
    a, b, c = rng.standard_normal((3, 50))
    x = np.column_stack([np.ones(50), a, b, c, a - b + 1e-14 * c])
    with pytest.raises(DesignError, match=r"'d' is made up of 'a', 'b'[ ;]"):
        check_regressors(x, ["const", "a", "b", "c", "d"], 50)
    assert check_regressors(x[:, :4], ["const", "a", "b", "c"], 50) == ()


def test_years_and_powers_are_not_collinear(data):
    """Large values with small differences cost digits, but only as many as they do."""
    year = data.assign(year=2000.0 + data["price"])
    found = ld.logit("y ~ year + I(year**2)", year)
    centred = ld.logit("y ~ price + I(price**2)", data)
    assert found.llf == pytest.approx(centred.llf, abs=1e-6)
    assert found.notes == ()
    with pytest.raises(DesignError, match="collinear"):
        ld.logit("y ~ year + I(year**2) + I(year**3) + I(year**4) + I(year**5)", year)


def test_near_collinearity_among_alternatives(data):
    rng = np.random.default_rng(5)
    n, e = 300, 1e-8
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 3),
            "alternative": np.tile(["a", "b", "c"], n),
            "price": rng.choice(np.arange(30, 46.0), 3 * n),
            "z": rng.standard_normal(3 * n),
        }
    )
    u = -0.1 * long["price"] + 0.5 * long["z"] + rng.gumbel(size=3 * n)
    long["choice"] = (u == u.groupby(long["case"]).transform("max")).astype(int)
    clear = ld.clogit("choice ~ price + z", long, vcov="iid")
    near = ld.clogit("choice ~ price + p2", _near(long, e), vcov="iid")
    assert near.params["p2"] * e == pytest.approx(clear.params["z"], rel=1e-4)
    assert near.bse["p2"] * e == pytest.approx(clear.bse["z"], rel=1e-4)
    assert near.llf == pytest.approx(clear.llf, abs=1e-3)
    assert "condition number" in near.notes[0]
    with pytest.raises(DesignError, match="collinear regressors: 'p2'"):
        ld.clogit("choice ~ price + p2", _near(long, 1e-13))
    wide = data.assign(mode=np.array(list("abc"))[data["who"] % 3])
    with pytest.raises(DesignError, match="collinear regressors: 'p2'"):
        ld.mnlogit("mode ~ price + p2", _near(wide, 1e-13))


def test_the_basis_is_orthonormal_and_spans_the_same():
    x = np.linspace(-1, 1, 64)
    z = np.column_stack([np.ones(64), x, x + 2.0**-30 * x**2])
    basis = orthogonal_basis(z)
    q = z @ basis
    np.testing.assert_allclose(q.T @ q / 64, np.eye(3), atol=1e-3)
    assert np.linalg.matrix_rank(basis / np.linalg.norm(basis, axis=0)) >= 2
    assert orthogonal_basis(z[:, :2]) is None
    assert orthogonal_basis(np.column_stack([x, x])) is None
