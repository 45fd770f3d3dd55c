"""People as readers of whole answers: a sheet to fill in, and what it says of other readers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.belief.final.entered import setting_of
from llmdemand.belief.final.reading import FinalChoice, Setting
from llmdemand.belief.final.rules import Rules
from llmdemand.core.menu import Menu, fold
from llmdemand.core.panel import Panel
from llmdemand.errors import PanelError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "UNREAD", "Labels", "agreement", "labelled", "sheet"]

#: What a person writes where an answer chooses nothing, several, or cannot be read.
UNREAD = "unread"
#: Columns of a sheet.
COLUMNS = ("row", "text", "options", "label", "key")


class Labels:
    """A person's labels as a reader.

    Parameters
    ----------
    labels : mapping of str to str or None
        Choice by run id, None for unread.
    """

    name = "label"

    def __init__(self, labels: Mapping[str, str | None]) -> None:
        self._labels = dict(labels)

    def read(self, text: str, menu: Menu, setting: Setting) -> FinalChoice:
        """The label of the run named in the setting; unread where it has none."""
        return FinalChoice(self._labels.get(setting.run_id), self.name)


def sheet(panel: Panel, sample: int, seed: int = 1) -> pd.DataFrame:
    """Answers for a person to label: a simple random sample of the whole ones, blind.

    Parameters
    ----------
    panel : Panel
        Any panel; answers that were stopped at their pivot are not drawn.
    sample : int
        Answers to label.
    seed : int
        Of the draw and of the order.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`: ``label`` is empty, and neither prices nor what others have read
        are shown.

    Raises
    ------
    UsageError
        For a sample that is not positive or larger than the panel has answers.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=2, seed=1)
    >>> sheet(panel, 5)["options"].iloc[0]
    'Pampers | Huggies | neither | unread'
    """
    import pandas as pd

    whole = panel.frame[panel.frame["final_status"] != "stopped"]
    if not 1 <= sample <= len(whole) or seed < 0:
        raise UsageError(
            f"sample={sample}, seed={seed}: give a sample of 1 to {len(whole)}, the whole answers "
            "of the panel, and a seed that is not negative"
        )
    drawn = np.random.default_rng(seed).permutation(len(whole))[:sample]
    rows = whole.iloc[drawn].to_dict("records")
    options = " | ".join([*(a.label for a in panel.study.menu), UNREAD])
    return pd.DataFrame(
        [
            (_place(k, sample, len(whole)), row["text"] or "", options, "", _key(panel, row))
            for k, row in enumerate(rows)
        ],
        columns=list(COLUMNS),
    )


def labelled(panel: Panel, filled: pd.DataFrame) -> Panel:
    """A panel with the labels of a sheet.

    Parameters
    ----------
    panel : Panel
        The panel from which the sheet was made.
    filled : pandas.DataFrame
        The sheet, every label an option's name, id or one of its forms, or ``unread``.

    Returns
    -------
    Panel
        With ``label`` (missing for unread and for answers outside the sample) and
        ``label_probability`` n / N for the answers of the sample.

    Raises
    ------
    UsageError
        For missing columns, rows that were taken out or changed, empty and unknown labels.
    """
    lacking = [c for c in COLUMNS if c not in filled.columns]
    if lacking:
        raise UsageError(
            f"the sheet has no column {lacking[0]!r}: keep those that `label export` wrote, "
            f"{', '.join(COLUMNS)}"
        )
    whole = panel.frame[panel.frame["final_status"] != "stopped"]
    owners = {_key(panel, row): str(row["run_id"]) for row in whole.to_dict("records")}
    found: dict[str, str | None] = {}
    sample = _checked_places(filled, len(whole))
    for row in filled.to_dict("records"):
        run = owners.get(str(row["key"]).strip())
        if run is None or run in found:
            why = "comes twice" if run in found else "is none of this panel's"
            raise UsageError(
                f"row {row['row']}: the key {row['key']!r} {why}: keys tell which answer a label "
                "is for; export the sheet anew from this panel"
            )
        found[run] = _meaning(panel.study.menu, row)
    label = [found.get(run) for run in panel.frame["run_id"]]
    probability = [sample / len(whole) if run in found else np.nan for run in panel.frame["run_id"]]
    frame = panel.frame.assign(label=np.array(label, object), label_probability=probability)
    return replace(panel, frame=frame)


def agreement(panel: Panel) -> pd.DataFrame:
    """How far other readers agree with a panel's labels.

    Parameters
    ----------
    panel : Panel
        With labels; see `labelled`.

    Returns
    -------
    pandas.DataFrame
        A row for each reader, the rules and, if it is another one, the panel's own:
        ``answers, agree, lower, upper`` (share with the same reading, unread included, and
        its 95 % Wilson interval), ``kappa, kappa_lower, kappa_upper`` (Cohen's, with the
        95 % interval of its asymptotic standard error; NaN where one of both always
        says the same) and ``wrong`` (share where both read a choice, and not the same).

    Raises
    ------
    PanelError
        If the panel has no labels.

    Notes
    -----
    Kappa is statsmodels' `cohens_kappa`.
    """
    import pandas as pd
    from statsmodels.stats.proportion import proportion_confint

    rows = _of_sample(panel)
    truth = [_text(label) for label in rows["label"]]
    own = str(panel.provenance.get("final_reader", "rules"))
    readings = {own: [_text(choice) for choice in rows["final_choice"]]}
    if own != "rules":
        readings["rules"] = [
            _text(Rules().read(str(r["text"] or ""), panel.study.menu, setting_of(panel, r)).choice)
            for r in rows.to_dict("records")
        ]
    table = {}
    for name, said in readings.items():
        pairs = list(zip(said, truth, strict=True))
        same = sum(a == b for a, b in pairs)
        lower, upper = proportion_confint(same, len(pairs), method="wilson")
        wrong = sum(a != b and UNREAD not in (a, b) for a, b in pairs)
        table[name] = {
            "answers": len(pairs),
            "agree": same / len(pairs),
            "lower": float(lower),
            "upper": float(upper),
            **_kappa(pairs),
            "wrong": wrong / len(pairs),
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("reader")


def _of_sample(panel: Panel) -> pd.DataFrame:
    if "label_probability" not in panel.frame.columns:
        raise PanelError(
            "the panel has no labels: `llmdemand label export` writes a sheet, `label import` "
            "reads it"
        )
    return panel.frame[panel.frame["label_probability"].notna()]


def _kappa(pairs: list[tuple[str, str]]) -> dict[str, float]:
    from statsmodels.stats.inter_rater import cohens_kappa

    names = sorted({name for pair in pairs for name in pair})
    if any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return dict.fromkeys(("kappa", "kappa_lower", "kappa_upper"), float("nan"))
    counts = np.zeros((len(names), len(names)))
    for a, b in pairs:
        counts[names.index(a), names.index(b)] += 1
    with np.errstate(invalid="ignore"):  # a variance of zero may be one rounding below it
        found = cohens_kappa(counts)
    return {
        "kappa": float(found.kappa),
        "kappa_lower": float(found.kappa_low),
        "kappa_upper": float(found.kappa_upp),
    }


def _place(k: int, sample: int, answers: int) -> str:
    return f"{k + 1} of {sample} (from {answers})"


def _key(panel: Panel, row: Mapping[Any, Any]) -> str:
    """Tells which run a label is for, and nothing else to who labels it."""
    told = f"{panel.study.hash}\n{row['run_id']}\n{row['text'] or ''}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _checked_places(filled: pd.DataFrame, answers: int) -> int:
    """The size of the sample, of which every row must be there once."""
    places = [str(place).strip() for place in filled["row"]]
    sizes = {place.split(" of ")[-1] for place in places}
    size = sizes.pop().split(" ")[0] if len(sizes) == 1 else ""
    sample = int(size) if size.isdigit() else 0
    wanted = [_place(k, sample, answers) for k in range(sample)]
    if not sample or set(places) - set(wanted):
        strange = next((p for p in places if p not in wanted), "none")
        raise UsageError(
            f"row {strange!r} is not as it was exported from this panel of {answers} whole "
            "answers: keep the column 'row', and the panel, as they were"
        )
    missing = [place for place in wanted if place not in places]
    if missing or len(places) > len(set(places)):
        told = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise UsageError(
            f"{len(missing)} rows are missing ({told}): the sample must come back whole; write "
            f"{UNREAD!r} where nothing can be said"
            if missing
            else "a row comes twice: keep each once"
        )
    return sample


def _meaning(menu: Menu, row: Mapping[Any, Any]) -> str | None:
    """The alternative that a label names, None for unread."""
    written = row["label"]
    text = "" if not isinstance(written, str | int | float) or written != written else str(written)
    said = fold(text.strip())
    names = {
        fold(name): a.id for a in reversed(menu.alternatives) for name in (*a.forms, a.label, a.id)
    }
    if said == UNREAD:
        return None
    if said not in names:
        what = f"the label {text!r} is no option" if said else "the label is empty"
        raise UsageError(f"row {row['row']}: {what}: write one of {row['options']}")
    return names[said]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else UNREAD
