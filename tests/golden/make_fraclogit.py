"""Fractional logit of k401k by statsmodels: writes k401k.json.

pip install statsmodels==0.15.0; then ``python make_fraclogit.py``.

The robust covariance is ``cov_type="HC0"`` of a binomial GLM; Stata's ``fracreg logit``, with
vce(robust) by default, multiplies it with n / (n - 1). Average marginal effects are
b_k mean(mu (1 - mu)), their standard errors by the delta method with numerical derivatives.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

HERE = Path(__file__).parent


def fit(frame: pd.DataFrame, names: list[str]) -> dict[str, object]:
    x = sm.add_constant(frame[names]).to_numpy(float)
    y = frame["prate"].to_numpy(float)
    model = sm.GLM(y, x, family=sm.families.Binomial())
    found = model.fit(tol=1e-14, maxiter=200, cov_type="HC0")
    n = len(y)
    cov = found.cov_params() * n / (n - 1)

    def effects(b: np.ndarray) -> np.ndarray:
        mu = 1 / (1 + np.exp(-x @ b))
        return b[1:] * np.mean(mu * (1 - mu))

    b = found.params
    step = 1e-6
    jacobian = np.column_stack(
        [(effects(b + step * e) - effects(b - step * e)) / (2 * step) for e in np.eye(len(b))]
    )
    keys = ["const", *names]
    mu = found.fittedvalues
    null = y.mean()
    return {
        "formula": "prate ~ " + " + ".join(names),
        "params": dict(zip(keys, b, strict=True)),
        "HC0": dict(zip(keys, found.bse, strict=True)),
        "HC1 stata": dict(zip(keys, np.sqrt(np.diag(cov)), strict=True)),
        "quasi_llf": float(np.sum(y * np.log(mu) + (1 - y) * np.log1p(-mu))),
        "quasi_llnull": float(n * (null * np.log(null) + (1 - null) * np.log1p(-null))),
        "ame": dict(zip(names, effects(b), strict=True)),
        "ame_se": dict(zip(names, np.sqrt(np.diag(jacobian @ cov @ jacobian.T)), strict=True)),
    }


def main() -> None:
    frame = pd.read_csv(HERE / "k401k.csv")
    out = {
        "title": "Participation in 1534 401(k) plans (Wooldridge, Introductory Econometrics)",
        "data": "k401k.csv",
        "source": "computed by make_fraclogit.py with statsmodels 0.15.0",
        "models": {"linear": fit(frame, ["mrate", "ltotemp", "age", "sole"])},
    }
    (HERE / "k401k.json").write_text(
        json.dumps(out, indent=2, default=float) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
