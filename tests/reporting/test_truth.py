"""A rehearsal is compared with its truth, and a fit that contradicts it is said."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from llmdemand import (
    SyntheticBackend,
    clogit,
    compare,
    fit_demand,
    known_truth,
    load_study,
    simulate,
)
from llmdemand.core.panel import Panel

STUDY = load_study("pampers")
VARYING = replace(
    STUDY, prices={"pampers": (30.0, 33.0, 36.0, 40.0), "huggies": (28.0, 30.0, 32.0)}
)
BRANDS = {"nests": {"brands": ["pampers", "huggies"]}, "dissimilarity": 0.3}


def asked(runs=60, study=VARYING, **options):
    return simulate(study, SyntheticBackend(study, **options), runs=runs, seed=1)


@pytest.fixture(scope="module")
def market():
    return asked()


@pytest.fixture(scope="module")
def nested():
    return asked(**BRANDS)


@pytest.fixture(scope="module")
def blind():
    """A consumer who does not look at the rival's price."""
    return asked(rival_slope=0.0)


def test_fits_of_the_right_model_agree_with_the_truth(market):
    truth = known_truth(market)
    for outcome in ("belief", "choice"):
        for model in ("logit", "clogit", "mnlogit"):
            fit = fit_demand(market, outcome, model=model)
            assert truth.contradiction(fit) == "", (outcome, model)
            assert truth.compared(fit)["z"].abs().max() > 0.01
    table = truth.compared(fit_demand(market, model="clogit"))
    assert list(zip(table["alternative"], table["rival"], strict=True)) == [
        (j, k) for j in ("neither", "pampers", "huggies") for k in ("pampers", "huggies")
    ]
    # By a formula of the user's own, too, also where the rival's price is a column.
    long = market.long().fillna({"price": 0.0})
    assert truth.contradiction(clogit("belief ~ price", long, case="run_id")) == ""
    demand = fit_demand(market, formula="price + price_huggies")
    assert set(truth.compared(demand)["rival"]) == {"pampers", "huggies"}


def test_a_conditional_logit_of_a_consumer_who_sees_one_price_contradicts_it(blind):
    truth, fit = known_truth(blind), fit_demand(blind, model="clogit")
    table = truth.compared(fit)
    z = (table["estimate"] - table["truth"]) / table["se"]
    assert table["z"].to_numpy() == pytest.approx(z.to_numpy())
    worst = table.loc[z.abs().idxmax()]
    said = truth.contradiction(fit, "clogit of belief")
    assert said.startswith("Clogit of belief contradicts the known truth: over the design the")
    for value in worst[["estimate", "lower", "upper", "truth"]]:
        assert f" {value:.3g}" in said
    assert f"{abs(worst['z']):.0f} standard errors away" in said and "rival_slope" in said
    assert truth.contradiction(fit_demand(blind, model="mnlogit")) == ""


def test_a_logit_of_a_nested_consumer_contradicts_it_and_is_told_why(nested):
    truth = known_truth(nested)
    said = truth.contradiction(fit_demand(nested, model="clogit"))
    assert "(pampers and huggies) are closer substitutes" in said


def test_a_rival_that_is_left_out_is_the_first_reason(market):
    # A market in which the dear Pampers meet the dear Huggies: the omitted price confounds.
    study = replace(
        STUDY,
        prices={"pampers": (), "huggies": ()},
        price_fields={"pampers": "p", "huggies": "h"},
        personas=tuple(
            {"id": f"{k}", "p": f"{31 + k}", "h": f"{27.5 + 0.9 * k}"} for k in range(8)
        ),
    )
    panel = asked(study=study, runs=100)
    said = known_truth(panel).contradiction(fit_demand(panel, vcov="HC1"))
    assert "Likely reason: the price of huggies varies and is not in the fit" in said
    whole = fit_demand(panel, vcov="HC1", model="clogit")
    assert known_truth(panel).contradiction(whole) == ""


def test_few_clusters_need_a_larger_distance(blind):
    truth = known_truth(blind)
    fit = fit_demand(blind, model="clogit", vcov={"CRV1": "replicate"})
    z = truth.compared(fit)["z"].abs().max()
    assert z > 4 and truth.contradiction(fit)
    # Four standard errors have the probability of thousands under Student's law with df 1.
    assert truth.contradiction(replace(fit, df=1.0)) == "" and z < 10_000


