"""Conditional logits of many respondents at once, each with choice sets of their own."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.batch.newton import Bools
from llmdemand.modeling.likelihood.separating import separating_differences, separating_sums

__all__ = ["Choices", "Law", "Modes", "expanded", "modes"]

_STEPS = 500
_STILL = 1e-8  # largest change of a utility; the step is still taken
_LONGEST = 5.0  # step in a utility
_HALVINGS = 40
_LOST = 1e-13  # share of an information's largest value that is rounding

#: Mean (K,) of a normal law of coefficients and R (K, K), its precision being R'R.
Law = tuple[Array, Array]


@dataclass(frozen=True)
class Choices:
    """What B respondents said of the alternatives of up to P choice sets each.

    Attributes
    ----------
    x : (B, P, A, K) array
        Regressors; zero where a respondent has no such choice set.
    total : (B, P, A) array
        Sums of beliefs, corrected beliefs or choices.
    n : (B, P) array
        What these sum to: observations, or fewer where answers are unread.
    squares : (B, P) array
        Squared deviations of the observations from their mean, summed over alternatives.
    rows : (B, P) array
        Observations.
    guide : (B, P, A) array or None
        Of corrected beliefs, whose totals may leave [0, n]: sums of what they correct, each of
        them in [0, 1]. They say where to look for coefficients; data they are not.
    """

    x: Array
    total: Array
    n: Array
    squares: Array
    rows: Array
    guide: Array | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Respondents and coefficients."""
        return self.x.shape[0], self.x.shape[3]

    def take(self, which: Bools) -> Choices:
        """Some of the respondents."""
        known = (f.name for f in fields(self) if getattr(self, f.name) is not None)
        return replace(self, **{name: getattr(self, name)[which] for name in known})

    @property
    def corrected(self) -> bool:
        """Whether outcomes are corrected beliefs."""
        return self.guide is not None

    @property
    def guided(self) -> Choices:
        """What corrected beliefs correct, as if it were the outcome."""
        if self.guide is None:
            return self
        return replace(self, total=self.guide, n=self.guide.sum(axis=2), guide=None)

    def shares(self, params: Array) -> Array:
        """Probabilities at (B, K) coefficients, (B, P, A)."""
        return _softmax(self._utilities(params))[0]

    def _utilities(self, params: Array) -> Array:
        return np.asarray((self.x @ params[:, None, :, None])[..., 0])

    def separated(self, respondent: int) -> bool:
        """Whether one respondent's likelihood rises for ever in some direction."""
        used = np.flatnonzero(self.rows[respondent] > 0)
        x, total, n = self.x[respondent, used], self.total[respondent, used], self.n[respondent]
        sets, alternatives, size = x.shape
        if (total < 0).any():
            start = np.arange(sets) * alternatives
            found = separating_sums(x.reshape(-1, size), total.ravel(), start, n[used])
        else:
            chosen, place = np.nonzero(total > 0)
            differences = x[chosen, place][:, None] - x[chosen]
            found = separating_differences(differences.reshape(-1, size))
        return found is not None


@dataclass(frozen=True)
class Modes:
    """Where each respondent's likelihood, with what was added to it, is highest.

    Attributes
    ----------
    params : (B, K) array
        Coefficients.
    information : (B, K, K) array
        Of the observations alone, as if each were a toss: without penalty, law or noise.
    score : (B, K) array
        Of the observations alone.
    converged : (B,) bool array
        Whether the last step moved no utility by more than 1e-8.
    """

    params: Array
    information: Array
    score: Array
    converged: Bools


@dataclass
class _Here:
    """Value and derivatives of the objectives at some coefficients."""

    value: Array
    score: Array
    information: Array
    gradient: Array
    curvature: Array

    @classmethod
    def at(cls, data: Choices, params: Array, noise: float, firth: bool, law: Law | None) -> _Here:
        shares, log_sum, eta = _softmax(data._utilities(params))
        value = (data.total * eta).sum(axis=(1, 2)) - (data.n * log_sum).sum(axis=1)
        score = np.einsum("bpa,bpak->bk", data.total - data.n[..., None] * shares, data.x)
        away = data.x - np.einsum("bpa,bpak->bpk", shares, data.x)[:, :, None]
        weight = data.n[..., None] * shares
        information = _crossed(weight, away)
        gradient, curvature = score, information
        if firth:
            sign, log_det = np.linalg.slogdet(information)
            value = np.where(sign > 0, value + noise / 2 * log_det, -np.inf)
            q = np.einsum("bpak,bkl,bpal->bpa", away, _inverses(information), away)
            pseudo = noise / 2 * weight * q
            gradient = score + np.einsum("bpa,bpak->bk", pseudo, away)
            # The penalty is further observations: what they add to the information, twice.
            more = 2 * pseudo.sum(axis=2)[..., None] * shares
            curvature = information + _crossed(more, away)
        if law is not None:
            # By the root: of a stiff direction no rounding reaches the others.
            apart = (params - law[0]) @ law[1].T
            value = value - noise / 2 * (apart**2).sum(axis=1)
            gradient = gradient - noise * apart @ law[1]
            curvature = information + noise * law[1].T @ law[1]
        return cls(
            np.where(np.isfinite(value), value, -np.inf), score, information, gradient, curvature
        )

    def take(self, which: Bools) -> _Here:
        return _Here(*(v[which] for v in vars(self).values()))

    def put(self, which: Bools, other: _Here) -> None:
        for name, values in vars(other).items():
            getattr(self, name)[which] = values


