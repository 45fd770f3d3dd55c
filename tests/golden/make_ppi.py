"""PPI++ of a logit by the authors' own package: writes ppi.json.

pip install ppi-python==0.2.3; then ``python make_ppi.py`` (half a minute: numba compiles).

Angelopoulos, Duchi & Zrnic (2023). One row per respondent, as the package knows no clusters:

- ``rows``: a price and a covariate of each respondent's own, no weights. The estimates at three
  fixed lambdas, and at lambda = N / (n + N) the interval as well: there the package's Hessian,
  that of both samples pooled, is the one of the objective, ``(1 - lambda) H_n + lambda H_N``.
- ``cells``: four prices that the two sides were asked unequally often, both weighted to the
  humans' design and to equal weights. Estimates alone: the package centres scores at their
  mean over all rows, not at that of each price.
- ``tuned``: for the record, its own tuned interval, the same whatever coordinate is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ppi_py import ppi_logistic_ci, ppi_logistic_pointestimate

HERE = Path(__file__).parent
LAMBDAS = (0.0, 0.35, 1.0)
TIGHT = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10_000}


def sigmoid(eta: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-eta))


def people(rng: np.random.Generator, price: np.ndarray, child: np.ndarray) -> tuple[Any, Any]:
    """Choices, and beliefs that know half of the taste and lean towards yes."""
    taste, noise = rng.standard_normal((2, len(price)))
    y = rng.random(len(price)) < sigmoid(-0.9 * price + 0.6 * child + taste)
    f = sigmoid(0.5 - 0.4 * price + 0.2 * child + 0.7 * taste + 0.7 * noise)
    return y.astype(int), f.round(4)


def digits(values: Any) -> list[float]:
    return [float(f"{v:.12g}") for v in np.asarray(values).ravel()]


def split(n: int, x: np.ndarray, y: np.ndarray, f: np.ndarray) -> tuple[Any, ...]:
    return x[:n], y[:n], f[:n], x[n:], f[n:]


def rows() -> dict[str, Any]:
    rng = np.random.default_rng(20231102)
    n, total = 90, 360
    price = rng.uniform(-1.5, 1.5, total).round(3)
    child = (rng.random(total) < 0.4).astype(int)
    y, f = people(rng, price, child)
    x = np.column_stack([np.ones(total), price, child])
    data = split(n, x, y, f)
    share = (total - n) / total
    low, high = ppi_logistic_ci(*data, alpha=0.1, lam=share, optimizer_options=dict(TIGHT))
    tuned = [
        ppi_logistic_ci(*data, alpha=0.1, coord=k, optimizer_options=dict(TIGHT)) for k in (0, 1)
    ]
    return {
        "humans": n,
        "price": price.tolist(),
        "child": child.tolist(),
        "choice": y[:n].tolist(),
        "belief": f.tolist(),
        "params": {
            f"{lam:g}": digits(
                ppi_logistic_pointestimate(*data, lam=lam, optimizer_options=dict(TIGHT))
            )
            for lam in (*LAMBDAS, share)
        },
        "interval": {
            "lambda": share,
            "alpha": 0.1,
            "law": "normal",
            "lower": digits(low),
            "upper": digits(high),
        },
        "tuned": {f"coord={k}": [digits(e) for e in ends] for k, ends in enumerate(tuned)},
    }


def cells() -> dict[str, Any]:
    rng = np.random.default_rng(20231103)
    n, more = (30, 24, 18, 12), (40, 50, 70, 90)
    grid = np.array([-1.0, -0.3, 0.4, 1.2])
    price = np.concatenate([np.repeat(grid, n), np.repeat(grid, more)])
    y, f = people(rng, price, np.zeros(len(price)))
    x = np.column_stack([np.ones(len(price)), price])
    humans = sum(n)
    out: dict[str, Any] = {
        "humans": humans,
        "price": price.tolist(),
        "choice": y[:humans].tolist(),
        "belief": f.tolist(),
        "params": {},
    }
    for name, share in (("humans", np.array(n) / humans), ("equal", np.full(4, 0.25))):
        w = np.repeat(share / n, n)
        w_unlabeled = np.repeat(share / more, more)
        out["params"][name] = {
            f"{lam:g}": digits(
                ppi_logistic_pointestimate(
                    *split(humans, x, y, f),
                    lam=lam,
                    w=w,
                    w_unlabeled=w_unlabeled,
                    optimizer_options=dict(TIGHT),
                )
            )
            for lam in LAMBDAS
        }
    return out


def main() -> None:
    out = {
        "title": "PPI++ of a logit on simulated data",
        "source": "computed by make_ppi.py with ppi-python 0.2.3",
        "rows": rows(),
        "cells": cells(),
    }
    text = json.dumps(out, indent=1)
    (HERE / "ppi.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
