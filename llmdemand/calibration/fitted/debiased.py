"""Calibration of any fitted demand, by the influence of each respondent on its coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from llmdemand.calibration.checks.debiasing import Debiasing, DebiasOptions
from llmdemand.calibration.checks.laws import WARN, SameLaw, compare_laws
from llmdemand.calibration.checks.options import CalibrationWarning, few_humans
from llmdemand.calibration.debias import common_design, estimated, evidence_of, sides_of
from llmdemand.calibration.estimates import LogitFit
from llmdemand.calibration.moments.tuning import FEW
from llmdemand.calibration.samples.entries import Model
from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError, warn
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.fit import Fit, HasFit
from llmdemand.modeling.estimation.fit import fit_of as fit_under
from llmdemand.modeling.likelihood.kernels import LOGIT, Kernel
from llmdemand.modeling.spelled import spelled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DebiasedDemand", "Fitter", "debias_fit"]

Fitter = Callable[[Any, str], Fit | HasFit]


@dataclass(frozen=True, repr=False)
class DebiasedDemand(OneLine, LogitFit):
    """A fitted demand of humans with the LLM's help: every quantity of the model is a method.

    Attributes
    ----------
    table : pandas.DataFrame
        By coefficient: ``estimate, se, lower, upper``, and ``humans_only, humans_only_se,
        llm_only, n_eff``.
    omega : pandas.DataFrame
        Weights on the LLM's correction.
    humans, llm : int
        Respondents.
    fits : mapping of str to Fit
        ``humans only``, ``LLM as humans``, ``LLM only``.
    assumptions : pandas.DataFrame
        What was checked and what cannot be: ``assumption, verdict, evidence``.
    laws : SameLaw
        Beliefs of humans and pool, compared by cell.
    notes : tuple of str
        What a reader has to know besides.
    kernel : Kernel
        From utilities to shares: of a nested logit its nests, of a mixed one its laws.
    """

    table: pd.DataFrame
    omega: pd.DataFrame
    humans: int
    llm: int
    fits: dict[str, Fit] = field(repr=False)
    assumptions: pd.DataFrame = field(repr=False)
    laws: SameLaw
    notes: tuple[str, ...]
    kernel: Kernel = LOGIT  # type: ignore[assignment]

    @property
    def _line(self) -> str:
        kind = self.fits["humans only"].kind
        return f"{kind} of {self.humans:,} humans with {self.llm:,} LLM respondents"

    def draws(self, reps: int = 999, seed: int = 1) -> Array:
        """Three fits of drawn respondents for each draw are not made: intervals are the delta's."""
        raise UsageError("no bootstrap of a debiased fit: use ci='delta' or 'krinsky-robb'")

    def summary(self) -> str:
        """Table and assumptions."""
        return "\n\n".join(
            [
                f"{self._line}, t with {self.df:g} degrees of freedom",
                self.table.to_string(float_format=lambda v: f"{v:.5g}"),
                "assumptions\n"
                + "\n".join(
                    f"  {r['verdict']:<17} {r['assumption']}: {r['evidence']}"
                    for r in self.assumptions.to_dict("records")
                ),
            ]
        ) + "".join(f"\nnote: {n}" for n in self.notes)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format=lambda v: f"{v:.5g}")


