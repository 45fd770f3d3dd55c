"""Firth fits by other means than ours, to more digits than are published: writes firth.json.

pip install firthmodels==0.8.2 scipy; then ``python make_firth.py``.

Estimates and profile intervals by firthmodels. Its standard errors belong to the augmented data
(as in recent versions of R logistf), so the inverse information is computed here from its
formula. The penalised likelihood-ratio statistics: the coefficient fixed at zero, the penalty
still that of all regressors (as R logistf has it), maximised by scipy without derivatives.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from firthmodels import FirthLogisticRegression
from scipy import optimize, stats

HERE = Path(__file__).parent
STUDIES = {
    "endometrial": ("HG", ["NV", "PI", "EH"]),
    "sex2": ("case", ["age", "oc", "vic", "vicl", "vis", "dia"]),
}


def information(x: np.ndarray, b: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-x @ b))
    return x.T @ (x * (p * (1 - p))[:, None])


def penalized(x: np.ndarray, y: np.ndarray, b: np.ndarray) -> float:
    eta = x @ b
    return float(y @ eta - np.logaddexp(0, eta).sum() + np.linalg.slogdet(information(x, b))[1] / 2)


def maximum(x: np.ndarray, y: np.ndarray, fixed: int | None) -> float:
    free = [j for j in range(x.shape[1]) if j != fixed]

    def loss(values: np.ndarray) -> float:
        b = np.zeros(x.shape[1])
        b[free] = values
        return -penalized(x, y, b)

    start = optimize.minimize(loss, np.zeros(len(free)), method="BFGS").x
    options = {"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000, "maxfev": 40000}
    return -float(optimize.minimize(loss, start, method="Nelder-Mead", options=options).fun)


def main() -> None:
    out: dict[str, object] = {
        "source": "computed by make_firth.py with firthmodels 0.8.2 and scipy",
    }
    for study, (outcome, regressors) in STUDIES.items():
        frame = pd.read_csv(HERE / f"{study}.csv")
        fit = FirthLogisticRegression(gtol=1e-8, xtol=1e-8, max_iter=500, backend="numpy")
        fit.fit(frame[regressors].to_numpy(float), frame[outcome].to_numpy())
        assert fit.converged_
        profile = fit.conf_int(alpha=0.05, method="pl", tol=1e-8, max_iter=500)
        names = [*regressors, "const"]
        x = np.column_stack([frame[regressors], np.ones(len(frame))]).astype(float)
        y = frame[outcome].to_numpy(float)
        b = np.append(fit.coef_, fit.intercept_)
        best = maximum(x, y, None)
        chi2 = [2 * (best - maximum(x, y, j)) for j in range(len(names))]
        out[study] = {
            "formula": f"{outcome} ~ {' + '.join(regressors)}",
            "params": dict(zip(names, b, strict=True)),
            "bse": dict(
                zip(names, np.sqrt(np.diag(np.linalg.inv(information(x, b)))), strict=True)
            ),
            "profile": {n: list(row) for n, row in zip(names, profile, strict=True)},
            "chi2": dict(zip(names, chi2, strict=True)),
            "lr_pvalues": dict(zip(names, stats.chi2.sf(chi2, 1), strict=True)),
            "penalized_llf": penalized(x, y, b),
        }
    (HERE / "firth.json").write_text(
        json.dumps(out, indent=2, default=float) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
