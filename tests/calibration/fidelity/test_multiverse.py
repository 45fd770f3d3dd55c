"""Every specification is fitted as alone; components are those of an analysis of variance."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from llmdemand import fraclogit, logit, multiverse, paired_panel
from llmdemand.calibration.fidelity.multiverse import components
from llmdemand.errors import DesignError, UsageError


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=80, llm=2, seed=1)


@pytest.fixture(scope="module")
def beliefs():
    slopes = {("a", "x"): -0.1, ("a", "y"): -0.2, ("b", "x"): 0.1, ("b", "y"): -0.05}
    told = {k: paired_panel(humans=80, llm=2, llm_slope=v, seed=1) for k, v in slopes.items()}
    frames = [f.beliefs.assign(prompt=p, model=m) for (p, m), f in told.items()]
    return pd.concat(frames, ignore_index=True)


def test_each_specification_is_the_fit_of_its_rows(data, beliefs):
    found = multiverse(beliefs, ["prompt", "model"], humans=data.humans)
    crv = {"CRV1": "respondent_id"}
    rows = beliefs[(beliefs["prompt"] == "b") & (beliefs["model"] == "x")]
    alone = fraclogit("belief ~ price", rows, vcov=crv)
    row = found.table.loc[("b", "x")]
    assert row["estimate"] == pytest.approx(alone.params["price"])
    assert row["se"] == pytest.approx(alone.bse["price"], rel=0.01)
    human = logit("choice ~ price", data.humans, vcov=crv)
    assert found.humans[0] == pytest.approx(human.params["price"])
    assert row["difference"] == pytest.approx(row["estimate"] - human.params["price"])
    assert found.negative == (3, 3, 3) and "3 have the sign" in found.verdict()
    assert found.verdict().startswith("heuristic") and any("hardly" in n for n in found.notes)
    assert "(heuristic)" in found.plot().get_title()


def test_components_are_those_of_an_analysis_of_variance():
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product([range(6), range(4)], names=["prompt", "model"])
    theta = (rng.normal(size=(6, 1)) + rng.normal(size=4) + 0.3 * rng.normal(size=(6, 4))).ravel()
    found = components(theta, np.zeros((24, 24)), index)["variance"]
    rows = pd.DataFrame({"y": theta}, index=index).reset_index()
    table = anova_lm(smf.ols("y ~ C(prompt) + C(model)", rows).fit())
    mean = table["sum_sq"] / table["df"]
    assert found["interactions"] == pytest.approx(mean["Residual"])
    assert found["prompt"] == pytest.approx((mean["C(prompt)"] - mean["Residual"]) / 4)
    assert found["model"] == pytest.approx((mean["C(model)"] - mean["Residual"]) / 6)


def test_known_components_are_found_on_average_and_errors_of_sampling_are_taken_out():
    rng = np.random.default_rng(2)
    index = pd.MultiIndex.from_product([range(8), range(5)], names=["prompt", "model"])
    noise = 0.5 * np.eye(40) + 0.5
    found = []
    for _ in range(200):
        effect = 2 * rng.normal(size=8)
        theta = effect.repeat(5) + rng.multivariate_normal(np.zeros(40), noise)
        found.append(components(theta, noise, index))
    mean = np.mean([f["variance"].to_numpy() for f in found], axis=0)
    assert mean == pytest.approx([4, 0, 0, 0.5], abs=0.35)
    spread = np.std([f["variance"].to_numpy()[0] for f in found])
    assert np.mean([f["se"].to_numpy()[0] for f in found]) == pytest.approx(spread, rel=0.2)
    # Left as they are: half of those that are zero lie below it.
    assert 0.2 < np.mean([f["variance"].to_numpy()[1] < 0 for f in found]) < 0.8


@pytest.mark.parametrize(
    ("change", "options", "error", "said"),
    [
        (lambda b: b, {"by": []}, UsageError, "name the columns"),
        (lambda b: b, {"term": "prize"}, UsageError, "no coefficient"),
        (lambda b: b[b["prompt"] == "a"], {"by": ["prompt"]}, DesignError, "one specification"),
        (lambda b: b.assign(prompt=b["prompt"].where(b["prompt"] == "a")), {}, DesignError, "miss"),
        (
            lambda b: b.assign(
                belief=b["belief"].where(b["prompt"] == "a", (b["price"] < 36) * 1.0)
            ),
            {},
            DesignError,
            "prompt b",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(beliefs, change, options, error, said):
    with pytest.raises(error, match=said):
        multiverse(change(beliefs), **{"by": ["prompt", "model"], **options})
