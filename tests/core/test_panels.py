"""The shipped panels are what their responses say."""

import gzip

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.panels import load_panel, panels
from llmdemand.core.resources import data_file
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


def test_beliefs_can_be_extracted_again_from_the_responses(tmp_path):
    from llmdemand.simulation.store import Store

    panel = load_panel("pampers")
    lines = gzip.decompress(data_file("panels", "pampers.responses.jsonl.gz").read_bytes())
    (tmp_path / "responses.jsonl").write_bytes(lines)
    with Store(tmp_path / "responses.sqlite") as store:
        store.import_lines(tmp_path / "responses.jsonl")
    answers = ld.stored_answers(tmp_path / "responses.sqlite", panel.study)
    again = ld.extract_panel(panel.study, answers, {}).frame.set_index("run_id")
    ours = panel.frame.set_index("run_id")
    columns = ["status", "choice", "belief_pampers", "decided_mass", "pivot_token", "text"]
    pd.testing.assert_frame_equal(again.loc[ours.index, columns], ours[columns], check_dtype=False)


def test_the_readme_tells_the_files_from_others():
    import hashlib

    text = data_file("panels", "README.md").read_text("utf-8")
    for name in ("pampers.parquet", "pampers.responses.jsonl.gz"):
        digest = hashlib.sha256(data_file("panels", name).read_bytes()).hexdigest()
        assert digest in text, name
