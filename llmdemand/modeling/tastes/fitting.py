"""Each respondent's own fit, the noise of what they say, and the law of their coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.batch.choices import Choices, Modes, expanded, modes
from llmdemand.modeling.batch.newton import Bools
from llmdemand.modeling.tastes.law import Noisy, NormalLaw, normal_law, shrunken

__all__ = ["EXACT", "Entering", "Fitted", "fit", "identified", "own", "within_noise"]

#: How respondents enter the law: see `fit`.
Entering = Literal["law", "firth"]

_ROUNDS = 200
_STILL = 1e-5  # relative change of spreads and noise
#: Noise that is rounding.
EXACT = 1e-9
_FLOOR = 1e-8  # variance of a utility that stands for none
_OPEN = 1e-9  # share of an information's largest value: beyond it a direction is open


@dataclass(frozen=True)
class Fitted:
    """A law of coefficients, and what it was fitted to.

    Attributes
    ----------
    law : NormalLaw
        Of the coefficients.
    noisy : Noisy
        Each respondent's likelihood as a normal one: estimate and precision.
    predicted : (B, K) array
        Coefficients given what each respondent said and the law.
    error : (B, K, K) array
        Covariance of their error.
    noise : float
        phi: variance of an answer as a share of that of a toss of a coin.
    converged : bool
        Whether nothing moved any more.
    """

    law: NormalLaw
    noisy: Noisy
    predicted: Array
    error: Array
    noise: float
    converged: bool


def fit(
    data: Choices,
    *,
    noise: float | None = None,
    entering: Entering = "law",
    start: Fitted | None = None,
) -> Fitted:
    """The law of coefficients over respondents.

    Parameters
    ----------
    data : Choices
        Of B respondents with K coefficients.
    noise : float, optional
        phi: 1 for choices. By default it is estimated, the same for all respondents.
    entering : str
        ``law``: every respondent enters by the quadratic expansion of her log-likelihood at her
        coefficients given the law, found in turn with the law until nothing moves. Nobody is
        left out: neither those whose own maximum does not exist nor those with too few prices
        for one. ``firth``: by her own estimate, bias-reduced by Firth's penalty for that noise,
        and its inverse information; those with too few prices enter as under ``law``'s formula,
        with what they say and no more.
    start : Fitted, optional
        Of nearly the same data, to begin with.

    Returns
    -------
    Fitted

    Raises
    ------
    DesignError
        If fewer than K + 2 respondents could have coefficients of their own, or if phi cannot
        be told from tastes because nobody has more choice sets than coefficients.
    UsageError
        For ``firth`` with corrected beliefs, which leave [0, 1].

    Notes
    -----
    With ``H_i`` the information and ``g_i`` the score at theta_i, the expansion is a normal
    likelihood of mean ``theta_i + H_i^-1 g_i`` and precision ``H_i / phi``; its law is fitted by
    REML (`law.normal_law`). Where theta_i is her own maximum this is a random-effects
    meta-analysis; at her coefficients given the law it is penalised quasi-likelihood (Breslow &
    Clayton 1993). The noise is, over all choice sets,

        phi = sum |total - n s|^2 / sum [ n sum_a s_a (1 - s_a) - tr(S X C_i X' S) ],

    ``S = n (diag s - s s')`` and C_i the inverse of ``H_i`` (of ``H_i + phi Omega^-1`` beside
    the law), which counts what fitting takes off the residuals. What differs between choice
    sets for other reasons than price is in it, and many runs of one prompt whose belief is a
    constant leave it as it is. Of corrected beliefs theta_i is where what they correct puts
    her: the correction enters by the expansion alone, which is linear in it. (Its own
    quasi-likelihood need not be bounded beside a law whose spread is free.)
    """
    people, size = data.size
    if entering == "firth" and data.corrected:
        raise UsageError(
            "separation='firth' is for outcomes in [0, 1]: corrected beliefs leave it; use "
            "separation='law'"
        )
    able = identified(data)
    if able.sum() < size + 2:
        raise DesignError(
            f"{int(able.sum())} of {people} respondents have prices enough for {size} coefficients "
            f"of their own, and a spread needs {size + 2} such respondents: ask more of them, at "
            f"{size} prices or more each, or leave something out of the formula"
        )
    if noise is None:
        spare = ((data.rows > 0).sum(axis=1) * (data.x.shape[2] - 1) - size)[able]
        if not (spare > 0).any():
            raise DesignError(
                f"nobody was asked at more prices than the {size} coefficients, so that the noise "
                "of beliefs cannot be told from tastes: ask each respondent at more prices"
            )
    if entering == "firth":
        return _two_stages(data, noise, able)
    return _together(data, noise, start)


def _two_stages(data: Choices, noise: float | None, able: Bools) -> Fitted:
    phi, found, settled = 0.1 if noise is None else noise, None, noise is not None
    part = data.take(able)
    for _ in range(_ROUNDS):
        start = None if found is None else found.params
        found = modes(part, noise=phi, firth=True, start=start)
        if settled:
            break
        new = _noise(part, found, found.information)
        settled = abs(new - phi) <= _STILL * max(phi, EXACT)
        phi = max(new, EXACT)
    assert found is not None
    params, information = np.zeros(data.size), np.zeros((*data.size, data.size[1]))
    params[able], information[able] = found.params, found.information
    if not able.all():
        middle = np.tile(found.params.mean(axis=0), (int((~able).sum()), 1))
        rest = expanded(data.take(~able), middle)
        params[~able], information[~able] = _working(rest), rest.information
    noisy = Noisy(params, information / phi)
    law = normal_law(noisy)
    return Fitted(law, noisy, *shrunken(noisy, law), phi, settled and law.converged)


def _together(data: Choices, given: float | None, start: Fitted | None) -> Fitted:
    phi = 0.1 if given is None else given
    guided = data.guided
    law: NormalLaw | None = None
    if start is None:
        mean, omega = _pooled(guided), np.eye(data.size[1])
        params = np.tile(mean, (data.size[0], 1))
    else:
        mean, omega, params = start.law.mean, start.law.covariance, start.predicted
        phi = start.noise if given is None else phi
    for _ in range(_ROUNDS):
        values, vectors = np.linalg.eigh(omega)
        root = (vectors / np.sqrt(np.maximum(values, 0) + _FLOOR)).T
        found = modes(guided, noise=phi, law=(mean, root), start=params)
        at = expanded(data, found.params) if data.corrected else found
        new = phi
        if given is None:
            new = _noise(data, at, at.information + phi * root.T @ root)
        noisy = Noisy(_working(at), at.information / new)
        law = normal_law(noisy, start=omega)
        scale = np.sqrt(np.maximum(np.diag(law.covariance), _FLOOR))
        moved = max(
            float(np.abs(np.sqrt(np.diag(law.covariance)) - np.sqrt(np.diag(omega))).max()),
            float(np.abs(law.mean - mean).max()),
        ) / float(scale.max())
        settled = moved < _STILL and abs(new - phi) <= _STILL * phi
        mean, omega, phi, params = law.mean, law.covariance, new, found.params
        if settled:
            break
    assert law is not None
    converged = settled and law.converged and bool(found.converged.all())
    return Fitted(law, noisy, *shrunken(noisy, law), phi, converged)


def _pooled(data: Choices) -> Array:
    """Coefficients of all respondents as one, a little towards zero so that they exist."""
    _people, size = data.size
    one = Choices(
        data.x.reshape(1, -1, *data.x.shape[2:]),
        data.total.reshape(1, -1, data.total.shape[2]),
        *(v.reshape(1, -1) for v in (data.n, data.squares, data.rows)),
    )
    weak = np.eye(size) / 10
    return np.asarray(modes(one, law=(np.zeros(size), weak)).params[0])


def _working(found: Modes) -> Array:
    """Where the quadratic expansions are highest; of those that are open, nearest by."""
    values, vectors = np.linalg.eigh(found.information)
    seen = values > _OPEN * np.maximum(values[:, -1:], 1e-300)
    inner = np.where(seen, 1 / np.where(seen, values, 1.0), 0.0)
    turned = np.einsum("bkl,bk->bl", vectors, found.score) * inner
    return np.asarray(found.params + np.einsum("bkl,bl->bk", vectors, turned))


def _noise(data: Choices, found: Modes, curvature: Array) -> float:
    """phi, by residuals and what fitting takes off them: see `fit`."""
    shares = data.shares(found.params)
    away = data.x - np.einsum("bpa,bpak->bpk", shares, data.x)[:, :, None]
    expected = data.n[..., None] * shares
    pull = expected[..., None] * away
    square = np.einsum("bpak,bpal->bkl", pull, pull)
    taken = float(np.einsum("bkl,blk->", np.linalg.pinv(curvature, hermitian=True), square))
    free = float((data.n * (shares * (1 - shares)).sum(axis=2)).sum()) - taken
    residual = float(((data.total - expected) ** 2).sum())
    return max(residual / free, EXACT) if free > 0 else EXACT


def identified(data: Choices) -> Bools:
    """Whose choice sets could identify coefficients of their own, (B,)."""
    away = data.x - data.x.mean(axis=2, keepdims=True)
    rows = (away * (data.rows > 0)[..., None, None]).reshape(len(away), -1, data.size[1])
    values = np.linalg.eigvalsh(rows.transpose(0, 2, 1) @ rows)
    return np.asarray(values[:, 0] > _OPEN * np.maximum(values[:, -1], 1e-300))


def own(data: Choices, able: Bools, noise: float) -> tuple[Array, Array, Bools]:
    """Each respondent's own maximum, where it exists.

    Returns
    -------
    (B, K) array, (B, K, K) array, (B,) bool array
        Coefficients and the covariance of their noise, NaN where there is no maximum, and
        whether there is one: decided exactly, by the signs of all outcomes or a linear programme.
    """
    people, size = data.size
    inner = (data.total > 0).all(axis=2) | (data.rows == 0)
    exists = able & inner.all(axis=1) & (data.n >= 0).all(axis=1)
    for i in np.flatnonzero(able & ~exists):
        exists[i] = not data.separated(int(i))
    found, covariance = np.full((people, size), np.nan), np.full((people, size, size), np.nan)
    if exists.any():
        fits = modes(data.take(exists))
        exists[exists] = good = fits.converged
        found[exists] = fits.params[good]
        covariance[exists] = noise * np.linalg.inv(fits.information[good])
    return found, covariance, exists


def within_noise(data: Choices, params: Array) -> float:
    """Variance between the runs of a prompt as a share of a toss's; NaN without such runs."""
    shares = data.shares(params)
    toss = (shares * (1 - shares)).sum(axis=2)
    free = np.maximum(data.rows - 1, 0)
    whole = float((free * toss).sum())
    return float(data.squares[data.rows > 1].sum()) / whole if whole > 0 else float("nan")
