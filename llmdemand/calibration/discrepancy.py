"""Heuristic validation: how far the model's demand is from that of people. It proves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.entries import belief_rows, respondent_ids
from llmdemand.calibration.target import Target
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.binary import sigmoid
from llmdemand.modeling.formula import split, variables
from llmdemand.modeling.likelihood import Array
from llmdemand.modeling.logit import fraclogit
from llmdemand.modeling.results import LogitResults
from llmdemand.modeling.sample import require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Discrepancy", "discrepancy"]

_QUANTITIES = ("price", "elasticity", "wtp", "share")
_WHO = "respondent of the comparison"


@dataclass(frozen=True)
class Discrepancy:
    """Humans and a language model, compared.

    Attributes
    ----------
    table : pandas.DataFrame
        By quantity (price coefficient, elasticity, indifference price, mean share): ``humans, llm,
        difference, se, lower, upper``, and where a margin was given ``margin, p_equivalence,
        equivalent``.
    curve : pandas.DataFrame
        The same for the share at each price.
    balance : pandas.DataFrame
        What both sides are made of: prices and covariates, ``humans, llm,
        standardised_difference, p``.
    assumptions : pandas.DataFrame
        ``assumption, verdict, evidence``.
    margin : float or None
        For shares; see `discrepancy`.
    price : str
        The price column.
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
    price: str
    humans: int
    llm: int
    both: int
    alpha: float

    @property
    def equivalent(self) -> bool | None:
        """Whether the shares at all prices are shown to lie within the margin; None without one.

        Every price has to be rejected, so the size of the whole is at most alpha (Berger 1982).
        """
        return None if self.margin is None else bool(self.curve["equivalent"].all())

    def verdict(self) -> str:
        """The comparison in a sentence, which is never a validation."""
        worst = self.curve.iloc[int(np.argmax(np.abs(self.curve["difference"].to_numpy())))]
        said = (
            f"The LLM's share is off by at most {abs(worst['difference']):.3f} (at {self.price} "
            f"{worst[self.price]:g})"
        )
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
            "shares by price\n" + self.curve.to_string(index=False, float_format=show),
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
        """Differences of shares by price, with the margin."""
        from llmdemand.calibration.figures import differences

        return differences(self, ax)


