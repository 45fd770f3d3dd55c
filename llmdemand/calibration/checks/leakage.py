"""Whether belief knows the answers that it is to stand in for: a check that can fail."""

from __future__ import annotations

from dataclasses import dataclass

from llmdemand.calibration.checks.laws import WARN, permuted_p
from llmdemand.calibration.moments.tuning import Contributions

__all__ = ["UNCHECKED", "Leak", "leak"]

_ALL = 1e-9  # left of what humans differ by: less is rounding
_ANSWERS = (
    "belief explains all of what humans differ by: it is their answers, or was made from them (is "
    "the column of the LLM meant?)"
)
_UNSEEN = "published answers, or answers that were shown in the prompt, may be known to it"


@dataclass(frozen=True)
class Leak:
    """What the data say.

    Attributes
    ----------
    verdict : str
        ``in doubt`` or ``cannot be checked``: that nothing was leaked is never shown.
    evidence : str
        In words.
    p : float
        p-value of belief that is more spread among humans than in the pool.
    """

    verdict: str
    evidence: str
    p: float

    @property
    def warned(self) -> bool:
        """Whether it is worth a warning."""
        return self.p < WARN


UNCHECKED = Leak("cannot be checked", _UNSEEN, 1.0)


def leak(found: Contributions, *, reps: int = 999, seed: int = 1) -> Leak:
    """Belief against answers among humans, compared with what the pool allows.

    A belief that has seen a human's answer leans to it: it explains more of the answers than a
    belief can that is spread as the pool's is, to whom nobody has leaked anything.

    Parameters
    ----------
    found : Contributions
        To the target, of humans and pool.
    reps, seed : int
        Permutations of respondents between the sides.

    Notes
    -----
    Of the humans' variance belief explains ``rho^2 = C^2 / (S V_n)``. With the regression of
    answers on belief held, beliefs spread as the pool's would explain ``rho^2 (N V_N) / (n V_n)``.
    The test is of equal spread, one-sided. A leak that leaves the spread as it is stays unseen,
    but for belief that explains everything: no LLM knows people so well (p is 0 then).
    """
    if found.flat or found.rho <= 0:
        return UNCHECKED
    if 1 - found.rho**2 < _ALL:
        return Leak("in doubt", _ANSWERS, 0.0)
    own, pool = len(found.q) * found.q, len(found.pool) * found.pool
    p = permuted_p(own**2, pool**2, reps=reps, seed=seed)
    allowed = min(found.rho**2 * float((pool @ pool / len(pool)) / (own @ own / len(own))), 1.0)
    said = (
        f"belief explains {100 * found.rho**2:.0f} % of what humans differ by; spread as in the "
        f"pool it would explain {100 * allowed:.0f} % (p = {p:.3g})"
    )
    return Leak("in doubt" if p < 0.05 else "cannot be checked", f"{said}; {_UNSEEN}", p)
