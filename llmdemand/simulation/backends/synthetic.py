"""A consumer whose demand is known, answering in tokens like a language model."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.cell import Cell
from llmdemand.core.sampling import Sampling
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.consumers import Consumer, Wording, uniform

__all__ = ["SyntheticBackend", "published"]


class SyntheticBackend:
    """The known-truth consumer: logit demand for the study's focal alternative.

    In each run the belief in the focal alternative is drawn from a Beta law with
    mean ``p = 1 / (1 + exp(-slope * (price - indifference)))`` and intra-cell
    correlation `icc`, and the choice from that belief. The rest of the
    probability goes to the other alternatives in fixed proportion (see `split_icc`),
    so that the data hold no noise about it. The answer is
    a preamble, the pivot, and a few more words; at the pivot 3 % of the
    probability decides nothing yet and 1 % is not listed.

    What is switched on makes the truth richer (order, round prices, personas; see
    `Consumer` for the formula) or the answers harder to read. `truth` is the mean
    of belief and of choice over the runs that choose, whatever is switched on.

    Parameters
    ----------
    study : Study
        The design; its menu's labels are what is answered, after its first anchor.
    slope : float, optional
        Price sensitivity, log-odds per unit of price.
    indifference : float, optional
        Price at which the focal share is one half. By default both are those of the
        published study (-0.535 and 34.8 on 30 to 45), carried over to the range of
        the focal price grid: `published`.
    icc : float
        Intra-cell correlation: share of the choice variance that is between
        runs' beliefs, 0 < icc < 1.
    outside : float
        Share of the other alternatives' probability that outside options take.
    split_icc : float
        Intra-cell correlation of how the others divide what is left: in each run their
        proportions are drawn from a Dirichlet law about their means. 0 keeps them fixed.
        Belief and choice of the focal alternative stay the same.
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
    persona_slope_sd : float
        Standard deviation of the slope over personas.
    persona_seed : int
        Another seed gives other people under the same ids.
    rival_slope : float
        Log-odds of the focal alternative per unit by which the rivals' mean price exceeds
        its mean over their price grids: what a cross elasticity measures.
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
    latency : float
        Mean seconds that an answer takes, between half and one and a half of it
        by the run's seed. No answer depends on it: it is not in `settings`.

    Raises
    ------
    UsageError
        For an impossible value, or a preamble after which this menu's labels
        cannot be read.

    Notes
    -----
    The defaults reconstruct the published diaper study: they meet its one-run SE
    of 0.264 and its 5 against 93 runs together. They are a reconstruction, not
    the published data.

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
        split_icc: float = 0.0,
        order_effect: float = 0.0,
        round_price_uptick: float = 0.0,
        round_to: float = 5.0,
        persona_sd: float = 0.0,
        persona_slope_sd: float = 0.0,
        persona_seed: int = 0,
        rival_slope: float = 0.0,
        hesitation: float = 0.03,
        unlisted: float = 0.01,
        refusal_rate: float = 0.0,
        no_pivot_rate: float = 0.0,
        mismatch_rate: float = 0.0,
        preambles: str | Sequence[Sequence[str]] = "short",
        verbose: bool = False,
        subwords: bool = False,
        raw_logprobs: bool = False,
        latency: float = 0.0,
    ) -> None:
        given = locals()
        usual = published(study.prices[study.focal])
        slope = usual[0] if slope is None else slope
        indifference = usual[1] if indifference is None else indifference
        _check(
            icc,
            split_icc,
            latency,
            hesitation,
            unlisted,
            refusal_rate,
            no_pivot_rate,
            mismatch_rate,
        )
        self.consumer = Consumer(
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
        )
        self._study, self._icc, self._latency = study, icc, latency
        self._split_icc = split_icc
        self._hesitation, self._unlisted = hesitation, unlisted
        self._rates = (refusal_rate, no_pivot_rate, mismatch_rate)
        self._subwords, self.raw_logprobs = subwords, raw_logprobs
        self._wording = Wording(study, preambles=preambles, verbose=verbose, subwords=subwords)
        grids = [study.prices[a] for a in study.prices if a != study.focal]
        self._usual_rivals = sum(sum(g) / len(g) for g in grids) / max(1, len(grids))
        # Laws by prices, first option and persona: a grid has few of each. Where respondents
        # have prices of their own, they are as many as the prompts.
        self._laws: dict[
            tuple[float, float, str, str | None], tuple[float, Mapping[str, float]]
        ] = {}
        self._model = (
            f"known-truth consumer: logit p = {_short(slope)} * (price - {_short(indifference)}), "
            f"intra-cell correlation {_short(icc)}"
        )
        self._settings = self._differing(given, outside)

    def _differing(self, given: Mapping[str, Any], outside: float) -> dict[str, Any]:
        """Settings; options at rest are left out, so that a new one renames no old answer."""
        defaults = SyntheticBackend.__init__.__kwdefaults__ or {}
        apart = {"slope", "indifference", "icc", "outside", "latency", "preambles"}
        options = {k: given[k] for k in defaults if k not in apart and given[k] != defaults[k]}
        if given["preambles"] != defaults["preambles"]:
            options["preambles"] = [list(words) for words in self._wording.preambles]
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
        return Traits(concurrency=64 if self._latency else 1, per_call=1)

    def probability(
        self, price: float, *, order: Sequence[str] | None = None, persona: str | None = None
    ) -> float:
        """The true share of the focal alternative at a price.

        Parameters
        ----------
        price : float
            Of the focal alternative, in the study's unit.
        order : sequence of str, optional
            The option order that is shown; without one there is no order effect.
        persona : str, optional
            A persona's id; the average persona by default. (That is not the average
            over personas, which is nearer to one half.)

        Returns
        -------
        float
            The mean of belief and of choice in such a cell.
        """
        return self.consumer.probability(price, order=order, persona=persona)

    def truth(self, cell: Cell, order: Sequence[str] | None = None) -> dict[str, float]:
        """The true share of every alternative in one cell, by id in menu order.

        Parameters
        ----------
        cell : Cell
            The design point.
        order : sequence of str, optional
            The option order that is shown; by default that of the cell, and where
            the design does not cross orders the truth without an order effect.

        Returns
        -------
        dict of str to float
            Sum 1: the mean of belief and of choice over runs that choose.
        """
        focal, persona = self._study.focal, cell.persona.get("id")
        share, split = self.consumer.law(
            cell.prices[focal],
            order=cell.order if order is None else order,
            persona=persona,
            rivals=self._rivals(cell),
        )
        shares = {focal: share, **{a: (1 - share) * s for a, s in split.items()}}
        return {a: shares[a] for a in self._study.menu.ids}

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[dict[str, Any]]:
        """One compact response per request, computed from its seed."""
        for request in requests:
            if self._latency:
                await asyncio.sleep(self._latency * (0.5 + uniform("latency", request.seed)))
            yield to_compact(self.answer(request))

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return compact(raw)

    async def close(self) -> None:
        """Nothing is open."""

    def answer(self, request: Request) -> Response:
        """The response to one request: a pure function of the request and the options."""
        refusal, no_pivot, mismatch = self._rates
        kind = uniform("kind", request.seed) if any(self._rates) else 1.0
        top, wording = request.sampling.top_logprobs, self._wording
        if kind < refusal + no_pivot:
            tokens = _frame(wording.refusal if kind < refusal else wording.no_pivot, top)
        else:
            tokens = self._choosing(request, kind < refusal + no_pivot + mismatch)
        usage = {
            "prompt_tokens": _word_count(request.system + request.user),
            "completion_tokens": len(tokens),
        }
        text = b"".join([token.data for token in tokens]).decode()
        return Response(tokens, text, "stop", None, self._model, usage)

    def _choosing(self, request: Request, mismatch: bool) -> tuple[Token, ...]:
        """Preamble, pivot, and what follows."""
        import numpy as np

        rng = np.random.default_rng(request.seed)
        p, split = self._law(request)
        concentration = 1 / self._icc - 1
        # The Beta law has no room left where the share is 0 or 1 to the last digit.
        belief = float(rng.beta(p * concentration, (1 - p) * concentration)) if 0 < p < 1 else p
        if self._split_icc:
            split = self._divided(split, request.seed)
        shares = {self._study.focal: belief, **{a: (1 - belief) * s for a, s in split.items()}}
        wording, sampling, top = self._wording, request.sampling, request.sampling.top_logprobs
        preamble = wording.preambles[rng.integers(len(wording.preambles))]
        tokens, preceded = list(_frame(preamble, top)), bool(preamble)
        # The unlisted probability is never sampled: the answer decides or hesitates.
        while rng.random() < self._hesitation / (1 - self._unlisted):
            filler, labels = wording.filler[preceded], wording.labels[preceded]
            tokens.append(self._at_pivot(filler, shares, labels, (), filler, sampling))
            preceded = True
        chosen = _drawn(shares, rng.random())
        ending = wording.ending(chosen, mismatch, request.seed)
        filler, labels = wording.filler[preceded], wording.labels[preceded]
        spoken = labels[chosen]
        if self._subwords:
            # Where a longer label may go on, that the answer ends here is the decision.
            longer = any(p[: len(spoken)] == spoken for a, p in labels.items() if a != chosen)
            labels = {a: (*pieces, ending[0]) for a, pieces in labels.items()}
            if longer:
                spoken, ending = labels[chosen], ending[1:]
        for depth, piece in enumerate(spoken):
            tokens.append(self._at_pivot(piece, shares, labels, spoken[:depth], filler, sampling))
        return (*tokens, *_frame(ending, top))

    def _divided(self, split: Mapping[str, float], seed: int) -> Mapping[str, float]:
        """One run's proportions, from a generator of their own."""
        import numpy as np

        size = 1 / self._split_icc - 1
        drawn = np.random.default_rng([seed, 1]).dirichlet([s * size for s in split.values()])
        return dict(zip(split, drawn.tolist(), strict=True))

    def _law(self, request: Request) -> tuple[float, Mapping[str, float]]:
        cell, order = request.cell, request.order
        price, persona = cell.prices[self._study.focal], cell.persona.get("id")
        rivals = self._rivals(cell)
        key = price, rivals, order[0] if order else "", persona
        found = self._laws.get(key)
        if found is None:
            found = self._laws[key] = self.consumer.law(
                price, order=order, persona=persona, rivals=rivals
            )
        return found

    def _rivals(self, cell: Cell) -> float:
        """By how much the rivals' mean price exceeds its mean over the design."""
        found = [p for a, p in cell.prices.items() if a != self._study.focal]
        return sum(found) / len(found) - self._usual_rivals if found else 0.0

    def _at_pivot(
        self,
        realised: str,
        shares: Mapping[str, float],
        labels: Mapping[str, tuple[str, ...]],
        begun: tuple[str, ...],
        filler: str,
        sampling: Sampling,
    ) -> Token:
        """One token, among what may follow the pieces of a label that are there."""
        depth, masses = len(begun), dict[str, float]()
        for a, share in shares.items():
            pieces = labels[a]
            if not depth or pieces[:depth] == begun:
                masses[pieces[depth]] = masses.get(pieces[depth], 0.0) + share
        if depth:  # given the beginning of the word, within which nobody hesitates
            whole = sum(masses.values())
            decided = (1 - self._unlisted) / whole
        else:
            decided = 1 - self._hesitation - self._unlisted
        listed = {piece: _log(mass * decided) for piece, mass in masses.items()}
        if not depth and self._hesitation:
            listed[filler] = math.log(self._hesitation)
        if self.raw_logprobs and sampling.temperature != 1:
            listed = _before_temperature(listed, sampling.temperature, self._unlisted)
        own = listed[realised]
        if len(listed) > sampling.top_logprobs:
            listed = dict(sorted(listed.items(), key=_by_size)[: sampling.top_logprobs])
        return Token.of(realised, own, listed)


