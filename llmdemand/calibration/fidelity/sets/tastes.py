"""Whether personas differ as much as people: spreads of part-worths in a mixed logit of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.fidelity.differences import difference
from llmdemand.calibration.fidelity.sides import LEAST
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.mixed import fit_mixed
from llmdemand.modeling.estimation.mixing.mixing import Mixing
from llmdemand.modeling.estimation.options import Options

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["spread"]

_DRAWS, _SEQUENCES = 200, 20


def spread(
    formula: str,
    frames: tuple[pd.DataFrame, pd.DataFrame],
    who: str,
    size: int,
    random: Sequence[str],
    alpha: float,
    seed: int,
    **columns: Any,
) -> pd.DataFrame:
    """Standard deviations of part-worths between respondents, on both sides.

    Parameters
    ----------
    formula, frames
        The model and the rows of both sides, the outcome under one name.
    who : str
        Column of respondents, 0 to `size` - 1 over both sides.
    size : int
        Their number.
    random : sequence of str
        Variables or terms whose coefficients differ between people, by independent normal laws.
    alpha : float
        One minus the confidence level.
    seed : int
        Of the draws.
    **columns
        ``case, alternative, base``.

    Returns
    -------
    pandas.DataFrame
        By ``sd(term)``: as `llmdemand.calibration.fidelity.spread.spread`.

    Raises
    ------
    DesignError
        If fewer than ten respondents of a side answered several tasks, or a side's mixed logit has
        no maximum.

    Notes
    -----
    Beliefs enter as sequences of choices drawn from them, so that noise of single answers is no
    spread on either side (`llmdemand.mixlogit`). Errors are those of respondents' contributions to
    both fits together, intervals of ratios by the delta method. At an edge, where
    no spread is seen, standard errors mean little; a ratio is missing where the humans' spread is
    within two standard errors of nought.
    """
    import pandas as pd

    case = str(columns["case"])
    if not random:
        raise DesignError("no coefficient was named that differs between people: tastes=[...]")
    several = []
    for frame in frames:
        tasks = frame.drop_duplicates([who, case])[who].value_counts()
        several.append(int((tasks > 1).sum()))
    if min(several) < LEAST:
        raise DesignError(
            f"{several[0]} humans and {several[1]} LLM respondents answered several tasks: how "
            f"tastes differ shows in several answers of {LEAST} or more people on each side"
        )
    laws = dict.fromkeys(random, "normal")
    mixing = Mixing(laws, draws=_DRAWS, sequences=_SEQUENCES, starts=1, seed=seed)
    options = Options.of({"CRV1": who}, separation="raise")
    found = [fit_mixed(formula, f, mixing, options, panel=who, **columns) for f in frames]
    for side, made in zip(("humans", "LLM"), found, strict=True):
        if not made.fit.converged:
            raise DesignError(f"the mixed logit of the {side} has no maximum")
    errors = []
    for made in found:
        data, params = made.fit.data, np.asarray(made.fit.params, np.float64)
        people: Codes = made.respondents.to_numpy(np.intp)
        own = np.zeros((size, len(params)))
        n = len(people)
        own[people] = data.scores(params) @ np.linalg.inv(data.information(params))
        errors.append(own * np.sqrt(n / (n - 1)))
    df = min(len(made.respondents) for made in found) - 1
    rows = {}
    for term in (t for t in found[0].fit.params.index if str(t).startswith("sd(")):
        place = [list(made.fit.params.index).index(term) for made in found]
        signed = [float(made.fit.params[term]) for made in found]
        # A spread and its mirror image are one law.
        values = [abs(v) for v in signed]
        parts = [e[:, k] * (-1 if v < 0 else 1)
                 for e, k, v in zip(errors, place, signed, strict=True)]  # fmt: skip
        row = difference(values[0], values[1], parts[1] - parts[0], df, None, alpha)
        rows[str(term)] = row | _ratio(values, parts, df, alpha)
    return pd.DataFrame(rows).T


def _ratio(values: list[float], parts: list[Array], df: float, alpha: float) -> dict[str, float]:
    """LLM over humans with an interval; missing where the humans' may be nought."""
    from scipy import stats

    alone = [float(np.sqrt(p @ p)) for p in parts]
    names = ("ratio", "ratio_lower", "ratio_upper")
    if not values[0] > 2 * alone[0]:
        return dict.fromkeys(names, float("nan"))
    ratio = values[1] / values[0]
    apart = (parts[1] - ratio * parts[0]) / values[0]
    half = float(stats.t.ppf(1 - alpha / 2, df)) * float(np.sqrt(apart @ apart))
    return dict(zip(names, (ratio, ratio - half, ratio + half), strict=True))
