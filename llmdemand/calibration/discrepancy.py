"""Heuristic validation: how far the model's demand is from that of people. It proves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.estimates import LogitFit
from llmdemand.calibration.moments.rectified import logit_data
from llmdemand.calibration.samples.balance import (
    attributes,
    balance,
    comparison_assumptions,
    price_shares,
)
from llmdemand.calibration.samples.choice_sets import CASE, check_sums, sorted_cases
from llmdemand.calibration.samples.entries import (
    TASK,
    Model,
    belief_rows,
    check_beliefs,
    columns_of,
    in_memory,
    respondent_ids,
)
from llmdemand.calibration.target import Target
from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.formula import split, variables, without_offsets
from llmdemand.modeling.sample.sample import plain, require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Discrepancy", "discrepancy"]

_QUANTITIES = ("price", "elasticity", "wtp", "share")
_OF_ONE = ("elasticity", "share")  # of one alternative
_WHO = "respondent of the comparison"
_ONE = "what beliefs sum to"


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
        ]
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        show = lambda v: f"{v:.4g}"  # noqa: E731
        tables = (self.table, self.curve, self.balance, self.assumptions)
        return f"<p>{escape(self.verdict())}</p>" + "".join(
            t.to_html(float_format=show, na_rep="-") for t in tables
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Differences of shares by price or alternative, with the margin."""
        from llmdemand.calibration.figures import differences

        return differences(self.curve, self.by, self.margin, ax)