def discrepancy(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | Panel,
    formula: str = "choice ~ price",
    *,
    covariates: Sequence[str] = (),
    margin: float | Mapping[str, float] | None = None,
    at: float | None = None,
    cluster: str = "respondent_id",
    price: str = "price",
    belief: str = "belief",
    focal: str | None = None,
    alpha: float = 0.05,
) -> Discrepancy:
    """Compare a language model's demand with that of humans: heuristic validation.

    It is fit for exploring (which prompt, which model, is it worth a study?), not for claims
    about people: an LLM that agrees with these humans at these prices may disagree elsewhere,
    and "no significant difference" in a small sample says nothing. Claims come from `calibrate`.

    Parameters
    ----------
    humans : pandas.DataFrame
        One row per answer, the outcome in [0, 1].
    beliefs : Panel or pandas.DataFrame
        Answers of the LLM, as the same respondents, as others, or both.
    formula : str
        A binary logit, as in `calibrate`.
    covariates : sequence of str
        Numeric columns of respondents whose means are compared.
    margin : float or mapping, optional
        Difference that does not matter to you. A number is for shares; a mapping gives one for
        ``share``, ``price``, ``elasticity``, ``wtp``. Two one-sided tests then say whether the
        difference is shown to be smaller (Schuirmann 1987).
    at : float, optional
        Price of the elasticity and the share; the mean over the humans' answers by default.
    cluster, price, belief, focal : str
        See `calibrate`.
    alpha : float
        One minus the confidence level.

    Returns
    -------
    Discrepancy

    Raises
    ------
    DesignError
        For data to which no logit can be fitted.
    UsageError
        For impossible options.

    Notes
    -----
    Errors are clustered by respondent over both sides together: where the LLM answered as the
    same people, their answers are compared within persons.

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
    lost: list[str] = []
    llm = belief_rows(beliefs, "logit", cluster, focal, lost)
    outcome, parts = split(formula)
    if len(parts) != 1:
        raise UsageError("discrepancy is for binary logits: a formula without |")
    left, right = list(map(str, humans.columns)), list(map(str, llm.columns))
    named = variables(parts[0], left)
    require([cluster, *named, *covariates, outcome], left, "among the humans")
    require([cluster, *named, *covariates, belief], right, "among the beliefs")
    h, p = humans.reset_index(drop=True), llm.reset_index(drop=True)
    ids = respondent_ids(h[cluster], p[cluster])
    code, known = pd.factorize(np.concatenate([np.asarray(i, object) for i in ids]))
    who_h, who_p = code[: len(h)], code[len(h) :]
    h = h.assign(**{_WHO: who_h})
    p = p.assign(**{_WHO: who_p}).assign(**{outcome: p[belief]})
    common: Any = {"vcov": {"CRV1": _WHO}, "separation": "raise"}
    fits = fraclogit(formula, h, **common), fraclogit(formula, p, **common)
    if at is None:
        at = float(h[price].mean()) if price in named else None
    size = len(known)
    both = (
        _influence(fits[0], h, outcome, who_h, size),
        _influence(fits[1], p, outcome, who_p, size),
    )
    rows = {}
    df = min(len(np.unique(who_h)), len(np.unique(who_p))) - 1
    for target in _targets(fits[0], at, price, parts[0]):
        try:
            # A slope of exactly zero has no indifference price.
            with np.errstate(divide="ignore", invalid="ignore"):
                human, llm_value = (
                    float(target.quantity(fit).table["estimate"].iloc[0]) for fit in fits
                )
                slopes = [target.gradient(fit) for fit in fits]
        except DesignError:
            continue
        if np.isfinite([human, llm_value, *slopes[0], *slopes[1]]).all():
            apart = both[1] @ slopes[1] - both[0] @ slopes[0]
            rows[target.label] = _row(human, llm_value, apart, df, margins.get(target.name), alpha)
    curve = _curve(h, p, outcome, belief, price, (who_h, who_p), size, margins.get("share"), alpha)
    n_h, n_p = len(np.unique(who_h)), len(np.unique(who_p))
    shared = len(np.intersect1d(who_h, who_p))
    balance = _balance(h, p, price, covariates, (who_h, who_p))
    return Discrepancy(
        pd.DataFrame(rows).T.infer_objects(),
        curve,
        balance,
        pd.DataFrame(_assumptions(balance, covariates, shared, n_h, lost)),
        margins.get("share"),
        price,
        n_h,
        n_p,
        shared,
        alpha,
    )


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


def _targets(fit: LogitResults, at: float | None, price: str, text: str) -> list[Target]:
    assert fit.design is not None
    terms = list(fit.params.index)
    if price not in fit.design.variables:
        raise DesignError(
            f"the formula {text!r} has no {price!r}: name the price column with price=..."
        )
    found = []
    for name in _QUANTITIES:
        if name in ("price", "wtp") and price not in terms:
            continue
        where = at if name in ("elasticity", "share") else None
        found.append(Target.of(name, where, price, None, None, fit.design, terms))
    return found


def _influence(fit: LogitResults, rows: pd.DataFrame, y: str, who: Any, size: int) -> Array:
    """Contributions of respondents to the error of the coefficients, (size, K)."""
    assert fit.design is not None
    x, b = fit.design.expand(rows).x, fit.params.to_numpy(np.float64)
    mu = sigmoid(x @ b)
    residual = rows[y].to_numpy(np.float64) - mu
    score = np.column_stack([np.bincount(who, residual * c, size) for c in x.T])
    information = (x * (mu * (1 - mu))[:, None]).T @ x
    n = len(np.unique(who))
    return np.asarray(score @ np.linalg.inv(information) * np.sqrt(n / (n - 1)))


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
    h: pd.DataFrame,
    p: pd.DataFrame,
    outcome: str,
    belief: str,
    price: str,
    who: tuple[Any, Any],
    size: int,
    margin: float | None,
    alpha: float,
) -> pd.DataFrame:
    """Shares at the prices that both sides were asked, and their differences."""
    import pandas as pd

    levels = sorted(set(h[price]) & set(p[price]))
    if not levels:
        raise DesignError(
            f"humans and LLM have no {price!r} in common: shares cannot be compared; ask both the "
            "same prices"
        )
    rows = []
    for level in levels:
        means, parts, people = [], [], []
        for frame, column, codes in ((h, outcome, who[0]), (p, belief, who[1])):
            at = (frame[price] == level).to_numpy()
            y, c = frame[column].to_numpy(np.float64)[at], codes[at]
            n = len(np.unique(c))
            factor = np.sqrt(n / (n - 1)) if n > 1 else np.nan
            means.append(float(y.mean()))
            people.append(n)
            parts.append(np.bincount(c, (y - y.mean()) / len(y), size) * factor)
        row = _row(means[0], means[1], parts[1] - parts[0], max(min(people) - 1, 1), margin, alpha)
        rows.append({price: float(level), **row})
    return pd.DataFrame(rows)


def _balance(
    h: pd.DataFrame,
    p: pd.DataFrame,
    price: str,
    covariates: Sequence[str],
    who: tuple[Any, Any],
) -> pd.DataFrame:
    """Shares of each price among the answers, and means of covariates among respondents."""
    import pandas as pd
    from scipy import stats

    rows = {}
    for level in sorted(set(h[price]) | set(p[price])):
        a, b = (float((f[price] == level).mean()) for f in (h, p))
        middle = (a * (1 - a) + b * (1 - b)) / 2
        rows[f"{price} {level:g}, share of answers"] = {
            "humans": a,
            "llm": b,
            "standardised_difference": (b - a) / np.sqrt(middle) if middle else 0.0,
            "p": np.nan,
        }
    for name in covariates:
        sides: list[Array] = []
        for frame, codes in ((h, who[0]), (p, who[1])):
            if frame[name].dtype.kind not in "fiub":
                raise DesignError(f"covariate {name!r} holds {frame[name].dtype}: give numbers")
            first = np.unique(codes, return_index=True)[1]
            sides.append(frame[name].to_numpy(np.float64)[first])
        own, other = sides
        spread = float(np.sqrt((np.var(own, ddof=1) + np.var(other, ddof=1)) / 2))
        means = float(np.mean(own)), float(np.mean(other))
        rows[name] = {
            "humans": means[0],
            "llm": means[1],
            "standardised_difference": (means[1] - means[0]) / spread if spread else 0.0,
            # Of respondents on both sides the covariates are equal: the test is conservative then.
            "p": float(stats.ttest_ind(own, other, equal_var=False)[1]) if spread else 1.0,
        }
    return pd.DataFrame(rows).T


def _assumptions(
    balance: pd.DataFrame, covariates: Sequence[str], shared: int, n: int, lost: list[str]
) -> list[dict[str, Any]]:
    design = balance[balance["p"].isna()]
    off = float(np.abs(design["humans"] - design["llm"]).max())
    people = balance[balance["p"].notna()]
    worst = float(np.abs(people["standardised_difference"]).max()) if len(people) else 0.0
    rows = [
        (
            "both sides were asked the same prices, equally often",
            "holds" if off < 0.02 else "in doubt",
            f"shares of answers differ by at most {off:.3f}",
        ),
        (
            "the two samples are alike in covariates",
            "not stated" if not covariates else "holds" if worst < 0.1 else "in doubt",
            "no covariates were given"
            if not covariates
            else f"largest standardised difference {worst:.2f} ({', '.join(covariates)})",
        ),
        (
            "the LLM answered as the same people",
            "holds" if shared == n else "in doubt",
            f"{shared:,} of {n:,} humans have LLM answers of their own",
        ),
        (
            "every LLM answer could be read",
            "holds" if not lost else "in doubt",
            "; ".join(lost) or "no answer was left out",
        ),
        (
            "agreement carries over to other prices, products and people",
            "cannot be checked",
            "that is what makes this validation heuristic",
        ),
        (
            "the LLM has not read these data in its training",
            "cannot be checked",
            "published data sets may be known to it",
        ),
    ]
    return [dict(zip(("assumption", "verdict", "evidence"), row, strict=True)) for row in rows]
