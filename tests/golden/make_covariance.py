"""Covariances of a binary logit by other means than ours: writes binary.csv and covariance.json.

pip install statsmodels==0.15.0 pyfixest==0.60.0; then ``python make_covariance.py``.

- HC0 to HC3: from the pieces of a statsmodels GLM (scores, inverse information, hat values of
  ``get_influence``), by the formulas of R ``sandwich::vcovHC``: HC0 has the residuals as they
  are, HC2 divides them by sqrt(1 - h), HC3 by 1 - h; HC1 is given as HC0, its factor is an
  option of the package under test.
- CRV1, no small-sample factor: sums of scores over clusters, in one way and in two ways
  (a + b - a and b); once more by statsmodels ``cov_type="cluster"`` (agreement is asserted).
- CRV1 with fixest's factors: pyfixest ``feglm(family="logit")``.
- CRV3: the model refitted without each cluster, the squared departures from the full estimate
  summed, times (G - 1) / G.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyfixest as pf
import statsmodels.api as sm

HERE = Path(__file__).parent
NAMES = ["const", "x", "z"]


def data() -> pd.DataFrame:
    """900 observations, 40 firms of unequal size, 8 years, shocks of both."""
    rng = np.random.default_rng(20240601)
    firm = np.sort(rng.choice(40, size=900, p=(w := 1 / np.arange(3.0, 43.0)) / w.sum()))
    year = rng.integers(0, 8, size=900)
    x = rng.normal(size=40)[firm] * 0.8 + rng.normal(size=900)
    z = rng.normal(size=8)[year] + rng.normal(size=900)
    eta = -0.4 + 0.7 * x - 0.5 * z + rng.normal(size=40)[firm] + 0.5 * rng.normal(size=8)[year]
    y = (rng.random(900) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame(
        {"y": y, "x": x.round(4), "z": z.round(4), "firm": firm + 1, "year": 2001 + year}
    )


def square(v: np.ndarray) -> list[list[float]]:
    return [[float(f"{e:.12g}") for e in row] for row in np.asarray(v)]


def clustered(scores: np.ndarray, *columns: pd.Series) -> np.ndarray:
    code = pd.concat(columns, axis=1).astype(str).agg("|".join, axis=1)
    sums = pd.DataFrame(scores).groupby(code.to_numpy()).sum().to_numpy()
    return sums.T @ sums


def grouped() -> dict[str, object]:
    """sex2 without ``dia``: 239 rows of 0/1 regressors, so that many rows are equal."""
    frame = pd.read_csv(HERE / "sex2.csv")
    names = ["age", "oc", "vic", "vicl", "vis"]
    x = sm.add_constant(frame[names]).to_numpy(float)
    y = frame["case"].to_numpy(float)
    fit = sm.GLM(y, x, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200)
    bread = np.asarray(fit.cov_params())
    hat = fit.get_influence(observed=False).hat_matrix_diag[:, None]
    scores = x * (y - fit.fittedvalues)[:, None]
    out: dict[str, object] = {"data": "sex2.csv", "formula": "case ~ " + " + ".join(names)}
    out["names"] = ["const", *names]
    for name, power in (("HC0", 0.0), ("HC2", 0.5), ("HC3", 1.0)):
        part = scores / (1 - hat) ** power
        out[name] = square(bread @ part.T @ part @ bread)
    return out


def main() -> None:
    data().to_csv(HERE / "binary.csv", index=False, lineterminator="\n")
    frame = pd.read_csv(HERE / "binary.csv")
    x = sm.add_constant(frame[["x", "z"]]).to_numpy()
    y = frame["y"].to_numpy(float)
    model = sm.GLM(y, x, family=sm.families.Binomial())
    fit = model.fit(tol=1e-14, maxiter=200)
    scores = x * (y - fit.fittedvalues)[:, None]
    bread = np.asarray(fit.cov_params())
    hat = fit.get_influence(observed=False).hat_matrix_diag[:, None]
    out: dict[str, object] = {
        "title": "Simulated binary data: 900 observations, 40 firms, 8 years",
        "data": "binary.csv",
        "source": "computed by make_covariance.py with statsmodels 0.15.0 and pyfixest 0.60.0",
        "formula": "y ~ x + z",
        "names": NAMES,
        "params": [float(f"{b:.12g}") for b in fit.params],
        "iid": square(bread),
    }
    for name, power in (("HC0", 0.0), ("HC2", 0.5), ("HC3", 1.0)):
        part = scores / (1 - hat) ** power
        out[name] = square(bread @ part.T @ part @ bread)

    firm, year = frame["firm"], frame["year"]
    ways = {"firm": [(1, (firm,))], "year": [(1, (year,))]}
    ways["firm+year"] = [(1, (firm,)), (1, (year,)), (-1, (firm, year))]
    for name, parts in ways.items():
        meat = sum(sign * clustered(scores, *columns) for sign, columns in parts)
        out[f"CRV1 {name}"] = square(bread @ meat @ bread)
    for name in ("firm", "year"):
        again = model.fit(
            tol=1e-14,
            maxiter=200,
            cov_type="cluster",
            cov_kwds={"groups": frame[name].to_numpy(), "use_correction": False},
        )
        np.testing.assert_allclose(again.cov_params(), out[f"CRV1 {name}"], rtol=1e-9)
    out["parts firm+year"] = {
        key: square(bread @ clustered(scores, *columns) @ bread)
        for key, columns in (("firm", (firm,)), ("year", (year,)), ("both", (firm, year)))
    }
    out["clusters"] = {
        "firm": int(firm.nunique()),
        "year": int(year.nunique()),
        "both": int(frame[["firm", "year"]].drop_duplicates().shape[0]),
    }
    for key, vcov in (
        ("hetero", "hetero"),
        ("CRV1 firm", {"CRV1": "firm"}),
        ("CRV1 firm+year", {"CRV1": "firm+year"}),
    ):
        glm = pf.feglm("y ~ x + z", data=frame, family="logit", vcov=vcov, iwls_tol=1e-12)
        order = [list(glm._coefnames).index(n) for n in ("Intercept", "x", "z")]
        out[f"fixest {key}"] = square(np.asarray(glm._vcov)[np.ix_(order, order)])
    total = np.zeros((3, 3))
    for g in firm.unique():
        keep = (firm != g).to_numpy()
        part = sm.GLM(y[keep], x[keep], family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200)
        gap = part.params - fit.params
        total += np.outer(gap, gap)
    out["CRV3 firm"] = square(total * (firm.nunique() - 1) / firm.nunique())
    out["grouped"] = grouped()
    (HERE / "covariance.json").write_text(json.dumps(out, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
