"""The result of a comparison of humans and an LLM, with what it licenses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.fidelity.fidelity import Fidelity
from llmdemand.calibration.fidelity.licences import licences
from llmdemand.core.line import OneLine

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Discrepancy"]


@dataclass(frozen=True, repr=False)
class Discrepancy(OneLine):
    """Humans and a language model, compared.

    Attributes
    ----------
    table : pandas.DataFrame
        By quantity (price coefficient, elasticities, indifference price or willingness to pay,
        share): ``humans, llm, difference, se, lower, upper``, and where a margin was given
        ``margin, p_equivalence, equivalent``.
    curve : pandas.DataFrame
        The same for the share at each price, or of each alternative of choice sets.
    balance : pandas.DataFrame
        What both sides are made of: prices or attributes, and covariates; ``humans, llm,
        standardised_difference, p``.
    assumptions : pandas.DataFrame
        ``assumption, verdict, evidence``.
    margin : float or None
        For shares; see `discrepancy`.
    by : str
        What `curve` goes by: the column of prices or of alternatives.
    humans, llm, both : int
        Respondents, and those who are on both sides.
    alpha : float
        One minus the confidence level of intervals; equivalence tests have size alpha.
    fidelity : Fidelity or None
        Variance, distribution, heterogeneity, subgroups, agreement person by person; None with
        ``reps=0``.
    done : mapping of str to str
        What was done besides; see `beside`.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    balance: pd.DataFrame
    assumptions: pd.DataFrame
    margin: float | None
    by: str
    humans: int
    llm: int
    both: int
    alpha: float
    fidelity: Fidelity | None = None
    done: Mapping[str, str] = field(default_factory=dict)

    @property
    def _line(self) -> str:
        return self.verdict()

    @property
    def equivalent(self) -> bool | None:
        """Whether all shares of `curve` are shown to lie within the margin; None without one.

        Every one has to be rejected, so the size of the whole is at most alpha (Berger 1982).
        """
        return None if self.margin is None else bool(self.curve["equivalent"].all())

    def verdict(self) -> str:
        """The comparison in a sentence, which is never a validation."""
        worst = self.curve.iloc[int(np.argmax(np.abs(self.curve["difference"].to_numpy())))]
        at = worst[self.by]
        where = f"of {at}" if isinstance(at, str) else f"at {self.by} {at:g}"
        said = f"The LLM's share is off by at most {abs(worst['difference']):.3f} ({where})"
        if self.margin is not None:
            done = "is shown" if self.equivalent else "is not shown"
            said += f"; that it is within {self.margin:g} everywhere {done}"
        return said + ". This is heuristic: it holds for these people, prices and questions."

    @property
    def licences(self) -> pd.DataFrame:
        """What was done, heuristic or calibration, and what each licenses.

        After Hullman, Broska, Sun & Shaw (2026); see
        `llmdemand.calibration.fidelity.licences.licences`.
        """
        worst = float(np.abs(self.curve["difference"].to_numpy(np.float64)).max())
        beyond = self.fidelity
        done = {"means": f"shares off by at most {worst:.3f}", **self.done}
        if beyond is None:
            return licences(done)
        return licences({**beyond.found, **done}, beyond.why)

    def beside(self, **done: str) -> Discrepancy:
        """The same, with what else was done in `licences`, in a sentence each.

        Parameters
        ----------
        **done : str
            ``calibration``, ``multiverse``, ``held_out``, ``transport`` or ``substitution``.

        Raises
        ------
        UsageError
            For another name.
        """
        licences(done)
        return replace(self, done={**self.done, **done})

    def summary(self) -> str:
        """Verdict and all tables."""
        show = lambda v: f"{v:.4g}"  # noqa: E731
        parts = [
            f"Discrepancy of an LLM from humans ({self.humans:,} humans, {self.llm:,} LLM "
            f"respondents, {self.both:,} of them the same)\n{self.verdict()}",
            self.table.to_string(float_format=show, na_rep="-"),
            f"shares by {self.by}\n" + self.curve.to_string(index=False, float_format=show),
            "balance of the two samples\n" + self.balance.to_string(float_format=show, na_rep="-"),
            "assumptions\n"
            + "\n".join(
                f"  {r['verdict']:<17} {r['assumption']}: {r['evidence']}"
                for r in self.assumptions.to_dict("records")
            ),
            *([self.fidelity.summary()] if self.fidelity is not None else []),
            "what was done, and what it licenses (after Hullman et al. 2026)\n"
            + "\n".join(
                f"  {r['done']:<3} {r['kind']}: {r['what']}: {r['found']}\n      {r['licenses']}"
                for r in self.licences.reset_index().to_dict("records")
            ),
        ]
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        show = lambda v: f"{v:.4g}"  # noqa: E731
        tables = (self.table, self.curve, self.balance, self.assumptions, self.licences)
        return f"<p>{escape(self.verdict())}</p>" + "".join(
            t.to_html(float_format=show, na_rep="-") for t in tables
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Differences of shares by price or alternative, with the margin."""
        from llmdemand.calibration.figures import differences

        return differences(self.curve, self.by, self.margin, ax)
