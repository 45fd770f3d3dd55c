"""What data tell of the spread of tastes, before a fit and after it."""

from __future__ import annotations

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.smooth import FEW
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.substitution.laws import Law
from llmdemand.modeling.substitution.pairwise import check_pairs
from llmdemand.modeling.substitution.panels import Seen

__all__ = ["at_edges", "check_mixed", "refuse_vanished", "skewed"]

_SKEWED = 2.58  # skewness of tastes, in standard errors, that is said: one in a hundred by chance
_NOTHING = 1e-6  # of a log-odds: a coefficient that moves none by more


def check_mixed(seen: Seen, law: Law, *, pairwise: bool = False) -> list[str]:
    """What to say of how well the data can tell spreads of tastes.

    Parameters
    ----------
    seen : Seen
        What the data show of respondents.
    law : Law
        Of the coefficients.
    pairwise : bool
        Whether spreads are seen in pairs of situations alone.

    Raises
    ------
    DesignError
        Where they cannot be told.
    """
    people, once = seen.people, seen.once
    notes = check_pairs(people, once, law.size) if pairwise else []
    if people <= law.size:
        raise DesignError(
            f"{people} respondents for {law.size} parameters of means and spreads: the spread of "
            "tastes is a difference between respondents; ask more of them, or let fewer "
            "coefficients vary"
        )
    if once and not pairwise:
        notes.append(
            f"{once} of {people} respondents answered one situation: of them the spread of "
            "tastes shows in the curve of shares alone, which tells little"
        )
    for k in law.random:
        some = int(seen.varying[k])
        if some < 2:
            raise DesignError(
                f"random: {law.terms[k]!r} varies within the choice sets of {some} of {people} "
                "respondents, so that its spread between them cannot be seen: hold it fixed"
            )
        if some < FEW:
            notes.append(
                f"{law.terms[k]} varies within the choice sets of {some} of {people} respondents "
                "only: its spread is that of these few"
            )
    return notes


def refuse_vanished(law: Law, reach: Array, params: Array) -> None:
    """Refuse a lognormal coefficient that ran to zero: the choices ask for the other sign.

    Raises
    ------
    DesignError
        Naming it.
    """
    middle, loads = law.linear_in(params)
    for k in law.random:
        largest = middle[k] + 3 * float(np.sqrt((loads[k] ** 2).sum()))
        if law.laws[k].startswith("log") and np.exp(min(largest, 0.0)) * reach[k] < _NOTHING:
            sign, other = ("negative", "+") if law.laws[k].endswith("-") else ("positive", "-")
            raise DesignError(
                f"{law.terms[k]!r}: its {sign} lognormal coefficients run to zero, for the choices "
                f"ask for the other sign and there is no maximum: use 'lognormal{other}' or "
                "'normal', or look at the data"
            )


def at_edges(law: Law, best: NewtonFit) -> list[str]:
    """Spreads that are zero but for the simulation."""
    se = np.sqrt(np.maximum(np.diag(np.linalg.inv(best.information)), 0))
    small = law.spreads & (best.params < 0.5 * se)
    names = [n for n, yes in zip(law.names, small, strict=True) if yes]
    if not names:
        return []
    return [
        f"{', '.join(names)}: at the edge, no spread is seen in these data; its standard error and "
        "t value mean little there"
    ]


def skewed(law: Law, sums: Array) -> list[str]:
    """Normal coefficients whose law the data hold for skewed.

    If the law is right the mean over respondents of ``E[z^3 | choices]``, z the standard draw of
    a coefficient, is that of the law, zero. What the choices tell of a skewed law shows in it.

    Parameters
    ----------
    law : Law
        Of the coefficients.
    sums : (5, K) array
        See `llmdemand.modeling.substitution.mixed.MixedPanels.skewed`.
    """
    found, means = [], sums[1] / sums[0]
    errors = np.sqrt(np.maximum(sums[4] - 2 * means * sums[3] + means**2 * sums[2], 0)) / sums[0]
    for k in law.random:
        if law.laws[k] in ("normal", "zero-normal"):
            mean, error = float(means[k]), float(errors[k])
            if abs(mean) > _SKEWED * error:
                found.append(f"{law.terms[k]} ({mean:+.2f})")
    if not found:
        return []
    return [
        f"a normal law does not fit, given their choices tastes are skewed: {', '.join(found)}; a "
        "spread is then biased under a normal law: compare a lognormal one, or classes of people"
    ]
