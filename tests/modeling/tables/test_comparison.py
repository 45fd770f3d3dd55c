"""Models side by side, as they are printed; their numbers are tested with the scores."""

import numpy as np
import pandas as pd
import pytest

from llmdemand import compare_models, fraclogit, logit


@pytest.fixture(scope="module")
def table():
    df = pd.DataFrame({"price": np.tile([1.0, 2, 3, 4], 5)})
    df["belief"] = 1 / (1 + np.exp(df["price"] - 2.5 + np.sin(np.arange(20))))
    df["choice"] = (df["belief"] > np.arange(20) * 7 % 20 / 20).astype(float)
    return compare_models([logit("choice ~ price", df), fraclogit("belief ~ price", df)])


def test_all_columns_are_printed_whatever_the_terminal(table, monkeypatch):
    for width in (60, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        text = repr(table)
        assert str(table) == text and max(map(len, text.splitlines())) <= width
        for word in ("mcfadden", "log_score", "rmse", "(2): ", "quasi-likelihood"):
            assert word in text
        assert "..." not in text


def test_it_is_a_data_frame_and_parts_of_it_are_plain(table):
    assert isinstance(table, pd.DataFrame) and type(table[["aic"]]) is pd.DataFrame
    assert table.table.to_latex().startswith(r"\begin{tabular}")
    assert table._repr_html_().count("<tr>") == 3 + 1
