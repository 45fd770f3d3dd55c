"""Conditional logit of the yogurt panel, from the formulas: writes yogurt_computed.json.

pip install statsmodels==0.15.0; then ``python make_yogurt.py``.

Newton's method on the likelihood, written out; statsmodels ``ConditionalLogit`` finds the same
coefficients and standard errors (asserted). The covariances: inverse information (iid), sandwich
of the scores of the purchases (HC0), of those summed over households (CRV1); no small-sample
factor. Elasticities of brand j with respect to the price of brand k, b p_k (1{j = k} - P_k):
averaged over purchases, and of the expected shares (weighted by P_j).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.discrete.conditional_models import ConditionalLogit

HERE = Path(__file__).parent
BRANDS = ["dannon", "hiland", "weight", "yoplait"]
NAMES = ["price", "feat", "const:hiland", "const:weight", "const:yoplait"]


def main() -> None:
    frame = pd.read_csv(HERE / "yogurt.csv.gz")
    columns = [frame["price"], frame["feat"]]
    columns += [(frame["brand"] == brand).astype(float) for brand in BRANDS[1:]]
    flat = np.column_stack(columns).astype(float)
    x = flat.reshape(-1, 4, 5)
    y = frame["choice"].to_numpy(float).reshape(-1, 4)
    household = frame["id"].to_numpy().reshape(-1, 4)[:, 0]
    b = np.zeros(5)
    for _ in range(30):
        utility = x @ b
        p = np.exp(utility - utility.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        scores = np.einsum("nj,njk->nk", y - p, x)
        centred = x - np.einsum("nj,njk->nk", p, x)[:, None, :]
        information = np.einsum("nj,njk,njl->kl", p, centred, centred)
        b = b + np.linalg.solve(information, scores.sum(axis=0))
    bread = np.linalg.inv(information)
    llf = float(np.log((p * y).sum(axis=1)).sum())
    again = ConditionalLogit(frame["choice"], flat, groups=frame["case"]).fit(
        method="newton", disp=False
    )
    np.testing.assert_allclose(np.asarray(again.params), b, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(again.bse), np.sqrt(np.diag(bread)), rtol=1e-5)

    def named(v: np.ndarray) -> dict[str, float]:
        return dict(zip(NAMES, map(float, v), strict=True))

    summed = pd.DataFrame(scores).groupby(household).sum().to_numpy()
    price = x[:, :, 0]
    average, share = {}, {}
    for k, changed in enumerate(BRANDS):
        point = b[0] * price[:, [k]] * ((np.arange(4) == k) - p[:, [k]])
        average[changed] = dict(zip(BRANDS, point.mean(axis=0), strict=True))
        share[changed] = dict(zip(BRANDS, (point * p).sum(axis=0) / p.sum(axis=0), strict=True))
    out = {
        "title": "Yogurt brands: converged estimates, clustered covariance, elasticities",
        "data": "yogurt.csv.gz",
        "source": "computed by make_yogurt.py with numpy; ConditionalLogit of statsmodels agrees",
        "formula": "choice ~ price + feat",
        "base": "dannon",
        "params": named(b),
        "llf": llf,
        "iid": named(np.sqrt(np.diag(bread))),
        "HC0": named(np.sqrt(np.diag(bread @ scores.T @ scores @ bread))),
        "CRV1 id": named(np.sqrt(np.diag(bread @ summed.T @ summed @ bread))),
        "households": len(summed),
        "elasticity_average": average,
        "elasticity_share": share,
        "note": "elasticities: outer key, the brand whose price changes; inner, whose demand",
    }
    text = json.dumps(out, indent=2, default=float)
    (HERE / "yogurt_computed.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
