"""No text of others becomes a spreadsheet's formula."""

import csv

import numpy as np
import pandas as pd
import pytest

from llmdemand.core.sheets import write_csv

# From OWASP's page on CSV injection, and what people reported of exports of survey tools.
ATTACKS = [
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    '=HYPERLINK("http://x.invalid","no")',
    "\t=1+1",
    "\r=1+1",
    "tea\r=1+1",
]


def cells(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("text", ATTACKS)
def test_formulas_are_text(tmp_path, text):
    table = pd.DataFrame({text: [text, "tea"], "x": [1.5, -2.0]}, index=[text, "b"])
    write_csv(table, tmp_path / "a.csv", index=True)
    for row in cells(tmp_path / "a.csv"):
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            assert not cell.startswith("-") or float(cell) < 0
    assert table.columns[0] == text  # the table itself is as it was


def test_numbers_and_plain_text_stay(tmp_path):
    table = pd.DataFrame({"n": [-1.25, np.nan], "text": ["-0.5", "a-b"], "none": [None, "+3"]})
    write_csv(table, tmp_path / "a.csv")
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "a.csv", dtype={"text": str, "none": str}), table, check_dtype=False
    )


def test_two_columns_of_one_name_stay(tmp_path):
    write_csv(pd.DataFrame([["=a", "b"]], columns=["x", "x"]), tmp_path / "a.csv")
    assert cells(tmp_path / "a.csv") == [["x", "x"], ["'=a", "b"]]


def test_the_sheet_of_answers_holds_no_formula(tmp_path):
    from dataclasses import replace

    from llmdemand import load_study, simulate
    from llmdemand.belief.final.labels import sheet

    panel = simulate(load_study("pampers"), "synthetic", runs=1, seed=1)
    evil = replace(panel, frame=panel.frame.assign(text="=1+1"))
    write_csv(sheet(evil, 3), tmp_path / "sheet.csv", mark=True)
    text = (tmp_path / "sheet.csv").read_bytes()
    assert text.startswith("\ufeff".encode()) and b",'=1+1," in text and b",=1+1," not in text
