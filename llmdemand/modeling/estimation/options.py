"""How a fit is asked for: covariance, weights, missing values, separation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.sample.sample import NA, WeightsType
from llmdemand.modeling.variance.vcov import SSC, Covariance, parse_vcov
from llmdemand.scale.executors import Executor

__all__ = ["Options", "Separation", "Vcov", "alpha_of", "named_vcov"]

Separation = Literal["warn", "raise", "firth"]
#: See `llmdemand.modeling.variance.vcov.parse_vcov`.
Vcov = str | Sequence[str] | Mapping[str, Any] | Covariance

_SYNONYMS = {"nonrobust": "iid", "robust": "HC1", "hetero": "HC1"}


@dataclass(frozen=True)
class Options:
    """What every door takes; checked when it is made.

    Attributes
    ----------
    vcov : str, mapping or Covariance, optional
        By default HC1, or iid for Firth's estimates of 0/1 outcomes.
    ssc : str
        Small-sample factor.
    weights, weights_type : str
        Column of weights, and ``frequency`` or ``sampling``.
    na : str
        ``raise`` or ``drop``.
    separation : str
        Where the maximum does not exist: ``warn`` (infinite estimates, as they are),
        ``raise``, or ``firth`` (the penalised estimates, which always exist; used for
        every fit, separated or not, so that the estimator does not depend on the data).
    read : str, optional
        For corrected beliefs, which may leave [0, 1]: the column that says what those of all
        alternatives sum to.
    count : str, optional
        The column that says how many equal choice situations a row stands for.
    executor : None, int, str or dask.distributed.Client
        Who reads tables in files: see `llmdemand.scale.merging.map_merge`.

    Raises
    ------
    UsageError
        For an unknown option; for Firth's penalty on corrected beliefs.
    """

    vcov: Vcov | None = None
    ssc: SSC = "stata"
    weights: str | None = None
    weights_type: WeightsType = "frequency"
    na: NA = "raise"
    separation: Separation = "warn"
    read: str | None = None
    count: str | None = None
    executor: Executor = None

    def __post_init__(self) -> None:
        if self.read is not None and self.separation == "firth":
            raise UsageError(
                "Firth's penalty is for outcomes in [0, 1]: corrected beliefs leave it; use "
                "separation='warn', or reading='pivot'"
            )
        choose(self.separation, Separation, "separation")
        choose(self.weights_type, WeightsType, "weights_type")
        choose(self.na, NA, "na")
        choose(self.ssc, SSC, "ssc")

    @classmethod
    def of(
        cls,
        vcov: Vcov | None = None,
        *,
        cov_type: str | None = None,
        cov_kwds: Mapping[str, Any] | None = None,
        data: Any = None,
        **others: Any,
    ) -> Options:
        """The options, with the covariance by its name here or by statsmodels' names.

        >>> Options.of(cov_type="cluster", cov_kwds={"groups": "cell"}).vcov
        {'CRV1': ('cell',)}
        """
        return cls(named_vcov(vcov, cov_type, cov_kwds, data), **others)

    def asked(self, *, fractional: bool = False) -> Covariance:
        """What `vcov` names.

        Where data are separated every residual is small, and a sandwich of small residuals
        looks precise: Fisher's information does not.
        """
        if self.vcov is not None:
            return parse_vcov(self.vcov)
        return Covariance("iid" if self.separation == "firth" and not fractional else "HC1")

    def resolved(self, *, fractional: bool = False) -> Options:
        """The options with the covariance that `asked` gives."""
        return replace(self, vcov=self.asked(fractional=fractional))

    @property
    def weighting(self) -> str:
        """How weights are named in a summary."""
        return "none" if self.weights is None else f"{self.weights} ({self.weights_type})"


def named_vcov(
    vcov: Vcov | None,
    cov_type: str | None = None,
    cov_kwds: Mapping[str, Any] | None = None,
    data: Any = None,
) -> Vcov | None:
    """The covariance by its name here, from statsmodels' names.

    Parameters
    ----------
    vcov : str or mapping, optional
        See `llmdemand.modeling.variance.vcov.parse_vcov`.
    cov_type : str, optional
        ``nonrobust``, ``HC0`` to ``HC3``, or ``cluster``.
    cov_kwds : mapping, optional
        ``{"groups": column}`` for ``cluster``: a name, a list of names, or columns of `data`.
    data : data frame, optional
        Where a column that is given as such has to come from.

    Raises
    ------
    UsageError
        For both names at once, other keywords, and values that are no column of the data.
    """
    kwds = dict(cov_kwds or {})
    if cov_type is None:
        if kwds:
            raise UsageError("cov_kwds goes with cov_type, which is missing: cov_type='cluster'")
        return vcov
    if vcov is not None:
        raise UsageError(f"vcov={vcov!r} and cov_type={cov_type!r} name the same thing: give one")
    if cov_type != "cluster":
        if kwds:
            raise UsageError(
                f"cov_kwds={sorted(kwds)}: {cov_type!r} takes none; cov_type='cluster' takes "
                "{'groups': column}"
            )
        return _SYNONYMS.get(cov_type, cov_type)
    names = _group_names(kwds.pop("groups", None), data)
    if kwds:
        raise UsageError(
            f"cov_kwds={sorted(kwds)}: cov_type='cluster' takes {{'groups': column}} alone; "
            "small-sample factors are named by ssc=..., such as ssc='none'"
        )
    return {"CRV1": names}


def _group_names(groups: Any, data: Any) -> tuple[str, ...]:
    """Names of the cluster columns; columns themselves are looked up in the data."""
    if isinstance(groups, str):
        return (groups,)
    if isinstance(groups, Sequence) and groups and all(isinstance(n, str) for n in groups):
        return tuple(groups)
    columns = getattr(groups, "columns", None)
    parts = [groups] if columns is None else [groups[c] for c in columns]
    names = [getattr(part, "name", None) for part in parts]
    known = [str(c) for c in getattr(data, "columns", ())]
    for name, part in zip(names, parts, strict=True):
        if not isinstance(name, str) or name not in known or not _equal(data[name], part):
            found = "nothing" if groups is None else type(groups).__name__
            raise UsageError(
                f"cov_type='cluster' takes cov_kwds={{'groups': column}}, the name of a column of "
                f"the data or a list of names; found {found}: values go into the data first, as "
                "in data.assign(cluster=values), so that rows left out leave both"
            )
    return tuple(str(name) for name in names)


def _equal(column: Any, other: Any) -> bool:
    import pandas as pd

    return pd.Series(column.to_numpy()).equals(pd.Series(other.to_numpy()))


def alpha_of(alpha: float | None = None, level: float | None = None) -> float:
    """One minus the confidence level, from either; 0.05 by default.

    Raises
    ------
    UsageError
        For both, and for what lies outside (0, 1).

    Examples
    --------
    >>> alpha_of(), round(alpha_of(level=0.9), 12)
    (0.05, 0.1)
    """
    if alpha is not None and level is not None:
        raise UsageError(f"alpha={alpha:g} and level={level:g} name the same thing: give one")
    if level is not None:
        if not 0 < level < 1:
            raise UsageError(f"level={level:g}: give the confidence level, as 0.95")
        return 1 - level
    if alpha is not None and not 0 < alpha < 1:
        raise UsageError(f"alpha={alpha:g}: give one minus the confidence level, as 0.05")
    return 0.05 if alpha is None else alpha
