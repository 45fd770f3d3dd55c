from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from llmdemand.core.panel import Panel, columns
from llmdemand.core.study import Study
from llmdemand.errors import PanelError


def test_a_panel_survives_the_disk_with_its_study(synthetic_panel, tmp_path):
    path = tmp_path / "deep" / "panel.parquet"
    synthetic_panel.write(path)
    back = Panel.read(path)
    pd.testing.assert_frame_equal(back.frame, synthetic_panel.frame, check_dtype=False)
    assert back.study.hash == synthetic_panel.study.hash
    assert back.provenance == synthetic_panel.provenance
    assert [p.name for p in path.parent.iterdir()] == ["panel.parquet"]


def test_long_has_one_row_per_run_and_alternative(synthetic_panel):
    long = synthetic_panel.long()
    assert len(long) == 3 * len(synthetic_panel)
    by_run = long.groupby("run_id")[["belief", "chosen"]].sum()
    np.testing.assert_allclose(by_run, 1.0, atol=1e-9)
    assert long.loc[long["alternative"] == "neither", "price"].isna().all()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("status", "fine", "status is not one of"),
        ("choice", "luvs", "choice is not one of"),
        ("price_pampers", np.inf, "price is not a finite number"),
        ("belief_pampers", 1.5, r"outside \[0, 1\]"),
        ("belief_pampers", np.nan, "do not sum to 1"),
        ("choice", None, "an ok run has no choice"),
        ("run_id", "0-1", "in the panel twice"),
    ],
)
def test_a_broken_row_is_named(synthetic_panel, column, value, message):
    frame = synthetic_panel.frame.copy()
    frame.loc[frame.index[0], column] = value
    with pytest.raises(PanelError, match=message):
        Panel(frame, synthetic_panel.study)


def test_a_missing_column_suggests_the_nearest(synthetic_panel):
    frame = synthetic_panel.frame.rename(columns={"choice": "choise"})
    with pytest.raises(PanelError, match=r"'choice' is missing \(did you mean 'choise'"):
        Panel(frame, synthetic_panel.study)


def test_unreadable_files(tmp_path):
    with pytest.raises(PanelError, match="no panel at"):
        Panel.read(tmp_path / "absent.parquet")
    path = tmp_path / "bad.parquet"
    path.write_text("hello", encoding="utf-8")
    with pytest.raises(PanelError, match="not a parquet file"):
        Panel.read(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(PanelError, match="holds no study"):
        Panel.read(path)


def test_foreign_metadata_and_columns_of_text(synthetic_panel, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "panel.parquet"
    table = pa.Table.from_pandas(synthetic_panel.frame)
    for inside in (b"hello", b"[]", b'{"study": {}}'):
        pq.write_table(table.replace_schema_metadata({b"llmdemand": inside}), path)
        with pytest.raises(PanelError, match="no study and provenance"):
            Panel.read(path)
    for column in ("price_pampers", "belief_pampers", "decided_mass"):
        frame = synthetic_panel.frame.assign(**{column: "cheap"})
        with pytest.raises(PanelError, match=f"column '{column}' holds .*, not numbers"):
            Panel(frame, synthetic_panel.study)


def varied(panel, **changes):
    """The panel's study with more factors, and its frame with their columns."""
    study = Study.from_dict({**panel.study.to_dict(), **changes})
    return study, panel.frame.assign(variant="own", arm="blind")


def test_variant_and_arm_are_columns_only_where_the_study_has_them(synthetic_panel):
    plain = columns(synthetic_panel.study)
    assert not {"variant", "arm"} & set(plain)
    at = plain.index("order") + 1
    for changes, added in (
        ({"variants": [{"id": "own"}]}, ["variant"]),
        ({"arms": ["blind", "unblinded"]}, ["arm"]),
        ({"arms": ["unblinded"]}, ["arm"]),
        ({"variants": [{"id": "own"}], "arms": ["blind", "unblinded"]}, ["variant", "arm"]),
    ):
        study, _ = varied(synthetic_panel, **changes)
        assert columns(study) == [*plain[:at], *added, *plain[at:]]


def test_variants_and_arms_are_validated_and_survive_the_disk(synthetic_panel, tmp_path):
    changes = {"variants": [{"id": "own"}], "arms": ["blind", "unblinded"], "points": 20}
    study, frame = varied(synthetic_panel, **changes)
    panel = Panel(frame, study)
    panel.write(tmp_path / "panel.parquet")
    back = Panel.read(tmp_path / "panel.parquet")
    assert back.study == study and set(back.frame["variant"]) == {"own"}
    assert {"variant", "arm"} <= set(panel.long().columns)
    assert not {"variant", "arm"} & set(synthetic_panel.long().columns)
    with pytest.raises(PanelError, match="'arm' is missing"):
        Panel(frame.drop(columns="arm"), study)
    for column in ("variant", "arm"):
        with pytest.raises(PanelError, match=f"{column} is not one of"):
            Panel(frame.assign(**{column: "blnd"}), study)


def test_the_probability_of_a_whole_answer_is_validated(synthetic_panel, tmp_path):
    frame = synthetic_panel.frame.assign(whole_probability=0.25)
    frame.loc[frame.index[:2], "final_status"] = "stopped"
    frame.loc[frame.index[:2], "final_choice"] = None
    replace(synthetic_panel, frame=frame).write(tmp_path / "panel.parquet")
    again = Panel.read(tmp_path / "panel.parquet")
    assert (again.frame["whole_probability"] == 0.25).all()
    for value, message in ((0.0, r"outside \(0, 1\]"), (float("nan"), "outside"), (1.0, "stopped")):
        bad = frame.copy()
        bad.loc[bad.index[1], "whole_probability"] = value
        with pytest.raises(PanelError, match=rf"row 1 .*{message}"):
            replace(synthetic_panel, frame=bad)
    with pytest.raises(PanelError, match="not numbers"):
        replace(synthetic_panel, frame=frame.assign(whole_probability="often"))
