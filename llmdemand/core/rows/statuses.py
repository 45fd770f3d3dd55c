"""What can be said of a run."""

from __future__ import annotations

__all__ = ["FINAL_STATUSES", "JUDGED", "STATUSES", "TRIMMED", "USABLE", "WHOLE"]

#: Column of panels in which answers may have been stopped at their pivot.
WHOLE = "whole_probability"

#: Column of panels whose answers a judge has read: the order in which it was shown the options.
JUDGED = "judged_order"

#: In a panel's provenance: answers of which a store keeps fewer candidates than came, where
#: that changes no row. Parts of a panel each count their own.
TRIMMED = "trimmed_answers"

#: What can be said of a run. Only those of `USABLE` enter fits unless asked otherwise.
STATUSES = {
    "ok": "choice and belief are known",
    "low_mass": "few of the listed candidates at the pivot decide anything",
    "unlisted": "no listed candidate at the pivot decides anything: the choice alone is known",
    "no_pivot": "the answer names no alternative",
    "unresolved_at_end": "the answer settles the choice only by ending, or not at all",
    "conflicting_mentions": "the answer names several alternatives and decides for none",
    "unread": "the answer, or one of its branches, is read as no choice when it is finished",
    "refusal": "the model declined to answer",
    "no_output": "the answer is empty",
    "invalid_logprobs": "log-probabilities are positive, missing or sum to more than one",
    "no_logprobs": "the backend returned no log-probabilities",
    "torn_tokens": "the tokens do not tell the story of the text: see the run's reason",
    "failed": "the request failed and was not answered",
    "rescaled": "the stated percentages sum to 100 up to rounding, and were divided by their sum",
    "not_stated": "no percentage is stated for some alternative, or none that is a number",
    "ambiguous": "a stated percentage can be read in several ways: see the run's reason",
    "out_of_bounds": "a stated percentage is below 0 or above 100",
    "bad_sum": "the stated percentages do not sum to 100, and rounding does not explain it",
    "unmeasured": "the text has not been compared with anchor statements yet",
    "indistinct": "the text is equally similar to the anchor statements of all alternatives",
}
#: Statuses of runs whose probabilities are known.
USABLE = ("ok", "rescaled")

#: What can be said of the final choice: the choice that a reader finds in the whole answer.
FINAL_STATUSES = {
    "read": "the whole answer chooses an alternative",
    "unread": "it chooses none or several, or its reader cannot tell",
    "stopped": "it was stopped at its pivot: there is no whole answer",
}
