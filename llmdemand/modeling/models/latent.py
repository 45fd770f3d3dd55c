"""Latent class logit, with 0/1 or fractional outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.latent import Classes, fit_latent
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.likelihood.kernels import LOGIT, Numbers
from llmdemand.modeling.models.asking import Asking
from llmdemand.modeling.models.logit import FitOptions
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.quantities.intervals import Drawn, Intervals, infer, ready
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.sample.designs import ChoiceDesign
from llmdemand.modeling.sample.sample import Data
from llmdemand.modeling.spelled import spelled
from llmdemand.modeling.substitution.latent import ClassPanels, LatentPanels, divided
from llmdemand.modeling.substitution.pairwise import Answers
from llmdemand.scale.executors import Executor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClassDemand", "LatentResults", "lclogit"]


@dataclass(frozen=True, repr=False)
class ClassDemand(OneLine, Asking):
    """The demand of one class: a plain logit with the covariance of the whole model.

    It answers what a fit answers (elasticities, willingness to pay, ...), for people of this
    class in the choice situations of all.

    Attributes
    ----------
    whole : Fit
        The latent class logit.
    columns : (K,) int array
        Places of its coefficients among those of `whole`.
    """

    whole: Fit = field(kw_only=True, repr=False)
    columns: Codes = field(kw_only=True, repr=False)

    @property
    def _line(self) -> str:
        rows = zip(self.params.index, self.params, self.bse, strict=True)
        terms = ", ".join(f"{t} {b:.3g} ({se:.3g})" for t, b, se in rows)
        return f"{self.kind.lower()}, {self.outcome}, {terms}"

    def draws(
        self,
        reps: int = 999,
        seed: int = 1,
        cluster: str | None = None,
        executor: Executor = None,
    ) -> Array:
        """Coefficients of the class in bootstrap samples of the whole model: see `Fit.draws`."""
        return self.whole.draws(reps, seed, cluster)[:, self.columns]


@dataclass(frozen=True, repr=False)
class LatentResults(LogitResults):
    """A fitted latent class logit.

    Attributes
    ----------
    respondents : tuple
        Ids of the respondents, in order.
    """

    respondents: tuple[Any, ...] = field(default=(), repr=False)

    @property
    def _panels(self) -> ClassPanels:
        assert isinstance(self.data, ClassPanels)
        return self.data

    @property
    def _sequences(self) -> LatentPanels:
        """The data, for what needs the probability of all that a respondent chose."""
        if not isinstance(self.data, LatentPanels):
            raise UsageError(
                "who belongs to which class is told by the probability of all that a respondent "
                "chose, which a pairwise likelihood has not: class_shares() tells how many belong "
                "to each; for more fit beliefs in [0, 1] (reading='pivot') by sequences"
            )
        return self.data

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self._panels.classes

    @spelled(Drawn, Intervals())
    def class_shares(self, **drawn: Unpack[Drawn]) -> Quantity:
        """Share of each class: the mean over respondents of ``pi_c(z_i)``.

        Parameters
        ----------
        **drawn
            See `llmdemand.modeling.quantities.intervals.Intervals`.
        """
        import pandas as pd

        ready(self, "a share of a class")
        data = self._panels

        def value(b: Numbers) -> Numbers:
            return data.mean_shares(b)

        return infer(
            self,
            value,
            name="share of each class",
            keys=pd.DataFrame({"class": [str(c + 1) for c in range(data.classes)]}),
            rule="mean over respondents",
            unit="",
            shares=True,
            drawn=drawn,
        )

    def posterior(self) -> pd.DataFrame:
        """Probability that each respondent belongs to each class, given all that was chosen.

        Returns
        -------
        pandas.DataFrame, (I, C)
            ``pi_c(z_i) P_i(choices | beta_c) / sum_d pi_d(z_i) P_i(choices | beta_d)``; for
            beliefs averaged over the sequences drawn from them.

        Raises
        ------
        UsageError
            For a pairwise likelihood, which has no probability of all that a respondent chose.
        """
        import pandas as pd

        index = pd.Index(self.respondents, name="respondent")
        columns = pd.Index(range(1, self.classes + 1), name="class")
        found = self._sequences.posterior(np.asarray(self.params, np.float64))
        return pd.DataFrame(found, index=index, columns=columns)

    def individual(self) -> pd.DataFrame:
        """Each respondent's expected coefficients given what was chosen, (I, K).

        ``sum_c posterior_ic beta_c``: it is nearer to the mean of all than tastes are.
        """
        import pandas as pd

        data, posterior = self._panels, self.posterior()
        beta, _ = divided(np.asarray(self.params, np.float64), data.classes, data.terms)
        assert self.design is not None
        columns = list(self.design.terms)
        return pd.DataFrame(posterior.to_numpy() @ beta, index=posterior.index, columns=columns)

    def of_class(self, number: int) -> ClassDemand:
        """The demand of one class, 1 being the largest: it answers as a fit does.

        Raises
        ------
        UsageError
            For a class that is none.

        Notes
        -----
        ``fit.of_class(2).willingness_to_pay("wifi")``. Shares and elasticities are those of
        people of the class in the choice situations of all.
        """
        data = self._panels
        if number not in range(1, data.classes + 1):
            raise UsageError(f"no class {number!r}: they are numbered 1 to {data.classes}")
        columns = np.arange((number - 1) * data.terms, number * data.terms)
        assert isinstance(self.design, ChoiceDesign)
        terms = list(self.design.terms)
        params, cov = self.params.iloc[columns], self.cov.iloc[columns, columns]
        own = {f.name: getattr(self, f.name) for f in fields(Fit)} | {
            "params": params.set_axis(terms),
            "cov": cov.set_axis(terms).set_axis(terms, axis=1),
            "kind": f"Class {number} of {data.classes}",
            "quiet": (),
            "kernel": LOGIT,
            "design": replace(self.design, membership=None),
        }
        return ClassDemand(**own, whole=self, columns=columns)

    @property
    def entropy_r2(self) -> float:
        """How well classes are told apart: ``1 - sum_ic -p log p / (I log C)``, 1 if exactly.

        Raises
        ------
        UsageError
            See `posterior`.
        """
        return self._sequences.entropy_r2(np.asarray(self.params, np.float64))

    @property
    def _about(self) -> str:
        shares = self._panels.mean_shares(np.asarray(self.params, np.float64))
        listed = ", ".join(f"{s:.3f}" for s in shares)
        known = isinstance(self.data, LatentPanels)
        apart = f"; entropy R2 {self.entropy_r2:.3f}" if known else ""
        return f"{self.classes} classes of {listed}{apart}"


@spelled(FitOptions, Options())
def lclogit(
    formula: str,
    data: Data,
    *,
    classes: int = 2,
    membership: str = "1",
    panel: str | None = None,
    sequences: int = 20,
    starts: int = 10,
    seed: int = 1,
    likelihood: Answers | None = None,
    read: str | None = None,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    **options: Unpack[FitOptions],
) -> LatentResults:
    """Latent class logit: each respondent belongs to one of a few classes with its own tastes.

    Parameters
    ----------
    formula, data, case, alternative, base, availability
        See `llmdemand.modeling.models.multinomial.clogit`.
    classes : int
        C, from 2 on; `class_numbers` compares numbers of classes.
    membership : str
        Formula of what belonging to a class depends on, such as ``"income + age"``: columns of
        the respondent. A constant is added.
    panel : str, optional
        Column of respondents, who stay in their class from case to case. Without it each case
        is a respondent of its own.
    sequences : int
        For fractional outcomes: panels of choices drawn from each respondent's beliefs.
    starts : int
        Random starts; the highest maximum is taken, and what the others came to is said.
    seed : int
        Of starts, and of panels drawn from beliefs.
    likelihood, read
        For fractional outcomes, and for corrected beliefs: see `mixlogit`.
    **options
        See `llmdemand.modeling.models.logit.fraclogit`; robust covariances are clustered by
        respondent.

    Returns
    -------
    LatentResults
        Terms are named ``price[1]``, ``price[2]`` by class, the classes from the largest share
        to the smallest, and ``share[2]:const``, ``share[2]:income`` for the log-odds of
        belonging to a class against the first.

    Raises
    ------
    DesignError
        See `clogit`; also for separated data, too few respondents, covariates of membership
        that vary within a respondent or do not vary at all, and where no maximum is found.
    UsageError
        For fewer than two classes, and unknown options.

    Warns
    -----
    SeparationWarning
        If a start ran to infinity at a higher likelihood than the highest maximum that exists:
        the choices of those who belong to one class are separated.

    Notes
    -----
    ``P_i = sum_c pi_c(z_i) prod_t exp(v_ity(beta_c)) / sum_j exp(v_itj(beta_c))`` with ``pi_c(z)
    = exp(z' gamma_c) / sum_d exp(z' gamma_d)`` and ``gamma_1 = 0`` (Greene & Hensher 2003). Each
    start is improved by expectation-maximisation and ends by Newton's method with exact
    second derivatives. For beliefs the log-likelihood of M panels of choices drawn from them is
    taken, with weight 1/M, as in `mixlogit`.

    By pairs ``sum_(s<t) sum_(a, c) b_sa b_tc log P_st(a, c) / (T - 1)`` is maximised, with ``P_st
    = sum_k pi_k(z) p_s(beta_k) p_t(beta_k)``, which corrected beliefs outside [0, 1] leave
    unbiased. Negative outcomes leave no probabilities of classes to expect, so that its starts go
    up by Newton's method alone; it has no upper bound then, so that the highest maximum inside is
    the estimate. `posterior`, `individual` and `entropy_r2` are refused: who belongs where is
    told by the probability of all that a respondent chose.

    Bootstraps and jackknives refit from the estimate, so that classes keep their numbers.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> who, price = np.repeat(np.arange(80), 8), rng.uniform(1, 3, (640, 2))
    >>> slope = np.where(rng.random(80) < 0.7, -0.5, -3.0)[who]
    >>> buys = slope[:, None] * price + rng.gumbel(size=(640, 2))
    >>> df = pd.DataFrame({
    ...     "case": np.repeat(np.arange(640), 2), "alternative": ["a", "b"] * 640,
    ...     "person": np.repeat(who, 2), "price": price.ravel(),
    ...     "choice": (buys == buys.max(axis=1, keepdims=True)).astype(int).ravel()})
    >>> fit = lclogit("choice ~ price | 0", df, classes=2, panel="person", starts=3)
    >>> list(fit.params.index)
    ['price[1]', 'price[2]', 'share[2]:const']
    >>> fit.posterior().shape, fit.class_shares().estimate.round(1).tolist()
    ((80, 2), [0.8, 0.2])
    """
    asked = Classes(classes, membership, sequences, starts, seed, likelihood)
    fit, respondents = fit_latent(
        formula,
        data,
        asked,
        Options.of(data=data, read=read, **options),
        panel=panel,
        case=case,
        alternative=alternative,
        base=base,
        availability=availability,
    )
    found = LatentResults.of(fit, respondents=respondents)
    once = int((found._panels.panels.tasks == 1).sum())
    if once:
        note = (
            f"{once} of {len(respondents)} respondents answered one situation: of them classes "
            "show in the curve of shares alone, which tells little"
        )
        found = replace(found, notes=(*found.notes, note))
    return found
