"""Shares, elasticities and diversion of any fitted logit.

Notation: ``s_ij`` is the probability that case i chooses j, ``v_ij`` its utility, ``p_ik`` the
price of alternative k. Everything follows from ``ds_ij / dp_ik = s_ij (dv_ij / dp_ik - sum_m
s_im dv_im / dp_ik)`` (Train 2009, Discrete Choice Methods with Simulation, section 3.6), where
``dv / dp`` goes through the formula, whatever the price enters by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, Fit, infer, ready
from llmdemand.modeling.quantities.prices import (
    Price,
    asked_for,
    names,
    price_column,
    price_name,
    priced,
)
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import At, Average, scenes
from llmdemand.modeling.sample.designs import BinaryDesign, Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Kind",
    "diversion",
    "elasticity",
    "mean_shares",
    "price_responses",
    "shares",
]

Kind = Literal["own", "cross", "matrix"]

_JUMPS = "the price enters with jumps (indicators): derivatives leave them out"


def shares(
    fit: Fit,
    at: At = None,
    *,
    price: Price = "price",
    alternative: str | None = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Mean probability of each alternative: ``S_j = sum_i w_i s_ij / sum_i w_i``.

    Never the frequency with which an alternative is the most probable one.

    Parameters
    ----------
    fit : Fit
        A fitted demand.
    at : mapping or data frame, optional
        Where; the sample by default. ``{"price": [33, 35]}`` gives one answer per value, other
        variables as in the sample; alternatives of a conditional or multinomial logit are named:
        ``{"Pampers": 35}``. Each row of a data frame is an answer; in a conditional logit its
        rows are one market, or several by the column of cases.
    price : str or mapping
        The price column; ``price_<alternative>`` in a multinomial logit, or the column of each
        alternative that has a price, as ``{"pampers": "p_pampers"}``.
    alternative : str, optional
        One alternative, or ``outside`` for not buying; all by default.
    average : str
        ``mean`` over observations, by their weights, or ``at_means`` of the variables.
    **drawn
        How intervals are made, ``ci``, ``alpha`` or ``level``, ``reps``, ``seed``: see
        `intervals.Intervals`.

    Returns
    -------
    Quantity
        Rows by value of `at` and ``alternative``.

    Raises
    ------
    DesignError
        For a separated fit, unknown columns or alternatives.
    UsageError
        For unknown options and impossible values.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> found = shares(ld.logit("buy ~ price", df), {"price": 2.5})
    >>> found.estimate.round(6).tolist()
    [0.5, 0.5]
    """
    design, _ = ready(fit, "a share")
    price = price_name(design, price)
    asked = asked_for(design, alternative)
    where = scenes(fit, at, what="a share", average=average, price=price, alternative=alternative)

    def of_block(scene: Scene, b: Numbers) -> Numbers:
        return mean_shares(scene, b, asked)

    return infer(
        fit,
        where.value(of_block),
        name="share",
        keys=where.labelled({"alternative": asked}),
        rule=where.rule,
        unit="mean probability",
        shares=True,
        drawn=drawn,
    )


def mean_shares(scene: Scene, b: Numbers, asked: list[str]) -> Numbers:
    """Mean shares by answer and alternative, over all cases, also those without it."""
    return scene.means(scene.shares(b), asked)


