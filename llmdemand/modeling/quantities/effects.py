"""Marginal effects: of the price, and of any other variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, Fit, infer, ready
from llmdemand.modeling.quantities.prices import Price, asked_for
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import Kind, price_responses
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import At, Average, scenes
from llmdemand.modeling.quantities.slopes import slopes
from llmdemand.modeling.sample.designs import ChoiceDesign, Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["marginal_effects", "of_alternatives"]


def marginal_effects(
    fit: Fit,
    variable: str | At = None,
    *,
    at: At = None,
    kind: Kind = "own",
    price: Price = "price",
    alternative: str | None = None,
    rival: str | None = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Change of mean shares per unit of price: ``dS_j / dp_k = sum_i w_i ds_ij/dp_ik / sum w_i``.

    Parameters
    ----------
    fit, at, kind, price, alternative, rival, **drawn
        See `llmdemand.modeling.quantities.responses.elasticity`.
    variable : str, optional
        Any column of numbers in the model instead of the price, as ``"income"``: what moves is
        the value of the whole case, so every share responds; an attribute that differs between
        the alternatives of a case moves as prices do. Levels and text have no derivative:
        compare them with `shares`. What is no string here is `at`.
    average : str
        ``mean`` over observations or ``at_means``.

    Returns
    -------
    Quantity
        In probability per unit of price or of the variable. Over all shares, not buying
        included, the effects of one price sum to zero, and so do those of a variable.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"income": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> fit = ld.logit("buy ~ income", df)
    >>> p = fit.predict()
    >>> found = marginal_effects(fit, "income")
    >>> bool(abs(float(found) - fit.params["income"] * (p * (1 - p)).mean()) < 1e-9)
    True
    """
    if variable is not None and not isinstance(variable, str):
        if at is not None:
            raise UsageError(f"variable={variable!r}: give the name of a column")
        variable, at = None, variable
    if variable is not None:
        design, sample = ready(fit, "a marginal effect")
        if variable not in design.variables:
            raise DesignError(
                f"no variable {variable!r} in the model{nearest(variable, design.variables)}: it "
                f"has {', '.join(design.variables)}"
            )
        if not of_alternatives(design, sample, variable):
            if kind != "own" or rival is not None:
                raise UsageError(
                    f"{variable!r} belongs to the case and moves all shares at once: leave out "
                    "kind and rival"
                )
            return _of_case(fit, variable, at, alternative, average, drawn)
        price = variable
    return price_responses(fit, at, False, kind, price, alternative, rival, average, drawn)


def of_alternatives(design: Design, sample: pd.DataFrame, variable: str) -> bool:
    """Whether a variable differs between the alternatives of a case."""
    if not isinstance(design, ChoiceDesign):
        return False
    order, start = design.cases(sample)
    values = sample[variable].to_numpy()[order]
    return bool((values != np.repeat(values[start], np.diff(start, append=len(order)))).any())


def _of_case(
    fit: Fit,
    variable: str,
    at: At,
    alternative: str | None,
    average: Average,
    drawn: Drawn,
) -> Quantity:
    """Derivatives of the mean shares by a variable of the case."""
    design, sample = ready(fit, "a marginal effect")
    asked = asked_for(design, alternative) if alternative else list(design.alternatives)
    where = scenes(fit, at, what="a marginal effect", average=average)
    moved = {
        id(scene): scene.spread(slopes(design, scene.frame, variable, sample).x)
        for scene in where.blocks
    }

    def of_block(scene: Scene, b: Numbers) -> Numbers:
        s, response = scene.responses(b, moved[id(scene)])
        return scene.means(s * response, asked)

    return infer(
        fit,
        where.value(of_block),
        name=f"marginal effect of {variable}",
        keys=where.labelled({"alternative": asked}),
        rule=where.rule,
        unit=f"probability per unit of {variable}",
        drawn=drawn,
    )
