"""What a design is worth before anyone is asked: D-error, level balance, overlap, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.core.experiment.coding import coding, prior_draws
from llmdemand.core.experiment.conjoint import METHODS, Conjoint
from llmdemand.core.experiment.efficiency import d_error, information, shares
from llmdemand.core.experiment.space import Space
from llmdemand.core.experiment.tasks import draw, generator, random_overlap, repeats
from llmdemand.core.line import OneLine

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DesignReport", "inspected"]

_RANDOM = 21  # designs


@dataclass(frozen=True, repr=False)
class DesignReport(OneLine):
    """What a choice design will tell.

    Attributes
    ----------
    method : str
        How the tasks were made.
    tasks, blocks, holdouts : int
        How many.
    d_error : float
        At the prior, one answer to each task: see `efficiency.d_error`. Effects coding, price in
        its own unit: it compares designs of one study, not studies.
    d_error_null : float
        The same if all utilities were zero.
    random_d_error : float
        Median D-error at the prior of random designs with as many tasks; infinite where most of
        them cannot tell all coefficients.
    terms : pandas.DataFrame
        By coefficient: ``prior``, ``se`` of one answer to each task, and ``answers``, how many per
        task bring the t value of the prior to 1.96 (not finite where the prior is 0).
    balance : pandas.DataFrame
        ``factor, level``, then how often it is shown: ``shown``, and by alternative.
    overlap : pandas.DataFrame
        By factor the shares of tasks in which its levels are all different (``none``), some are
        repeated (``partial``), or all are the same (``complete``).
    repeated : float
        Repeated levels per task, against `random_repeated` of random tasks.
    random_repeated : float
        See there.
    utility_balance : float
        Mean over tasks of ``prod_j J p_j``: 1 where all alternatives are equally likely.
    """

    method: str
    tasks: int
    blocks: int
    holdouts: int
    d_error: float
    d_error_null: float
    random_d_error: float
    terms: pd.DataFrame
    balance: pd.DataFrame
    overlap: pd.DataFrame
    repeated: float
    random_repeated: float
    utility_balance: float

    @property
    def gain(self) -> float:
        """Answers that a random design needs for each answer of this one."""
        return self.random_d_error / self.d_error if self.d_error < float("inf") else 0.0

    def summary(self) -> str:
        """All of it as text."""
        parts = [f"{self.tasks} tasks ({METHODS[self.method]})"]
        parts += [f"{self.blocks} blocks"] if self.blocks > 1 else []
        parts += [f"{self.holdouts} holdout tasks"] if self.holdouts else []
        lines = [
            ", ".join(parts),
            f"D-error {self.d_error:.4g} at the prior, {self.d_error_null:.4g} if all utilities "
            f"were 0; random tasks {self.random_d_error:.4g}: they need {self.gain:.3g} answers "
            "for each of these",
            f"utility balance {self.utility_balance:.2f} (1: alternatives are equally likely); "
            f"repeated levels per task {self.repeated:.2f}, at random {self.random_repeated:.2f}",
        ]
        if self.d_error == float("inf"):
            lines.append(
                "these tasks cannot tell all coefficients: some levels always come together, or "
                "answers are certain at the prior; ask more tasks, prohibit less, or be less sure"
            )
        shown = self.terms.to_string(index=False, float_format=lambda v: f"{v:.3g}")
        lines += ["", "expected precision, of one answer to each task", shown]
        lines += ["", "level balance: how often each is shown", self.balance.to_string(index=False)]
        shown = self.overlap.to_string(index=False, float_format=lambda v: f"{v:.2f}")
        return "\n".join([*lines, "", "overlap: shares of tasks", shown])

    def __str__(self) -> str:
        return self.summary()


def inspected(given: Conjoint, space: Space) -> DesignReport:
    """What the design of a study will tell.

    Parameters
    ----------
    given : Conjoint
        With its design.
    space : Space
        The tasks that it is made of.

    Returns
    -------
    DesignReport
    """
    import numpy as np
    import pandas as pd

    code, beta = coding(space), prior_draws(space, given.prior)
    tasks = given.asked
    x = code.x(tasks)
    found = information(x, beta)
    error = d_error(found)
    null = d_error(information(x, np.zeros((1, len(code.terms)))))
    mean = beta.mean(axis=0).round(12) + 0.0  # no prior is zero but for rounding
    p = shares(x, mean[None])[:, 0]
    se = np.full(len(code.terms), np.inf)
    if np.isfinite(error):
        se = np.sqrt(np.diag(np.linalg.inv(found.mean(axis=0))))
    with np.errstate(divide="ignore"):
        answers = np.where(mean != 0, (1.96 * se / np.abs(mean)) ** 2, np.inf)
    terms = pd.DataFrame({"term": code.terms, "prior": mean, "se": se, "answers": answers})
    return DesignReport(
        given.method,
        len(tasks),
        given.blocks,
        len(given.held_out),
        error,
        null,
        _of_random(given, space),
        terms,
        _balance(given, space),
        _overlap(given, space),
        float(np.mean([repeats(space, t) for t in tasks])),
        random_overlap(space),
        float(np.mean(np.prod(p * p.shape[1], axis=1))),
    )


def _of_random(given: Conjoint, space: Space) -> float:
    """Median D-error of random designs of that size, seeds apart from the design's own."""
    import numpy as np

    code, beta = coding(space), prior_draws(space, given.prior)
    found = []
    for design in range(_RANDOM):
        bits = generator(given.seed, 4, design)
        tasks = [draw(space, bits) for _ in range(given.total)]
        found.append(d_error(information(code.x(tasks), beta)))
    return float(np.median(found))


def _balance(given: Conjoint, space: Space) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for factor in dict.fromkeys(s.factor for s in space.slots):
        slots = [(k, s) for k, s in enumerate(space.slots) if s.factor == factor]
        levels = list(dict.fromkeys(v for _, s in slots for v in s.levels))
        for level in sorted(levels) if isinstance(levels[0], float) else levels:
            counts = {
                s.alternative: sum(s.levels[t[k]] == level for t in given.asked) for k, s in slots
            }
            own = {a: counts.get(a, 0) for a in space.priced}
            text = f"{level:g}" if isinstance(level, float) else level
            rows.append({"factor": factor, "level": text, "shown": sum(counts.values()), **own})
    return pd.DataFrame(rows)


def _overlap(given: Conjoint, space: Space) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for factor in dict.fromkeys(s.factor for s in space.slots):
        slots = [(k, s) for k, s in enumerate(space.slots) if s.factor == factor]
        if len(slots) < 2:
            continue
        kinds = [len({s.levels[t[k]] for k, s in slots}) for t in given.asked]
        total = len(kinds)
        complete, none = kinds.count(1) / total, kinds.count(len(slots)) / total
        rows.append(
            {"factor": factor, "none": none, "partial": 1 - complete - none, "complete": complete}
        )
    return pd.DataFrame(rows, columns=["factor", "none", "partial", "complete"])
