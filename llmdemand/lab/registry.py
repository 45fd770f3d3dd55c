"""The experiments by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llmdemand.errors import UsageError, nearest
from llmdemand.lab.ask import Ask, Respondent
from llmdemand.lab.experiments import (
    downstream,
    equivalence,
    measures,
    multitoken,
    pivots,
    position,
    rounding,
    spread,
    temperature,
)
from llmdemand.lab.result import Result

__all__ = ["EXPERIMENTS", "Experiment", "experiment"]


@dataclass(frozen=True)
class Experiment:
    """One experiment of the lab.

    Attributes
    ----------
    name, question : str
        Its command, and what it asks in one sentence.
    run : callable
        ``run(respondent, seed=, **options)`` gives its result.
    asks : callable or None
        ``asks(**options)`` gives the panels that it wants; None where it asks nobody.
    options : tuple of str
        Those of ``study``, ``runs``, ``experiments``, ``judge`` and ``embed`` that it knows.
    """

    name: str
    question: str
    run: Callable[..., Result]
    asks: Callable[..., tuple[Ask, ...]] | None
    options: tuple[str, ...] = field(default=("study", "runs"))

    def wanted(self, respondent: Respondent, **options: Any) -> tuple[Ask, ...]:
        """The panels that it would ask this respondent for."""
        if self.asks is None:
            return ()
        known = {"known": respondent.known} if self.name == rounding.RoundPricesResult.name else {}
        return self.asks(**self.checked(options), **known)

    def __call__(self, respondent: Respondent, *, seed: int = 1, **options: Any) -> Result:
        """Ask and measure."""
        given = self.checked(options)
        if self.asks is None:
            return self.run(seed=seed, progress=respondent.progress, **given)
        return self.run(respondent, seed=seed, **given)

    def checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options that were given, if the experiment knows them.

        Raises
        ------
        UsageError
            For one that it does not know.
        """
        given = {k: v for k, v in options.items() if v is not None}
        for name in given:
            if name not in self.options:
                raise UsageError(
                    f"--{name} is not for the experiment {self.name!r}: it takes "
                    f"{', '.join('--' + o for o in self.options)}"
                )
        return given


_ALL = (
    Experiment(
        "equivalence",
        "Is mean choice the mean belief, at 1,000 runs per price?",
        equivalence.equivalence,
        equivalence.asks,
    ),
    Experiment(
        "variance",
        "How much less does belief vary over 100 experiments of 5 runs?",
        spread.spread,
        spread.asks,
        ("study", "runs", "experiments"),
    ),
    Experiment(
        "downstream",
        "What price coefficient do 50 studies of 3 runs find?",
        downstream.downstream,
        downstream.asks,
        ("study", "runs", "experiments"),
    ),
    Experiment(
        "pivots",
        "Is the pivot found in labelled answers, what does a wrong one cost, what corrects it?",
        pivots.pivots,
        None,
        ("runs", "judge"),
    ),
    Experiment(
        "temperature",
        "Is belief biased at temperatures 0.1 to 2, with and without tempering?",
        temperature.temperature,
        temperature.asks,
    ),
    Experiment(
        "multi-token",
        "What becomes of belief where labels are split over tokens, or begin alike?",
        multitoken.multi_token,
        multitoken.asks,
    ),
    Experiment(
        "round-prices",
        "How often is an uptick at round prices found, where there is one and where not?",
        rounding.round_prices,
        rounding.asks,
        ("study", "runs", "experiments"),
    ),
    Experiment(
        "position",
        "What do the order and the letters of options add, and what do balanced ones average?",
        position.position,
        position.asks,
    ),
    Experiment(
        "measures",
        "Do log-probabilities, stated percentages or similarity tell what the model chooses?",
        measures.measures,
        measures.asks,
        ("study", "runs", "embed"),
    ),
)

#: Every experiment by its name, in the order of the notebook.
EXPERIMENTS = {one.name: one for one in _ALL}


def experiment(name: str) -> Experiment:
    """An experiment by name.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> experiment("variance").options
    ('study', 'runs', 'experiments')
    """
    if name not in EXPERIMENTS:
        raise UsageError(
            f"no experiment {name!r}{nearest(name, tuple(EXPERIMENTS))}: there are "
            f"{', '.join(EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