def published(grid: Sequence[float]) -> tuple[float, float]:
    """Slope and indifference price of the published study on another price grid.

    With prices from a to b, the same shares at the same places in the range:
    ``slope = -8.025 / (b - a)``, ``indifference = a + 0.32 (b - a)``.

    >>> published([30, 45]), published([1.0, 2.5])
    ((-0.535, 34.8), (-5.35, 1.48))
    """
    low, high = min(grid), max(grid)
    if low == high:
        return -0.535, float(low)
    return round(-8.025 / (high - low), 12), round(low + 0.32 * (high - low), 12)


def _check(
    icc: float,
    split_icc: float,
    latency: float,
    hesitation: float,
    unlisted: float,
    refusal_rate: float,
    no_pivot_rate: float,
    mismatch_rate: float,
) -> None:
    """Values that no consumer can have; comparisons are such that NaN fails them."""
    if not 0 < icc < 1:
        raise UsageError(f"icc={icc} is no intra-cell correlation: give a number between 0 and 1")
    if not 0 <= split_icc < 1:
        raise UsageError(
            f"split_icc={split_icc} is no intra-cell correlation: give a number from 0 to below 1"
        )
    if not 0 <= latency < math.inf:
        raise UsageError(f"latency={latency} is no time: give seconds, 0 or more")
    if not (hesitation >= 0 and unlisted >= 0 and hesitation + unlisted < 1):
        raise UsageError(
            f"hesitation={hesitation} and unlisted={unlisted} must be shares that leave some "
            "probability to the choice: give two numbers from 0 whose sum is below 1"
        )
    rates = refusal_rate, no_pivot_rate, mismatch_rate
    if not (all(rate >= 0 for rate in rates) and sum(rates) <= 1):
        raise UsageError(
            f"refusal_rate={refusal_rate}, no_pivot_rate={no_pivot_rate} and "
            f"mismatch_rate={mismatch_rate} must be shares of runs: give three numbers from 0 "
            "whose sum is at most 1"
        )


