"""Nested, mixed and latent class logits of a panel: whose nests, whose tastes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llmdemand.core.study import Study
from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.models.latent import lclogit
from llmdemand.modeling.models.mixed import mixlogit
from llmdemand.modeling.models.nested import nlogit
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.runs.sampled import whose

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SYSTEMS", "check_system", "fit_system"]

#: Doors by the name of the model.
SYSTEMS: dict[str, Callable[..., LogitResults]] = {
    "nested": nlogit,
    "mixed": mixlogit,
    "latent": lclogit,
}
# What a panel knows itself.
_KNOWN = {"formula", "data", "panel", "case", "alternative", "base", "availability", "read"}
_FIT = {"vcov", "cov_type", "cov_kwds", "ssc", "weights", "weights_type", "na", "separation"}
_FIT |= {"executor", "count"}


def check_system(model: str, own: Mapping[str, Any]) -> None:
    """Refuse options that the model does not take.

    Raises
    ------
    UsageError
        With the options that it takes, or the model that takes these.
    """
    takes = {
        name: [p for p in inspect.signature(door).parameters if p not in _KNOWN | _FIT]
        for name, door in SYSTEMS.items()
    }
    for option in own:
        if option in takes.get(model, ()):
            continue
        others = [name for name, known in takes.items() if option in known]
        if others:
            raise UsageError(f"{option}=... goes with model={others[0]!r}, not with {model!r}")
        if model not in takes:
            raise UsageError(f"fit_demand: no option {option!r}; {model!r} has none of its own")
        raise UsageError(
            f"fit_demand: no option {option!r}{nearest(option, takes[model])}: {model!r} takes "
            f"{', '.join(takes[model])}"
        )


def fit_system(
    model: str, formula: str, rows: pd.DataFrame, study: Study, own: Mapping[str, Any], **how: Any
) -> LogitResults:
    """Fit a model in which alternatives, or tastes, are alike.

    Parameters
    ----------
    model : str
        ``nested``, ``mixed`` or ``latent``.
    formula : str
        With the outcome.
    rows : pandas.DataFrame
        See `llmdemand.modeling.outcomes.frames.market_frame`.
    study : Study
        Its menu and respondents. By default the alternatives that are no outside option make
        one nest, and the price coefficient varies by a normal law.
    own : mapping
        Options of the model: see `nlogit`, `mixlogit`, `lclogit`.
    **how
        Options of every fit.

    Raises
    ------
    UsageError
        Without nests where there is no outside option; without respondents.
    """
    asked = dict(own)
    if model == "nested":
        if "nests" not in asked:
            inside = [a.id for a in study.menu if not a.outside]
            if len(inside) < 2 or len(inside) == len(study.menu.ids):
                raise UsageError(
                    "model='nested' needs nests=..., as in nests={'diapers': ['pampers', "
                    f"'huggies']}}: the menu is {', '.join(study.menu.ids)}"
                )
            asked["nests"] = {"inside": inside}
        return nlogit(formula, rows, **asked, **how)
    panel = whose(study)
    if not study.personas:
        raise UsageError(
            f"model={model!r} is about how respondents differ, and this study has none: give it "
            "personas, or a table of respondents (--respondents)"
        )
    # Runs keep their names, so that nothing depends on the order of the panel's rows.
    more: dict[str, Any] = {"panel": panel, "case": "run_id"}
    if model == "latent":
        return lclogit(formula, rows, **asked, **more, **how)
    asked.setdefault("random", {"price": "normal"})
    return mixlogit(formula, rows, **asked, **more, **how)