@spelled(DebiasOptions, Debiasing())
def debias_fit(
    fitter: Fitter,
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    **options: Unpack[DebiasOptions],
) -> DebiasedDemand:
    """Calibrate a nested logit, a mixed logit, or any other fit of this package.

    Parameters
    ----------
    fitter : callable
        ``fitter(rows, column)``: the model, fitted to `column` (choices, or beliefs) of the rows
        with errors clustered by respondent, as ``lambda rows, y: ld.nlogit(f"{y} ~ price", rows,
        nests=..., case="task", vcov={"CRV1": "respondent_id"})``.
    humans, beliefs : pandas.DataFrame, Panel or pandas.DataFrame
        As in `llmdemand.calibration.debias.debias`; one row per answer, or per answer and
        alternative.
    **options
        As there, but for `influence` and `groups`. Of several alternatives `on` names them and the
        task, ``on=("task", "alternative")``: with the respondent it says which belief belongs to
        which answer.

    Returns
    -------
    DebiasedDemand

    Raises
    ------
    DesignError
        As `debias`; for fits of the same people that do not have the same respondents.
    UsageError
        For a fit whose errors are not clustered by `cluster`.

    Warns
    -----
    CalibrationWarning
        If beliefs of humans and pool differ in distribution, or there are fewer than 40 humans.

    Notes
    -----
    ``theta = theta_n - Omega (gamma_n - gamma_N)`` (Kluger et al. 2025, arXiv 2501.18577), with
    contributions of respondents ``A^-1 s_i``, s_i the score of their answers and A the information:
    the influence function of each fit. Quantities follow by the delta method, which makes theirs of
    it. A logit's own equations (`calibrate`) use more: take those where there are such.

    Examples
    --------
    >>> import llmdemand as ld
    >>> data = ld.paired_panel(humans=150, llm=600, seed=1)
    >>> by = {"CRV1": "respondent_id"}
    >>> found = debias_fit(
    ...     lambda rows, y: ld.fraclogit(f"{y} ~ price", rows, vcov=by),
    ...     data.humans, data.beliefs, prompt_chosen_on="nobody",
    ... )
    >>> bool(found.table.loc["const", "se"] < found.table.loc["const", "humans_only_se"])
    True
    """
    import pandas as pd

    how = Debiasing(**options)
    says: list[str] = []
    model: Model = "clogit" if "alternative" in how.on else "logit"
    joined, h, pool, asked = sides_of(humans, beliefs, model, how, says)
    common_design(_plain, h, pool, joined, how.on)
    outcome, belief, cluster = how.outcome, how.belief, how.cluster
    names = ("humans only", "LLM as humans", "LLM only")
    found = {
        name: _checked(fitter, rows.frame, column, cluster, name)
        for name, rows, column in zip(names, (h, h, pool), (outcome, belief, belief), strict=True)
    }
    own, told, other = (fit for fit, _ in found.values())
    fits = dict(zip(names, (own, told, other), strict=True))
    r, q, p = (_influence(*one) for one in found.values())
    if not _same_people(*(found[name] for name in names[:2])):
        raise DesignError(
            "the fits of the humans' choices and of their beliefs do not rest on the same answers "
            "of the same respondents: the fitter must use every row for either column"
        )
    cells = [str(k) for k in range(len(joined.rows))]
    laws = compare_laws(*joined.told, cells, reps=how.reps, seed=how.seed)
    says.extend(n for fit in fits.values() for n in fit.notes)
    for text in (
        *([laws.warning] if laws.p < WARN else []),
        *([few_humans(h.people)] if h.people < FEW else []),
    ):
        warn(text, CalibrationWarning)
    table, cov, omega, df = estimated(
        [fit.params for fit in fits.values()], (r, q, p), h.people, how.tune, how.alpha
    )
    checked = evidence_of(how, h, asked, laws, says)
    assert own.design is not None and own.frame is not None
    return DebiasedDemand(
        pd.Series(table["estimate"], own.params.index),
        cov,
        df,
        own.design,
        own.frame,
        own.weights,
        own.outcome,
        table,
        omega,
        h.people,
        pool.people,
        fits,
        checked,
        laws,
        tuple(dict.fromkeys(says)),
        own.kernel,
    )


def _plain(rows: Any, column: str) -> float:
    """A statistic that takes no weights: both sides have to be asked by one design."""
    return 0.0


def _checked(fitter: Fitter, rows: Any, column: str, cluster: str, name: str) -> tuple[Fit, Codes]:
    """A fit, and the respondent of each row of its data."""
    made = fitter(rows, column)
    fit = fit_under(made)
    if not fit.converged or fit.separated:
        raise DesignError(f"no finite estimate of the {name}: {'; '.join(fit.notes) or fit.title}")
    people = getattr(made, "respondents", None)  # of mixed logits, a row each
    if people is not None and getattr(people, "name", None) == cluster:
        return fit, np.arange(len(people))
    if cluster not in fit.data.groups:
        raise UsageError(
            f"the fit knows no {cluster!r}: its errors have to be clustered by respondent, as with "
            f"vcov={{'CRV1': {cluster!r}}}, or panel={cluster!r} of a mixed logit"
        )
    return fit, np.asarray(fit.data.groups[cluster], np.intp)


def _influence(fit: Fit, code: Codes) -> Array:
    """Contributions of respondents to the error of the coefficients, (n, K)."""
    params = np.asarray(fit.params, np.float64)
    n = int(code.max()) + 1
    scores = fit.data.scores(params)
    sums = np.column_stack([np.bincount(code, column, n) for column in scores.T])
    found = sums @ np.linalg.inv(np.asarray(fit.data.information(params), np.float64))
    return np.asarray((found - found.mean(axis=0)) * np.sqrt(n / (n - 1)))


def _same_people(one: tuple[Fit, Codes], other: tuple[Fit, Codes]) -> bool:
    sizes = [np.bincount(code, fit.data.observations) for fit, code in (one, other)]
    return sizes[0].shape == sizes[1].shape and bool(np.allclose(sizes[0], sizes[1]))
