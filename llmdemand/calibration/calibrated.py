"""What a calibration says: verdict, tables, figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.checks.laws import WARN
from llmdemand.calibration.checks.options import BALANCE, NOT_STATED, few_humans
from llmdemand.calibration.estimates import Calibrated
from llmdemand.calibration.moments.tuning import FEW
from llmdemand.core.line import OneLine
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["CalibratedDemand"]


@dataclass(frozen=True, repr=False)
class CalibratedDemand(OneLine, Calibrated):
    """Demand of humans, sharpened by a language model and valid whatever that model does.

    Every quantity of a fitted logit is here as a method (``elasticity``, ``demand_curve``,
    ``willingness_to_pay``, ...), and ``ci="bootstrap"`` refits on drawn respondents.

    Attributes
    ----------
    table : pandas.DataFrame
        The target by ``humans only``, ``LLM only``, ``calibrated`` and ``naive pooling`` (a
        warning: humans and LLM taken for one sample): ``estimate, se, lower, upper,
        respondents, note``.
    target : Target
        What lambda was tuned to.
    tuning : Calibration
        lambda, rho, n_eff, humans saved.
    fits : mapping of str to LogitFit
        All four fits by the table's names.
    assumptions : pandas.DataFrame
        What was checked and what cannot be: ``assumption, verdict, evidence``.
    imbalance : float
        p-value of the test that both sides' beliefs have the same mean scores.
    laws : SameLaw
        Beliefs of humans and pool, compared by cell; `plot_beliefs` shows them.
    leak : Leak
        Whether belief knows the humans' answers, as far as the data say.
    notes : tuple of str
        What a reader has to know besides.
    ci : str
        How the table's intervals were made.
    alpha : float
        One minus their level.
    prompt : str or None
        Whose answers chose prompt and model, as stated.
    moments : Moments
        The data.
    proxies : pandas.DataFrame or None
        Weights of several models or strata, where there are such: ``lambda, se, rho``.
    unseen : Unseen or None
        A shift of the pool that would hardly be noticed, and how far it would move the target.
    """

    @property
    def _line(self) -> str:
        return self.verdict()

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """One row per term: estimate, SE, t, p and interval of the calibrated coefficients."""
        import pandas as pd
        from scipy import stats

        t = self.params / self.bse
        return pd.DataFrame(
            {
                "Estimate": self.params,
                "Std. Error": self.bse,
                "t value": t,
                "Pr(>|t|)": 2 * stats.t.sf(np.abs(t), self.df),
                **self.conf_int(alpha),
            }
        )

    def coefficients(self) -> pd.DataFrame:
        """Coefficients and standard errors of all four fits, by term."""
        import pandas as pd

        return pd.concat(
            {k: pd.DataFrame({"coef": f.params, "se": f.bse}) for k, f in self.fits.items()}, axis=1
        )

    def draws(self, reps: int = 999, seed: int = 1) -> Array:
        """Calibrated coefficients of drawn respondents, lambda held, (reps, K).

        Both sides are drawn with replacement, respondent by respondent. Samples without an
        estimate are rows of NaN.
        """
        rng, rows = np.random.default_rng(seed), []
        for _ in range(reps):
            try:
                drawn = self.moments.resampled(rng)
                rows.append(drawn.solve(drawn.parts(self.lam), "of a drawn sample"))
            except DesignError:
                rows.append(np.full(len(self.params), np.nan))
        return np.array(rows)

    def verdict(self) -> str:
        """What calibration brought, in a sentence; and what makes that doubtful, in more."""
        t = self.tuning
        if t.lam == 0:
            said = (
                f"The LLM brings nothing for the {self.target.label}: the calibrated estimate is "
                f"that of the {t.humans:,} humans."
            )
        else:
            low, high = (float(v) for v in t.table.to_numpy(float)[3, 1:])
            word = "saved" if t.saved >= 0 else "saved (it costs more than it brings)"
            said = (
                f"{t.humans:,} humans and {t.llm:,} LLM respondents are as precise for the "
                f"{self.target.label} as {t.n_eff:,.0f} humans: {t.saved:,.0f} {word} "
                f"({100 * (1 - self.alpha):g} % interval {low:,.0f} to {high:,.0f})."
            )
        return " ".join([said, *self.warnings])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the result doubtful, in sentences: shown wherever the verdict is."""
        said = []
        if self.laws.p < WARN or self.imbalance < BALANCE:
            said.append("WARNING: beliefs differ between humans and pool by more than chance.")
        if self.leak.warned:
            said.append("WARNING: belief may know the answers of these humans.")
        if self.tuning.humans < FEW:
            said.append(f"WARNING: {few_humans(self.tuning.humans)}.")
        if self.prompt is None:
            said.append(NOT_STATED)
        return tuple(said)

    def summary(self) -> str:
        """Verdict, the four estimates, lambda and its kin, coefficients and assumptions."""
        show = lambda v: f"{v:.5g}"  # noqa: E731
        design = self.moments.design if isinstance(self.moments.design, str) else "given"
        head = [
            f"Calibration of the {self.target.label} of {self.outcome}, design {design}, lambda "
            f"{self.tuning.rule}",
            self.verdict(),
            f"intervals: {self.ci}",
        ]
        parts = [
            "\n".join(head),
            self.table.to_string(float_format=show),
            self.tuning.table.to_string(float_format=show),
            *([] if self.proxies is None else [self.proxies.to_string(float_format=show)]),
            "calibrated coefficients\n" + self.tidy(self.alpha).to_string(float_format=show),
            "assumptions\n"
            + "\n".join(
                f"  {r['verdict']:<17} {r['assumption']}: {r['evidence']}"
                for r in self.assumptions.to_dict("records")
            ),
        ]
        notes = "\n".join(f"note: {n}" for n in self.notes)
        return "\n\n".join([*parts, *([notes] if notes else [])])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        show = lambda v: f"{v:.5g}"  # noqa: E731
        notes = "".join(f"<p>note: {escape(n)}</p>" for n in self.notes)
        tables = "".join(
            t.to_html(float_format=show) for t in (self.table, self.tuning.table, self.tidy())
        )
        return f"<p>{escape(self.verdict())}</p>{tables}{notes}"

    def to_latex(self) -> str:
        """The table of the four estimates, for booktabs."""
        from llmdemand.modeling.tables.table import Cell, Table

        level = f"{100 * (1 - self.alpha):g} % interval"
        rows = [
            (
                str(name),
                [
                    Cell(f"{r.estimate:.4f}"),
                    Cell(f"{r.se:.4f}"),
                    Cell(f"[{r.lower:.4f}, {r.upper:.4f}]"),
                    Cell(f"{int(r.respondents)}"),
                ],
            )
            for name, r in self.table.iterrows()
        ]
        return Table(["estimate", "SE", level, "respondents"], [rows]).to_latex()

    def plot(self, ax: Axes | None = None) -> Axes:
        """The four estimates with their intervals; naive pooling, a warning, is hollow."""
        from llmdemand.calibration.figures import estimates

        return estimates(self, ax)

    def plot_demand(self, ax: Axes | None = None) -> Axes:
        """Demand curves of humans, LLM and calibration, with the humans' shares by price."""
        from llmdemand.calibration.figures import demand

        return demand(self, ax)

    def plot_beliefs(self, ax: Axes | None = None) -> Axes:
        """What the LLM said as the humans and as its further respondents, by cell."""
        from llmdemand.calibration.figures import laws

        return laws(self.laws.table, self.laws.p, ax)
