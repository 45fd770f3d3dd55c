"""Several models, prompts or strata as joint proxies: a weight for each, one belief of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.estimates import LogitFit
from llmdemand.calibration.fits import fit_of
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.moments.tuning import FLAT
from llmdemand.calibration.samples.samples import Pairs
from llmdemand.calibration.target import Target
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Joint", "check_proxies", "contributions", "jointly"]

#: Units for each tuned weight, at the least.
EACH = 10
_SAME = 1e-6  # smallest eigenvalue of proxies' correlations: below, some say the same
_ALIKE = 0.95
_Parts = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Joint:
    """How beliefs that are a weighted sum came about.

    Attributes
    ----------
    value : float
        lambda of the sum.
    rule : str
        ``jointly`` or ``by stratum``.
    tuned : int
        Weights that were tuned.
    table : pandas.DataFrame
        By model (and stratum): ``lambda, se, rho``.
    notes : tuple of str
        What has to be said.
    """

    value: float
    rule: str
    tuned: int
    table: pd.DataFrame
    notes: tuple[str, ...]


def check_proxies(proxies: Any, prompts: Any, lam: Any) -> list[str]:
    """The columns of beliefs, one for each model.

    Raises
    ------
    UsageError
        For fewer than two, the same twice, with `prompts`, with a lambda that is given.
    """
    if isinstance(proxies, str) or not isinstance(proxies, Sequence):
        raise UsageError(f"proxies={proxies!r}: give the columns of their beliefs as a list")
    names = [str(p) for p in proxies]
    if len(set(names)) < max(len(names), 2):
        raise UsageError(f"proxies={names}: give at least two columns, each once")
    if prompts is not None:
        raise UsageError("prompts=[...] chooses one, proxies=[...] takes all: give one of them")
    if lam != "tuned":
        raise UsageError(f"lam={lam!r}: the weights of proxies are tuned, one for each")
    return names


def contributions(
    pairs: Sequence[Pairs], target: Target, design: str | Mapping[Any, float]
) -> list[_Parts]:
    """Contributions to the target under each one's beliefs, at the humans' estimate."""
    found: list[_Parts] = []
    direction = plain = None
    for one in pairs:
        moments = Moments(one, design)
        if direction is None:
            if not moments.sampled:
                moments.check_cells()
            parts = moments.parts(0.0)
            plain = moments.solve(parts, "from the humans alone")
            meat = moments.scores(plain).meat(0.0)
            alone: LogitFit = fit_of(moments, parts, plain, meat, 1.0, "humans only")
            direction = moments.bread(parts, plain) @ target.gradient(alone)
        assert plain is not None
        found.append(moments.scores(plain).along(direction))
    return found


def jointly(
    tried: Mapping[str, Pairs], target: Target, design: str | Mapping[Any, float]
) -> tuple[Pairs, Pairs, Joint]:
    """One belief for the target: the models' weighted sum, the weights by stratum where there are.

    Parameters
    ----------
    tried : mapping of str to Pairs
        The same rows with each model's beliefs.
    target, design
        Of the calibration.

    Returns
    -------
    Pairs, Pairs, Joint
        With the sum, with the plain mean of the models, and how it was found.

    Raises
    ------
    DesignError
        For models that say the same, or more weights than humans can tune.

    Notes
    -----
    With contributions r of the humans' outcomes and q_k, p_k of each belief, ``lambda = (sum q q' +
    sum p p')^-1 sum q r`` (Angelopoulos, Duchi & Zrnic 2023, extended to a vector); strata with
    one model each ``lambda_s = C_s / V_s``, at least 0 (stratified PPI: Fisch et al. 2024, arXiv
    2406.04291). The logit's loss is linear in its outcome, so that the sum is one belief.
    """
    names, base = list(tried), next(iter(tried.values()))
    survey = base.survey
    strata = survey.names if survey is not None and len(survey.names) > 1 else ("",)
    masks = _masks(base, len(strata))
    split = [
        p.with_beliefs(p.humans.f * own, p.pool.f * other)
        for p in tried.values()
        for own, other in masks
    ]
    labels = [", ".join(v for v in (n, s) if v) for n in names for s in strata]
    if len(names) == 1:
        labels = list(strata)
    size = Moments(base, design).size
    if len(labels) > size / EACH:
        raise DesignError(
            f"{len(labels)} weights (models times strata) cannot be tuned on {size:.3g} humans "
            f"(independent units): at least {EACH} are needed for each; take fewer"
        )
    parts = contributions(split, target, design)
    weights, table, says = _weights(parts, labels, clip=len(names) == 1)
    sums = weights.reshape(len(names), len(strata))
    total = float(sums.sum())
    mean = base.with_beliefs(
        np.mean([p.humans.f for p in tried.values()], axis=0),
        np.mean([p.pool.f for p in tried.values()], axis=0),
    )
    value = 1.0
    if len(strata) == 1:
        value = total if total > 0.05 * float(np.abs(sums).sum()) else 1.0
        if design == "sampled" and total <= 0:
            says.append("weights sum to no more than 0: the models bring nothing here")
            weights, sums, value = 0 * weights, 0 * sums, 0.0
    scaled = sums / value if value else np.full(sums.shape, 1 / len(names))
    sides = [
        sum(
            scaled[k, s] * (p.humans.f if side == 0 else p.pool.f) * masks[s][side]
            for k, p in enumerate(tried.values())
            for s in range(len(strata))
        )
        for side in (0, 1)
    ]
    found = replace(
        base.with_beliefs(*(np.asarray(v, np.float64) for v in sides)),
        told=mean.told if len(names) > 1 else base.told,
    )
    rule = "by stratum" if len(strata) > 1 else "jointly"
    tuned = int(np.count_nonzero(weights))
    if not tuned:
        value = 0.0
    return found, mean if len(names) > 1 else base, Joint(value, rule, tuned, table, tuple(says))


def _masks(base: Pairs, strata: int) -> list[tuple[Array, Array]]:
    """Rows of each stratum, on both sides."""
    if strata == 1:
        return [(np.ones(len(base.humans.f)), np.ones(len(base.pool.f)))]
    assert base.survey is not None
    rows = [
        np.repeat(code, np.diff(np.append(side.start, len(side.f))))
        for code, side in zip(base.survey.strata, (base.humans, base.pool), strict=True)
    ]
    return [((rows[0] == s) * 1.0, (rows[1] == s) * 1.0) for s in range(strata)]


def _weights(
    parts: Sequence[_Parts], labels: Sequence[str], *, clip: bool
) -> tuple[Array, pd.DataFrame, list[str]]:
    """Weights, their table, and what has to be said."""
    import pandas as pd

    r = parts[0][0]
    q, pool = (np.column_stack([p[k] for p in parts]) for k in (1, 2))
    c, v = q.T @ r, q.T @ q + pool.T @ pool
    spread, says = np.diag(v), list[str]()
    known = spread > FLAT * float(r @ r)
    for k in np.flatnonzero(~known).tolist():
        says.append(f"belief {labels[k]!r} does not vary between respondents of a price: weight 0")
    weight, inverse = np.zeros(len(c)), np.zeros_like(v)
    if known.any():
        _apart(v[np.ix_(known, known)], [x for x, k in zip(labels, known, strict=True) if k], says)
        inverse[np.ix_(known, known)] = np.linalg.inv(v[np.ix_(known, known)])
        weight = inverse @ c
    if clip:
        for k in np.flatnonzero(weight < 0).tolist():
            says.append(
                f"lambda of {labels[k]} was {weight[k]:.3g} and is brought to 0: belief goes "
                "against the answers there"
            )
        weight = np.maximum(weight, 0)
    left = r - q @ weight
    moved = [(q * left[:, None]) @ inverse, (pool * (pool @ weight)[:, None]) @ inverse]
    se = np.sqrt(sum(((m - m.mean(axis=0)) ** 2).sum(axis=0) for m in moved if len(m)))
    with np.errstate(invalid="ignore", divide="ignore"):
        own = c / np.sqrt((q * q).sum(axis=0) * float(r @ r))
    table = pd.DataFrame(
        {"lambda": weight, "se": se, "rho": np.nan_to_num(own)}, index=list(labels)
    )
    return weight, table, says


def _apart(v: Array, labels: list[str], says: list[str]) -> None:
    """Refuse proxies that say the same; name those that nearly do."""
    unit = np.sqrt(np.diag(v))
    correlation = v / np.outer(unit, unit)
    near = np.abs(correlation - np.eye(len(v)))
    one, other = np.unravel_index(int(np.argmax(near)), near.shape)
    if float(np.linalg.eigvalsh(correlation).min()) < _SAME:
        raise DesignError(
            f"the beliefs {', '.join(map(repr, labels))} are collinear for the target (most "
            f"{labels[one]!r} and {labels[other]!r}, correlation {correlation[one, other]:.6f}): "
            "one of them says nothing that the others do not; leave it out"
        )
    if len(v) > 1 and near.max() > _ALIKE:
        says.append(
            f"{labels[one]!r} and {labels[other]!r} nearly say the same (correlation "
            f"{correlation[one, other]:.3f}): their weights have a meaning together, not apart"
        )
