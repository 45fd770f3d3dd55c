"""Whether two fits are of one sample, and where one model lies within another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells, standardise
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.sample.designs import BinaryDesign, MultinomialDesign
from llmdemand.modeling.sample.given import columns_read
from llmdemand.modeling.substitution.nested import NestedCases
from llmdemand.modeling.substitution.nests import within
from llmdemand.modeling.substitution.smooth import situations

__all__ = ["aligned", "differing_sample", "placed", "without", "without_nests"]

_SAME = 1e-8  # relative, for sums over a sample that was grouped in two ways
_SPANNED = 1e-7  # relative, for columns that others make up


def differing_sample(a: Fit, b: Fit) -> str | None:
    """Why two fits are not of one outcome on one sample, as far as can be seen; or None.

    Two fits merge equal rows in different ways, so it goes by what merging leaves as it was:
    name of the outcome, observations, and how often each alternative was chosen.
    """
    if a.outcome != b.outcome:
        return f"outcomes {a.outcome!r} and {b.outcome!r}"
    if isinstance(a.data, Cells) is not isinstance(b.data, Cells):
        return f"a {a.kind.lower()} and a {b.kind.lower()}"
    if abs(a.nobs - b.nobs) > _SAME * a.nobs:
        return f"{a.nobs:g} and {b.nobs:g} observations"
    first, second = _totals(a), _totals(b)
    if len(first) != len(second) or (np.abs(first - second) > _SAME * (1 + np.abs(first))).any():
        means = (", ".join(f"{v:.4g}" for v in t / t.sum()) for t in (first, second))
        return f"samples with other outcomes (shares {' and '.join(means)})"
    return None


def _totals(fit: Fit) -> Array:
    """How often each alternative was chosen, in the order of their names."""
    data = situations(fit.data)
    w, y = _outcomes(data)
    if not isinstance(data, Cases):
        return np.array([w @ y, w @ (1 - y)])
    assert fit.design is not None
    total = np.bincount(data.labels, w * y, len(fit.design.alternatives))
    return np.asarray(total[np.argsort(fit.design.alternatives)])


def _outcomes(data: Cells | Cases) -> tuple[Array, Array]:
    """Weight and mean outcome of each row of regressors."""
    w = data.count * data.weight
    if isinstance(data, Cells):
        return w, data.mean
    return np.repeat(w, np.diff(np.append(data.start, len(data.y)))), data.y


def aligned(restricted: Fit, full: Fit) -> Array:
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
        _same_offset(small.offset, large.offset)
        return small.x
    missing = [v for v in columns_read(restricted.design) if v not in full.frame.columns]
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
    assert isinstance(large, Cells | Cases)
    made = restricted.design.regressors(full.frame)
    x = made.x
    _same_offset(made.offset, large.offset)
    if isinstance(full.design, MultinomialDesign):
        # Another base, another order of alternatives.
        order = [restricted.design.alternatives.index(a) for a in full.design.alternatives]
        cases = np.arange(0, len(x), len(order))
        x = x[(cases[:, None] + np.array(order)).ravel()]
    return x


def _same_offset(a: Array | None, b: Array | None) -> None:
    if a is None and b is None:
        return
    if a is None or b is None or not np.allclose(a, b, rtol=_SAME, atol=0):
        raise DesignError(
            "the two models have other offsets, so neither lies within the other: give both the "
            "same one"
        )


def _moments(data: Cells | Cases, x: Array) -> Array:
    """``sum w y x`` and ``sum w x^2``: equal for equal samples, however rows are merged."""
    w, y = _outcomes(data)
    return np.concatenate([(w * y) @ x, w @ x**2])


def placed(restricted: Fit, data: Concave, x: Array) -> tuple[Concave, Array, Array, Array]:
    """The full data standardised, and where the restricted model lies in their coefficients.

    Parameters
    ----------
    restricted : Fit
        The smaller model.
    data : Concave
        The larger one's data.
    x : (R, Kr) array
        The smaller model's regressors in the rows of `data`.

    Returns
    -------
    z : Concave
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
    own = restricted.data
    assert isinstance(data, Cells | Cases) and isinstance(own, Cells | Cases)
    mine, theirs = _moments(own, own.x), _moments(data, x)
    if (np.abs(mine - theirs) > _SAME * (1 + np.abs(mine))).any():
        raise DesignError(
            "the two models were fitted to different samples: fit both to the same rows (missing "
            "values in the added columns may have left some out)"
        )
    z, _ = data.standardised()
    assert isinstance(z, Cells | Cases)
    if isinstance(data, Cases):
        turned, back = replace(data, x=x).standardised()
        wanted = turned.x
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


def without(small: Fit, large: Fit) -> str:
    """What makes the large model the small one, in words."""
    names = [str(t) for t in large.params.index if t not in small.params.index]
    if len(names) == len(large.params) - len(small.params):
        return ", ".join(f"{t} = 0" for t in names)
    return f"{len(large.params) - len(small.params)} restrictions"


def without_nests(small: Fit, large: Fit) -> str:
    """What makes a nested logit the smaller one, or a plain logit, in words.

    Raises
    ------
    DesignError
        If the small model has terms that the large one has not, other regressors, or nests that
        no restriction of the large one's dissimilarities gives.
    """
    assert isinstance(large.data, NestedCases) and large.design is not None
    own, all_ = [], list(large.design.terms)
    if small.design is not None and isinstance(small.data, Cases | NestedCases):
        own = list(small.design.terms)
    strange = [t for t in own if t not in all_]
    if strange or not own:
        raise DesignError(
            "the restricted model does not lie within the nested logit: "
            + (f"it has {', '.join(map(repr, strange))} besides" if own else f"a {small.kind}")
        )
    theirs, mine = situations(large.data), situations(small.data)
    assert isinstance(theirs, Cases) and isinstance(mine, Cases)
    x = theirs.x[:, [all_.index(t) for t in own]]
    if not np.allclose(_moments(mine, mine.x), _moments(theirs, x), rtol=_SAME, atol=_SAME):
        raise DesignError(
            "the two models have other regressors of the same names: fit both to the same rows"
        )
    _same_offset(mine.offset, theirs.offset)
    trees = small.data.tree if isinstance(small.data, NestedCases) else None
    nests = within(trees, large.data.tree)
    if nests is None:
        raise DesignError(
            "the restricted model does not lie within the nested logit: no dissimilarities of "
            f"{large.data.tree} make it one of {trees or 'no nests'}"
        )
    left = ", ".join(f"{t} = 0" for t in all_ if t not in own)
    return ", ".join(part for part in (left, nests) if part)
