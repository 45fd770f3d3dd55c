"""The shipped panels are what their responses say."""

import gzip

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.panels import load_panel, panels
from llmdemand.core.resources import data_file, data_names
from llmdemand.errors import PanelError


def test_the_panel_has_the_promised_size():
    panel = load_panel("pampers")
    prices = panel.frame.groupby("price_pampers").size()
    assert len(prices) == 16 and prices.min() >= 100
    assert panel.provenance["backend"] == "local" and "SmolLM2" in panel.provenance["model"]
    assert panel.study.hash == ld.load_study("pampers-households").hash
    assert "pampers" in panels()
    with pytest.raises(PanelError, match="did you mean 'pampers'"):
        load_panel("pamper")


def test_whole_answers_of_the_same_runs():
    stopped, whole = load_panel("pampers").frame, load_panel("pampers-whole").frame
    same = ["run_id", "status", "choice", "belief_pampers", "pivot_token", "decided_mass"]
    pd.testing.assert_frame_equal(whole[same], stopped[same])
    assert whole["final_status"].value_counts().to_dict() == {"read": 1703, "unread": 89}
    assert stopped["final_status"].value_counts()["stopped"] == 1506
    assert not whole["mismatch"].fillna(False).any()


def test_the_travel_panel_joins_what_people_did():
    panel = load_panel("travel-mode")
    assert panel.study.hash == ld.load_study("travel-mode").hash
    assert panel.frame.groupby("respondent_id").size().eq(4).all(), "every order once"
    humans = pd.read_csv(data_file("humans", "travel-mode.csv"), dtype={"respondent_id": str})
    both = panel.long().merge(humans, on=["respondent_id", "alternative"], suffixes=("", "_human"))
    assert len(both) == 4 * 720 and (both["price"] == both["price_human"]).all()


@pytest.mark.parametrize("name", ["pampers", "pampers-whole", "travel-mode"])
def test_beliefs_can_be_extracted_again_from_the_responses(tmp_path, name):
    from llmdemand.simulation.storing.store import Store

    panel = load_panel(name)
    lines = gzip.decompress(data_file("panels", f"{name}.responses.jsonl.gz").read_bytes())
    (tmp_path / "responses.jsonl").write_bytes(lines)
    with Store(tmp_path / "responses.sqlite") as store:
        store.import_lines(tmp_path / "responses.jsonl")
    answers = ld.stored_answers(tmp_path / "responses.sqlite", panel.study)
    again = ld.extract_panel(panel.study, answers, {}).frame.set_index("run_id")
    ours = panel.frame.set_index("run_id")
    belief = f"belief_{panel.study.focal}"
    columns = ["status", "choice", belief, "decided_mass", "pivot_token", "text"]
    pd.testing.assert_frame_equal(again.loc[ours.index, columns], ours[columns], check_dtype=False)


def test_the_readme_tells_the_files_from_others():
    import hashlib

    text = data_file("panels", "README.md").read_text("utf-8")
    files = [n for n in data_names("panels") if n != "README.md"]
    assert {"pampers.parquet", "travel-mode.responses.jsonl.gz"} < set(files)
    for name in files:
        digest = hashlib.sha256(data_file("panels", name).read_bytes()).hexdigest()
        assert digest in text, name
