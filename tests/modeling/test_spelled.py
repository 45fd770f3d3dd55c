"""Options that stand in one place are seen in every signature, and a wrong one is explained."""

import inspect

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import UsageError


@pytest.mark.parametrize("door", [ld.logit, ld.fraclogit, ld.mnlogit, ld.clogit])
def test_doors_show_their_options(door):
    shown = inspect.signature(door).parameters
    assert {"vcov", "cov_type", "weights", "na", "separation", "ssc"} <= set(shown)
    assert shown["na"].default == "raise"
    with pytest.raises(UsageError, match="no option 'vcv'"):
        door("y ~ x", pd.DataFrame(), vcv="HC1")


@pytest.mark.parametrize("name", ["elasticity", "marginal_effects", "shares", "optimal_price"])
def test_quantities_show_theirs(name):
    shown = inspect.signature(getattr(ld.LogitResults, name)).parameters
    assert {"ci", "level", "reps", "seed"} <= set(shown) and shown["reps"].default == 1000
