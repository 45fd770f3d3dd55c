"""What two samples are made of: prices, attributes, covariates; and what that leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.choice_sets import CASE
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attributes", "balance", "comparison_assumptions", "price_shares"]

#: One quantity of both sides, in the units in which it was sampled.
Sides = tuple[Array, Array]


def price_shares(h: pd.DataFrame, p: pd.DataFrame, price: str) -> dict[str, Sides]:
    """Whether each answer was given at each price."""
    return {
        f"{price} {level:g}, share of answers": _both(h[price] == level, p[price] == level)
        for level in sorted(set(h[price]) | set(p[price]))
    }


def attributes(
    h: pd.DataFrame,
    p: pd.DataFrame,
    alternative: str,
    named: Sequence[Sequence[str]],
) -> dict[str, Sides]:
    """Attributes of each alternative, and whether it was offered; variables of the choice sets.

    Parameters
    ----------
    h, p : pandas.DataFrame
        Humans and LLM, one row per case and alternative, with `CASE`.
    alternative : str
        Column of alternatives.
    named : sequence of sequence of str
        Variables of the formula's parts: attributes, then what is the same for all alternatives
        of a case, then attributes again.
    """
    generic, of_case, own = [*named, [], []][:3]
    found: dict[str, Sides] = {}
    cases = [f.drop_duplicates(CASE) for f in (h, p)]
    for label in sorted(set(h[alternative])):
        sides = [f[f[alternative] == label] for f in (h, p)]
        offered = [c[CASE].isin(s[CASE]) for c, s in zip(cases, sides, strict=True)]
        if not all(o.all() for o in offered):
            found[f"{label} offered, share of choice sets"] = _both(*offered)
        for name in dict.fromkeys([*generic, *own]):
            found |= _values(f"{name} of {label}", *(s[name] for s in sides))
    for name in of_case:
        found |= _values(name, *(c[name] for c in cases))
    return found


def _values(label: str, own: Any, other: Any) -> dict[str, Sides]:
    """Numbers as they are; of anything else the share of each value."""
    if all(v.dtype.kind in "fiub" for v in (own, other)):
        return {f"{label}, mean": _both(own, other)}
    levels = sorted(set(own.astype(str)) | set(other.astype(str)))
    return {
        f"{label} {level}, share": _both(own.astype(str) == level, other.astype(str) == level)
        for level in levels
    }


def _both(own: Any, other: Any) -> Sides:
    return own.to_numpy(np.float64), other.to_numpy(np.float64)


def balance(
    design: Mapping[str, Sides],
    h: pd.DataFrame,
    p: pd.DataFrame,
    covariates: Sequence[str],
    who: tuple[Codes, Codes],
) -> pd.DataFrame:
    """Means of the design over answers, and of covariates over respondents.

    Returns
    -------
    pandas.DataFrame
        ``humans, llm, standardised_difference, p``; p is a Welch test of covariates and
        missing for what the design sets.

    Raises
    ------
    DesignError
        If a covariate is no number.
    """
    import pandas as pd
    from scipy import stats

    rows = {name: _row(*sides, ddof=0) | {"p": np.nan} for name, sides in design.items()}
    for name in covariates:
        sides: list[Array] = []
        for frame, codes in ((h, who[0]), (p, who[1])):
            if frame[name].dtype.kind not in "fiub":
                raise DesignError(f"covariate {name!r} holds {frame[name].dtype}: give numbers")
            first = np.unique(codes, return_index=True)[1]
            sides.append(frame[name].to_numpy(np.float64)[first])
        own, other = sides
        row = _row(own, other, ddof=1)
        # Of respondents on both sides the covariates are equal: the test is conservative then.
        apart = row["standardised_difference"]
        test = stats.ttest_ind(own, other, equal_var=False)[1] if row["spread"] else apart == 0
        rows[name] = row | {"p": float(test)}
    return pd.DataFrame(rows).T.drop(columns="spread")


def _row(own: Array, other: Array, ddof: int) -> dict[str, float]:
    spread = float(np.sqrt((np.var(own, ddof=ddof) + np.var(other, ddof=ddof)) / 2))
    gap = float(np.mean(other) - np.mean(own))
    # Two constants that differ are infinitely many standard deviations apart.
    apart = gap / spread if spread else float(np.copysign(np.inf, gap)) if gap else 0.0
    return {
        "humans": float(np.mean(own)),
        "llm": float(np.mean(other)),
        "standardised_difference": apart,
        "spread": spread,
    }


def comparison_assumptions(
    found: pd.DataFrame,
    covariates: Sequence[str],
    shared: int,
    n: int,
    lost: Sequence[str],
    *,
    prices: bool,
) -> pd.DataFrame:
    """What a comparison of humans and LLM rests on: ``assumption, verdict, evidence``.

    Parameters
    ----------
    found : pandas.DataFrame
        From `balance`.
    covariates : sequence of str
        Those that were compared.
    shared, n : int
        Humans whom the LLM answered as, and all humans.
    lost : sequence of str
        What was left out of the LLM's answers.
    prices : bool
        Whether the design is one of prices, not of choice sets.
    """
    import pandas as pd

    design, people = found[found["p"].isna()], found[found["p"].notna()]
    worst = float(np.abs(people["standardised_difference"]).max()) if len(people) else 0.0
    if prices:
        off = float(np.abs(design["humans"] - design["llm"]).max())
        alike, asked = off < 0.02, "both sides were asked the same prices, equally often"
        evidence = f"shares of answers differ by at most {off:.3f}"
    else:
        off = float(np.abs(design["standardised_difference"]).max())
        alike, asked = off < 0.1, "both sides were asked about alike choice sets"
        evidence = f"largest standardised difference of an attribute {off:.2f}"
    rows = [
        (asked, "holds" if alike else "in doubt", evidence),
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
    return pd.DataFrame(rows, columns=["assumption", "verdict", "evidence"])
