"""A consumer whose demand is known, answering in tokens like a language model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Request

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SyntheticBackend"]

_PREAMBLES = ((), ("I", "'d", " choose"), ("I", " would", " go", " with"), ("My", " choice", ":"))


class SyntheticBackend:
    """The known-truth consumer: logit demand for the study's focal alternative.

    In each run the belief in the focal alternative is drawn from a Beta law with
    mean ``p = 1 / (1 + exp(-slope * (price - indifference)))`` and intra-cell
    correlation `icc`, and the choice from that belief. The rest of the
    probability goes to the other alternatives in fixed proportion. The answer is
    a preamble, the pivot, and a few more words; at the pivot 3 % of the
    probability decides nothing yet and 1 % is not listed.

    Parameters
    ----------
    study : Study
        The design; its menu's labels are what is answered.
    slope : float
        Price sensitivity, log-odds per unit of price.
    indifference : float
        Price at which the focal share is one half.
    icc : float
        Intra-cell correlation: share of the choice variance that is between
        runs' beliefs, 0 < icc < 1.
    outside : float
        Share of the other alternatives' probability that outside options take.

    Raises
    ------
    UsageError
        If `icc` or `outside` lies outside its range.

    Notes
    -----
    The defaults reconstruct the published diaper study: they meet its one-run SE
    of 0.264 and its 5 against 93 runs together. They are a reconstruction, not
    the published data.
    """

    name = "synthetic"
    raw_logprobs = False
    _UNDECIDED, _UNLISTED = 0.03, 0.01

    def __init__(
        self,
        study: Study,
        *,
        slope: float = -0.535,
        indifference: float = 34.8,
        icc: float = 0.054,
        outside: float = 0.2,
    ) -> None:
        if not 0 < icc < 1 or not 0 <= outside <= 1:
            raise UsageError(f"icc={icc} and outside={outside} must be shares between 0 and 1")
        self._study, self._slope, self._indifference = study, slope, indifference
        self._icc, self._outside = icc, outside
        self._others = _split(study, outside)

    @property
    def model(self) -> str:
        """The truth, written out."""
        return (
            f"known-truth consumer: logit p = {self._slope:g} * (price - {self._indifference:g}), "
            f"intra-cell correlation {self._icc:g}"
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters that `model` does not name, and the study whose menu is answered."""
        return {"outside": self._outside, "menu": self._study.menu.to_dict()}

    def probability(self, price: float) -> float:
        """The true share of the focal alternative at a price."""
        return 1 / (1 + math.exp(-self._slope * (price - self._indifference)))

    def complete(self, requests: Iterable[Request]) -> Iterator[dict[str, Any]]:
        """One compact response per request, computed from its seed."""
        for request in requests:
            yield to_compact(self._answer(request))

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return compact(raw)

    def _answer(self, request: Request) -> Response:
        import numpy as np

        rng = np.random.default_rng(request.seed)
        focal = self._study.focal
        p, concentration = self.probability(request.cell.prices[focal]), 1 / self._icc - 1
        belief = float(rng.beta(p * concentration, (1 - p) * concentration))
        shares = {focal: belief, **{a: (1 - belief) * s for a, s in self._others.items()}}
        tokens = [_certain(word) for word in _PREAMBLES[rng.integers(len(_PREAMBLES))]]
        tokens += self._pivot(shares, bool(tokens), rng)
        tokens.append(_certain("."))
        text = "".join(token.data.decode() for token in tokens)
        usage = {
            "prompt_tokens": len((request.system + request.user).split()),
            "completion_tokens": len(tokens),
        }
        return Response(tuple(tokens), text, "stop", None, self.model, usage)

    def _pivot(
        self, shares: Mapping[str, float], preceded: bool, rng: np.random.Generator
    ) -> list[Token]:
        """Fillers until the model decides, then the pivot."""
        words = {a: (" " if preceded else "") + self._study.menu[a].forms[0] for a in shares}
        decided = 1 - self._UNDECIDED - self._UNLISTED
        listed = {words[a]: _log(share * decided) for a, share in shares.items()}
        filler = " maybe" if preceded else "Maybe"
        listed[filler] = math.log(self._UNDECIDED)
        tokens = []
        # The unlisted probability is never sampled: the answer decides or hesitates.
        while rng.random() < self._UNDECIDED / (1 - self._UNLISTED):
            tokens.append(Token.of(filler, listed[filler], listed))
            if not preceded:
                return [*tokens, *self._pivot(shares, True, rng)]
        chosen = words[list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]]
        return [*tokens, Token.of(chosen, listed[chosen], listed)]


def _split(study: Study, outside: float) -> dict[str, float]:
    """Shares of the probability that the focal alternative leaves, summing to one."""
    rivals = [a.id for a in study.menu.inside if a.id != study.focal]
    outsides = [a.id for a in study.menu if a.outside]
    if not rivals or not outsides:
        return {a: 1 / len(rivals + outsides) for a in rivals + outsides}
    return {
        **{a: (1 - outside) / len(rivals) for a in rivals},
        **{a: outside / len(outsides) for a in outsides},
    }


def _certain(word: str) -> Token:
    """A word of the frame: nearly certain, with one listed rival that names nothing."""
    return Token.of(word, math.log(0.95), {word: math.log(0.95), " well": math.log(0.04)})


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-300))
