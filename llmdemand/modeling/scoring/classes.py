"""How many latent classes: criteria, and predictions of respondents who were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.choices import Choices
from llmdemand.modeling.estimation.latent import Classes, Found, best_of, latent_panels, searched
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.optimum.em import split
from llmdemand.modeling.printed import Printed, with_notes
from llmdemand.modeling.quantities.quantity import COLOURS
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.sample.sample import NA, WeightsType
from llmdemand.modeling.scoring.validation import mean_of
from llmdemand.modeling.spelled import spelled
from llmdemand.modeling.substitution.latent import ClassPanels, LatentPanels, divided
from llmdemand.modeling.substitution.pairwise import Answers

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["ClassNumbers", "class_numbers"]


class Weighing(TypedDict, total=False):
    """Options that decide what is fitted: see `fraclogit`."""

    weights: str | None
    weights_type: WeightsType
    na: NA


@dataclass(frozen=True, repr=False)
class ClassNumbers(Printed):
    """Latent class logits of several numbers of classes, side by side.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per number of classes: ``parameters, llf, aic, bic, caic, entropy_r2``, the
        ``smallest`` class's share, ``log_score`` and its standard error ``se``, and ``agreed``,
        the share of starts that ended at the highest maximum. NaN where there is no estimate.
    problems : mapping of int to str
        Why there is none, or no log score, by number of classes.
    outcome : str
        Name of the outcome.
    respondents : float
        Their number, frequency weights counted.
    folds, seed : int
        How respondents were left out.
    said : tuple of str
        What the reader should know of all rows.
    """

    table: pd.DataFrame
    problems: dict[int, str]
    outcome: str
    respondents: float
    folds: int
    seed: int
    said: tuple[str, ...] = ()

    @property
    def best(self) -> dict[str, int]:
        """Number of classes with the least ``bic`` and ``caic``, and the highest ``log_score``."""
        found = {}
        for name, sign in (("bic", 1), ("caic", 1), ("log_score", -1)):
            values = (sign * self.table[name]).dropna()
            if len(values):
                found[name] = int(values.index[int(np.argmin(values.to_numpy()))])
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        return (*self.said, *(f"{c} classes: {why}" for c, why in self.problems.items()))

    def __str__(self) -> str:
        head = (
            f"Numbers of latent classes for {self.outcome}: {self.respondents:g} respondents, "
            f"left out in {self.folds} folds (seed {self.seed})"
        )
        chosen = ", ".join(f"{name} {c}" for name, c in self.best.items())
        table = self.table.to_string(float_format=lambda v: f"{v:.6g}")
        return with_notes([head, table, f"best by {chosen}"], self.notes)

    def plot(self, ax: Axes | None = None) -> Axes:
        """BIC, where there is one, and the log score of respondents left out with its error.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots(layout="constrained")[1]
        classes = self.table.index.to_numpy()
        ax.set(xlabel="classes", xticks=classes, title="Number of classes")
        other = ax
        if self.table["bic"].notna().any():
            ax.plot(classes, self.table["bic"], "o-", color=COLOURS[0], label="BIC (low is good)")
            ax.set_ylabel("BIC")
            other = ax.twinx()
        other.errorbar(
            classes,
            self.table["log_score"],
            self.table["se"],
            fmt="s--",
            color=COLOURS[1],
            capsize=3,
            label="held-out log score (high is good)",
        )
        other.set_ylabel("log score per choice of respondents left out")
        handles = [h for a in dict.fromkeys((ax, other)) for h in a.get_legend_handles_labels()[0]]
        ax.legend(handles=handles, frameon=False, fontsize=8)
        return ax


