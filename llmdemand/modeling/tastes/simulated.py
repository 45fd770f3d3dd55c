"""Data like those at hand whose law is known: what the estimator makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.batch.choices import Choices
from llmdemand.modeling.tastes.fitting import Entering, Fitted, fit
from llmdemand.modeling.tastes.shape import root
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

__all__ = ["drawn", "refitted"]


def drawn(data: Choices, fitted: Fitted, rng: np.random.Generator, *, choice: bool) -> Choices:
    """The same respondents and prices, what they say drawn from the fitted law.

    Choices are multinomial. Beliefs have a Dirichlet law with the fitted noise; where that is as
    large as a coin's, or outcomes are corrected beliefs, a normal law with the same covariance.
    """
    people, size = data.size
    half = root(fitted.law.covariance)
    params = fitted.law.mean + rng.standard_normal((people, size)) @ half
    shares, rows = data.shares(params), data.rows
    used = rows > 0
    s, n, phi = shares[used], rows[used], fitted.noise
    if choice:
        total = rng.multinomial(n.astype(np.int64), s).astype(float)
    elif phi < 1 and not data.corrected:
        # Proportions of gamma variates, by their logs: of small ones no digit is lost.
        shape = np.maximum(s * (n / phi - 1)[:, None], 1e-300)
        logs = np.log(rng.standard_gamma(shape + 1)) + np.log(rng.random(s.shape)) / shape
        parts = np.exp(logs - logs.max(axis=1, keepdims=True))
        total = n[:, None] * parts / parts.sum(axis=1, keepdims=True)
    else:
        apart = np.sqrt(s) * rng.standard_normal(s.shape)
        apart = apart - s * apart.sum(axis=1, keepdims=True)
        total = n[:, None] * s + np.sqrt(n * phi)[:, None] * apart
    wide = np.zeros_like(data.total)
    wide[used] = total
    if not data.corrected:
        return replace(data, total=wide, n=rows, squares=np.zeros_like(rows))
    guide = np.maximum(wide, 0.0)
    whole = guide.sum(axis=2, keepdims=True)
    guide *= rows[..., None] / np.where(whole > 0, whole, 1.0)
    return replace(data, total=wide, n=rows, squares=np.zeros_like(rows), guide=guide)


def refitted(
    data: Choices,
    fitted: Fitted,
    back: Array,
    *,
    choice: bool,
    noise: float | None,
    entering: Entering,
    replications: int,
    seed: int,
    executor: Executor = None,
) -> tuple[Array, Array]:
    """Means and spreads, (R, K) each, that come out of data drawn from the fitted law."""
    again = _Again(data, fitted, back, choice, noise, entering)
    children = np.random.SeedSequence(seed).spawn(replications)
    means, spreads = zip(*mapped(again, children, executor), strict=True)
    return np.array(means), np.array(spreads)


@dataclass(frozen=True)
class _Again:
    """The mean and spread of one simulation, by its seed."""

    data: Choices
    fitted: Fitted
    back: Array
    choice: bool
    noise: float | None
    entering: Entering

    def __call__(self, child: np.random.SeedSequence) -> tuple[Array, Array]:
        new = drawn(self.data, self.fitted, np.random.default_rng(child), choice=self.choice)
        found = fit(new, noise=self.noise, entering=self.entering).law
        spread = np.sqrt(np.diag(self.back @ found.covariance @ self.back.T))
        return self.back @ found.mean, spread
