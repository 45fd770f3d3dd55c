"""A sample of shards is bounded, balanced, and the same however runs are divided."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.core.shards.quantiles import quantiles
from llmdemand.core.shards.sample import draw_sample
from llmdemand.core.shards.shards import PanelShards, drawn_note, sampled, write_shards
from llmdemand.core.shards.together import together
from llmdemand.errors import PanelError


@pytest.fixture(scope="module")
def panel():
    return ld.simulate(ld.load_study("pampers"), "synthetic", runs=20, seed=3)


def divided(panel, folder, parts):
    """Parts of the rows, named so that any order of them is one panel."""
    for k, rows in enumerate(parts):
        part = panel.frame.iloc[rows].reset_index(drop=True)
        replace(panel, frame=part).write(folder / f"{k}.parquet")
    return PanelShards.open(folder)


def test_panels_up_to_the_bound_are_used_whole(panel, tmp_path):
    rows = np.array_split(np.random.default_rng(1).permutation(len(panel)), 3)
    shards = divided(panel, tmp_path, rows)
    pd.testing.assert_frame_equal(sampled(shards).frame, panel.frame)
    assert drawn_note(sampled(shards)) == () and sampled(panel) is panel


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([60, 100, 200, 319]))
def test_which_runs_are_drawn_depends_on_their_ids(panel, tmp_path_factory, seed, parts, most):
    rng = np.random.default_rng(seed)
    rows = np.array_split(rng.permutation(len(panel)), parts)
    shards = divided(panel, tmp_path_factory.mktemp("parts"), rows)
    found = draw_sample(shards.parts[::-1], panel.study, panel.provenance, most=most)
    whole = draw_sample(
        divided(panel, tmp_path_factory.mktemp("one"), [np.arange(len(panel))]).parts,
        panel.study,
        panel.provenance,
        most=most,
    )
    pd.testing.assert_frame_equal(found.frame, whole.frame)
    counts = found.frame["cell"].value_counts()
    assert counts.nunique() == 1 and len(found) <= most
    assert len(counts) == (16 if most >= 128 else most // 8)
    assert found.note.startswith(f"from {len(found)} of 320 runs, at most {counts.iloc[0]} of each")
    other = draw_sample(shards.parts, panel.study, panel.provenance, most=most, seed=2)
    assert set(other.frame["run_id"]) != set(found.frame["run_id"])


def test_smaller_cells_give_all_and_leave_room_for_others(panel, tmp_path):
    few = panel.frame[(panel.frame["cell"] > 0) | (panel.frame["replicate"] < 2)]
    shards = write_shards(replace(panel, frame=few), tmp_path, rows=90)
    found = draw_sample(shards.parts, panel.study, panel.provenance, most=152)
    counts = found.frame["cell"].value_counts()
    assert counts[0] == 2 and set(counts.drop(0)) == {10}


def test_of_respondents_all_runs_are_drawn(tmp_path):
    people = ld.load_panel("pampers")
    shards = write_shards(people, tmp_path, rows=500)
    found = draw_sample(
        shards.parts, people.study, people.provenance, by="persona_id", most=len(people) // 2
    )
    each = people.frame.groupby("persona_id").size()
    drawn = found.frame.groupby("persona_id").size()
    assert 0 < len(drawn) < len(each) and (drawn == each[drawn.index]).all()
    assert f"all those of {len(drawn)} of {len(each)}" in found.note


@pytest.mark.parametrize("q", [[0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], [0.333]])
def test_quantiles_are_those_of_all_values(panel, tmp_path, q):
    mass = np.random.default_rng(4).beta(20, 1, len(panel)).round(2)
    mass[:40], mass[40:60] = 0.0, -0.0
    frame = panel.frame.assign(decided_mass=np.where(np.arange(len(panel)) % 7, mass, np.nan))
    shards = write_shards(replace(panel, frame=frame), tmp_path, rows=77)
    found = quantiles(shards.parts, ["decided_mass"], lambda f: f["decided_mass"], q)
    assert found == pytest.approx(frame["decided_mass"].quantile(q).tolist(), rel=1e-15)
    none = quantiles(shards.parts, ["decided_mass"], lambda f: f["decided_mass"].iloc[:0], q)
    assert np.isnan(none).all()


# What others met where they read or reduced folders of parquet, each rebuilt small.
NOTHING = [None, None]
OTHERS = {
    # apache/arrow 8741, dask 5759: a part with nothing in a column is of another type
    "no numbers": ({"x": NOTHING}, {"x": [0.5, np.nan]}, "float64"),
    # ray 49338: null and string
    "no text": ({"x": NOTHING}, {"x": pd.array(["a", None], "str")}, "str"),
    # dask-geopandas 190: an empty part makes all columns numbers with gaps
    "empty": ({"x": []}, {"x": [1, 2]}, "int64"),
    # cudf 5062: gaps in one part alone
    "gaps": ({"x": [1, 2]}, {"x": [3.0, np.nan]}, "float64"),
    "booleans": ({"x": NOTHING}, {"x": pd.array([True, None], "boolean")}, "boolean"),
    # polars 24050, 23399: a column that the first part lacks
    "lacking": ({}, {"x": pd.array(["a"], "str")}, "str"),
}


@pytest.mark.parametrize("what", list(OTHERS))
def test_a_column_has_the_type_of_the_parts_that_have_something(what):
    one, two, dtype = OTHERS[what]
    frames = [pd.DataFrame(one).assign(y=1.0), pd.DataFrame(two).assign(y=1.0)]
    for order in (frames, frames[::-1]):
        found = together(order)
        assert str(found["x"].dtype) == dtype
        some = sum(int(f["x"].notna().sum()) for f in frames if "x" in f)
        assert found["x"].notna().sum() == some
        assert found.index.tolist() == list(range(len(found)))


# dask 6551 (a value in each part), 3115 (parts in the order of the values), 731 (many ties), and
# 12048 (an empty part).
@pytest.mark.parametrize(
    "parts",
    [
        [[1.0], [2.0], [3.0]],
        np.arange(1.0, 101).reshape(10, 10).tolist(),
        [[0.0, 1, 1], [1, 2, 2]],
        [[], [0.5], [], [0.25, np.nan]],
    ],
)
def test_medians_are_exact_whatever_the_parts(parts):
    class Part:
        def __init__(self, values):
            self.values = values

        def frame(self, columns):
            return pd.DataFrame({"x": np.array(self.values, float)})

    q = [0.25, 0.5, 0.75, 0.99]  # dask 4642: one more of them moved another
    found = quantiles([Part(v) for v in parts], ["x"], lambda f: f["x"], q)
    whole = pd.Series(np.concatenate([np.array(p, float) for p in parts]))
    assert found == pytest.approx(whole.quantile(q).tolist(), rel=1e-15)


def test_numbers_and_text_in_one_column_are_refused():
    frames = [pd.DataFrame({"x": ["1"]}), pd.DataFrame({"x": [1]})]
    # polars 12210: which file it is has to be said
    with pytest.raises(PanelError, match=r"'x' holds int64 in b\.parquet and str in a\.parq"):
        together(frames, ["a.parquet", "b.parquet"])
