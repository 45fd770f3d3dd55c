"""A folder of parquet files on the command line is the table, or the panel, that it holds."""

import json

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld


def test_a_folder_is_fitted_as_the_file_that_it_was(run, tmp_path):
    from llmdemand.core.shards.shards import write_shards

    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=2, seed=1)
    panel.write(tmp_path / "panel.parquet")
    write_shards(panel, tmp_path / "panel", rows=20)
    one, found = (json.loads(run("fit", name, "--json")[1]) for name in ("panel.parquet", "panel"))
    assert [t["Estimate"] for t in found["terms"]] == pytest.approx(
        [t["Estimate"] for t in one["terms"]], rel=1e-10
    )
    assert found["fit"]["nobs"] == one["fit"]["nobs"] == len(panel)


def test_a_folder_of_own_rows_is_fitted(run, tmp_path):
    rows = pd.DataFrame({"price": [1, 2, 3, 4] * 8, "buy": [1, 1, 0, 0, 1, 0, 1, 0] * 4})
    (tmp_path / "rows").mkdir()
    rows.to_csv(tmp_path / "rows.csv", index=False)
    for k in range(2):
        rows.iloc[k::2].to_parquet(tmp_path / "rows" / f"{k}.parquet")
    one, found = (
        json.loads(run("fit", name, "buy ~ price", "--json")[1]) for name in ("rows.csv", "rows")
    )
    assert [t["Std. Error"] for t in found["terms"]] == pytest.approx(
        [t["Std. Error"] for t in one["terms"]], rel=1e-10
    )
    code, _, err = run("fit", "rows", "buy ~ price", "--workers", 2, "--cluster", "tcp://a")
    assert code == 2 and "give one" in err
    code, _, err = run("fit", "rows", "buy ~ cost")
    assert code == 2 and "no column 'cost'" in err


def test_a_mixed_logit_of_large_files_is_printed_with_what_it_lacks(run, tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.situations.fits.MOST", 50)
    rng = np.random.default_rng(3)
    price, person = rng.uniform(1, 3, (150, 2)), np.arange(150) // 5
    u = rng.normal(-1, 0.8, 30)[person, None] * price + rng.gumbel(size=price.shape)
    rows = pd.DataFrame(
        {
            "case": np.repeat(np.arange(150), 2),
            "alternative": ["a", "b"] * 150,
            "person": np.repeat(person, 2),
            "price": price.ravel(),
            "choice": (u == u.max(axis=1, keepdims=True)).astype(int).ravel(),
        }
    )
    (tmp_path / "rows").mkdir()
    for k in range(2):
        rows[rows["person"] % 2 == k].to_parquet(tmp_path / "rows" / f"{k}.parquet")
    asked = ["fit", "rows", "choice ~ price | 0", "--model", "mixed", "--case", "case"]
    asked += ["--panel", "person", "--random", "price=normal"]
    code, out, err = run(*asked, "--json")
    found = json.loads(out)
    assert code == 0 and [t["term"] for t in found["terms"]] == ["price", "sd(price)"]
    assert "they need the rows" in found["lacking"][0] and found["fit"]["clusters"] == 30
    one = ld.mixlogit("choice ~ price | 0", rows, random={"price": "normal"}, panel="person")
    assert found["terms"][1]["Estimate"] == pytest.approx(one.params["sd(price)"], rel=1e-10)
    code, out, err = run(*asked)
    assert code == 0 and "Mixed logit of choice" in out
    assert "no best prices" in err and "no elasticity: " in err


def test_a_logit_of_large_files_has_its_elasticities(run, tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.estimation.binary.MOST", 4)
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"price": rng.uniform(30, 45, 400)})
    rows["buy"] = (rng.random(400) < 1 / (1 + np.exp(0.2 * (rows["price"] - 37)))).astype(int)
    (tmp_path / "rows").mkdir()
    for k in range(2):
        rows.iloc[200 * k : 200 * k + 200].to_parquet(tmp_path / "rows" / f"{k}.parquet")
    code, out, _ = run("fit", "rows", "buy ~ price", "--price", 35, "--json")
    found, one = json.loads(out), ld.logit("buy ~ price", rows)
    assert code == 0 and len(found["lacking"]) == 1 and "best prices" in found["lacking"][0]
    for name, right in (
        ("elasticity", one.elasticity()),
        ("elasticity_at", one.elasticity({"price": 35})),
    ):
        (row,) = found[name]
        assert row["estimate"] == pytest.approx(float(right), rel=1e-8)
        assert row["se"] == pytest.approx(float(right.se), rel=1e-6)