def _before_temperature(
    listed: Mapping[str, float], temperature: float, unlisted: float
) -> dict[str, float]:
    """``p(s) = (1 - unlisted) q(s)^T / sum_t q(t)^T``, in logarithms."""
    scores = {piece: temperature * value for piece, value in listed.items()}
    largest = max(scores.values())
    whole = largest + math.log(sum(math.exp(v - largest) for v in scores.values()))
    whole -= math.log1p(-unlisted)
    return {piece: value - whole for piece, value in scores.items()}


def _drawn(shares: Mapping[str, float], u: float) -> str:
    """The alternative at `u`: what ``Generator.choice`` does with the same draw."""
    # Added up one by one as NumPy does: `sum` rounds otherwise from Python 3.12 on.
    bounds = list(accumulate(shares.values()))
    return list(shares)[bisect_right([bound / bounds[-1] for bound in bounds], u)]


def _frame(words: tuple[str, ...], top: int) -> tuple[Token, ...]:
    return tuple([_certain(word, top > 1) for word in words])


@lru_cache(maxsize=4096)
def _certain(word: str, rival: bool) -> Token:
    """A word of the frame: nearly certain, with one listed rival that names nothing."""
    listed = {word: math.log(0.95), **({" well": math.log(0.04)} if rival else {})}
    return Token.of(word, math.log(0.95), listed)


@lru_cache(maxsize=4096)
def _word_count(text: str) -> int:
    return len(text.split())


def _by_size(item: tuple[str, float]) -> float:
    return -item[1]


def _short(value: float) -> str:
    """A number as ``:g`` writes it, in full where that would name another number."""
    text = f"{value:g}"
    return text if float(text) == value else repr(float(value))


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-300))
