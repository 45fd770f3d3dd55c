"""Choices and beliefs of people in two classes, and what is fitted to them once for all."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

TRUTH = np.array([[-0.8, 1.0], [-2.5, -0.5]])


def market(people=200, tasks=8, *, beliefs=False, seed=3, truth=TRUTH, trait=1.0):
    """Two classes, the second the likelier the higher the income."""
    rng = np.random.default_rng(seed)
    income = np.round(rng.normal(size=people), 3)
    member = (rng.random(people) < 1 / (1 + np.exp(0.8 - trait * income))).astype(int)
    x = np.stack(
        [
            rng.uniform(1, 3, (people, tasks, 3)),
            rng.integers(0, 2, (people, tasks, 3)).astype(float),
        ],
        axis=-1,
    )
    v = np.einsum("itjk,ik->itj", x, truth[member])
    u = v + rng.gumbel(size=v.shape)
    p = np.exp(v - v.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    y = p if beliefs else (u == u.max(axis=-1, keepdims=True)).astype(float)
    i, t, j = (k.ravel() for k in np.indices(v.shape))
    return pd.DataFrame(
        {
            "person": i,
            "case": i * tasks + t,
            "alternative": np.array(list("abc"))[j],
            "price": x[..., 0].ravel(),
            "quality": x[..., 1].ravel(),
            "income": income[i],
            "member": member[i],
            "choice": y.ravel(),
        }
    )


def corrected(frame, seed=5, amount=0.4):
    """Outcomes with noise of mean zero that sums to nothing in a case: outside [0, 1] at times."""
    noise = np.random.default_rng(seed).uniform(-amount, amount, len(frame))
    noise -= pd.Series(noise).groupby(frame["case"].to_numpy()).transform("mean").to_numpy()
    return frame.assign(choice=frame["choice"] + noise, read=1.0)


@pytest.fixture(scope="session")
def segments():
    """``market(...)`` makes choices; those of 200 people, their beliefs, and a fit of each."""
    import llmdemand as ld

    formula, options = "choice ~ price + quality | 0", {"panel": "person", "starts": 4}
    choices, beliefs = market(), market(beliefs=True)
    return SimpleNamespace(
        market=market,
        corrected=corrected,
        truth=TRUTH,
        formula=formula,
        options=options,
        choices=choices,
        beliefs=beliefs,
        fit=ld.lclogit(formula, choices, membership="income", **options),
        belief=ld.lclogit(formula, beliefs, membership="income", **options),
    )