def modes(
    data: Choices,
    *,
    noise: float = 1.0,
    firth: bool = False,
    law: Law | None = None,
    start: Array | None = None,
) -> Modes:
    """Maximise many conditional (quasi-)likelihoods, each by itself.

    Parameters
    ----------
    data : Choices
        B respondents, K coefficients.
    noise : float
        phi: the variance of an observation as a share of that of a toss of a coin.
    firth : bool
        Add ``phi / 2 log det I(b)``: takes the bias of order 1/n from quasi-likelihoods with
        that variance (Firth 1993; phi = 1 is his own), and has a maximum for separated data.
    law : Law, optional
        Add phi times the log-density of a normal law.
    start : (B, K) array, optional
        Where to begin; at zero by default.

    Returns
    -------
    Modes

    Notes
    -----
    The objective is ``sum_p [sum_a total_pa eta_pa - n_p log sum_a exp(eta_pa)]`` and what is
    added. Newton steps, for Firth's penalty scoring steps, are at most 5 in a utility and are
    halved until the objective does not fall. Beside a law a maximum exists whatever the totals
    are; otherwise it is the caller's to know.

    Examples
    --------
    >>> x = np.zeros((1, 2, 2, 2))
    >>> x[0, :, 0] = [[1.0, 1.0], [1.0, 2.0]]                # buying, at prices 1 and 2
    >>> n, total = np.full((1, 2), 4.0), np.array([[[3.0, 1.0], [1.0, 3.0]]])
    >>> data = Choices(x, total, n, 0 * n, n)
    >>> modes(data).params.round(6).tolist()                 # logit(1/4) - logit(3/4)
    [[3.295837, -2.197225]]
    >>> modes(data, firth=True).params.round(6).tolist()
    [[2.541894, -1.694596]]
    """
    b, size = data.size
    params = np.zeros((b, size)) if start is None else start.copy()
    here = _Here.at(data, params, noise, firth, law)
    score, information = here.score.copy(), here.information.copy()
    converged, index, at, part = np.zeros(b, bool), np.arange(b), params.copy(), data
    for _ in range(_STEPS):
        if not len(index):
            break
        step = (_inverses(here.curvature) @ here.gradient[..., None])[..., 0]
        move = np.abs(part._utilities(step))
        change = np.where(part.rows[..., None] > 0, move, 0).max(axis=(1, 2))
        lost = ~np.isfinite(change)
        step[lost], change[lost] = 0.0, 0.0
        step /= np.maximum(change / _LONGEST, 1)[:, None]
        done = change < _STILL
        new = _Here.at(part, at + step, noise, firth, law)
        for _ in range(_HALVINGS):
            # So close, only rounding is left of the differences.
            worse = (new.value < here.value - 1e-12 * (1 + np.abs(here.value))) & ~done
            if not worse.any():
                break
            step[worse] /= 2
            new.put(worse, _Here.at(part.take(worse), (at + step)[worse], noise, firth, law))
        at, here = at + step, new
        if done.any():
            ended = index[done]
            params[ended], score[ended] = at[done], here.score[done]
            information[ended], converged[ended] = here.information[done], ~lost[done]
            index, at, part, here = index[~done], at[~done], part.take(~done), here.take(~done)
    params[index], score[index], information[index] = at, here.score, here.information
    return Modes(params, information, score, converged)


def expanded(data: Choices, params: Array) -> Modes:
    """Score and information at given coefficients, (B, K)."""
    here = _Here.at(data, params, 1.0, False, None)
    return Modes(params, here.information, here.score, np.ones(len(params), bool))


def _crossed(weight: Array, x: Array) -> Array:
    """``sum weight x x'`` by respondent: (B, P, A) and (B, P, A, K) to (B, K, K)."""
    b, size = x.shape[0], x.shape[3]
    rows = x.reshape(b, -1, size)
    return np.asarray((rows * weight.reshape(b, -1, 1)).transpose(0, 2, 1) @ rows)


def _inverses(matrices: Array) -> Array:
    """Inverses of symmetric matrices (B, K, K); NaN where there is none."""
    values, vectors = np.linalg.eigh(matrices)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (vectors / values[:, None, :]) @ vectors.transpose(0, 2, 1)
    found[values[:, 0] <= _LOST * values[:, -1]] = np.nan
    return np.asarray(found)


def _softmax(eta: Array) -> tuple[Array, Array, Array]:
    """Shares, log-sums, and the utilities."""
    top = eta.max(axis=-1)
    shares = np.exp(eta - top[..., None])
    whole = shares.sum(axis=-1)
    return shares / whole[..., None], top + np.log(whole), eta