@spelled(Weighing, Options())
def class_numbers(
    formula: str,
    data: Data,
    *,
    classes: int | Sequence[int] = 5,
    membership: str = "1",
    panel: str | None = None,
    folds: int = 5,
    sequences: int = 20,
    starts: int = 10,
    seed: int = 1,
    likelihood: Answers | None = None,
    read: str | None = None,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    **options: Unpack[Weighing],
) -> ClassNumbers:
    """Compare numbers of latent classes, one class (a plain logit) among them.

    Parameters
    ----------
    formula, data, membership, panel, sequences, starts, seed, likelihood, read
        See `llmdemand.modeling.models.latent.lclogit`; `seed` is also that of the folds.
    case, alternative, base, availability
        See `llmdemand.modeling.models.multinomial.clogit`.
    classes : int or sequence of int
        The largest number, or all of them.
    folds : int
        Parts of the respondents that are left out in turn.
    **options
        ``weights``, ``weights_type`` and ``na``: see `llmdemand.modeling.models.logit.fraclogit`.

    Returns
    -------
    ClassNumbers

    Raises
    ------
    DesignError
        See `lclogit`; a number of classes without an estimate is said in its row.
    UsageError
        For impossible numbers of classes or of folds.

    Notes
    -----
    With P parameters and I respondents ``AIC = 2 P - 2 llf``, ``BIC = P log I - 2 llf`` and
    ``CAIC = P (log I + 1) - 2 llf`` (Bozdogan 1987), as Stata's lclogit counts (Pacifico & Yoo
    2013); the BIC of a fit counts choice situations.

    The held-out log score is that of all choices of a respondent together, per choice situation:
    ``log sum_c pi_c(z_i) prod_t p_(t, y_t)(beta_c)``, from a fit to the other folds. It asks
    whether classes found in some people are there in others. Each such fit starts from
    the estimate of all and from two random starts, and takes the highest maximum, or the
    supremum where coefficients run to infinity: it, too, predicts.

    By pairs it is the log-likelihood of pairs of situations of the respondents left out, each
    situation counted once, which corrected beliefs outside [0, 1] leave unbiased; criteria, which
    need a likelihood, and the entropy R2 are left open (NaN).

    A likelihood ratio between numbers of classes has no chi-squared law.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> who, price = np.repeat(np.arange(80), 8), rng.uniform(1, 3, (640, 2))
    >>> slope = np.where(rng.random(80) < 0.7, -0.5, -3.0)[who]
    >>> buys = slope[:, None] * price + rng.gumbel(size=(640, 2))
    >>> df = pd.DataFrame({
    ...     "case": np.repeat(np.arange(640), 2), "alternative": ["a", "b"] * 640,
    ...     "person": np.repeat(who, 2), "price": price.ravel(),
    ...     "choice": (buys == buys.max(axis=1, keepdims=True)).astype(int).ravel()})
    >>> found = class_numbers("choice ~ price | 0", df, classes=2, panel="person", starts=2)
    >>> found.best
    {'bic': 2, 'caic': 2, 'log_score': 2}
    """
    import pandas as pd

    asked = Classes(2, membership, sequences, starts, seed, likelihood)
    numbers = _numbers(classes)
    whose = case if panel is None else panel
    found, problem = latent_panels(
        formula,
        data,
        asked,
        Options(vcov="HC0", read=read, **options),
        panel=whose,
        case=case,
        alternative=alternative,
        base=base,
        availability=availability,
    )
    fold = _folds(problem.panels.people, folds, seed)
    rows: dict[int, dict[str, float]] = {}
    problems = {}
    for c in numbers:
        try:
            one = searched(replace(problem, classes=c), found, _asked_of(asked, c))
        except DesignError as error:
            rows[c], problems[c] = {}, str(error)
            continue
        rows[c], why = _row(replace(problem, classes=c), found, one, fold, seed)
        if why := "; ".join(w for w in (one.higher, why) if w):
            problems[c] = why
    table = pd.DataFrame.from_dict(rows, orient="index", columns=_COLUMNS, dtype=np.float64)
    said = []
    if not isinstance(problem, LatentPanels):
        said.append("pairwise quasi-likelihood: no criteria; compare log scores")
    elif problem.fractional:
        said.append("quasi-likelihood: AIC, BIC and CAIC are descriptive")
    if problem.weights_vary:
        said.append("sampling weights: AIC, BIC and CAIC have no meaning")
    table.index.name = "classes"
    people = float(problem.count.sum())
    return ClassNumbers(table, problems, found.outcome, people, folds, seed, tuple(said))