def discrepancy(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    formula: str = "choice ~ price",
    *,
    model: Model = "logit",
    covariates: Sequence[str] = (),
    margin: float | Mapping[str, float] | None = None,
    at: float | None = None,
    cluster: str = "respondent_id",
    price: str = "price",
    belief: str = "belief",
    case: str | None = None,
    alternative: str = "alternative",
    base: str | None = None,
    focal: str | None = None,
    attribute: str | None = None,
    reading: Reading | None = None,
    alpha: float = 0.05,
) -> Discrepancy:
    """Compare a language model's demand with that of humans: heuristic validation.

    It is fit for exploring (which prompt, which model, is it worth a study?), not for claims
    about people: an LLM that agrees with these humans at these prices may disagree elsewhere,
    and "no significant difference" in a small sample says nothing. Claims come from `calibrate`.

    Parameters
    ----------
    humans : pandas.DataFrame
        One row per answer (in a conditional logit per alternative of it), the outcome in [0, 1].
    beliefs : Panel, PanelShards or pandas.DataFrame
        Answers of the LLM, as the same respondents, as others, or both.
    formula : str
        As in `calibrate`.
    model : str
        ``logit`` (``fraclogit`` is the same here) or ``clogit``.
    covariates : sequence of str
        Numeric columns of respondents whose means are compared.
    margin : float or mapping, optional
        Difference that does not matter to you. A number is for shares; a mapping gives one for
        ``share``, ``price``, ``elasticity``, ``wtp``. Two one-sided tests then say whether the
        difference is shown to be smaller (Schuirmann 1987).
    at : float, optional
        Price of the elasticity and the share. Of a binary logit the mean over the humans'
        answers by default, of a conditional one the humans' choice sets as they are.
    cluster, price, belief, case, alternative, base, attribute, reading : str
        See `calibrate`; `attribute` adds its willingness to pay to a conditional logit.
    focal : str, optional
        Alternative of a panel whose belief counts; in a conditional logit the one whose
        elasticity and share are compared, by default the elasticities of all.
    alpha : float
        One minus the confidence level.

    Returns
    -------
    Discrepancy

    Raises
    ------
    DesignError
        For data to which no logit can be fitted, or sides that have no price in common or
        other alternatives.
    UsageError
        For impossible options.

    Notes
    -----
    Errors are clustered by respondent over both sides together: where the LLM answered as the
    same people, their answers are compared within persons. Quantities that are means over cases
    are those over the humans' cases on both sides, which are taken as fixed; the shares in
    `Discrepancy.curve` are plain means over each side's own answers.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=1000, seed=1)
    >>> found = discrepancy(data.humans, data.beliefs, covariates=["income"], margin=0.05)
    >>> found.equivalent, list(found.table.index)[:2]
    (False, ['price coefficient', 'own-price elasticity at 37.5'])
    """
    import pandas as pd

    margins = _margins(margin)
    if not 0 < alpha < 1:
        raise UsageError(f"alpha={alpha:g}: give one minus the confidence level, as 0.05")
    choose(model, Model, "model")
    lost: list[str] = []
    beliefs = in_memory(humans, beliefs, cluster)
    llm = belief_rows(beliefs, model, cluster, focal, reading, lost)
    outcome, parts = split(formula)
    without_offsets(parts, "a model of discrepancies")
    sets = model == "clogit"
    if len(parts) > 1 and not sets:
        raise UsageError("formulas with | are for model='clogit'")
    left, right = columns_of(humans, llm)
    named = [variables(part, left) for part in parts]
    flat = [v for part in named for v in part]
    cases = case, TASK if TASK in right else case
    menus = [[alternative, *([c] if c else [])] if sets else [] for c in cases]
    read = [[cluster, *m, *flat, *covariates] for m in menus]
    require([*read[0], outcome], left, "among the humans")
    require([*read[1], belief], right, "among the beliefs")
    if price not in flat:
        raise DesignError(
            f"the formula {formula!r} has no {price!r}: name the price column with price=..."
        )
    h, p = (
        plain(frame[list(dict.fromkeys([*columns, y]))].reset_index(drop=True))
        for frame, columns, y in zip((humans, llm), read, (outcome, belief), strict=True)
    )
    panel = isinstance(beliefs, Panel)
    if not panel:
        check_beliefs(p[belief], belief, "beliefs")
    ids = respondent_ids(h[cluster], p[cluster])
    common: dict[str, Any] = {}
    if sets:
        h, p, ids = _choice_sets(h, p, ids, cases, alternative)
        check_sums(p, belief, "beliefs")
        common = {"case": CASE, "alternative": alternative, "base": base}
    code, known = pd.factorize(np.concatenate([np.asarray(i, object) for i in ids]))
    who, size = (code[: len(h)], code[len(h) :]), len(known)
    h[_WHO], p[_WHO], p[outcome] = who[0], who[1], p[belief]
    fit = fit_conditional if sets else partial(fit_binary, binary=False)
    options = Options.of({"CRV1": _WHO}, separation="raise")
    # What a panel says may leave [0, 1] where belief is corrected.
    of_llm = replace(options, read=_ONE) if panel else options
    fits = (
        LogitResults.of(fit(formula, h, options, **common)),
        LogitResults.of(fit(formula, p.assign(**{_ONE: 1.0}), of_llm, **common)),
    )
    where = float(h[price].mean()) if at is None and not sets else at
    errors = [_influence(f, r, outcome, w, size) for f, r, w in zip(fits, (h, p), who, strict=True)]
    people = [len(np.unique(w)) for w in who]
    rows = {}
    for target in _targets(fits[0], where, price, focal, attribute):
        # What was asked for has to be there; the rest where the model has it.
        asked = at is not None or attribute is not None
        values = _values(target, fits, asked=asked)
        if values is not None:
            (human, slope), (told, llm_slope) = values
            apart = errors[1] @ llm_slope - errors[0] @ slope
            whose = f", {target.alternative}" if sets and target.name in _OF_ONE else ""
            rows[target.label + whose] = _row(
                human, told, apart, min(people) - 1, margins.get(target.name), alpha
            )
    by = alternative if sets else price
    made_of = balance(
        attributes(h, p, alternative, named) if sets else price_shares(h, p, price),
        h,
        p,
        covariates,
        who,
    )
    shared = len(np.intersect1d(*who))
    return Discrepancy(
        pd.DataFrame(rows).T.infer_objects(),
        _curve((h, p), (outcome, belief), by, who, size, margins.get("share"), alpha),
        made_of,
        comparison_assumptions(made_of, covariates, shared, people[0], lost, prices=not sets),
        margins.get("share"),
        by,
        people[0],
        people[1],
        shared,
        alpha,
    )


def _choice_sets(
    h: pd.DataFrame,
    p: pd.DataFrame,
    ids: tuple[Any, Any],
    cases: tuple[str | None, str | None],
    alternative: str,
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Any, Any]]:
    """Both sides sorted by case, with their respondents; both have the same alternatives."""
    h, left, _ = sorted_cases(h, ids[0], cases[0], alternative)
    p, right, _ = sorted_cases(p, ids[1], cases[1], alternative)
    own, told = (sorted(set(frame[alternative])) for frame in (h, p))
    if own != told:
        raise DesignError(
            f"the humans chose among {', '.join(own)}, the LLM among {', '.join(told)}: give both "
            f"the same names in {alternative!r}"
        )
    return h, p, (left, right)


def _margins(margin: float | Mapping[str, float] | None) -> dict[str, float]:
    if margin is None:
        return {}
    found = dict(margin) if isinstance(margin, Mapping) else {"share": float(margin)}
    for name, value in found.items():
        if name not in _QUANTITIES:
            raise UsageError(f"margin for {name!r}: use {', '.join(_QUANTITIES)}")
        if not (value > 0 and np.isfinite(value)):
            raise UsageError(f"margin {value} for {name!r}: give a positive number")
    return found


