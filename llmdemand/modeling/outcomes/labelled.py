"""Final choices that a random sample of people's labels corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmdemand.core.panel import Panel
from llmdemand.errors import PanelError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["corrected_final"]


def corrected_final(panel: Panel) -> pd.DataFrame:
    """Final choices by alternative, a reader's errors corrected by the labels.

    With F the reader's choice, L the label, R whether a run was drawn to be labelled and pi
    with which probability::

        F~_a = 1{F = a} + (R / pi) (1{L = a} - 1{F = a})

    so that E[F~_a] = P(L = a), whatever the reader does. Values may leave [0, 1].

    Parameters
    ----------
    panel : Panel
        With ``label`` and ``label_probability``.

    Returns
    -------
    pandas.DataFrame
        A column per alternative, a row per run; 0 or 1 where nothing was labelled, NaN for
        answers that were stopped at their pivot.

    Raises
    ------
    PanelError
        If nobody has labelled it.
    """
    import pandas as pd

    frame = panel.frame
    if "label_probability" not in frame.columns:
        raise PanelError(
            "the panel has no labels: `llmdemand label export` writes a sheet, `label import` "
            "reads it"
        )
    weight = (1 / frame["label_probability"]).fillna(0.0).to_numpy()
    columns = {}
    for a in panel.study.menu.ids:
        read = (frame["final_choice"] == a).to_numpy(float)
        true = (frame["label"] == a).to_numpy(float)
        columns[a] = read + weight * (true - read)
    stopped = frame["final_status"] == "stopped"
    return pd.DataFrame(columns, index=frame.index).mask(stopped)
