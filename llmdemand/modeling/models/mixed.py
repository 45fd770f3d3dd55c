"""Mixed logit, with 0/1 or fractional outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.mixing.mixing import Mixing
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.models import heterogeneity
from llmdemand.modeling.models.logit import FitOptions
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.sample import Data
from llmdemand.modeling.situations.fits import fit_mixlogit
from llmdemand.modeling.spelled import spelled
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.laws import Space
from llmdemand.modeling.substitution.pairwise import Answers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MixedResults", "mixlogit"]


@dataclass(frozen=True, repr=False)
class MixedResults(LogitResults):
    """A fitted mixed logit.

    Attributes
    ----------
    respondents : pandas.Index, (I,)
        Ids of the respondents, in the order of the rows of `data`.
    """

    respondents: pd.Index[Any] = field(kw_only=True, repr=False)

    # What is a function of a fit and nothing else: the documentation stands there.
    random_coefficients = heterogeneity.random_coefficients
    plot_law = heterogeneity.plot_law

    def individual(self) -> pd.DataFrame:
        """Each respondent's tastes given what they chose: see `heterogeneity.individual`."""
        found = heterogeneity.individual(self)
        found.index = self.respondents
        return found


@spelled(FitOptions, Options())
def mixlogit(
    formula: str,
    data: Data,
    *,
    random: Mapping[str, str],
    panel: str | None = None,
    correlated: bool | Sequence[str] = False,
    space: Space = "preference",
    price: str = "price",
    draws: int | Array | None = 500,
    sequence: DrawSequence = "sobol",
    sequences: int = 20,
    starts: int = 3,
    seed: int = 1,
    likelihood: Answers | None = None,
    read: str | None = None,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    **options: Unpack[FitOptions],
) -> MixedResults:
    """Mixed logit: coefficients that differ between respondents by a law.

    Parameters
    ----------
    formula, data, case, alternative, base, availability
        See `llmdemand.modeling.models.multinomial.clogit`; of large files all rows of a
        respondent are in one file. Estimates are those of memory, whatever the files.
    random : mapping of str to str
        Laws of the coefficients that vary, by term or by variable (then of all its terms):
        ``normal``; ``lognormal+`` or ``lognormal-``, of one sign; ``triangular`` and ``uniform``
        about the mean; ``zero-normal``, an error component; ``zero-triangular`` and
        ``zero-uniform``, from zero to twice the mean.
    panel : str, optional
        Column of respondents, who keep their tastes from case to case. Without it each case
        is a respondent of its own.
    correlated : bool or sequence of str
        Whether normal and lognormal coefficients are correlated, or which of them.
    space : str
        ``preference``, or ``wtp``: every coefficient but that of `price` is a willingness to pay.
    price : str
        The price term of ``space="wtp"``.
    draws : int, array or None
        Draws of each respondent. None: doubled until no estimate moves by a tenth of its standard
        error. An array (respondents, draws, random coefficients) holds points of the uniform law
        of one's own, in memory alone.
    sequence : str
        ``sobol``, ``halton`` (both scrambled) or ``mlhs``; of large files not ``mlhs``, nor
        ``sobol`` of more than 12 coefficients.
    sequences : int
        For fractional outcomes: panels of choices drawn from each respondent's beliefs.
    starts : int
        Starts of the search; the highest maximum is taken, and what the others came to is said.
    seed : int
        Of all draws.
    likelihood : str, optional
        For fractional outcomes: ``sequence``, of sequences of choices drawn from beliefs, or
        ``pairwise``, of pairs of a respondent's situations. By default sequences, but pairs for
        corrected beliefs, which are no probabilities.
    read : str, optional
        For corrected beliefs, which may leave [0, 1]: the column that says what those of a
        case sum to, 1 or 0.
    **options
        See `llmdemand.modeling.models.logit.fraclogit`; robust covariances are clustered by
        respondent.

    Returns
    -------
    MixedResults
        Terms are named ``price``, ``sd(price)``; of lognormal coefficients ``mean(ln -price)``
        and ``sd(ln -price)``; of correlated ones ``chol(size, price)``.

    Raises
    ------
    DesignError
        See `clogit`; for separated data, and where no maximum is found.
    UsageError
        For unknown laws and options.

    Notes
    -----
    ``P_i = mean_s prod_t exp(v_ity(beta_s)) / sum_j exp(v_itj(beta_s))`` (Train 2009, chapter
    6), maximised with exact first and second derivatives. For beliefs the log-likelihood of M
    panels of choices drawn from them is taken, with weight 1/M: the product of beliefs from
    separate calls is the probability of the sequence, so that its score has mean zero.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> who, price = np.repeat(np.arange(60), 6), rng.uniform(1, 3, (360, 2))
    >>> slope = (-1.5 + 0.8 * rng.normal(size=60))[who]
    >>> buys = slope[:, None] * price + rng.gumbel(size=(360, 2))
    >>> df = pd.DataFrame({
    ...     "case": np.repeat(np.arange(360), 2), "alternative": ["a", "b"] * 360,
    ...     "person": np.repeat(who, 2), "price": price.ravel(),
    ...     "choice": (buys == buys.max(axis=1, keepdims=True)).astype(int).ravel()})
    >>> fit = mixlogit("choice ~ price | 0", df, random={"price": "normal"}, panel="person",
    ...                draws=64)
    >>> list(fit.params.index)
    ['price', 'sd(price)']
    """
    found = fit_mixlogit(
        formula,
        data,
        Mixing(
            random,
            correlated,
            space,
            price,
            draws,
            sequence,
            likelihood,
            sequences,
            starts,
            seed,
        ),
        Options.of(data=data, read=read, **options),
        panel=panel,
        case=case,
        alternative=alternative,
        base=base,
        availability=availability,
    )
    return MixedResults.of(found.fit, respondents=found.respondents)
