"""Tests of hypotheses on fitted logits: Wald, likelihood ratio, score, round prices."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.binary import Cells, sigmoid, standardise
from llmdemand.modeling.choice import Cases
from llmdemand.modeling.covariance import SSC, Covariance, covariance
from llmdemand.modeling.designs import BinaryDesign, ChoiceDesign, Design, MultinomialDesign
from llmdemand.modeling.estimate import Source, check_regressors, estimate
from llmdemand.modeling.formula import Part, looks_at_all_rows, part, variables
from llmdemand.modeling.likelihood import Array, Likelihood
from llmdemand.modeling.logit import fraclogit, logit
from llmdemand.modeling.multinomial import clogit, mnlogit
from llmdemand.modeling.newton import newton
from llmdemand.modeling.results import LogitResults

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "Fitted",
    "HasFit",
    "Hypothesis",
    "RoundNumberTest",
    "TestResult",
    "differing_sample",
    "lr_test",
    "restrictions",
    "results_of",
    "round_number_test",
    "score_test",
    "wald_test",
]

_SAME = 1e-8  # relative, for sums over a sample that was grouped in two ways
_SPANNED = 1e-7  # relative, for columns that others make up


class HasFit(Protocol):
    """A fitted demand: it has a logit underneath."""

    @property
    def fit(self) -> LogitResults:
        """The logit."""


Fitted = LogitResults | HasFit
#: An equation or several, a term, a list of them, R, or (R, r).
Hypothesis = str | Sequence[str] | Array | tuple[Any, Any]


def results_of(fit: Fitted) -> LogitResults:
    """The logit results themselves, or those of a demand.

    Raises
    ------
    UsageError
        For anything else.
    """
    found = fit if isinstance(fit, LogitResults) else getattr(fit, "fit", None)
    if not isinstance(found, LogitResults):
        raise UsageError(
            f"{type(fit).__name__} is no fitted logit: give what logit, fraclogit, mnlogit, "
            "clogit or fit_demand returned"
        )
    return found


@dataclass(frozen=True)
class TestResult:
    """What a test says.

    Attributes
    ----------
    name : str
        Which test.
    statistic : float
        F or chi-squared, as `law` says.
    df : float or (float, float)
        Degrees of freedom; numerator and denominator for F.
    pvalue : float
        Probability under the hypothesis of a statistic at least as large.
    law : str
        The reference law.
    hypothesis : str
        What was tested.
    notes : tuple of str
        What the reader should know.

    Examples
    --------
    >>> print(TestResult("Wald test", 4.0, 1.0, 0.0455, "chi-squared(1)", "price = 0"))
    Wald test of price = 0
    chi-squared(1) = 4, p = 0.0455
    """

    __test__: ClassVar[bool] = False  # no test of the test suite

    name: str
    statistic: float
    df: float | tuple[float, float]
    pvalue: float
    law: str
    hypothesis: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        p = f"p = {self.pvalue:.3g}" if self.pvalue > 0 else "p < 1e-300"
        lines = [f"{self.name} of {self.hypothesis}", f"{self.law} = {self.statistic:.5g}, {p}"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


# --- Linear hypotheses, read from text ----------------------------------------------------


def restrictions(terms: Sequence[str], hypothesis: Hypothesis) -> tuple[Array, Array, str]:
    """``R b = r`` from a hypothesis.

    Parameters
    ----------
    terms : sequence of str
        Names of the K coefficients.
    hypothesis : str, list of str, array, or (R, r)
        Equations divided by commas, linear in the terms: ``"price = -0.5, income = 0"``,
        ``"price - 2 * cost = 0"``, ``"a = b = 0"``; an expression without ``=`` is equal to
        zero. Names are matched as they stand, the longest first, so that brackets, colons,
        commas and operators within a name need no quotes: ``"round(price, 5) = 0"``; quotes
        of the kind `````` ` `````` may be used. A list joins its hypotheses. R has a row for
        each restriction and a column for each coefficient; r is zero unless given.

    Returns
    -------
    R : (q, K) array
    r : (q,) array
    text : str
        The hypothesis in words.

    Raises
    ------
    UsageError
        For a name that is no term, for what is not linear, or a wrong shape.

    Examples
    --------
    >>> R, r, text = restrictions(["const", "price", "round(price, 5)"], "round(price, 5) = 0.2")
    >>> R.tolist(), r.tolist()
    ([[0.0, 0.0, 1.0]], [0.2])
    """
    names = list(terms)
    if isinstance(hypothesis, str):
        if hypothesis in names:
            hypothesis = [hypothesis]
        else:
            matrix, value = _Equations(names, hypothesis).read()
            return matrix, value, " ".join(hypothesis.split())
    if isinstance(hypothesis, list | tuple) and all(isinstance(h, str) for h in hypothesis):
        if not hypothesis:
            raise UsageError("no hypothesis: name a term, or write 'price = 0'")
        parts = [
            (_unit(names, h), np.zeros(1), f"{h} = 0") if h in names else restrictions(names, h)
            for h in hypothesis
        ]
        text = ", ".join(p[2] for p in parts)
        return np.vstack([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), text
    right: Any = 0.0
    left: Any = hypothesis
    if isinstance(hypothesis, tuple) and len(hypothesis) == 2:
        left, right = hypothesis
    try:
        matrix = np.atleast_2d(np.asarray(left, np.float64))
        value = np.broadcast_to(np.asarray(right, np.float64), (len(matrix),)).copy()
    except (ValueError, TypeError):
        matrix, value = np.empty((0, 0)), np.empty(0)
    if matrix.ndim != 2 or not len(matrix) or matrix.shape[1] != len(names):
        raise UsageError(
            f"the hypothesis is neither text nor a pair (R, r) with R of shape (q, {len(names)}), "
            f"a column for each of {', '.join(names)}: write for example '{names[-1]} = 0'"
        )
    if not np.isfinite(matrix).all() or not np.isfinite(value).all():
        raise UsageError("the hypothesis (R, r) must hold finite numbers")
    lines = zip(matrix, value, strict=True)
    return matrix, value, ", ".join(_equation(names, row, v) for row, v in lines)


def _unit(names: Sequence[str], name: str) -> Array:
    return np.array([[float(n == name) for n in names]])


def _equation(names: Sequence[str], row: Array, value: float) -> str:
    text = ""
    for name, weight in zip(names, row, strict=True):
        if weight:
            size = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            sign = ("- " if weight < 0 else "+ ") if text else ("-" if weight < 0 else "")
            text += f"{' ' if text else ''}{sign}{size}{name}"
    return f"{text or '0'} = {value:g}"


_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])")
_OPERATOR = re.compile(r"==|[-+*/=(),]")


class _Equations:
    """Reader of linear equations in terms; forms are (K + 1,), the constant last."""

    def __init__(self, names: Sequence[str], text: str) -> None:
        self.names, self.text = names, text
        self.tokens: list[tuple[str, Any]] = []
        self.at = 0
        # A term whose name reads as a number is no name within a text.
        order = sorted((n for n in names if n and not _NUMBER.fullmatch(n)), key=len, reverse=True)
        patterns = [(names.index(n), _pattern(n)) for n in order]
        while text := text.lstrip():
            text = text[self._token(text, patterns) :]

    def _token(self, text: str, patterns: list[tuple[int, re.Pattern[str]]]) -> int:
        """Read one token and return its length."""
        # A name does not begin within a word: 2price is neither.
        for k, pattern in patterns:
            if found := pattern.match(text):
                self.tokens.append(("term", k))
                return found.end()
        if quoted := re.match(r"`([^`]*)`", text):
            if quoted[1] not in self.names:
                raise self._unknown(quoted[1])
            self.tokens.append(("term", list(self.names).index(quoted[1])))
            return quoted.end()
        if number := _NUMBER.match(text):
            self.tokens.append(("number", float(number[0])))
            return number.end()
        if operator := _OPERATOR.match(text):
            self.tokens.append(("=" if operator[0] == "==" else operator[0], None))
            return operator.end()
        word = re.match(r"[\w.]+(\(.*?\))?(\[.*?\])?", text)
        raise self._unknown(word[0] if word else text.split()[0])

    def _unknown(self, name: str) -> UsageError:
        return UsageError(
            f"hypothesis {self.text!r}: {name!r} is no term{nearest(name, list(self.names))}; "
            f"this model has {', '.join(self.names)}"
        )

    def _wrong(self, why: str) -> UsageError:
        return UsageError(
            f"hypothesis {self.text!r}: {why}; write equations linear in the terms, such as "
            f"'{self.names[-1]} = 0' or 'a - 2 * b = 0.5, c = 0'"
        )

    @property
    def _next(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "its end"

    def _take(self, kinds: str) -> str:
        """The next token if it is one of these operators, else nothing."""
        kind = self._next
        if len(kind) != 1 or kind not in kinds:
            return ""
        self.at += 1
        return kind

    def read(self) -> tuple[Array, Array]:
        rows: list[Array] = []
        while True:
            sides = [self._sum()]
            while self._take("="):
                sides.append(self._sum())
            if len(sides) == 1:
                sides.append(np.zeros(len(self.names) + 1))
            rows += [a - b for a, b in pairwise(sides)]
            if self.at == len(self.tokens):
                break
            if not self._take(","):
                raise self._wrong(f"found {self._shown()} where an operator was expected")
        found = np.array(rows)
        return found[:, :-1], -found[:, -1]

    def _shown(self) -> str:
        kind, value = self.tokens[self.at]
        return repr(self.names[value]) if kind == "term" else repr(kind if value is None else value)

    def _sum(self) -> Array:
        total = self._product()
        while sign := self._take("+-"):
            total = total + (1 if sign == "+" else -1) * self._product()
        return total

    def _product(self) -> Array:
        left = self._factor()
        while operator := self._take("*/"):
            right = self._factor()
            if operator == "*" and not left[:-1].any():
                left, right = right, left
            if right[:-1].any():
                raise self._wrong("it multiplies terms, or divides by one")
            if operator == "/" and right[-1] == 0:
                raise self._wrong("it divides by zero")
            left = left * (right[-1] if operator == "*" else 1 / right[-1])
        return left

    def _factor(self) -> Array:
        if sign := self._take("+-"):
            return (1 if sign == "+" else -1) * self._factor()
        if self._take("("):
            inner = self._sum()
            if not self._take(")"):
                raise self._wrong("a bracket is not closed")
            return inner
        if self._next not in ("term", "number"):
            raise self._wrong(f"found {self._next} where a term or number was expected")
        kind, value = self.tokens[self.at]
        self.at += 1
        form = np.zeros(len(self.names) + 1)
        form[value if kind == "term" else -1] = 1.0 if kind == "term" else value
        return form


def _pattern(name: str) -> re.Pattern[str]:
    """The name with any spacing between its pieces, and not as part of a longer word."""
    pieces = re.findall(r"\w+|[^\w\s]", name)
    text = re.escape(pieces[0])
    for a, b in pairwise(pieces):
        both = re.match(r"\w", a) and re.match(r"\w", b)
        text += (r"\s+" if both else r"\s*") + re.escape(b)
    return re.compile(text + (r"(?!\w)" if re.match(r"\w", pieces[-1]) else ""))


# --- Wald ---------------------------------------------------------------------------------


def wald_test(fit: Fitted, hypothesis: Hypothesis) -> TestResult:
    """Wald test of linear hypotheses on the coefficients.

    Parameters
    ----------
    fit : LogitResults or Demand
        A fit, with whatever covariance it was made.
    hypothesis : str, list of str, array, or (R, r)
        See `restrictions`.

    Returns
    -------
    TestResult
        F with q and G - 1 degrees of freedom where there are clusters, else chi-squared with q.

    Raises
    ------
    UsageError
        For what is no hypothesis on these terms.
    DesignError
        If restrictions repeat or contradict each other; if estimates are infinite; if the
        covariance is singular in the tested directions (no more clusters than restrictions,
        an outcome without noise) or not positive (two-way clusters).

    Notes
    -----
    ``W = (R b - r)' (R V R')^-1 (R b - r)`` (Wald 1943). With clusters ``F = W / q`` on
    (q, G - 1) degrees of freedom, the law of Stata's and fixest's tests after clustering;
    for q = 1 it is the square of t.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(wald_test(fraclogit("belief ~ price", df, vcov="HC0"), "price = -1.5"))
    Wald test of price = -1.5
    chi-squared(1) = 1.3665, p = 0.242
    """
    found = results_of(fit)
    matrix, value, text = restrictions([str(t) for t in found.params.index], hypothesis)
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the data are separated and estimates infinite, so there is no Wald "
            "test; fit with separation='firth', or compare likelihoods with lr_test"
        )
    statistic, df, pvalue, law = _quadratic(
        matrix, matrix @ found.params.to_numpy() - value, found.cov.to_numpy(), found.df
    )
    notes: tuple[str, ...] = ()
    if found.fractional and found.vcov == "iid":
        notes = ("the iid covariance is wrong for fractions: refit with vcov='HC1' or clusters",)
    return TestResult("Wald test", statistic, df, pvalue, law, text, notes)


def _quadratic(
    matrix: Array, away: Array, cov: Array, df: float
) -> tuple[float, float | tuple[float, float], float, str]:
    """Statistic, degrees of freedom, p-value and law of ``away' (R V R')^-1 away``."""
    from scipy import stats

    variance = np.diag(cov)
    used = matrix.any(axis=0)
    if not np.isfinite(cov).all() or (variance[used] < 0).any():
        raise DesignError(
            "the covariance holds negative or unknown variances, so there is no test: "
            "use another covariance, such as clusters one way"
        )
    scale = np.where(variance > 0, np.sqrt(np.abs(variance)), 1.0)
    turned = matrix * scale
    length = np.linalg.norm(turned, axis=1)
    if (length == 0).any():
        raise DesignError("a restriction holds no coefficient: leave it out")
    turned, away = turned / length[:, None], away / length
    q = len(turned)
    rank = int(np.linalg.matrix_rank(turned, tol=1e-9))
    if rank < q:
        # In the null space of R' the right-hand sides must agree too.
        left = np.linalg.svd(turned)[0][:, rank:]
        agree = np.abs(left.T @ away).max() < 1e-9 * max(1.0, np.abs(away).max())
        raise DesignError(
            f"{q} restrictions of which {rank} are independent: "
            + ("some repeat the others" if agree else "they contradict each other")
            + "; leave out the redundant ones"
        )
    middle = turned @ (cov / np.outer(scale, scale)) @ turned.T
    values = np.linalg.eigvalsh(middle)
    if not values[0] > 1e-11 * max(1.0, values[-1]):
        why = (
            f"with {df + 1:g} clusters at most {df:g} restrictions can be tested at once"
            if np.isfinite(df) and q > df
            else "the outcome may hold no noise, or two-way clusters give a matrix that is not "
            "positive"
        )
        raise DesignError(
            f"the covariance is singular in the {q} tested directions: {why}; test fewer at "
            "once, or use another covariance"
        )
    w = float(away @ np.linalg.solve(middle, away))
    if np.isfinite(df):
        return w / q, (q, df), float(stats.f.sf(w / q, q, df)), f"F({q}, {df:g})"
    return w, q, float(stats.chi2.sf(w, q)), f"chi-squared({q})"


# --- One sample, one model within another -------------------------------------------------


def differing_sample(a: LogitResults, b: LogitResults) -> str | None:
    """Why two fits are not of one outcome on one sample, as far as can be seen; or None.

    Two fits merge equal rows in different ways, so it goes by what merging leaves as it was:
    name of the outcome, observations, and how often each alternative was chosen.
    """
    if a.outcome != b.outcome:
        return f"outcomes {a.outcome!r} and {b.outcome!r}"
    if type(a.data) is not type(b.data):
        return f"a {a.kind.lower()} and a {b.kind.lower()}"
    if abs(a.nobs - b.nobs) > _SAME * a.nobs:
        return f"{a.nobs:g} and {b.nobs:g} observations"
    first, second = _totals(a), _totals(b)
    if len(first) != len(second) or (np.abs(first - second) > _SAME * (1 + np.abs(first))).any():
        means = (", ".join(f"{v:.4g}" for v in t / t.sum()) for t in (first, second))
        return f"samples with other outcomes (shares {' and '.join(means)})"
    return None


def _totals(fit: LogitResults) -> Array:
    """How often each alternative was chosen, in the order of their names."""
    data = fit.data
    assert isinstance(data, Cells | Cases)
    w = data.count * data.weight
    if isinstance(data, Cells):
        return np.array([w @ data.mean, w @ (1 - data.mean)])
    assert fit.design is not None
    w = np.repeat(w, np.diff(np.append(data.start, len(data.y))))
    total = np.bincount(data.labels, w * data.y, len(fit.design.alternatives))
    return np.asarray(total[np.argsort(fit.design.alternatives)])


def _aligned(restricted: LogitResults, full: LogitResults) -> Array:
    """The restricted model's regressors in the rows of the full model's data."""
    small, large = restricted.data, full.data
    if restricted.design is None or full.design is None or full.frame is None:
        if restricted.design is not full.design:
            raise UsageError(
                "one model was fitted from arrays and the other from a formula, so it cannot be "
                "checked that one lies within the other: fit both in the same way"
            )
        assert isinstance(small, Cells) and isinstance(large, Cells)
        if len(small.mean) != len(large.mean) or not np.allclose(small.mean, large.mean):
            raise DesignError(
                "the two models have other outcomes, or the same ones in another order: fit both "
                "to the same arrays"
            )
        return small.x
    missing = [v for v in _read(restricted.design) if v not in full.frame.columns]
    if missing:
        raise DesignError(
            f"the restricted model reads {', '.join(map(repr, missing))}, which the full model "
            "does not have: it does not lie within the full one; add its terms to the full model"
        )
    if set(restricted.design.alternatives) != set(full.design.alternatives) and not isinstance(
        full.design, BinaryDesign
    ):
        raise DesignError(
            f"alternatives {', '.join(restricted.design.alternatives)} and "
            f"{', '.join(full.design.alternatives)}: the models are of different choices"
        )
    x = restricted.design.expand(full.frame).x
    if isinstance(full.design, MultinomialDesign):
        # Another base, another order of alternatives.
        order = [restricted.design.alternatives.index(a) for a in full.design.alternatives]
        cases = np.arange(0, len(x), len(order))
        x = x[(cases[:, None] + np.array(order)).ravel()]
    return x


def _read(design: Design) -> list[str]:
    own = [design.alternative] if isinstance(design, ChoiceDesign) else []
    return [*design.variables, *own]


def _moments(data: Likelihood, x: Array) -> Array:
    """``sum w y x`` and ``sum w x^2``: equal for equal samples, however rows are merged."""
    assert isinstance(data, Cells | Cases)
    w = data.count * data.weight
    if isinstance(data, Cells):
        return np.concatenate([(w * data.mean) @ x, w @ x**2])
    w = np.repeat(w, np.diff(np.append(data.start, len(data.y))))
    return np.concatenate([(w * data.y) @ x, w @ x**2])


def _place(
    restricted: LogitResults, data: Likelihood, x: Array
) -> tuple[Likelihood, Array, Array, Array]:
    """The full data standardised, and where the restricted model lies in their coefficients.

    Parameters
    ----------
    restricted : LogitResults
        The smaller model.
    data : Likelihood
        The larger one's data.
    x : (R, Kr) array
        The smaller model's regressors in the rows of `data`.

    Returns
    -------
    z : Likelihood
        Standardised data, K coefficients.
    basis : (K, Kr) array
        The restricted model's coefficients b give ``basis @ b`` in the full one.
    inside, away : (K, .) arrays
        Orthonormal directions within the restricted model, and out of it.

    Raises
    ------
    DesignError
        If the restricted regressors are no combinations of the full ones.
    """
    assert isinstance(data, Cells | Cases)
    mine, theirs = _moments(restricted.data, _regressors(restricted.data)), _moments(data, x)
    if (np.abs(mine - theirs) > _SAME * (1 + np.abs(mine))).any():
        raise DesignError(
            "the two models were fitted to different samples: fit both to the same rows (missing "
            "values in the added columns may have left some out)"
        )
    z, _ = data.standardised()
    assert isinstance(z, Cells | Cases)
    if isinstance(data, Cases):
        own, back = replace(data, x=x).standardised()
        wanted = own.x
    else:
        wanted, back = standardise(x)
    found, *_ = np.linalg.lstsq(z.x, wanted, rcond=None)
    missed = np.abs(z.x @ found - wanted).max(axis=0)
    if (missed > _SPANNED).any():
        names = [str(t) for t in restricted.params.index]
        term = names[int(np.flatnonzero(np.abs(back[:, missed > _SPANNED]).sum(axis=1))[-1])]
        raise DesignError(
            f"the restricted model is not within the full one: {term!r} is no combination of the "
            "full model's terms; add it there"
        )
    left, values, _ = np.linalg.svd(found)
    rank = int((values > 1e-9 * values.max()).sum())
    return z, found @ np.linalg.inv(back), left[:, :rank], left[:, rank:]


def _regressors(data: Likelihood) -> Array:
    assert isinstance(data, Cells | Cases)
    return data.x


# --- Likelihood ratio ---------------------------------------------------------------------


def lr_test(restricted: Fitted, full: Fitted) -> TestResult:
    """Likelihood-ratio test of a model against a larger one that contains it.

    Parameters
    ----------
    restricted, full : LogitResults or Demand
        Two fits to one sample; both plain, or both Firth's.

    Returns
    -------
    TestResult
        Chi-squared, with the number of coefficients that the full model has more.

    Raises
    ------
    UsageError
        For fractional outcomes, clusters or sampling weights, where the statistic has no
        chi-squared law; for fits in the wrong order, or one with Firth's penalty and one
        without.
    DesignError
        If outcome or sample differ, or the regressors of the restricted model are no
        combinations of those of the full one.

    Notes
    -----
    ``LR = 2 (llf_full - llf_restricted)`` (Wilks 1938). It supposes independent observations
    and a true likelihood; a robust covariance plays no part in it. With Firth's penalty both
    likelihoods are penalised by the full model's information and the restricted one is
    maximised anew within the full model (Heinze & Schemper 2002; R's logistf), because
    penalties of models of different size cannot be compared.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import logit
    >>> df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0, 1, 0], "price": [1, 1, 1, 2, 2, 3, 3, 3]})
    >>> print(lr_test(logit("choice ~ 1", df), logit("choice ~ price", df)))
    Likelihood-ratio test of price = 0
    chi-squared(1) = 0.6796, p = 0.41
    note: it supposes independent observations; the HC1 covariance plays no part
    """
    from scipy import stats

    small, large = results_of(restricted), results_of(full)
    for found in (small, large):
        _need_likelihood(found)
    if small.firth != large.firth:
        raise UsageError(
            "one fit has Firth's penalty and the other has not: fit both with "
            "separation='firth', or both without"
        )
    if why := differing_sample(small, large):
        raise DesignError(f"no test between {why}: fit both models to one outcome and sample")
    q = len(large.params) - len(small.params)
    if q <= 0:
        raise UsageError(
            f"the restricted model has {len(small.params)} coefficients and the full one "
            f"{len(large.params)}: give the smaller model first, lr_test(restricted, full)"
        )
    z, _, inside, _ = _place(small, large.data, _aligned(small, large))
    notes = []
    if large.firth:
        ends = [newton(z, firth=True, start=np.zeros(z.size), free=free) for free in (None, inside)]
        if not all(end.converged for end in ends):
            raise DesignError(
                "a penalised likelihood did not reach its maximum: are regressors nearly collinear?"
            )
        statistic = 2 * (ends[0].objective - ends[1].objective)
        notes.append("both likelihoods are penalised by the full model's information")
    else:
        statistic = 2 * (large.llf - small.llf)
    for found, which in ((small, "restricted"), (large, "full")):
        if found.separated:
            notes.append(
                f"the {which} model is separated: its likelihood is a limit that no estimate "
                "attains, and the chi-squared law is a poor guide; compare Firth's fits"
            )
    if large.vcov != "iid" or small.vcov != "iid":
        name = large.vcov if large.vcov != "iid" else small.vcov
        notes.append(f"it supposes independent observations; the {name} covariance plays no part")
    statistic = max(0.0, statistic)
    return TestResult(
        "Penalised likelihood-ratio test" if large.firth else "Likelihood-ratio test",
        statistic,
        q,
        float(stats.chi2.sf(statistic, q)),
        f"chi-squared({q})",
        _more(small, large),
        tuple(notes),
    )


def _more(small: LogitResults, large: LogitResults) -> str:
    names = [str(t) for t in large.params.index if t not in small.params.index]
    if len(names) == len(large.params) - len(small.params):
        return ", ".join(f"{t} = 0" for t in names)
    return f"{len(large.params) - len(small.params)} restrictions"


def _need_likelihood(found: LogitResults) -> None:
    wald = "use wald_test with a robust or clustered covariance"
    if found.fractional:
        raise UsageError(
            f"{found.outcome!r} is fractional: its quasi-likelihood ratio has no chi-squared law; "
            f"{wald}, or score_test"
        )
    if found.data.groups:
        raise UsageError(
            f"the fit is clustered by {', '.join(found.data.groups)}: a likelihood ratio takes "
            f"its observations for independent; {wald}, or refit without clusters if they are"
        )
    assert isinstance(found.data, Cells | Cases)
    if (found.data.weight != 1).any():
        raise UsageError(
            f"with sampling weights the likelihood is no likelihood of the sample; {wald}"
        )


# --- Score --------------------------------------------------------------------------------

_NO_SANDWICH = {"CRV3": "CRV1", "pairs": "CRV1"}


def score_test(
    restricted: Fitted,
    added: str | Array,
    data: Any = None,
    **options: Any,
) -> TestResult:
    """Score (Lagrange multiplier) test of terms that a model does not have.

    Parameters
    ----------
    restricted : LogitResults or Demand
        The model without them.
    added : str or array
        Terms in the formula language, ``"round(price, 5)"``, ``"income + C(brand)"``; for
        a conditional logit with parts divided by ``|``. Or columns, (R,) or (R, q), in the
        rows of ``restricted.frame`` (of the arrays for a fit to arrays).
    data : pandas.DataFrame, optional
        The rows that the model was fitted to. They are needed where `added` names columns
        that the model does not read, for a fit keeps no others, or looks at all rows
        (quantile knots).
    **options
        With `data`: what the model was fitted with besides its formula and covariance, such
        as ``weights=``, ``na=``, ``availability=``.

    Returns
    -------
    TestResult
        Chi-squared with as many degrees of freedom as the model would have more
        coefficients; F where there are clusters, as in `wald_test`.

    Raises
    ------
    DesignError
        If the added terms are collinear with the model, the model is separated, or `data`
        are not its sample.
    UsageError
        For Firth's fits, whose scores are not zero, and for columns that `data` must bring.

    Notes
    -----
    With s the full model's score at the restricted estimate, A its information, B the
    covariance of the score and N the tested directions,

        ``d = A^-1 s,  S = (N'd)' [N' A^-1 B A^-1 N]^-1 (N'd)``.

    With ``vcov="iid"``, B = A and it is Rao's ``s' A^-1 s``; otherwise the generalised
    score test (Boos 1992; Wooldridge 2010, section 12.6), valid for fractions and for
    clusters, with the covariance kind and small-sample factor of the restricted fit. The
    full model is never fitted, so it may be one without a maximum. CRV3 and the pairs
    bootstrap are refits and no sandwiches: CRV1, or HC0 without clusters, takes their
    place, and a note says so.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import logit
    >>> df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0, 1, 0], "price": [1, 1, 1, 2, 2, 3, 3, 3]})
    >>> print(score_test(logit("choice ~ 1", df, vcov="iid"), "price", df))
    Score test of price = 0
    chi-squared(1) = 0.66667, p = 0.414
    """
    found = results_of(restricted)
    if found.firth:
        raise UsageError(
            "a score test needs the maximum of the likelihood itself: fit the restricted model "
            "without Firth's penalty, or use wald_test or lr_test on Firth's fits"
        )
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the restricted model is separated, so it has no estimate to test "
            "at; use lr_test between Firth's fits"
        )
    if options and data is None:
        raise UsageError(f"{', '.join(options)}: options go with data=, which is missing")
    if isinstance(added, str) and data is not None:
        full = _refitted(found, added, data, options)
        larger, x, text = full.data, _aligned(found, full), _more(found, full)
    else:
        larger, terms = _widened(found, added)
        x = _regressors(found.data)
        text = ", ".join(f"{t} = 0" for t in terms)
    z, basis, _, away = _place(found, larger, x)
    q = away.shape[1]
    if q == 0:
        raise DesignError(f"{added!r} adds nothing: the model has these regressors already")
    at = basis @ found.params.to_numpy()
    asked, ssc = _as_asked(found)
    notes: tuple[str, ...] = ()
    if asked.kind in _NO_SANDWICH:
        kind = _NO_SANDWICH[asked.kind] if asked.columns else "HC0"
        notes = (f"{asked.kind} refits the model: {kind} takes its place in a score test",)
        asked = Covariance("CRV1", asked.columns) if asked.columns else Covariance("HC0")
        ssc = "stata"
    information = z.information(at)
    ahead = np.linalg.solve(information, z.scores(at).sum(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cov = covariance(z, at, information, asked, ssc).cov
    statistic, df, pvalue, law = _quadratic(away.T, away.T @ ahead, cov, found.df)
    if found.fractional and asked.kind == "iid":
        notes = (*notes, "the iid covariance is wrong for fractions: fit with vcov='HC1'")
    return TestResult("Score test", statistic, df, pvalue, law, text, notes)


def _as_asked(found: LogitResults) -> tuple[Covariance, SSC]:
    """The covariance of a fit, to be asked for once more."""
    columns = tuple(str(c) for c in found.data.groups)
    kind: Any = found.vcov.split()[0]
    options = {}
    for name, pattern in (("reps", r"(\d+) draws"), ("seed", r"seed (\d+)")):
        if said := re.search(pattern, found.vcov):
            options[name] = int(said[1])
    ssc: SSC = "stata"
    if found.ssc == "none" and kind in ("HC1", "CRV1", "score"):
        ssc = "none"
    elif "(n-k)" in found.ssc:
        ssc = "fixest" if "smaller G" in found.ssc or kind == "iid" else "sandwich"
    return Covariance(kind, columns, **options), ssc


@dataclass(frozen=True)
class _Both(Part):
    """A part with terms added, each made by its own record of levels and knots."""

    first: Part = field(default_factory=lambda: Part("0", (), None))
    more: Part = field(default_factory=lambda: Part("0", (), None))

    @classmethod
    def of(cls, first: Part, more: Part) -> _Both:
        added = tuple(t for t in more.terms if t != "const")
        return cls(f"{first.text} + {more.text}", (*first.terms, *added), None, first, more)

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Regressors of the first, then of the added without their constant."""
        keep = [k for k, t in enumerate(self.more.terms) if t != "const"]
        return np.hstack([self.first.matrix(frame), self.more.matrix(frame)[:, keep]])


def _widened(found: LogitResults, added: str | Array) -> tuple[Likelihood, list[str]]:
    """The fit's data with regressors added, and their names."""
    data = found.data
    assert isinstance(data, Cells | Cases)
    names = [str(t) for t in found.params.index]
    if isinstance(added, str):
        if found.design is None or found.frame is None:
            raise UsageError(
                "the model was fitted to arrays: give the added regressors as an array too"
            )
        design = _with_terms(found.design, added, found.frame)
        x, terms = design.expand(found.frame).x, list(design.terms)
    else:
        columns = np.asarray(added, np.float64)
        columns = columns[:, None] if columns.ndim == 1 else columns
        if columns.ndim != 2 or len(columns) != len(data.x) or not np.isfinite(columns).all():
            raise UsageError(
                f"added columns have shape {columns.shape}, expected finite numbers of shape "
                f"({len(data.x)}, q), one row for each of the model's data (fit.frame); rows "
                "with equal regressors were merged: to add other columns give text and data="
            )
        x = np.hstack([data.x, columns])
        terms = [*names, *(f"added {k + 1}" for k in range(columns.shape[1]))]
    larger = replace(data, x=x)
    check = larger.standardised()[0].x if isinstance(larger, Cases) else x
    check_regressors(check, terms, found.nobs, within=isinstance(larger, Cases))
    return larger, [t for t in terms if t not in names]


def _with_terms(design: Design, added: str, frame: pd.DataFrame) -> Design:
    """The design with terms added to its formula."""
    texts = [t.strip() for t in added.split("|")]
    known = [str(c) for c in frame.columns]
    for text in texts:
        if looks_at_all_rows(text):
            raise UsageError(f"{text!r} looks at all rows: give them with data=")
        try:
            variables(text, known)
        except DesignError as error:
            raise UsageError(
                f"{error}; a fit keeps only the columns that it reads: give the rows with data="
            ) from None
    parts = [part(text, frame) for text in texts]
    read = tuple(
        dict.fromkeys([*design.variables, *(v for t in texts for v in variables(t, known))])
    )
    if isinstance(design, ChoiceDesign):
        if len(parts) > 3:
            raise UsageError(f"{added!r} has {len(parts)} parts divided by |, 3 are known")
        own = dict(zip(("generic", "case", "own"), parts, strict=False))
        grown: dict[str, Any] = {
            name: _Both.of(getattr(design, name), more) for name, more in own.items()
        }
        return replace(design, variables=read, **grown)
    if len(parts) > 1:
        raise UsageError(f"{added!r}: parts divided by | are for conditional logits")
    assert isinstance(design, BinaryDesign | MultinomialDesign)
    return replace(design, variables=read, part=_Both.of(design.part, parts[0]))


def _refitted(found: LogitResults, added: str, data: Any, options: dict[str, Any]) -> LogitResults:
    """The full model on the caller's rows, for its data (its estimate is not used)."""
    design = found.design
    if design is None:
        raise UsageError("the model was fitted to arrays: give the added regressors as an array")
    columns = tuple(str(c) for c in found.data.groups)
    vcov: Any = {"CRV1": columns} if columns else "HC0"
    if isinstance(design, ChoiceDesign):
        texts = [t.strip() for t in added.split("|")]
        old = [design.generic.text, design.case.text, design.own.text]
        right = " | ".join(
            f"{o} + {texts[k]}" if k < len(texts) and texts[k] not in ("0", "") else o
            for k, o in enumerate(old)
        )
        own = {"case": design.group, "alternative": design.alternative, "base": None}
        own["base"] = design.alternatives[0]
        options = {**own, **options}
        door: Callable[..., LogitResults] = clogit
    elif isinstance(design, MultinomialDesign):
        right, door = f"{design.part.text} + {added}", mnlogit
        options = {"base": design.alternatives[0], **options}
    else:
        assert isinstance(design, BinaryDesign)
        right = f"{design.part.text} + {added}"
        door = fraclogit if found.kind == "Fractional logit" else logit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return door(f"{found.outcome} ~ {right}", data, vcov=vcov, **options)


# --- Round prices -------------------------------------------------------------------------


@dataclass(frozen=True)
class RoundNumberTest:
    """Whether demand ticks up (or down) at round prices, and by how much.

    Attributes
    ----------
    test : TestResult
        Wald test that the indicator of round prices has no coefficient.
    fit : LogitResults
        The model with the indicator.
    price : str
        Column of prices.
    step : float
        Prices that are multiples of it are round.
    log_odds, se : float
        The uptick in log-odds, and its standard error.
    points : pandas.DataFrame
        One row per round price: ``price, n, observed`` (mean outcome), ``fitted``, ``smooth``
        (what the curve without the indicator says), and ``uptick`` in percentage points with
        ``se, lower, upper``.
    shares : pandas.DataFrame
        One row per price: ``price, n, observed, fitted, round``.
    curve : pandas.DataFrame
        ``price, share``: the smooth curve, averaged over the sample's other regressors.
    """

    test: TestResult
    fit: LogitResults
    price: str
    step: float
    log_odds: float
    se: float
    points: pd.DataFrame
    shares: pd.DataFrame
    curve: pd.DataFrame

    def __str__(self) -> str:
        way = "uptick" if self.log_odds >= 0 else "downtick"
        head = (
            f"Round numbers: {way} of {self.fit.outcome} where {self.price} is a multiple of "
            f"{self.step:g}\nlog-odds {self.log_odds:.4g} (SE {self.se:.4g}, {self.fit.vcov})"
        )
        rows = [
            f"at {r['price']:g}: {100 * r['uptick']:+.2f} percentage points "
            f"({100 * r['lower']:+.2f} to {100 * r['upper']:+.2f})"
            for r in self.points.to_dict("records")
        ]
        return "\n".join([head, *rows, str(self.test)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Mean outcomes by price, the smooth curve, and round prices marked.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6, 4), layout="constrained").subplots()
        blue, vermilion = "#0072B2", "#D55E00"
        for p in self.points["price"]:
            ax.axvline(p, color="0.85", lw=1, zorder=0)
        ax.plot(self.curve["price"], self.curve["share"], color=blue, label="smooth curve")
        plain = self.shares[~self.shares["round"]]
        ax.plot(plain["price"], plain["observed"], "o", color=blue, ms=5, label="mean outcome")
        ax.plot(
            self.points["price"],
            self.points["observed"],
            "s",
            color=vermilion,
            ms=6,
            label=f"mean outcome, multiples of {self.step:g}",
        )
        ax.plot(
            self.points["price"],
            self.points["fitted"],
            "_",
            color=vermilion,
            ms=16,
            label="fitted with the uptick",
        )
        ax.set(
            xlabel=self.price,
            ylabel=f"share ({self.fit.outcome})",
            title=f"Round prices: {self.log_odds:+.3g} log-odds, p = {self.test.pvalue:.2g}",
            ylim=(0, 1),
        )
        ax.legend(frameon=False, fontsize=8)
        return ax


def round_number_test(
    fit: Fitted, step: float = 5, *, price: str = "price", alpha: float = 0.05
) -> RoundNumberTest:
    """Test whether demand ticks up at round prices, and say by how much.

    The model is fitted once more with the term ``round(price, step)``, with the same
    covariance; a model that has the term already is used as it is.

    Parameters
    ----------
    fit : LogitResults or Demand
        A binary or fractional logit, by formula.
    step : float
        Multiples of it are round.
    price : str
        Column of prices.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    RoundNumberTest

    Raises
    ------
    UsageError
        For models of several alternatives or fits to arrays; for a column that the model
        does not read; for an impossible step or `alpha`.
    DesignError
        If no price is round, or every price is; if prices enter as dummies, which leave
        nothing to the indicator; if the model with the indicator is separated.

    Notes
    -----
    With g the indicator's coefficient and v the log-odds without it, the uptick at a round
    price is the mean of ``F(v + g) - F(v)`` over the sample's observations at that price, F
    the logistic function; its standard error is by the delta method, its interval by the
    t law of the fit. That a round price sticks out of the smooth curve may also say that
    the curve is bent: fit a flexible one (``bs(price, df=4)``) before believing it.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import fraclogit
    >>> df = pd.DataFrame({"price": [33, 34, 35, 36, 37] * 2,
    ...                    "belief": [.8, .7, .72, .4, .3, .78, .72, .7, .42, .28]})
    >>> found = round_number_test(fraclogit("belief ~ price", df))
    >>> print(str(found).splitlines()[1])
    log-odds 0.6529 (SE 0.04561, HC1)
    """
    found = results_of(fit)
    if not 0 < alpha < 1:
        raise UsageError(f"alpha={alpha:g}: give one minus the confidence level, as 0.05")
    if not (np.isfinite(step) and step > 0):
        raise UsageError(f"step={step:g}: give a positive number, such as 5")
    design, frame = found.design, found.frame
    if not isinstance(design, BinaryDesign) or frame is None:
        raise UsageError(
            f"a {found.kind.lower()} fitted "
            + ("to arrays" if design is None else "to several alternatives")
            + ": round prices are tested in a logit of one alternative by formula, such as "
            "fraclogit('belief ~ price', data)"
        )
    if price not in design.variables:
        raise UsageError(
            f"the model does not read {price!r}{nearest(price, design.variables)}: it reads "
            f"{', '.join(design.variables) or 'nothing'}; name the column of prices with price="
        )
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the data are separated without the indicator already: fit with "
            "separation='firth', or collect more runs"
        )
    prices = frame[price].to_numpy(np.float64)
    term = f"round({price if price.isidentifier() else f'`{price}`'}, {step:g})"
    indicator = part(f"0 + {term}", frame)
    is_round = indicator.matrix(frame)[:, 0] == 1
    if is_round.all() or not is_round.any():
        raise DesignError(
            f"{'every' if is_round.all() else 'no'} price of {np.unique(prices).size} between "
            f"{prices.min():g} and {prices.max():g} is a multiple of {step:g}: the test compares "
            "round prices with others; choose another step"
        )
    squeezed = {re.sub(r"\s", "", t): t for t in design.terms}
    if re.sub(r"\s", "", term) in squeezed:
        larger, term = found, squeezed[re.sub(r"\s", "", term)]
    else:
        grown = replace(design, part=_Both.of(design.part, indicator))
        term = indicator.terms[0]
        larger = _estimated(found, grown)
    test = wald_test(larger, [term])
    k = list(larger.params.index).index(term)
    x = _regressors(larger.data)
    without = x.copy()
    without[:, k] = 0.0
    points, shares = _upticks(larger, prices, is_round, x, without, alpha)
    return RoundNumberTest(
        test=test,
        fit=larger,
        price=price,
        step=float(step),
        log_odds=float(larger.params.iloc[k]),
        se=float(larger.bse.iloc[k]),
        points=points,
        shares=shares,
        curve=_smooth(larger, frame, price, prices, k),
    )


def _estimated(found: LogitResults, design: BinaryDesign) -> LogitResults:
    """The same sample, estimator and covariance with another right-hand side."""
    assert isinstance(found.data, Cells) and found.frame is not None
    x = design.part.matrix(found.frame)
    check_regressors(x, design.terms, found.nobs)
    asked, ssc = _as_asked(found)
    kind: Any = found.kind
    source = Source(design, found.frame, found.outcome, kind, found.dropped)
    return estimate(
        replace(found.data, x=x),
        design.terms,
        source,
        asked=asked,
        ssc=ssc,
        separation="firth" if found.firth else "raise",
    )


def _upticks(
    fit: LogitResults, prices: Array, is_round: Any, x: Array, without: Array, alpha: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the indicator does at each round price, and the shares at every price."""
    import pandas as pd
    from scipy import stats

    data = fit.data
    assert isinstance(data, Cells)
    w, b = data.count * data.weight, fit.params.to_numpy()
    up, down = sigmoid(x @ b), sigmoid(without @ b)
    slope = (up * (1 - up))[:, None] * x - (down * (1 - down))[:, None] * without
    critical = float(stats.t.ppf(1 - alpha / 2, fit.df))
    points, shares = [], []
    for p in np.unique(prices):
        at = prices == p
        v = w[at] / w[at].sum()
        observed, fitted = float(v @ data.mean[at]), float(v @ up[at])
        row: dict[str, Any] = {"price": float(p), "n": float(data.count[at].sum())}
        row |= {"observed": observed, "fitted": fitted}
        shares.append({**row, "round": bool(is_round[at][0])})
        if is_round[at][0]:
            smooth, gradient = float(v @ down[at]), v @ slope[at]
            se = float(np.sqrt(gradient @ fit.cov.to_numpy() @ gradient))
            gain = fitted - smooth
            row |= {"smooth": smooth, "uptick": gain, "se": se}
            points.append({**row, "lower": gain - critical * se, "upper": gain + critical * se})
    return pd.DataFrame(points), pd.DataFrame(shares)


def _smooth(
    fit: LogitResults, frame: pd.DataFrame, price: str, prices: Array, k: int
) -> pd.DataFrame:
    """Mean share were every observation offered one price, without the indicator."""
    import pandas as pd

    assert isinstance(fit.design, BinaryDesign)
    w = fit.weights / fit.weights.sum()
    if fit.design.variables == (price,):
        frame, w = frame.iloc[:1], np.ones(1)
    grid = np.unique(np.concatenate([np.linspace(prices.min(), prices.max(), 61), prices]))
    grid = grid if len(grid) <= 200 else np.linspace(prices.min(), prices.max(), 61)
    share = []
    for p in grid:
        x = fit.design.part.matrix(frame.assign(**{price: p}))
        x[:, k] = 0.0
        share.append(float(w @ sigmoid(x @ fit.params.to_numpy())))
    return pd.DataFrame({"price": grid, "share": share})