def test_runs_that_do_not_enter_are_allowed_for(market):
    # Cells of the same design drawn at random: the truth of the draw is that far from the whole.
    truth, rng, away = known_truth(market), np.random.default_rng(1), []
    backend = SyntheticBackend(VARYING)
    cells = VARYING.cells()
    shares = np.array([backend.truth(c)["pampers"] for c in cells])
    moved = shares * [backend.elasticities(c)["pampers"]["pampers"] for c in cells]
    for _ in range(2000):
        drawn = rng.choice(np.repeat(np.arange(len(cells)), 60), 180, replace=False)
        away.append(moved[drawn].sum() / shares[drawn].sum())
    allowed = truth.spread["pampers"]["pampers"] * np.sqrt((1 - 180 / truth.runs) / 180)
    assert np.std(away) == pytest.approx(allowed, rel=0.1) and truth.runs == 720
    # Three quarters refuse: nothing is contradicted by chance, and what is wrong still is.
    some = asked(refusal_rate=0.75)
    fit = fit_demand(some, model="clogit", reading="pivot")
    table = known_truth(some).compared(fit)
    whole = (table["estimate"] - table["truth"]) / table["se"]
    assert fit.nobs < 250 and (table["z"].abs() < whole.abs()).all()
    assert known_truth(some).contradiction(fit) == ""
    wrong = asked(refusal_rate=0.75, rival_slope=0.0)
    assert known_truth(wrong).contradiction(fit_demand(wrong, model="clogit", reading="pivot"))


def test_nothing_is_known_of_a_part_of_another_model_or_of_an_old_panel(market):
    frame, told = market.frame, market.provenance
    one = frame[frame["price_pampers"] == 33.0]
    uneven = frame.drop(frame.index[0])
    for panel in (
        Panel(one, VARYING, told),
        Panel(uneven, VARYING, told),
        Panel(frame.iloc[:0], VARYING, told),
        Panel(frame, VARYING, {k: v for k, v in told.items() if k != "truth"}),
    ):
        assert known_truth(panel) is None
    assert known_truth(Panel(frame, VARYING, told)) == known_truth(market)


def test_fits_without_elasticities_or_of_other_names_are_not_compared(market):
    truth = known_truth(market)
    renamed = market.long().fillna({"price": 0.0})
    renamed["alternative"] = renamed["alternative"] + "!"
    assert truth.compared(clogit("belief ~ price", renamed, case="run_id")).empty
    without = clogit("belief ~ 1", market.long(), case="run_id")
    assert truth.contradiction(without) == ""


def test_the_truth_survives_the_disk_and_is_said_in_words(market, tmp_path):
    market.write(tmp_path / "p.parquet")
    again = known_truth(Panel.read(tmp_path / "p.parquet"))
    assert again == known_truth(market)
    said = again.summary()
    for j, row in again.elasticities.items():
        assert f"{j} {again.shares[j]:.3f}" in said
        for k, value in row.items():
            words = f"{j} {value:.3g}" if j == k else f"{j} by the price of {k} {value:.3g}"
            assert words in said
    assert np.sum(list(again.shares.values())) == pytest.approx(1)


def test_reports_say_the_truth_and_what_contradicts_it(blind, tmp_path):
    from rich.console import Console

    from llmdemand.reporting.terminal import print_report

    mixed = asked(runs=100, mismatch_rate=0.4)
    report = compare(mixed, runs=(1,), replications=20)
    said = [p for p in report.problems if "contradicts the known truth" in p]
    assert said and "40 % of the answers change their mind" in said[0]
    assert said[0].startswith("Demand from belief")
    console = Console(width=200, record=True, file=io.StringIO())
    print_report(report, "", console)
    report.to_html(tmp_path / "page.html", note="A note.")
    page = (tmp_path / "page.html").read_text("utf-8")
    for text in (console.export_text(), page):
        text = " ".join(text.split())
        assert "Known truth, over the design: mean shares pampers" in text
        assert "contradicts the known truth" in text
    assert "A note. Known truth" in page and "&#34;beyond_logit&#34;" not in page
    fine = compare(blind, runs=(1,), replications=20)
    assert not [p for p in fine.problems if "truth" in p] and fine.truth is not None


def test_commands_say_it(blind, tmp_path, capsys, monkeypatch):
    from llmdemand import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    blind.write(tmp_path / "p.parquet")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["llmdemand", *arguments])
        try:
            cli.main()
        except SystemExit as end:
            assert not end.code
        return capsys.readouterr()

    told = run("fit", "p.parquet", "--model", "clogit")
    assert "Clogit of belief contradicts the known truth" in " ".join(told.err.split())
    found = json.loads(run("fit", "p.parquet", "--model", "clogit", "--json").out)
    assert found["contradiction"].startswith("Clogit") and found["truth"]["shares"]["pampers"] > 0
    assert "contradicts" not in run("fit", "p.parquet").err
    out = run("simulate", "pampers", "--backend", "synthetic", "--runs", "1", "--out", "q.parquet")
    assert "Known truth, over the design" in out.out
    (tmp_path / "c.toml").write_text("icc = 0.2\norder_effect = 0.5\n", "utf-8")
    chosen = ("--backend", "synthetic", "--runs", "2", "--consumer", "c.toml")
    run("simulate", "pampers", *chosen, "--out", "r.parquet")
    told = Panel.read("r.parquet").provenance
    assert "correlation 0.2" in told["model"] and told["settings"]["order_effect"] == 0.5
    # A consumer of one's own is no reconstruction of the published study.
    out = run("replicate", "pampers", *chosen, "--out", "results").out
    assert "What the method finds stands beside" in out and "meets the published" not in out
