"""How a fit is asked for: covariance, weights, missing values, separation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.sample.sample import NA, WeightsType
from llmdemand.modeling.variance.vcov import SSC, Covariance, parse_vcov

__all__ = ["Options", "Separation", "Vcov"]

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

    Raises
    ------
    UsageError
        For an unknown option.
    """

    vcov: Vcov | None = None
    ssc: SSC = "stata"
    weights: str | None = None
    weights_type: WeightsType = "frequency"
    na: NA = "raise"
    separation: Separation = "warn"

    def __post_init__(self) -> None:
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
        **others: Any,
    ) -> Options:
        """The options, with the covariance by its name here or by statsmodels' names.

        >>> Options.of(cov_type="cluster", cov_kwds={"groups": "cell"}).vcov
        {'CRV1': ('cell',)}
        """
        return cls(_named(vcov, cov_type, dict(cov_kwds or {})), **others)

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


def _named(vcov: Vcov | None, cov_type: str | None, kwds: dict[str, Any]) -> Vcov | None:
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
    groups = kwds.pop("groups", None)
    names = [groups] if isinstance(groups, str) else groups
    listed = isinstance(names, Sequence) and all(isinstance(n, str) for n in names) and names
    if not listed or kwds:
        raise UsageError(
            f"cov_type='cluster' takes cov_kwds={{'groups': column}}, the name of a column or a "
            f"list of names; found {sorted(kwds) or type(groups).__name__}"
        )
    return {"CRV1": tuple(names)}
