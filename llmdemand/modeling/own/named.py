"""A model by its name, fitted to a table of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.models.latent import lclogit
from llmdemand.modeling.models.logit import fraclogit, logit
from llmdemand.modeling.models.mixed import mixlogit
from llmdemand.modeling.models.multinomial import clogit, mnlogit
from llmdemand.modeling.models.nested import nlogit
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.columns import Data, chunks, column_names, is_text, opened

__all__ = ["MODELS", "fit_own"]

#: Doors by the name of the model.
MODELS: dict[str, Callable[..., LogitResults]] = {
    "logit": logit,
    "fraclogit": fraclogit,
    "clogit": clogit,
    "mnlogit": mnlogit,
    "nested": nlogit,
    "mixed": mixlogit,
    "latent": lclogit,
}
_EVERY = ("vcov", "ssc", "weights", "weights_type", "na", "separation", "executor")


def fit_own(
    formula: str,
    data: Data,
    model: str | None = None,
    *,
    choice: str | None = None,
    respondent: str | None = None,
    price: str = "price",
    **options: Any,
) -> LogitResults:
    """Fit a model by its name.

    Parameters
    ----------
    formula : str
        ``"bought ~ price + size"``; the right-hand side alone where `choice` is given.
    data : table or path
        See `llmdemand.modeling.models.logit.fraclogit`.
    model : str, optional
        ``clogit`` where a column of cases is given (`case`), else ``logit``; or ``fraclogit``,
        ``mnlogit``, ``nested``, ``mixed``, ``latent``.
    choice : str, optional
        The outcome.
    respondent : str, optional
        Column of who answered, or bought, more than once: the panel of ``mixed`` and
        ``latent``; the clusters of the other models unless `vcov` says otherwise, for answers
        of one person are no independent evidence.
    price : str
        The price column, which is to hold numbers: text would be a level each.
    **options
        Those of the model; None is as if it were not given.

    Returns
    -------
    LogitResults

    Raises
    ------
    UsageError
        For an unknown model, and options that it does not take.
    DesignError
        See `llmdemand.modeling.models.logit.fraclogit`.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"cost": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> fit_own("cost", df, choice="buy", price="cost").kind
    'Binary logit'
    """
    given = {k: v for k, v in options.items() if v is not None}
    name = model or ("clogit" if "case" in given else "logit")
    if name not in MODELS:
        raise UsageError(f"model {name!r}{nearest(name, tuple(MODELS))}: use {', '.join(MODELS)}")
    takes = [p for p in inspect.signature(MODELS[name]).parameters if p not in _EVERY]
    for option in given:
        if option not in (*takes, *_EVERY):
            raise UsageError(_not_taken(option, name))
    data = opened(data)
    known = column_names(data)
    if respondent is not None:
        if respondent not in known:
            raise DesignError(
                f"no column {respondent!r} of respondents{nearest(respondent, known)}: there are "
                f"{', '.join(known)}"
            )
        if "panel" in takes:
            given["panel"] = respondent
        else:
            given.setdefault("vcov", {"CRV1": respondent})
    if price in known:
        _refuse_text(data, price)
    return MODELS[name](_whole(formula, choice), data, **given)


def _not_taken(option: str, model: str) -> str:
    others = [m for m, door in MODELS.items() if option in inspect.signature(door).parameters]
    return f"{option} goes with the model {' or '.join(others)}, not with {model}"


def _whole(formula: str, choice: str | None) -> str:
    """The formula with its outcome."""
    left, sign, _ = formula.partition("~")
    if not sign:
        if choice is None:
            raise UsageError(
                f"formula {formula!r} has no outcome: write '... ~ {formula}', or name its column"
            )
        return f"{choice} ~ {formula}"
    if choice is not None and left.strip() != choice:
        raise UsageError(
            f"the outcome is {left.strip()!r} in the formula and {choice!r} beside it: give one"
        )
    return formula


def _refuse_text(data: Data, price: str) -> None:
    values = next((part[price] for part in chunks(data, [price]) if len(part)), None)
    if values is not None and is_text(values):
        first = next(iter(values.dropna()), "")
        raise DesignError(
            f"the price column {price!r} holds text such as {first!r}: make it plain numbers, "
            "without a currency or commas"
        )
