"""Whether stated probabilities, or similarities, hang together: sums, prices, own choices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.belief.measures.measured import THINKING, answered
from llmdemand.belief.measures.stated import read_stated
from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.core.questionnaire.measure import CALLED
from llmdemand.core.shards.shards import AnyPanel, drawn_note, sampled
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Coherence", "check_coherence", "own_choices", "usable_words"]

_FEW = 0.5  # below this share of usable answers the others are said to be another kind
_RISE = 2.0  # a mean that rises by so many standard errors is no accident of few runs


@dataclass(frozen=True, repr=False)
class Coherence(OneLine):
    """Checks of a panel whose probabilities are not those of tokens.

    Attributes
    ----------
    measure : str
        ``stated`` or ``similarity`` (``logprob`` may be checked as well, beside them).
    runs, usable : int
        Runs, and those whose probabilities are known.
    statuses : mapping of str to int
        Of those that occur.
    exact, rescaled, wrong : int
        Stated percentages that sum to 100, to 100 up to rounding, and to something else.
    tens, fives : float
        Share of the stated percentages that are multiples of 10, and of 5 (those of 10 among
        them). Whole percentages without a habit would be 11 % and 21 %. NaN unless stated.
    distinct : int
        Different percentages that were stated for the focal alternative.
    prices : pandas.DataFrame
        By focal price: ``runs, mean, se`` of its probability.
    rises : int
        Steps of the price grid over which the mean rises.
    worst : float
        The largest rise, in its standard errors; NaN if there is none.
    own : pandas.DataFrame or None
        By cell: ``runs, choices, probability, share``: of the focal alternative, stated and chosen.
    difference, se : float
        Mean over cells of probability minus share chosen, and its standard error between cells.
    rmse : float
        Root mean square of the difference over cells; noise of few choices is in it.
    slope : float
        Of the share chosen on the probability over cells, weighted by choices: 1 where the
        probabilities move as the choices do, below 1 where they move more.
    note : str
        Where the own choices come from, or why there are none.
    """

    measure: str
    runs: int
    usable: int
    statuses: dict[str, int]
    exact: int
    rescaled: int
    wrong: int
    tens: float
    fives: float
    distinct: int
    prices: pd.DataFrame
    rises: int
    worst: float
    own: pd.DataFrame | None = None
    difference: float = math.nan
    se: float = math.nan
    rmse: float = math.nan
    slope: float = math.nan
    note: str = ""

    def summary(self) -> str:
        """The checks in sentences."""
        lines = [_words(self.measure, self.usable, self.runs, self.statuses)]
        if self.measure == "stated" and self.exact + self.rescaled + self.wrong:
            lines.append(
                f"sums: {self.exact} of 100 exactly, {self.rescaled} of 100 up to rounding "
                f"(divided by their sum), {self.wrong} of something else (left out)"
            )
        if not math.isnan(self.tens):
            lines.append(
                f"round numbers: {_percent(self.tens)} of the percentages are multiples of 10, "
                f"{_percent(self.fives)} of 5 (without a habit 11 % and 21 %); {self.distinct} "
                "different ones for the focal alternative"
            )
        if len(self.prices) > 1:
            worst = "" if math.isnan(self.worst) else f", the largest by {self.worst:.1f} SE"
            lines.append(
                f"price: the mean rises over {self.rises} of {len(self.prices) - 1} steps{worst}"
                + (": NOT MONOTONE" if self.worst > _RISE else "")
            )
        if self.own is not None:
            lines.append(
                f"own choices, {len(self.own)} cells: probability minus share chosen "
                f"{self.difference:.3f} (SE {self.se:.3f}), root mean square {self.rmse:.3f}, "
                f"slope {self.slope:.2f}"
                + (": IT IS NOT WHAT THE MODEL CHOOSES" if self._differs else "")
            )
        return "\n".join([*lines, *([self.note] if self.note else [])])

    @property
    def _differs(self) -> bool:
        return abs(self.difference) > _RISE * self.se > 0


def check_coherence(panel: AnyPanel, choices: AnyPanel | None = None) -> Coherence:
    """Check sums, bounds, monotony in the price, round numbers and agreement with own choices.

    Parameters
    ----------
    panel : Panel or PanelShards
        Of stated probabilities or of similarity.
    choices : Panel, optional
        The same study asked of the same model for choices (measure ``choice`` or ``logprob``).
        By default the choices of the panel itself, which stated probabilities do not have.

    Returns
    -------
    Coherence

    Raises
    ------
    DesignError
        If the panel has no rows.
    UsageError
        If the panel has no measure to be checked, or `choices` is of another study or has none.

    Notes
    -----
    A rise over one price step is compared with its standard error over runs; with many steps a
    rise of two errors comes about by chance in one of some forty.

    Examples
    --------
    >>> import llmdemand as ld
    >>> from dataclasses import replace
    >>> study = replace(ld.load_study("pampers"), measure="stated")
    >>> found = check_coherence(ld.simulate(study, "synthetic", runs=5, seed=1))
    >>> found.usable, found.wrong
    (80, 0)
    """
    if not len(panel):
        raise DesignError("the panel has no rows: there is nothing to check")
    if panel.measure == "choice":
        raise UsageError(
            "the panel has choices alone and no probabilities: ask the study with "
            'measure = "stated", or compare its texts by by_similarity'
        )
    panel, choices = sampled(panel), None if choices is None else sampled(choices)
    frame, ok, focal = panel.frame, panel.usable, panel.study.focal
    column, price = f"belief_{focal}", f"price_{focal}"
    prices = ok.groupby(price)[column].agg(runs="size", mean="mean", sd="std").reset_index()
    prices = prices.rename(columns={price: "price"})
    prices["se"] = prices["sd"] / np.sqrt(prices["runs"])
    rises, worst = _rises(prices)
    tens, fives, distinct = _heaping(panel)
    statuses = {str(s): int(n) for s, n in panel.statuses.items() if n}
    stated = panel.study.measure == "stated"
    own, note = own_choices(panel, choices)
    return Coherence(
        panel.study.measure,
        len(frame),
        len(ok),
        statuses,
        statuses.get("ok", 0) if stated else 0,
        statuses.get("rescaled", 0),
        statuses.get("bad_sum", 0),
        tens,
        fives,
        distinct,
        prices[["price", "runs", "mean", "se"]],
        rises,
        worst,
        own,
        **({} if own is None else _agreement(own)),
        note="; ".join((*drawn_note(panel), *([note] if note else []))),
    )


def usable_words(panel: AnyPanel) -> str:
    """How many answers give probabilities by a measure that is not model belief, in words.

    Empty for panels of log-probabilities and of choices.

    >>> import llmdemand as ld
    >>> from dataclasses import replace
    >>> study = replace(ld.load_study("pampers"), measure="stated")
    >>> mute = ld.ChoiceOnlyBackend(lambda system, user: "Pampers.", "mute")
    >>> usable_words(ld.simulate(study, mute, runs=1)).split(":")[0]
    'this model states no usable percentages'
    """
    if panel.study.measure not in ("stated", "similarity"):
        return ""
    statuses = {str(s): int(n) for s, n in panel.statuses.items() if n}
    return _words(panel.study.measure, panel.usable_runs, len(panel), statuses)


def _words(measure: str, usable: int, runs: int, statuses: dict[str, int]) -> str:
    told = ", ".join(f"{s} {n}" for s, n in statuses.items())
    if measure == "stated" and not usable:
        return (
            f"this model states no usable percentages: 0 of {runs} answers ({told}); nothing can "
            "be estimated from them: use its choices, or the similarity of its texts"
        )
    if measure == "similarity" and set(statuses) == {"unmeasured"}:
        return (
            f"{runs} texts are not measured yet: `llmdemand similarity PANEL` (by_similarity) "
            "compares them with anchor statements"
        )
    name = CALLED[measure]
    not_belief = "" if measure == "logprob" else ", which is not model belief"
    few = "" if usable > _FEW * runs else "; estimates speak for these alone"
    return f"{name}{not_belief}: {usable} of {runs} answers can be used ({told}){few}"


def _rises(prices: pd.DataFrame) -> tuple[int, float]:
    """Steps over which the mean rises, and the largest rise in standard errors."""
    step = np.diff(prices["mean"].to_numpy(float))
    se = prices["se"].to_numpy(float)
    noise = np.sqrt(se[1:] ** 2 + se[:-1] ** 2)
    up = step > 1e-12
    if not up.any():
        return 0, math.nan
    with np.errstate(divide="ignore"):
        size = step[up] / noise[up]
    known = size[~np.isnan(size)]
    return int(up.sum()), float(known.max()) if known.size else math.nan


def _heaping(panel: Panel) -> tuple[float, float, int]:
    """Shares of the percentages that are multiples of 10 and of 5, as they were stated."""
    if panel.study.measure != "stated":
        return math.nan, math.nan, 0
    study, menu = panel.study, panel.study.menu
    tags = study.thinking if study.thinking else THINKING
    place, said, focal = menu.index(study.focal), list[float](), set[float]()
    for text in panel.usable["text"]:
        plain = answered(text, (tags[0], tags[1]), study.thinking_open) or ""
        percent = read_stated(plain, menu).percent
        said += percent
        focal.add(percent[place])
    if not said:
        return math.nan, math.nan, 0
    values = np.array(said)
    shares = [float((np.abs(values - n * np.round(values / n)) < 1e-9).mean()) for n in (10, 5)]
    return shares[0], shares[1], len(focal)


def own_choices(panel: Panel, choices: Panel | None = None) -> tuple[pd.DataFrame | None, str]:
    """Probability and share chosen of the focal alternative by cell, and where choices are from.

    Parameters
    ----------
    panel, choices
        See `check_coherence`.

    Raises
    ------
    UsageError
        If `choices` is of another study, or has no choices.
    """
    import pandas as pd

    source = panel if choices is None else choices
    if choices is not None and (
        choices.study.menu.ids != panel.study.menu.ids
        or choices.study.focal != panel.study.focal
        or choices.study.cells() != panel.study.cells()
    ):
        raise UsageError(
            f"choices is a panel of the study {choices.study.name!r} with other cells, menu or "
            f"focal alternative than {panel.study.name!r}: ask the same study for choices"
        )
    chosen = source.frame["final_choice"].where(
        source.frame["final_choice"].notna(), source.frame["choice"]
    )
    if chosen.isna().all():
        if choices is not None:
            raise UsageError(
                f"no run of choices has a choice: its measure is {choices.measure!r}, give a panel "
                "of measure 'choice' or 'logprob'"
            )
        return None, (
            "own choices: the panel has none; ask the same study for choices and give that panel"
        )
    focal, known = panel.study.focal, chosen.notna()
    y = (chosen[known] == focal).astype(float).groupby(source.frame.loc[known, "cell"])
    p = panel.usable.groupby("cell")[f"belief_{focal}"]
    own = pd.DataFrame(
        {"runs": p.size(), "choices": y.size(), "probability": p.mean(), "share": y.mean()}
    ).dropna()
    if own.empty:
        return None, "own choices: no cell has both probabilities and choices"
    model = str(source.provenance.get("model", "unknown"))
    same = model == str(panel.provenance.get("model", "unknown"))
    whose = "" if same else f"own choices are those of ANOTHER model, {model}"
    own = own.astype({"runs": int, "choices": int})
    return own, whose


def _agreement(own: pd.DataFrame) -> dict[str, float]:
    p, y = own["probability"].to_numpy(float), own["share"].to_numpy(float)
    w, gap, cells = own["choices"].to_numpy(float), p - y, len(own)
    spread = np.average((p - np.average(p, weights=w)) ** 2, weights=w)
    slope = math.nan
    if spread > 1e-12:
        centred = p - np.average(p, weights=w)
        slope = float((w * centred * y).sum() / (w * centred * p).sum())
    return {
        "difference": float(gap.mean()),
        "se": float(gap.std(ddof=1) / np.sqrt(cells)) if cells > 1 else math.nan,
        "rmse": float(np.sqrt((gap**2).mean())),
        "slope": slope,
    }


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
