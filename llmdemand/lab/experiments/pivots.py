"""Pivot robustness: labelled answers, what a wrong pivot costs, and what corrects it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.errors import UsageError
from llmdemand.lab.cases import Case, load_cases
from llmdemand.lab.enumerated import Enumerated
from llmdemand.lab.finals import Finals, finals
from llmdemand.lab.repeated import wilson
from llmdemand.lab.result import COLOUR, Result, axes
from llmdemand.lab.rules import RULES, flagged
from llmdemand.simulation.judge import Judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PivotsResult", "pivots"]

_LEVEL = 0.05
_SMALL = 1e-9  # a share that is missed by less is met
_WHICH = ("right", "wrong", "all")
_SOURCE = "answers written for this test and labelled by reading (not sampled from a model)"


@dataclass(frozen=True)
class PivotsResult(Result):
    """Accuracy of rules against hand labels, and bias and variance where they are wrong.

    Attributes
    ----------
    accuracy : pandas.DataFrame
        By rule: ``rule, answers, right`` (pivot token and choice both as labelled; none where
        the label says none), ``share`` with its 95 % Wilson interval ``lower, upper``, and
        ``right_choice`` (given to the rule that matches the final answer).
    effect : pandas.DataFrame
        By rule and ``pivot`` (``right``: as labelled in every run of a question; ``wrong``:
        in some run it is not; ``all``):
        ``questions, without`` (share of runs without belief), ``mean_abs_bias, max_abs_bias``
        (belief minus probability of the recorded choice), ``abs_bias_error`` (mean Monte
        Carlo standard error of a bias), ``variance_ratio`` (median over questions of the
        variance of belief by that of choice).
    answers : pandas.DataFrame
        One row per question: its label, what every rule finds, and ``flagged``: whether the
        audit would notice that the answer goes on to say something else.
    pvalue : float
        Exact McNemar test of the extractor against the best of the other rules.
    whole : Finals
        Whole answers, these and 150 more: who reads them right, and what shares come of plain
        and corrected belief.
    """

    accuracy: pd.DataFrame
    effect: pd.DataFrame
    answers: pd.DataFrame
    pvalue: float
    whole: Finals

    name: ClassVar[str] = "pivots"
    title: ClassVar[str] = "Pivot robustness: rules against hand labels"
    files: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy",
        "effect": "effect",
        "answers": "answers",
    }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file."""
        own = self.whole
        more = {"readings": own.readings, "classes": own.classes, "shares": own.shares}
        return {**super().tables, **more, "questions": own.questions}

    @property
    def holds(self) -> bool:
        """Whether the extractor is right more often than the best other rule, at 5 %."""
        t = self.accuracy.set_index("rule")["right"]
        return bool(t["extractor"] > t.drop("extractor").max() and self.pvalue < _LEVEL)

    @property
    def verdict(self) -> str:
        """Accuracy and cost in words."""
        parts = [
            f"{r['rule']} {r['right']} of {r['answers']} ({100 * r['lower']:.0f} to "
            f"{100 * r['upper']:.0f} %)"
            for r in self.accuracy.to_dict("records")
        ]
        lead = (
            "The extractor finds the pivot more often than any other rule."
            if self.holds
            else "The extractor is NOT shown to find the pivot more often than other rules."
        )
        wrong = self.answers[~self.answers["right extractor"]]
        fails = (
            f" It fails on: {', '.join(wrong['feature'])}; {int(wrong['flagged'].sum())} of these "
            f"{len(wrong)} are flagged by the audit's mismatch."
            if len(wrong)
            else ""
        )
        return (
            f"{lead} Right pivot and choice in the recorded answers: {'; '.join(parts)}; exact "
            f"McNemar p against the best of them = {self.pvalue:.2g}.{fails}{self._cost()} "
            f"{self.whole.verdict}"
        )

    def _cost(self) -> str:
        """What right and wrong pivots do, over all continuations."""
        rows = {(r["rule"], r["pivot"]): r for r in self.effect.to_dict("records")}
        total = int(rows["extractor", "all"]["questions"])
        if not total:
            return ""
        parts = []
        for rule in RULES:
            right, wrong = (rows[rule, which] for which in ("right", "wrong"))
            bias = (
                f"; otherwise mean absolute bias {wrong['mean_abs_bias']:.2f} and "
                f"{wrong['variance_ratio']:.2f} of the variance of choice"
                if wrong["questions"]
                else ""
            )
            parts.append(
                f"{rule}: {int(right['questions'])} (bias {right['mean_abs_bias']:.3f}, "
                f"{right['variance_ratio']:.2f} of the variance{bias})"
            )
        return (
            f" Questions of {total} with the labelled pivot in every drawn continuation: "
            f"{'; '.join(parts)}."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Bias of every question: by rule in the 50, then by estimate in all of them."""
        from llmdemand.reporting.figures.style import GUIDE, finish

        ax = axes(ax, (7.0, 5.6))
        rng, own = np.random.default_rng(0), self.whole
        rows = [
            (
                f"{r['rule']}\n{r['right']} of {r['answers']} pivots right",
                self.answers.get(f"bias {r['rule']}", pd.Series(dtype=float)),
                self.answers.get(f"pivots {r['rule']}", pd.Series(dtype=float)) == 1,
            )
            for r in self.accuracy.to_dict("records")
        ]
        for name in own.shares["estimate"].unique():
            if str(name).startswith(("plain", "corrected")):
                reader = str(name).partition(", ")[2]
                bias = own.questions[f"bias {name}"]
                # Plain belief has no reader: it is right where it misses no share.
                right = own.questions[f"right {reader}"] if reader else bias.abs() < _SMALL
                rows.append((f"{name}\n{bias.notna().sum()} questions, enumerated", bias, right))
        for k, (_, bias, right) in enumerate(rows):
            for mask, colour, marker, label in (
                (right, "belief", "o", "read as labelled"),
                (~right, "choice", "x", "pivot or reading wrong"),
            ):
                values = bias[mask].dropna()
                ax.plot(
                    values,
                    k + rng.uniform(-0.25, 0.25, len(values)),
                    marker,
                    color=COLOUR[colour],
                    ms=4.5,
                    alpha=0.75,
                    label=label if not k else None,
                )
        ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        ax.invert_yaxis()
        ax.axhline(len(RULES) - 0.5, color=GUIDE, lw=0.8, ls=":")
        ax.axvline(0, color=GUIDE, lw=0.8)
        return finish(
            ax, title="Bias, one point per question", x="estimated minus true share", y=""
        )


def pivots(
    cases: Sequence[Case] | None = None,
    *,
    runs: int = 200,
    noise: float = 0.5,
    seed: int = 1,
    judge: Judge | None = None,
    progress: Callable[[float], None] | None = None,
) -> PivotsResult:
    """Try rules on labelled answers, and measure what a wrong pivot costs and what corrects it.

    Accuracy is measured on the recorded answers. For bias and variance each question is run
    again and again: in every run the log-odds of its paths move by normal noise, a path is
    drawn, and each rule reads the answer. With s the run's true probability of the recorded
    choice and b a rule's belief, bias is the mean of ``b - s``.

    Of whole answers everything is enumerated: the tree of a question's answers gives the
    probability of every token, and so expectations without a draw (`llmdemand.lab.finals`).

    Parameters
    ----------
    cases : sequence of Case, optional
        The fifty that are shipped by default, and for whole answers 150 more.
    runs : int
        Runs of each question with more than one path.
    noise : float
        Standard deviation of the log-odds over runs.
    seed : int
        Of the runs.
    judge : Judge, optional
        A language model that reads the whole answers too.
    progress : callable, optional
        Called with the share of questions that are done.

    Returns
    -------
    PivotsResult

    Raises
    ------
    UsageError
        For fewer than two runs, negative noise, or no question.

    Examples
    --------
    >>> found = pivots(runs=10).accuracy.set_index("rule")["share"]
    >>> bool(found["extractor"] > found["first mention"])
    True
    """
    from scipy import stats

    questions = load_cases() if cases is None else tuple(cases)
    if runs < 2 or not noise >= 0 or not questions or seed < 0:
        raise UsageError(
            f"runs={runs}, noise={noise}, seed={seed}, {len(questions)} questions: give at least "
            "two runs, noise and a seed that are not negative, and a question"
        )
    rows = []
    streams = np.random.SeedSequence(seed).spawn(len(questions))
    for k, (case, stream) in enumerate(zip(questions, streams, strict=True)):
        row = _recorded(case)
        if case.uncertain:
            row |= _measured(case, runs, noise, np.random.default_rng(stream))
        rows.append(row)
        if progress is not None:
            progress((k + 1) / len(questions))
    answers = pd.DataFrame(rows)
    accuracy = pd.DataFrame([_accuracy(rule, answers) for rule in RULES])
    best = accuracy.iloc[1:].sort_values("right", kind="stable")["rule"].iloc[-1]
    own, other = answers["right extractor"], answers[f"right {best}"]
    better, worse = int((own & ~other).sum()), int((other & ~own).sum())
    pvalue = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    effect = pd.DataFrame([_effect(rule, which, answers) for rule in RULES for which in _WHICH])
    whole = finals(None if cases is None else map(Enumerated.of, questions), judge)
    return PivotsResult(_SOURCE, seed, accuracy, effect, answers, float(pvalue), whole)


def _recorded(case: Case) -> dict[str, Any]:
    """The hand label of the recorded answer, and what every rule finds in it."""
    response = case.response()
    token = response.tokens[case.pivot].data.decode() if case.pivot >= 0 else ""
    row: dict[str, Any] = {
        "id": case.id,
        "feature": case.feature,
        "text": response.text,
        "pivot": case.pivot,
        "token": token,
        "choice": case.choice,
    }
    for rule, find in RULES.items():
        index, choice, _ = find(case, response, case.choice)
        row[f"pivot {rule}"] = index
        row[f"right {rule}"] = index == case.pivot and choice == case.choice
        row[f"choice {rule}"] = choice == case.choice
    row["flagged"] = flagged(case, response)
    return row


def _measured(case: Case, runs: int, noise: float, rng: np.random.Generator) -> dict[str, Any]:
    """Bias and variance of every rule's belief in the recorded choice."""
    assert case.choice is not None  # only answers that decide have several paths
    at = case.menu.index(case.choice)
    own = np.array([path.alternative == case.choice for path in case.paths])
    base = np.log([path.share for path in case.paths])
    truth, beliefs = np.empty(runs), {rule: np.full(runs, np.nan) for rule in RULES}
    chosen, right = np.empty(runs), dict.fromkeys(RULES, 0)
    for run in range(runs):
        weights = np.exp(base + noise * rng.standard_normal(len(base)))
        shares = weights / weights.sum()
        path = int(rng.choice(len(shares), p=shares))
        truth[run], chosen[run] = shares[own].sum(), own[path]
        response = case.response(path, tuple(shares))
        for rule, find in RULES.items():
            index, _, belief = find(case, response, case.paths[path].alternative)
            right[rule] += index == case.pivot_of(path)
            if belief is not None:
                beliefs[rule][run] = belief[at]
    p = truth.mean()
    row: dict[str, Any] = {"probability": float(p)}
    for rule, b in beliefs.items():
        known = np.isfinite(b)
        gap = (b - truth)[known]
        count = len(gap)
        row[f"pivots {rule}"] = right[rule] / runs
        row[f"without {rule}"] = float(1 - known.mean())
        row[f"bias {rule}"] = float(gap.mean()) if count else float("nan")
        row[f"bias_se {rule}"] = (
            float(gap.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
        )
        row[f"variance {rule}"] = (
            float(b[known].var(ddof=1) / (p * (1 - p))) if count > 1 else float("nan")
        )
    return row


def _accuracy(rule: str, answers: pd.DataFrame) -> dict[str, Any]:
    right, total = int(answers[f"right {rule}"].sum()), len(answers)
    lower, upper = wilson(right, total)
    return {
        "rule": rule,
        "answers": total,
        "right": right,
        "share": right / total,
        "lower": lower,
        "upper": upper,
        "right_choice": int(answers[f"choice {rule}"].sum()),
    }


def _effect(rule: str, which: str, answers: pd.DataFrame) -> dict[str, Any]:
    part = answers[answers["probability"].notna()]
    if which != "all":
        part = part[(part[f"pivots {rule}"] == 1) == (which == "right")]
    bias = part[f"bias {rule}"].abs()
    return {
        "rule": rule,
        "pivot": which,
        "questions": len(part),
        "without": float(part[f"without {rule}"].mean()) if len(part) else float("nan"),
        "mean_abs_bias": float(bias.mean()),
        "max_abs_bias": float(bias.max()),
        "abs_bias_error": float(part[f"bias_se {rule}"].mean()),
        "variance_ratio": float(part[f"variance {rule}"].median()),
    }
