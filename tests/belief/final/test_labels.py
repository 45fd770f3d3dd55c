import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.belief.final.entered import entered, read_again
from llmdemand.belief.final.labels import (
    COLUMNS,
    Labels,
    agreement,
    labelled,
    sheet,
)
from llmdemand.belief.final.rules import Rules
from llmdemand.core.panel import Panel
from llmdemand.errors import PanelError, UsageError


@pytest.fixture(scope="module")
def panel():
    return ld.simulate(ld.load_study("pampers"), "synthetic", runs=4, seed=1)


def filled(found, label="Huggies"):
    return found.assign(label=label)


def with_labels(panel, readings, labels, probability):
    """A panel whose first rows have these readings and labels."""
    frame = panel.frame.head(len(readings)).reset_index(drop=True)
    part = Panel(frame, panel.study, panel.provenance)
    part = entered(part, dict(zip(frame["run_id"], readings, strict=True)), "judge")
    return Panel(
        part.frame.assign(label=np.array(labels, object), label_probability=probability),
        panel.study,
        part.provenance,
    )


def test_a_sheet_is_a_blind_random_sample_of_whole_answers(panel):
    frame = panel.frame.copy()
    stopped = frame.index[:20]
    frame.loc[stopped, "final_status"] = "stopped"
    frame["final_choice"] = frame["final_choice"].astype(object).mask(frame.index < 20, None)
    found = sheet(Panel(frame, panel.study), 30, seed=3)
    assert tuple(found.columns) == COLUMNS and len(found) == 30
    assert (found["label"] == "").all() and found["key"].is_unique
    assert found["row"].iloc[0] == "1 of 30 (from 44)"
    assert not found["key"].isin(panel.frame["run_id"]).any()
    assert not found.equals(sheet(Panel(frame, panel.study), 30, seed=4))
    assert found.equals(sheet(Panel(frame, panel.study), 30, seed=3))
    with pytest.raises(UsageError, match="1 to 44"):
        sheet(Panel(frame, panel.study), 45)


def test_labels_come_back_to_their_runs_with_their_probability(panel, tmp_path):
    found = filled(sheet(panel, 16)).sample(frac=1, random_state=0)  # sorted by somebody
    found.iloc[0, found.columns.get_loc("label")] = " UNREAD "
    found.iloc[1, found.columns.get_loc("label")] = "none of them"
    read = labelled(panel, found)
    read.write(tmp_path / "l.parquet")
    frame = Panel.read(tmp_path / "l.parquet").frame
    sampled = frame[frame["label_probability"].notna()]
    assert len(sampled) == 16 and (sampled["label_probability"] == 0.25).all()
    assert sampled["label"].value_counts().to_dict() == {"huggies": 14, "neither": 1}
    assert frame["label"].notna().sum() == 15
    texts = dict(zip(found["key"], found["text"], strict=True))
    assert sorted(sampled["text"]) == sorted(texts.values())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda s: s.assign(label="Hugies"), "row 1 of 5 .* 'Hugies' is no option"),
        (lambda s: s.assign(label=""), "the label is empty"),
        (lambda s: s.iloc[1:], r"1 rows are missing \(1 of 5"),
        (lambda s: s.assign(key="0" * 12), "is none of this panel's"),
        (lambda s: s.assign(row="1 of 6"), "not as it was exported"),
        (lambda s: pd.concat([s, s.head(1)]), "a row comes twice"),
        (lambda s: s.assign(key=s["key"].iloc[0]), "comes twice"),
        (lambda s: s.drop(columns="key"), "no column 'key'"),
    ],
)
def test_a_sheet_that_was_spoilt_is_refused_with_the_place(panel, spoil, told):
    with pytest.raises(UsageError, match=told):
        labelled(panel, spoil(filled(sheet(panel, 5))))


def test_agreement_and_kappa_are_those_of_the_textbook_table(panel):
    # 20, 5, 10, 15: agreement .7, of which .5 is expected by chance, so kappa = .4.
    readings = ["pampers"] * 25 + ["huggies"] * 25
    labels = ["pampers"] * 20 + ["huggies"] * 5 + ["pampers"] * 10 + ["huggies"] * 15
    table = agreement(with_labels(panel, readings, labels, 1.0))
    row = table.loc["judge"]
    assert (row["answers"], row["agree"], row["wrong"]) == (50, 0.7, 0.3)
    assert row["kappa"] == pytest.approx(0.4)
    # Its asymptotic standard error (Fleiss, Cohen and Everitt 1969), by hand.
    p = np.array([[20, 5], [10, 15]]) / 50
    rows, columns, po, pe = p.sum(1), p.sum(0), 0.7, 0.5
    a = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - 0.4)) ** 2 for i in (0, 1))
    b = (1 - 0.4) ** 2 * sum(p[i, j] * (columns[i] + rows[j]) ** 2 for i, j in ((0, 1), (1, 0)))
    c = (0.4 - pe * (1 - 0.4)) ** 2
    error = np.sqrt((a + b - c) / 50) / (1 - pe)
    assert row["kappa_upper"] - row["kappa"] == pytest.approx(1.959964 * error, rel=1e-4)
    assert po == row["agree"] and "rules" in table.index


def test_where_all_say_one_thing_kappa_is_unknown(panel):
    table = agreement(with_labels(panel, ["huggies"] * 9, ["huggies"] * 9, 1.0))
    assert table.loc["judge", "agree"] == 1 and np.isnan(table.loc["judge", "kappa"])


def test_a_panel_without_labels_says_how_to_get_them(panel):
    with pytest.raises(PanelError, match="label export"):
        agreement(panel)


def test_labels_and_rules_are_readers_alike(panel):
    labels = {run: "neither" for run in panel.frame["run_id"][:3]}
    read = read_again(panel, Labels(labels))
    assert read.frame["final_status"].value_counts().to_dict() == {"unread": 61, "read": 3}
    assert read.provenance["final_reader"] == "label"
    back = read_again(read, Rules()).frame["final_choice"]
    assert list(back) == list(panel.frame["final_choice"])