def elasticity(
    fit: Fit,
    at: At = None,
    *,
    kind: Kind = "own",
    price: Price = "price",
    alternative: str | None = None,
    rival: str | None = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Price elasticity of shares: ``e_ijk = d ln s_ij / d ln p_ik``.

    With a linear price, ``b p_ij (1 - s_ij)`` for the own price and ``-b p_ik s_ik`` for a
    rival's, the same for all j (Train 2009, section 3.6).

    Parameters
    ----------
    fit, at, price, **drawn
        See `shares`. ``at={"price": 35}`` sets the price of `alternative`.
    kind : str
        ``own``; ``cross`` (share of `alternative`, price of `rival`); ``matrix`` (all shares,
        all prices, not buying among the shares).
    alternative : str, optional
        Whose share; all of them by default.
    rival : str, optional
        Whose price; all others by default. In a binary logit, the rival's price column.
    average : str
        ``mean``: mean of the observations' elasticities. ``share_weighted``: ``sum_i w_i s_ij
        e_ijk / sum_i w_i s_ij``, which is the elasticity of the mean share when all prices of k
        change by one per cent. ``at_means``: of one case with mean variables.

    Returns
    -------
    Quantity
        In per cent per per cent. `Quantity.matrix` gives the square. At a price of zero ``p
        dv / dp`` is zero; a note counts such prices.

    Raises
    ------
    DesignError
        For a price that is not in the model, is negative or nowhere positive, a cross elasticity
        without a rival's price, a separated fit.
    UsageError
        For unknown options.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> fit = ld.logit("buy ~ price", df)
    >>> e = elasticity(fit, {"price": 2.5})
    >>> bool(abs(float(e) - fit.params["price"] * 2.5 * 0.5) < 1e-9)
    True
    """
    return price_responses(fit, at, True, kind, price, alternative, rival, average, drawn)


def price_responses(
    fit: Fit,
    at: At,
    relative: bool,
    kind: Kind,
    price: Price,
    alternative: str | None,
    rival: str | None,
    average: Average,
    drawn: Drawn,
) -> Quantity:
    """Elasticities or derivatives by prices: see `elasticity`, `effects.marginal_effects`."""
    choose(kind, Kind, "kind")
    what = "an elasticity" if relative else "a marginal effect"
    design, sample = ready(fit, what)
    price = price_name(design, price)
    pairs = _pairs(design, sample, kind, price, alternative, rival)
    own = alternative if alternative in design.alternatives else None
    where = scenes(
        fit,
        at,
        what=what,
        average=average,
        price=price,
        alternative=own,
        weighable=relative,
    )
    notes = _check_prices(where.blocks, pairs, price, relative)
    unequal = any(
        np.isnan(s.pull(k, price).price).any() for s in where.blocks for k in {k for _, k in pairs}
    )
    weighted = average == "share_weighted"
    if unequal and relative and not weighted:
        notes.append("choice sets differ: means are over the cases that have both alternatives")

    def of_block(scene: Scene, b: Numbers) -> Numbers:
        columns, done = [], {}
        for j, k in pairs:
            pull = scene.pull(k, price)
            if k not in done:
                done[k] = scene.responses(b, pull.x)
            s, response = done[k]
            if not relative:
                columns.append(scene.summed(s * response, j) / scene.everyone)
                continue
            rows = scene.rows(j)
            case = scene.case[rows]
            present = ~np.isnan(pull.price[case])
            value = response[rows] * np.where(present, pull.price[case], 0.0)
            by = s[rows] if weighted else present.astype(float)
            with np.errstate(invalid="ignore"):
                columns.append(scene.total(by * value, case) / scene.total(by, case))
        return np.column_stack(columns)

    label = {"own": "own-price ", "cross": "cross-price ", "matrix": "price "}[kind]
    labels = {"alternative": [j for j, _ in pairs]}
    if kind != "own":
        labels["rival"] = [k for _, k in pairs]
    rule = where.rule
    if weighted:
        rule += ": elasticity of the mean share to a uniform relative change of the price"
    return infer(
        fit,
        where.value(of_block),
        name=label + ("elasticity" if relative else "marginal effect"),
        keys=where.labelled(labels),
        rule=rule,
        unit="% per %" if relative else f"probability per unit of {price}",
        notes=notes,
        drawn=drawn,
    )


def _check_prices(
    blocks: tuple[Scene, ...], pairs: list[tuple[str, str]], price: str, relative: bool
) -> list[str]:
    notes: list[str] = []
    zero = seen = 0.0
    for k in dict.fromkeys(k for _, k in pairs):
        pulls = [scene.pull(k, price) for scene in blocks]
        every = np.concatenate([pull.price for pull in pulls])
        every = every[~np.isnan(every)]
        lowest, highest = every.min(initial=np.inf), every.max(initial=-np.inf)
        if relative and (lowest < 0 or highest == 0):
            raise DesignError(
                f"an elasticity at {pulls[0].column} {lowest:g}: relative changes need positive "
                "prices; use marginal_effects, or give a price in at=..."
            )
        for scene, pull in zip(blocks, pulls, strict=True):
            zero += float(scene.weight[pull.price == 0].sum())
            seen += float(scene.weight[~np.isnan(pull.price)].sum())
        if any(pull.jumps for pull in pulls):
            notes.append(_JUMPS)
    if relative and zero:
        notes.append(f"{zero:.12g} of {seen:.12g} prices are zero: elasticities there are zero")
    return list(dict.fromkeys(notes))


def _rivals(design: Design, sample: pd.DataFrame, price: str) -> list[str]:
    """Whose prices are in the model besides; in a binary logit, price columns by their name."""
    if not isinstance(design, BinaryDesign):
        return priced(design, sample, price)
    return [v for v in design.variables if v.startswith(f"{price}_")]


def _pairs(
    design: Design,
    sample: pd.DataFrame,
    kind: Kind,
    price: str,
    alternative: str | None,
    rival: str | None,
) -> list[tuple[str, str]]:
    """Share of, price of."""
    if kind == "own":
        if rival is not None:
            raise UsageError("rival=... is for kind='cross': an own elasticity has no rival")
        if alternative is None:
            return [(j, j) for j in priced(design, sample, price)]
        asked_for(design, alternative)
        if alternative not in design.alternatives:
            raise UsageError(f"{alternative!r} has no price: ask for kind='cross' or kind='matrix'")
        price_column(design, alternative, price, sample)
        return [(alternative, alternative)]
    known = _rivals(design, sample, price)
    if kind == "matrix":
        if rival is not None or alternative is not None:
            raise UsageError("kind='matrix' is for all alternatives: leave out alternative, rival")
        own = priced(design, sample, price) if design.outside else []
        return [(j, k) for j in names(design) for k in dict.fromkeys([*own, *known])]
    if rival is None and not known:
        raise DesignError(
            "a cross elasticity needs a rival's price in the model: its variables are "
            f"{', '.join(design.variables)}; add one to the formula and name it with rival=..."
        )
    if rival is not None:
        if not design.outside and rival not in design.variables:
            asked_for(design, rival)
        try:
            price_column(design, rival, price, sample)
        except DesignError as error:
            raise DesignError(f"a cross elasticity needs a rival's price: {error}") from None
        if rival == alternative:
            raise UsageError(f"{rival!r} is its own rival: use kind='own'")
    asked = [design.alternatives[0]] if design.outside else list(names(design))
    if alternative is not None:
        asked = asked_for(design, alternative)
    return [(j, k) for j in asked for k in ([rival] if rival else known) if j != k]


def diversion(
    fit: Fit,
    at: At = None,
    *,
    price: Price = "price",
    alternative: str | None = None,
    rival: str | None = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Of the demand that j loses by a higher price, the part that goes to k.

    ``D_jk = -(dS_k / dp_j) / (dS_j / dp_j)``; ``s_k / (1 - s_j)`` in a plain logit. Mean
    derivatives are divided, so each observation counts by the demand that it loses (Conlon &
    Mortimer 2021, RAND Journal of Economics 52).

    Parameters
    ----------
    fit, at, price, **drawn
        See `shares`.
    alternative : str, optional
        The alternative that loses; each that has a price by default.
    rival : str, optional
        The one that gains, ``outside`` among them; all others by default.
    average : str
        ``mean`` (see above) or ``at_means``.

    Returns
    -------
    Quantity
        Ratios that sum to 1 over rivals.
    """
    design, sample = ready(fit, "diversion")
    price = price_name(design, price)
    losing = priced(design, sample, price)
    if alternative is not None:
        losing = [k for _, k in _pairs(design, sample, "own", price, alternative, None)]
    gaining = asked_for(design, rival)
    pairs = [(j, k) for j in losing for k in gaining if j != k]
    if not pairs:
        raise UsageError(f"{rival!r} is its own rival: name another alternative")
    where = scenes(fit, at, what="diversion", average=average, price=price, alternative=alternative)
    notes = _check_prices(where.blocks, [(k, j) for j, k in pairs], price, False)

    def of_block(scene: Scene, b: Numbers) -> Numbers:
        columns, done = [], {}
        for j, k in pairs:
            if j not in done:
                s, response = scene.responses(b, scene.pull(j, price).x)
                done[j] = s * response
            columns.append(-scene.summed(done[j], k) / scene.summed(done[j], j))
        return np.column_stack(columns)

    return infer(
        fit,
        where.value(of_block),
        name="diversion ratio",
        keys=where.labelled({"alternative": [j for j, _ in pairs], "rival": [k for _, k in pairs]}),
        rule=where.rule.replace("mean over", "ratio of mean derivatives over"),
        unit="part of the demand lost",
        notes=notes,
        drawn=drawn,
    )