_COLUMNS = [
    "parameters",
    "llf",
    "aic",
    "bic",
    "caic",
    "entropy_r2",
    "smallest",
    "log_score",
    "se",
    "agreed",
]


def _asked_of(asked: Classes, classes: int) -> Classes:
    """One class has one maximum: it needs one start."""
    return replace(asked, starts=1) if classes == 1 else asked


def _numbers(classes: int | Sequence[int]) -> list[int]:
    found = list(range(1, classes + 1)) if isinstance(classes, int) else list(classes)
    if not found or any(isinstance(c, bool) or not isinstance(c, int) or c < 1 for c in found):
        raise UsageError(
            f"classes={classes!r}: give the largest number of classes, or a list such as [1, 2, 3]"
        )
    return sorted(set(found))


def _folds(people: int, folds: int, seed: int) -> Codes:
    """Fold of each respondent."""
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= people:
        raise UsageError(
            f"folds={folds!r}: give a number from 2 to that of the respondents, {people}"
        )
    place = np.empty(people, np.intp)
    place[np.random.default_rng(seed).permutation(people)] = np.arange(people) % folds
    return place


def _row(
    problem: ClassPanels, found: Choices, one: Found, fold: Codes, seed: int
) -> tuple[dict[str, float], str]:
    """A row of the table, and why it lacks a log score."""
    params, llf, size = one.best.params, one.best.llf, problem.size
    people = float(problem.count.sum())
    top = np.nanmax(one.maxima.llf)
    row = {
        "parameters": float(size),
        "llf": llf,
        "smallest": float(problem.mean_shares(params).min()),
        "agreed": float(np.mean(one.maxima.llf >= top - 1e-6 * (1 + abs(top)))),
    }
    if isinstance(problem, LatentPanels):
        row |= {
            "aic": 2 * size - 2 * llf,
            "bic": size * np.log(people) - 2 * llf,
            "caic": size * (np.log(people) + 1) - 2 * llf,
            "entropy_r2": problem.entropy_r2(params),
        }
    try:
        scores, limits = _held_out(one, fold, seed)
    except DesignError as error:
        return row, str(error)
    n = problem.scale * problem.panels.tasks
    row["log_score"], row["se"] = mean_of(problem.scale * scores, n, np.arange(len(n)))
    if not limits:
        return row, ""
    return row, (
        f"without {limits} of {int(fold.max()) + 1} folds a coefficient runs to infinity: those "
        "were predicted by the limit"
    )


def _held_out(one: Found, fold: Codes, seed: int) -> tuple[Array, int]:
    """Log-probability of each respondent's choices by a fit to the other folds, (I,).

    Where such a fit has no maximum its supremum predicts; in how many folds comes second.
    """
    near, scores, limits = one.near, np.empty(len(fold)), 0
    bounded = isinstance(near, LatentPanels)  # by pairs there may be no supremum
    beta, gamma = divided(one.best.params, near.classes, near.terms)
    warm = np.concatenate([np.linalg.solve(one.back, beta.T).T.ravel(), gamma.ravel()])
    for k in range(int(fold.max()) + 1):
        out = fold == k
        rest = near.weighted((~out).astype(np.float64))
        starts = [warm, *split(rest, 2, seed, warm[: near.terms])] if near.classes > 1 else [warm]
        ends = [(e, gone) for e, gone in best_of(rest, starts) if e.converged or (bounded and gone)]
        if not ends:
            raise DesignError(f"no log score: without fold {k + 1} the likelihood is flat")
        best, gone = max(ends, key=lambda end: end[0].llf)
        limits += gone is not None
        scores[out] = near.weighted(out.astype(np.float64)).each(best.params)
    return scores, limits