def _targets(
    fit: LogitResults,
    at: float | None,
    price: str,
    focal: str | None,
    attribute: str | None,
) -> Iterator[Target]:
    design = fit.design
    assert design is not None
    terms = list(fit.params.index)
    for name in _QUANTITIES:
        if name in ("price", "wtp") and price not in terms:
            continue
        if name == "wtp" and not design.outside and attribute is None:
            continue
        whose: Sequence[str | None] = (focal,)
        if focal is None and name == "elasticity" and at is None:
            whose = design.alternatives
        elif focal is None and not design.outside and name == "share" and at is None:
            continue  # they are in the curve
        where = at if name in _OF_ONE else None
        for one in whose:
            yield Target.of(name, where, price, one, attribute, design, terms)


def _values(
    target: Target, fits: tuple[LogitResults, ...], *, asked: bool
) -> tuple[tuple[float, Array], tuple[float, Array]] | None:
    """Estimate and derivatives on both sides, over the humans' cases; None if there are none."""
    frame, weights = fits[0].frame, fits[0].weights
    found = []
    for fit in fits:
        assert frame is not None and fit.design is not None
        here = LogitFit(fit.params, fit.cov, fit.df, fit.design, frame, weights, fit.outcome)
        try:
            # A slope of exactly zero has no indifference price.
            with np.errstate(divide="ignore", invalid="ignore"):
                quantity = target.quantity(here)
        except DesignError:
            if asked:
                raise
            return None
        value, slopes = float(quantity), quantity.gradient
        if slopes is None or not np.isfinite([value, *slopes[0]]).all():
            return None
        found.append((value, slopes[0]))
    return found[0], found[1]


def _influence(fit: LogitResults, rows: pd.DataFrame, y: str, who: Codes, size: int) -> Array:
    """Contributions of respondents to the error of the coefficients, (size, K)."""
    assert fit.design is not None
    made = fit.design.expand(rows)
    x, start, order = made.x, made.start, made.order
    b, outcome = np.asarray(fit.params, np.float64), np.asarray(rows[y], np.float64)[order]
    cases = logit_data(x, outcome, start, np.ones(len(start)), outside=fit.design.outside)
    score = np.column_stack([np.bincount(who[order[start]], c, size) for c in cases.scores(b).T])
    n = len(np.unique(who))
    return np.asarray(score @ np.linalg.inv(cases.information(b)) * np.sqrt(n / (n - 1)))


def _row(
    human: float, llm: float, apart: Array, df: float, margin: float | None, alpha: float
) -> dict[str, Any]:
    """Difference, interval, and the two one-sided tests."""
    from scipy import stats

    gap, se = llm - human, float(np.sqrt(apart @ apart))
    half = float(stats.t.ppf(1 - alpha / 2, df)) * se
    row: dict[str, Any] = {
        "humans": human,
        "llm": llm,
        "difference": gap,
        "se": se,
        "lower": gap - half,
        "upper": gap + half,
    }
    if margin is not None:
        p = float(stats.t.sf((margin - abs(gap)) / se, df)) if se > 0 else float(abs(gap) >= margin)
        row |= {"margin": margin, "p_equivalence": p, "equivalent": p < alpha}
    return row


def _curve(
    frames: tuple[pd.DataFrame, pd.DataFrame],
    columns: tuple[str, str],
    by: str,
    who: tuple[Codes, Codes],
    size: int,
    margin: float | None,
    alpha: float,
) -> pd.DataFrame:
    """Shares at the prices that both sides were asked, or of alternatives, and differences."""
    import pandas as pd

    levels = sorted(set(frames[0][by]) & set(frames[1][by]))
    if not levels:
        raise DesignError(
            f"humans and LLM have no {by!r} in common: shares cannot be compared; ask both the "
            "same prices"
        )
    rows = []
    for level in levels:
        means, parts, people = [], [], []
        for frame, column, codes in zip(frames, columns, who, strict=True):
            at = (frame[by] == level).to_numpy()
            y, c = frame[column].to_numpy(np.float64)[at], codes[at]
            n = len(np.unique(c))
            factor = np.sqrt(n / (n - 1)) if n > 1 else np.nan
            means.append(float(y.mean()))
            people.append(n)
            parts.append(np.bincount(c, (y - y.mean()) / len(y), size) * factor)
        row = _row(means[0], means[1], parts[1] - parts[0], max(min(people) - 1, 1), margin, alpha)
        rows.append({by: level if isinstance(level, str) else float(level), **row})
    return pd.DataFrame(rows)
