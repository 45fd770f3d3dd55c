"""Covariances by name, and their small-sample factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose, nearest

__all__ = ["SSC", "Covariance", "Kind", "parse_vcov", "small_sample_factor"]

SSC = Literal["stata", "sandwich", "fixest", "none"]
Kind = Literal["iid", "HC0", "HC1", "HC2", "HC3", "CRV1", "CRV3", "within", "pairs", "score"]

_CLUSTERED = ("CRV1", "CRV3", "within", "pairs", "score")


@dataclass(frozen=True)
class Covariance:
    """A covariance that was asked for; see `parse_vcov`.

    Attributes
    ----------
    kind : str
        ``iid``, ``HC0`` to ``HC3``, ``CRV1``, ``CRV3``, ``within``, ``pairs`` or ``score``.
    columns : tuple of str
        Cluster columns: up to three for CRV1, two for CRV3, none for the kinds without clusters.
    reps, seed : int
        Draws of a bootstrap, and their seed.
    """

    kind: Kind
    columns: tuple[str, ...] = ()
    reps: int = 999
    seed: int = 1


def parse_vcov(vcov: str | Sequence[str] | Mapping[str, Any] | Covariance) -> Covariance:
    """Read the name of a covariance.

    Parameters
    ----------
    vcov : str, mapping or Covariance
        ``"iid"``, ``"HC0"`` to ``"HC3"``, ``"hetero"`` (another name of HC1), ``"pairs"`` (by
        observation); ``{"CRV1": "cell"}``, ``{"CRV1": "cell+persona"}`` or
        ``{"CRV1": ("cell", "persona")}`` (two-way), ``{"CRV1": "a+b+c"}`` (three-way),
        ``{"CRV3": "cell"}`` (also two-way), ``{"within": "cell"}``, ``{"pairs": "household"}``,
        ``{"score": "household"}``. A bootstrap (pairs, score) takes
        ``"reps"`` and ``"seed"`` besides. On a command line ``"CRV1:cell+persona"``.

    Raises
    ------
    UsageError
        For anything else.

    Examples
    --------
    >>> parse_vcov("CRV1:cell+persona")
    Covariance(kind='CRV1', columns=('cell', 'persona'), reps=999, seed=1)
    >>> parse_vcov({"pairs": "household", "reps": 499})
    Covariance(kind='pairs', columns=('household',), reps=499, seed=1)
    """
    if isinstance(vcov, Covariance):
        return vcov
    if isinstance(vcov, str):
        name, colon, column = vcov.partition(":")
        return _asked(name.strip(), _columns(column) if colon else (), {})
    if not isinstance(vcov, Mapping):
        raise UsageError(f"vcov={vcov!r}: expected a name or a mapping. {_kinds()}")
    options = {key: vcov[key] for key in ("reps", "seed") if key in vcov}
    names = [key for key in vcov if key not in options]
    if len(names) != 1:
        raise UsageError(
            f"vcov={dict(vcov)!r} names {len(names)} covariances, expected one. {_kinds()}"
        )
    return _asked(str(names[0]), _columns(vcov[names[0]]), options)


def _asked(name: str, columns: tuple[str, ...], options: Mapping[str, Any]) -> Covariance:
    known: dict[str, Kind] = {kind.lower(): kind for kind in get_args(Kind)}
    known["hetero"] = "HC1"
    kind = known.get(name.lower())
    if kind is None:
        hint = nearest(name.lower(), list(known))
        for lower, right in known.items():
            hint = hint.replace(f"'{lower}'", f"'{right}'") if lower != "hetero" else hint
        raise UsageError(f"no covariance {name!r}{hint}. {_kinds()}")
    if kind not in _CLUSTERED and columns:
        raise UsageError(f"{kind} has no clusters: ask for vcov={kind!r}, or {{'CRV1': column}}")
    if kind in _CLUSTERED and kind != "pairs" and not columns:
        raise UsageError(f"{kind} needs a cluster column: vcov={{{kind!r}: column}}")
    most = {"CRV1": 3, "CRV3": 2}.get(kind, 1)
    if len(columns) > most:
        count = ("one column", "one column or two", "one to three columns")[most - 1]
        raise UsageError(f"{kind} takes {count}, found {len(columns)}: {', '.join(columns)}")
    if twice := [c for c in columns if columns.count(c) > 1]:
        raise UsageError(f"clustering by {twice[0]!r} twice: name different columns")
    if options and kind not in ("pairs", "score"):
        raise UsageError(f"{kind} is no bootstrap: {' and '.join(options)} are for pairs and score")
    for option, least in (("reps", 2), ("seed", 0)):
        value = options.get(option, least)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UsageError(f"vcov: {option}={value!r}, expected a whole number from {least} on")
    return Covariance(kind, columns, **{key: int(value) for key, value in options.items()})


def _columns(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        found = tuple(part.strip() for part in value.split("+"))
        if all(found):
            return found
    elif isinstance(value, Sequence) and value and all(isinstance(v, str) and v for v in value):
        return tuple(value)
    raise UsageError(f"vcov: {value!r} does not name cluster columns, such as 'cell' or 'a+b'")


def _kinds() -> str:
    return (
        "Known: 'iid', 'HC0', 'HC1' (or 'hetero'), 'HC2', 'HC3', {'CRV1': 'cell'}, "
        "{'CRV1': 'cell+persona'} (up to three), {'CRV3': 'cell'}, {'within': 'cell'}, 'pairs', "
        "{'pairs': 'household'}, {'score': 'household'}"
    )


def small_sample_factor(
    ssc: SSC,
    nobs: float,
    params: int,
    clusters: int | None = None,
    *,
    robust: bool = True,
) -> tuple[float, str]:
    """The factor on a covariance, and how it is written.

    Parameters
    ----------
    ssc : str
        Whose factor: see Notes.
    nobs : float
        n, observations.
    params : int
        k, coefficients.
    clusters : int, optional
        G.
    robust : bool
        False for the inverse information.

    Returns
    -------
    factor : float
    text : str

    Notes
    -----
    ============  ===========  =============  ========================
    ssc           iid          HC1            clusters
    ============  ===========  =============  ========================
    ``stata``     1            n/(n-1)        G/(G-1)
    ``sandwich``  1            n/(n-k)        G/(G-1) * (n-1)/(n-k)
    ``fixest``    (n-1)/(n-k)  n/(n-k)        G/(G-1) * (n-1)/(n-k)
    ``none``      1            1              1
    ============  ===========  =============  ========================

    ``stata``: logit, glm and fracreg with vce(robust) or vce(cluster), as for all its
    maximum likelihood. ``sandwich``: R's vcovHC and vcovCL with type HC1. ``fixest``: the
    defaults of R's feglm(family = binomial), file R/VCOV.R of 2025 (``ssc(adj = TRUE,
    cluster.adj = TRUE, cluster.df = "min")``; "hetero" is n/(n-1) times (n-1)/(n-k)), and of
    pyfixest's feglm, 0.60, which are the same. Both of these use the normal distribution
    after a logit; ours is t with G - 1 degrees of freedom where there are clusters.

    Clustering two or three ways takes the factor of each term with its own G (stata,
    sandwich), or of all terms with the smallest G of the columns (fixest). Stata itself
    has vce(cluster a b) only for linear models (regress, areg and xtreg, fe; since Stata 18);
    after logit people use vcemway (Gu & Yoo 2019), by default with each term's own G/(G-1)
    as here, though it replaces negative eigenvalues by zero, which we do not.

    Examples
    --------
    >>> small_sample_factor("stata", 320, 2)[1]
    'n/(n-1)'
    >>> small_sample_factor("fixest", 320, 2, 16)[1]
    'G/(G-1) * (n-1)/(n-k)'
    """
    choose(ssc, SSC, "ssc")
    if ssc == "none" or (not robust and ssc != "fixest"):
        return 1.0, "none"
    if ssc == "stata":
        if clusters is None:
            return nobs / (nobs - 1), "n/(n-1)"
        return clusters / (clusters - 1), "G/(G-1)"
    if nobs <= params:
        raise DesignError(
            f"{nobs:g} observations and {params} coefficients leave no n - k: use ssc='stata'"
        )
    if not robust:
        return (nobs - 1) / (nobs - params), "(n-1)/(n-k)"
    if clusters is None:
        return nobs / (nobs - params), "n/(n-k)"
    factor = clusters / (clusters - 1) * (nobs - 1) / (nobs - params)
    return factor, "G/(G-1) * (n-1)/(n-k)"
