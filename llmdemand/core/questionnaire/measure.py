"""What a panel's probabilities are: the measures, their names, and what is asked for them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["CALLED", "MEASURES", "asked_to_state"]

#: The measures of a study, and what the numbers in ``belief_<alternative>`` are.
MEASURES = {
    "logprob": "model belief: probabilities of the tokens that settle the choice",
    "stated": "percentages that the model states when it is asked for them",
    "similarity": "similarity of the model's text to anchor statements",
    "choice": "choices alone: there are no probabilities",
}
#: What the probabilities are called wherever they are shown.
CALLED = {
    "logprob": "belief",
    "stated": "stated probability",
    "similarity": "similarity",
    "choice": "choice",
}


def asked_to_state(labels: Sequence[str]) -> str:
    r"""What is asked after the study's own question where percentages are to be stated.

    Parameters
    ----------
    labels : sequence of str
        Of all alternatives, in the option order that the prompt shows.

    Examples
    --------
    >>> print(asked_to_state(["Pampers", "neither"]))
    Do not answer with a choice. Instead state, for each option, the probability in percent:
    Pampers: <number>%
    neither: <number>%
    Use these lines and nothing else. The percentages add up to 100.
    """
    lines = "\n".join(f"{label}: <number>%" for label in labels)
    return (
        "Do not answer with a choice. Instead state, for each option, the probability in percent:"
        f"\n{lines}\n"
        "Use these lines and nothing else. The percentages add up to 100."
    )
