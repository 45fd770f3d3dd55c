"""Expectation-maximisation of a latent class logit, and whether it ends at a maximum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.optimum.newton import NewtonFit, newton
from llmdemand.modeling.optimum.separation import divergence
from llmdemand.modeling.substitution.latent import ClassPanels, LatentPanels, divided
from llmdemand.modeling.substitution.panels import Panels

__all__ = ["EM", "expectation_maximisation", "flat", "maximised", "moved", "running", "split"]

_GAIN = 1e-3  # of a log-likelihood, below which an M step goes no further
_NOTHING = 1e-6  # probability below which a respondent does not belong to a class
_FLAT = 1e-4  # information below which a direction is held for one without a maximum
_Data = TypeVar("_Data", bound=ClassPanels)


@dataclass(frozen=True)
class EM:
    """Where expectation-maximisation ended.

    Attributes
    ----------
    params : (P,) array
        See `LatentPanels`.
    path : (steps + 1,) array
        Log-likelihood at the start and after each step: it never falls.
    """

    params: Array
    path: Array


def expectation_maximisation(
    data: LatentPanels, start: Array, *, steps: int = 50, gain: float = 0.01
) -> EM:
    """Alternate between who belongs where and what the classes want.

    Parameters
    ----------
    data : LatentPanels
        In regressors of comparable scale, such as `Cases.standardised` makes.
    start : (P,) array
        Where to begin.
    steps : int
        How often.
    gain : float
        End when a step raises the log-likelihood by no more: what follows is for Newton's method.

    Notes
    -----
    The E step is `LatentPanels.expected`. In the M step each class has a conditional logit of
    all choices, weighted by the probability that the respondent belongs to it, and membership a
    multinomial logit of these probabilities (Bhat 1997; Train 2008, "EM algorithms for
    nonparametric estimation of mixing distributions", Journal of Choice Modelling 1).
    """
    params = np.array(start, np.float64)
    llf, posterior, outcomes = data.expected(params)
    path = [llf]
    for _ in range(steps):
        params = maximised(data, params, posterior, outcomes)
        llf, posterior, outcomes = data.expected(params)
        path.append(llf)
        if not llf - path[-2] > gain:
            break
    return EM(params, np.array(path))


def maximised(data: ClassPanels, params: Array, posterior: Array, outcomes: Array) -> Array:
    """The M step from these coefficients."""
    beta, gamma = divided(params, data.classes, data.terms)
    found = [
        newton(
            class_cases(data, posterior[:, c], outcomes[:, c]),
            start=beta[c],
            gain=_GAIN,
        ).params
        if posterior[:, c].any()
        else beta[c]  # nobody says what a class wants that nobody belongs to
        for c in range(data.classes)
    ]
    if data.classes > 1:
        belonging, back = membership_cases(data, posterior).standardised()
        start = np.asarray(np.linalg.solve(back, gamma.ravel()), np.float64)
        found.append(back @ newton(belonging, start=start, gain=_GAIN).params)
    return np.concatenate(found)


def class_cases(data: ClassPanels, belongs: Array, outcomes: Array) -> Cases:
    """The choices of a class: outcomes given it, counted as often as respondents belong to it."""
    who = data.panels.respondent
    w = belongs[who]
    row = data.cases.sets.spread(w)
    y = np.divide(outcomes, row, out=np.zeros_like(row), where=row > 0)
    return replace(data.cases, y=y, count=data.count[who], weight=data.weights[who]).weighted(w)


def membership_cases(data: ClassPanels, posterior: Array) -> Cases:
    """Belonging as a choice: a case for each respondent, an alternative for each class."""
    people, q = data.members.shape
    x = np.zeros((people, data.classes, (data.classes - 1) * q))
    for c in range(1, data.classes):
        x[:, c, (c - 1) * q : c * q] = data.members
    return Cases(
        x.reshape(-1, x.shape[-1]),
        posterior.ravel(),
        np.arange(people) * data.classes,
        data.count,
        data.weights,
    )


def running(data: LatentPanels, params: Array) -> tuple[int, Array] | None:
    """The first class whose coefficients run to infinity, and where; None if none does.

    Parameters
    ----------
    data : LatentPanels
        In regressors of comparable scale.
    params : (P,) array
        Where an ascent ended.

    Returns
    -------
    place : int
        Class, 0 to C - 1; C for the logit of belonging.
    direction : array
        Of its coefficients, (K,) or ((C - 1) Q,); empty if nobody belongs to the class.

    Notes
    -----
    A class runs away where the choices of those who belong to it (with a probability of at
    least 1e-6) are separated: see `divergence`.
    """
    beta, _ = divided(params, data.classes, data.terms)
    _, posterior, outcomes = data.expected(params)
    held = np.where(posterior >= _NOTHING, posterior, 0.0)
    for c in range(data.classes):
        if data.scale @ held[:, c] < 1.0:
            return c, np.empty(0)
        own = class_cases(data, held[:, c], outcomes[:, c])
        direction = divergence(own, newton(own, start=beta[c]))
        if direction is not None:
            return c, direction
    if data.classes > 1:
        held /= held.sum(axis=1, keepdims=True)
        belonging, back = membership_cases(data, held).standardised()
        direction = divergence(belonging, newton(belonging))
        if direction is not None:
            return data.classes, back @ direction
    return None


def flat(data: ClassPanels, end: NewtonFit) -> tuple[int, Array] | None:
    """The same of a pairwise likelihood, by where it has no curvature left.

    Parameters
    ----------
    data : ClassPanels
        In regressors of comparable scale.
    end : NewtonFit
        Where an ascent ended.

    Returns
    -------
    place, direction
        See `running`.

    Notes
    -----
    A direction in which a standard error would be more than a hundred, in log-odds by standard
    deviation of the regressors, holds no maximum. Corrected beliefs leave no other sign: their
    likelihood may rise without bound, and what respondents chose has no probability.
    """
    c, k, q = data.classes, data.terms, data.members.shape[1]
    empty = np.flatnonzero(data.scale.sum() * data.mean_shares(end.params) < 1.0)
    if len(empty):
        return int(empty[0]), np.empty(0)
    triangle = np.linalg.qr(data.members, mode="r") / np.sqrt(len(data.members))
    back = np.eye(data.size)
    for d in range(c - 1):
        at = slice(c * k + d * q, c * k + (d + 1) * q)
        back[at, at] = np.linalg.inv(triangle)
    if np.isfinite(end.information).all():
        values, vectors = np.linalg.eigh(back.T @ end.information @ back)
        if values[0] > _FLAT:
            return None
        away = vectors[:, 0] * (np.sign(vectors[:, 0] @ np.linalg.solve(back, end.params)) or 1.0)
    else:
        away = np.linalg.solve(back, end.params)
    place = min(int(np.abs(away).argmax()) // k, c)
    away = np.where(np.abs(away) > 0.05 * np.abs(away).max(), away, 0.0)
    return place, away[place * k : (place + 1) * k] if place < c else (back @ away)[c * k :]


def split(data: ClassPanels, starts: int, seed: int, plain: Array) -> Sequence[Array]:
    """Random starts: parts of the respondents, and coefficients about those of one logit.

    Parameters
    ----------
    data : ClassPanels
        In regressors of comparable scale.
    starts : int
        How many.
    seed : int
        Start s is drawn by ``numpy.random.default_rng((seed, s))``.
    plain : (K,) array
        Coefficients of the logit of everyone.
    """
    people, c = data.panels.people, data.classes
    gamma = np.zeros((c - 1) * data.members.shape[1])
    found = []
    for s in range(starts):
        rng = np.random.default_rng((seed, s))
        if s % 2:
            size = np.maximum(np.abs(plain), np.abs(plain).mean())
            beta = plain + rng.normal(size=(c, len(plain))) * size
            found.append(np.concatenate([beta.ravel(), gamma]))
            continue
        # A part of the respondents for each class, everyone else counting a little.
        part = rng.permuted(np.arange(people) % c)
        posterior = np.full((people, c), 0.1 / c)
        posterior[np.arange(people), part] += 0.9
        outcomes = posterior[data.panels.respondent][data.cases.sets.case]
        start = np.concatenate([np.tile(plain, c), gamma])
        found.append(maximised(data, start, posterior, outcomes * data.outcomes()[:, None]))
    return found


def moved(data: _Data, cases: Cases) -> _Data:
    """The same answers with other regressors of the same rows."""
    return replace(data, cases=cases, panels=Panels(cases, data.panels.respondent))
