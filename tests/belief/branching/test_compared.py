"""Branching and correction measure the same, and it is seen where they do not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from llmdemand import load_study
from llmdemand.belief.branching.compared import compare_branching
from llmdemand.cli import app
from llmdemand.core.panel import Panel, columns
from llmdemand.errors import DesignError

STUDY = load_study("pampers")
STUDY = replace(STUDY, sampling=replace(STUDY.sampling, branch=True))


def made(n=400, wrong=0.0, seed=1):
    """Runs of two cells that name Pampers with .6 and change their mind in a fifth."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        cell = STUDY.cells()[k % 2]
        b = rng.choice([0.4, 0.8])
        pivot = "pampers" if rng.random() < b else "huggies"
        other = {"pampers": "huggies", "huggies": "pampers"}
        ends = {a: a if rng.random() < 0.8 else other[a] for a in other}
        final = ends[pivot]
        share = b * (ends["pampers"] == "pampers") + (1 - b) * (ends["huggies"] == "pampers")
        share = min(1.0, max(0.0, share + wrong))
        rows.append(
            {
                "run_id": f"{cell.index}-{k}",
                "cell": cell.index,
                "replicate": k,
                "order": ">".join(STUDY.menu.ids),
                **{f"price_{a}": p for a, p in cell.prices.items()},
                "status": "ok",
                "choice": final,
                **{f"{c}_pampers": share for c in ("belief", "lo", "hi")},
                **{f"{c}_huggies": 1 - share for c in ("belief", "lo", "hi")},
                **{f"{c}_neither": 0.0 for c in ("belief", "lo", "hi", "pivot_belief")},
                "branches": 2,
                "branch_tokens": 10.0,
                "pivot_choice": pivot,
                "pivot_belief_pampers": b,
                "pivot_belief_huggies": 1 - b,
                "pivot_index": 0,
                "decided_mass": 1.0,
                "final_choice": final,
                "final_status": "read",
                "mismatch": final != pivot,
                "completion_tokens": 20.0,
            }
        )
    return Panel(pd.DataFrame(rows).reindex(columns=columns(STUDY)), STUDY)


def test_all_three_have_the_mean_of_the_final_choice():
    found = compare_branching(made(4000))
    truth = 0.6 * 0.8 + 0.4 * 0.2
    for measure, row in found.table.iterrows():
        assert row["mean"] == pytest.approx(truth, abs=4 * row["se"]), measure
    # Var F = .56 * .44; with the share of changes m: Var b + m or, by branches, as computed.
    assert found.table.loc["choice", "variance"] == pytest.approx(0.2464, abs=0.01)
    assert found.table["variance"].is_monotonic_decreasing
    assert found.table.loc["branching", "tokens"] == 30
    cost = found.table["variance"] * found.table["tokens"]
    assert found.table["cost"].tolist() == pytest.approx((cost / cost["choice"]).tolist())
    assert found.pvalue > 0.01
    assert found.mismatches == pytest.approx(800, abs=110)


def test_a_branch_that_went_on_from_something_else_is_seen():
    assert compare_branching(made(1000, wrong=0.1)).pvalue < 1e-6


def test_unread_texts_count_for_nothing():
    panel = made(1000)
    frame = panel.frame.copy()
    frame.loc[::4, ["final_choice", "choice"]] = None
    frame.loc[::4, ["status", "final_status"]] = "unread"
    frame.loc[::4, ["belief_pampers", "belief_huggies"]] = 0.0
    found = compare_branching(Panel(frame, STUDY))
    assert found.unread == 250
    assert found.table.loc["branching", "mean"] == pytest.approx(0.56, abs=0.06)


def test_a_panel_without_branches_is_refused(synthetic_panel):
    with pytest.raises(DesignError, match="the panel has no branches"):
        compare_branching(synthetic_panel)
    with pytest.raises(DesignError, match="no cell has two runs"):
        compare_branching(made(2))


def test_the_audit_prints_it(tmp_path):
    made(200).write(tmp_path / "p.parquet")
    printed = CliRunner().invoke(app, ["audit", str(tmp_path / "p.parquet")])
    assert printed.exit_code == 0, printed.output
    assert "branching against correction for pampers, 200 runs" in printed.output
    told = CliRunner().invoke(app, ["audit", str(tmp_path / "p.parquet"), "--json"])
    assert '"measure": "branching"' in told.output
