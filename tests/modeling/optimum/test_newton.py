"""Where Newton's method begins, and that it does not matter where."""

import numpy as np
import pytest

from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.optimum.newton import newton, rough_start


def many(rows, seed=2):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(rows), rng.uniform(-1, 1, rows)])
    y = (rng.random(rows) < 1 / (1 + np.exp(-x @ [0.4, -2.5]))).astype(float)
    return x, y


@pytest.mark.parametrize("choices", [False, True])
def test_a_start_from_some_rows_saves_steps_and_changes_nothing(choices):
    x, y = many(8000)
    data = Cells.of_rows(x, y)
    if choices:  # the same likelihood, as choices beside an alternative of utility 0
        both = np.stack([x, 0 * x], axis=1).reshape(-1, 2)
        one, labels = np.ones(len(y)), np.tile([0, 1], len(y))
        outcome = np.stack([y, 1 - y], axis=1).ravel()
        data = Cases(both, outcome, 2 * np.arange(len(y)), one, one, {}, labels)
    start = rough_start(data)
    cold, warm = newton(data), newton(data, start=start)
    assert warm.converged and warm.iterations < cold.iterations
    assert warm.llf == pytest.approx(cold.llf, rel=1e-13)
    np.testing.assert_allclose(warm.params, cold.params, rtol=1e-9)
    error = np.sqrt(np.diag(np.linalg.inv(cold.information)))
    assert (abs(start - cold.params) < 16 * error).all() and (start != cold.params).all()


def test_few_rows_and_separated_ones_give_no_harmful_start():
    x, y = many(8000)
    assert rough_start(Cells.of_rows(x[:3000], y[:3000])) is None
    # The rows of the start are separated, the others are not.
    y[::16] = x[::16, 1] < 0
    data = Cells.of_rows(x, y)
    warm, cold = newton(data, start=rough_start(data)), newton(data)
    assert warm.converged
    np.testing.assert_allclose(warm.params, cold.params, rtol=1e-9)
