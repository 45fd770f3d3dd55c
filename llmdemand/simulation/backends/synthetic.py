"""A consumer whose demand is known, answering in tokens like a language model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from llmdemand.belief.readers import compact
from llmdemand.belief.tokens import Response
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.known.answering import Answering
from llmdemand.simulation.backends.known.beliefs import Beliefs
from llmdemand.simulation.backends.known.consumer import Consumer, uniform
from llmdemand.simulation.backends.known.naming import curve, published, short
from llmdemand.simulation.backends.known.nests import Nests
from llmdemand.simulation.backends.known.numbers import NumberConsumer
from llmdemand.simulation.backends.known.stating import Stating
from llmdemand.simulation.backends.known.tokens import Pivot
from llmdemand.simulation.backends.known.truth import Truths
from llmdemand.simulation.backends.known.wording import Wording
from llmdemand.simulation.backends.known.worths import believed, by_level
from llmdemand.simulation.backends.known.written import Written

__all__ = ["SyntheticBackend", "published"]


class SyntheticBackend(Truths):
    """The known-truth consumer: logit demand in a market, own and rival prices in utilities.

    Shares are the logit of utilities that fall with each alternative's price (`Consumer` has
    the formula, with nests, tastes by persona and order effects). With the rivals at their mean
    prices over the design the focal share is ``p = 1 / (1 + exp(-slope * (price -
    indifference)))``: where rivals' prices are fixed, the published reconstruction. In each run
    the beliefs are drawn about the shares with intra-cell correlation `icc`, and the choice from
    the beliefs: `Beliefs`. The answer is a preamble, the pivot, and a few more words; at the
    pivot 3 % of the probability decides nothing yet and 1 % is not listed.

    `truth` and `elasticities` say what is true at any prices, `known_truth` over the design:
    the mean of belief and of choice over the runs that choose, whatever is switched on.

    Parameters
    ----------
    study : Study
        The design; its menu's labels are what is answered, after its first anchor.
    slope : float, optional
        Price sensitivity, utility (log-odds) per unit of price, of every alternative.
    indifference : float, optional
        Focal price at which its share is one half, rivals at their mean prices and no nest
        around it. By default both are those of the published study (-0.535 and 34.8 on 30 to
        45), carried over to the range of the focal price grid: `published`.
    icc : float
        Intra-cell correlation: share of the choice variance that is between
        runs' beliefs, 0 < icc < 1.
    outside : float
        Share of the other alternatives' probability that outside options take.
    split_icc : float, optional
        Intra-cell correlation of how the others divide what is left, about their means; 0 keeps
        it fixed. Beliefs and choices of the focal alternative stay the same. By default 0 in the
        published reconstruction, whose data hold no noise about it; and where a rival's price
        varies, or with constants, nests or `persona_constant_sd`, what makes the beliefs
        Dirichlet with `icc`.
    order_effect : float
        Log-odds added to the alternative that is shown first. With two
        alternatives the average over orders in log-odds is exactly the truth
        without it; with more it is nearly so. The average in probability is
        another number: it lies nearer to one half.
    round_price_uptick, round_to : float
        Log-odds added to the focal alternative where its price is a multiple of
        `round_to`, in the study's unit.
    persona_sd : float
        Standard deviation of the indifference price over personas, price units.
        Cells without a persona are answered by the average one.
    persona_slope_sd, persona_slope_law : float, str
        Standard deviation of the slope over personas, whose law is ``normal`` or
        ``lognormal``: the same mean, and all slopes of one sign.
    persona_seed : int
        Another seed gives other people under the same ids.
    rival_slope : float, optional
        In place of rivals' prices in their own utilities: log-odds of the focal alternative per
        unit by which the rivals' mean price exceeds its mean over their grids, while the others
        divide the rest as before; 0 for a consumer who looks at the focal price alone.
    constants : mapping of str to float, optional
        Utility of each alternative at price 0, in place of `indifference` and `outside`:
        ``v_j = constants[j] + slope * price_j``; 0 of an outside option that is not named.
    part_worths : mapping, optional
        Utility of each level of an attribute, by attribute, then level (0 where not named), or of
        a unit of an attribute of numbers. By default, and with `slope` and `constants`, those of
        the prior of a conjoint study, where none of the three is given.
    nests : mapping of str to sequence of str, optional
        Alternatives that are closer substitutes, by name of the nest: see `Nests`.
    dissimilarity : float or mapping of str to float, optional
        Of all nests, or by nest, in (0, 1].
    persona_constant_sd : float
        Standard deviation over personas of the utility of each alternative but outside options.
    hesitation : float
        Probability at the pivot of a word that decides nothing yet.
    unlisted : float
        Probability at the pivot that is not listed, and never sampled.
    refusal_rate, no_pivot_rate, mismatch_rate : float
        Shares of runs that refuse; that name no alternative; that decide for
        another alternative after the pivot. They do not depend on the choice.
    preambles : str or sequence of sequences of str
        ``"short"``; ``"long"``, which also names alternatives without deciding;
        ``"mixed"``, both; ``"none"``: the pivot comes first. Or token texts of
        your own, one sequence per preamble.
    verbose : bool
        Whether answers go on after the pivot and name other alternatives.
    subwords : bool
        Whether labels are split over several tokens, so that the pivot is a part
        of a word: " P", "amp", "ers".
    raw_logprobs : bool
        Whether log-probabilities are recorded before the temperature T. With q the
        law that answers are sampled from and U = `unlisted`, the candidates s get
        ``p(s) = (1 - U) q(s)^T / sum_t q(t)^T``, so that ``p(s)^(1/T)`` is in
        proportion to q: tempering gives the truth back. Otherwise q is recorded,
        and the temperature changes nothing.
    stated_step, stated_sharpness : float
        How percentages are stated, where the study asks for them: see `Stating`.
    latency : float
        Mean seconds that an answer takes, between half and one and a half of it
        by the run's seed. No answer depends on it: it is not in `settings`.

    Raises
    ------
    UsageError
        For an impossible value, a nest or constant of an unknown alternative, options that
        exclude each other, or a preamble after which this menu's labels cannot be read.

    Notes
    -----
    The defaults reconstruct the published diaper study: they meet its one-run SE
    of 0.264 and its 5 against 93 runs together. They are a reconstruction, not
    the published data. Answers, settings and names of what is stored are what they were before
    rivals' prices were felt, wherever those are fixed.

    The rates, `verbose`, `subwords` and `raw_logprobs` take nothing from a run's
    generator: belief and choice of the runs that choose stay the same when one is
    switched on. (`preambles` and `hesitation` share the generator with the choice.)
    Every answer ends by itself, as if ``max_tokens`` and ``stop`` were never met,
    and ``Request.begun`` is ignored: the answer is complete without it. A list of
    ``top_logprobs`` may cut deciding candidates off; belief then is within its
    bounds, not exact. After a study's anchor only choices are read: refusals hold
    no anchor, and extraction files them under ``no_pivot``.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> study = load_study("pampers")
    >>> truth = SyntheticBackend(study, round_price_uptick=0.3)
    >>> [round(truth.probability(price), 3) for price in (34, 35, 36)]
    [0.605, 0.548, 0.345]
    >>> {a: round(s, 3) for a, s in truth.truth(study.cells()[5]).items()}
    {'pampers': 0.548, 'huggies': 0.362, 'neither': 0.09}
    >>> brands = {"brands": ["pampers", "huggies"]}
    >>> close = SyntheticBackend(study, nests=brands, dissimilarity=0.5)
    >>> round(close.elasticities({"pampers": 35, "huggies": 30})["pampers"]["huggies"], 2)
    13.18
    """

    name = "synthetic"

    def __init__(
        self,
        study: Study,
        *,
        slope: float | None = None,
        indifference: float | None = None,
        icc: float = 0.054,
        outside: float = 0.2,
        split_icc: float | None = None,
        order_effect: float = 0.0,
        round_price_uptick: float = 0.0,
        round_to: float = 5.0,
        persona_sd: float = 0.0,
        persona_slope_sd: float = 0.0,
        persona_seed: int = 0,
        rival_slope: float | None = None,
        constants: Mapping[str, float] | None = None,
        part_worths: Mapping[str, Any] | None = None,
        nests: Mapping[str, Sequence[str]] | None = None,
        dissimilarity: float | Mapping[str, float] | None = None,
        persona_constant_sd: float = 0.0,
        persona_slope_law: str = "normal",
        hesitation: float = 0.03,
        unlisted: float = 0.01,
        refusal_rate: float = 0.0,
        no_pivot_rate: float = 0.0,
        mismatch_rate: float = 0.0,
        preambles: str | Sequence[Sequence[str]] = "short",
        verbose: bool = False,
        subwords: bool = False,
        raw_logprobs: bool = False,
        stated_step: float = 5.0,
        stated_sharpness: float = 1.0,
        latency: float = 0.0,
    ) -> None:
        given = {k: v for k, v in locals().items() if k != "self"}
        if all(x is None for x in (slope, indifference, constants, part_worths, rival_slope)):
            prior = believed(study)
            slope, constants = prior.get("slope"), prior.get("constants")
            part_worths = prior.get("part_worths")
        worths = by_level(study, part_worths or {})
        nested = bool(nests) or dissimilarity is not None
        usual = published(study.prices[study.focal])
        if constants is not None and (indifference is not None or outside != 0.2):
            raise UsageError(
                "constants say what indifference and outside would: give the ones or the others"
            )
        slope = usual[0] if slope is None else slope
        indifference = usual[1] if indifference is None else indifference
        _check(latency, refusal_rate, no_pivot_rate, mismatch_rate)
        self.consumer: Consumer | NumberConsumer = _of_numbers(study, given) or Consumer(
            study.menu,
            study.focal,
            slope,
            indifference,
            outside,
            order_effect,
            round_price_uptick,
            round_to,
            persona_sd,
            persona_slope_sd,
            persona_seed,
            rival_slope,
            {a: sum(g) / len(g) for a, g in study.prices.items() if a != study.focal},
            constants,
            Nests.of(study.menu.ids, nests, dissimilarity) if nested else None,
            persona_constant_sd,
            persona_slope_law,
            worths,
        )
        self._study, self._latency, self._mismatch = study, latency, mismatch_rate
        # What was yielded last is what is parsed next.
        self._written, self._last = Written(), (dict[str, Any](), Response((), ""))
        compared = [g for a, g in study.prices.items() if a != study.focal and len(set(g)) > 1]
        numbers = study.question is not None
        self._usual = bool(compared) and rival_slope is None and constants is None and not numbers
        market = numbers or bool(self._usual or nested or worths) or constants is not None
        market = market or persona_constant_sd > 0
        self.raw_logprobs = raw_logprobs
        curve_ = curve(self.consumer, usual=self._usual)
        self._model = f"known-truth consumer: {curve_}, intra-cell correlation {short(icc)}"
        self._wording = Wording(study, preambles=preambles, verbose=verbose, subwords=subwords)
        self._rates = (refusal_rate, no_pivot_rate, mismatch_rate)
        self._answering = Answering(
            study,
            self.consumer,
            Beliefs(icc, 0.0 if split_icc is None and not market else split_icc),
            Pivot(hesitation, unlisted, raw_logprobs),
            Stating(stated_step, stated_sharpness),
            self._wording,
            self._rates,
            subwords,
            self._model,
        )
        self._settings = self._differing(given, outside)

    def _differing(self, given: Mapping[str, Any], outside: float) -> dict[str, Any]:
        """Settings; options at rest are left out, so that a new one renames no old answer."""
        defaults = SyntheticBackend.__init__.__kwdefaults__ or {}
        apart = {"slope", "indifference", "icc", "outside", "latency", "preambles"}
        options = {k: given[k] for k in defaults if k not in apart and given[k] != defaults[k]}
        if given["preambles"] != defaults["preambles"]:
            options["preambles"] = [list(words) for words in self._wording.preambles]
        if given["part_worths"]:
            del options["part_worths"]  # `model` names them
        if given["nests"]:
            options["nests"] = {name: list(members) for name, members in given["nests"].items()}
        if self._usual:
            options["usual_prices"] = dict(self.consumer.usual)
        if self._study.anchors:
            options["anchor"] = self._study.anchors[0]
        menu = self._study.menu.to_dict()
        return {"outside": outside, "focal": self._study.focal, "menu": menu, **options}

    @property
    def model(self) -> str:
        """The truth, written out."""
        return self._model

    @property
    def settings(self) -> Mapping[str, Any]:
        """What `model` does not name: the menu that is answered, and the options in use."""
        return self._settings

    @property
    def traits(self) -> Traits:
        """One call at a time unless answers take time."""
        return Traits(64 if self._latency else 1, instant=not self._latency)

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[dict[str, Any]]:
        """One compact response per request, computed from its seed."""
        for request in requests:
            if self._latency:
                await asyncio.sleep(self._latency * (0.5 + uniform("latency", request.seed)))
            raw, response = self._written.told(self.answer(request))
            self._last = raw, response
            yield raw

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return self._last[1] if raw is self._last[0] else compact(raw)

    def answer(self, request: Request) -> Response:
        """The response to one request: a pure function of the request and the options."""
        return self._answering.answer(request)

    async def close(self) -> None:
        """Nothing is open."""


def _of_numbers(study: Study, given: Mapping[str, Any]) -> NumberConsumer | None:
    """The consumer of a question of numbers, None of a choice; options of choices are refused."""
    if study.question is None:
        return None
    defaults = SyntheticBackend.__init__.__kwdefaults__ or {}
    own = ["outside", "split_icc", "order_effect", "round_price_uptick", "rival_slope"]
    own += ["constants", "nests", "dissimilarity", "persona_constant_sd"]
    wrong = [k for k in own if given[k] != defaults[k]]
    wrong += ["persona_slope_law"] if given["persona_slope_law"] != "normal" else []
    if wrong:
        raise UsageError(
            f"{wrong[0]} is of consumers who choose between alternatives; this study asks for a "
            f"{study.kind}: leave it out"
        )
    return NumberConsumer.of(study, given)


def _check(
    latency: float,
    refusal_rate: float,
    no_pivot_rate: float,
    mismatch_rate: float,
) -> None:
    """Values that no consumer can have; comparisons are such that NaN fails them."""
    if not 0 <= latency < math.inf:
        raise UsageError(f"latency={latency} is no time: give seconds, 0 or more")
    rates = refusal_rate, no_pivot_rate, mismatch_rate
    if not (all(rate >= 0 for rate in rates) and sum(rates) <= 1):
        raise UsageError(
            f"refusal_rate={refusal_rate}, no_pivot_rate={no_pivot_rate} and "
            f"mismatch_rate={mismatch_rate} must be shares of runs: give three numbers from 0 "
            "whose sum is at most 1"
        )
