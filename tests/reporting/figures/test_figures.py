"""Figures: what they show, that nothing is cut or hidden, and that missing parts are said."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from llmdemand import (
    calibrate,
    compare,
    discrepancy,
    load_study,
    paired_panel,
    plan_sample,
    round_number_test,
    simulate,
)
from llmdemand.core.panel import Panel
from llmdemand.reporting.figures import figures, runplots, style
from llmdemand.reporting.figures.figures import FIGURES, available, render, save_figures


@pytest.fixture(scope="module")
def report(synthetic_panel):
    data = paired_panel(humans=100, llm=400, answers=1, seed=1)
    found = calibrate(data.humans, data.beliefs)
    return compare(synthetic_panel, runs=(1, 2, 5, 10), replications=100).with_people(
        found,
        discrepancy(data.humans, data.beliefs, margin=0.1),
        plan_sample(found, cost_human=4.0, cost_llm=0.01, n_eff=500),
    )


# What was compared beyond the mean has figures of its own kind: rows that are named, no legend.
BEYOND = {name for name in FIGURES if name.startswith("fidelity-")}
OF_REPORTS = [name for name in FIGURES if name not in BEYOND]


@pytest.fixture(scope="module")
def broken(report):
    return compare(altered(report, status="refusal"), runs=(1,), replications=5)


def altered(report, **columns):
    panel = report.panel
    if "choice" in columns:  # what was chosen stays to the end
        columns = {"final_choice": columns["choice"], **columns}
    return Panel(panel.frame.assign(**columns), panel.study, panel.provenance)


def lines(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


@pytest.mark.parametrize("name", OF_REPORTS)
def test_figures_draw_on_the_given_axes_and_name_them(report, name):
    axes = Figure().subplots()
    assert FIGURES[name][0](report, ax=axes) is axes
    assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title()
    assert axes.get_legend().get_texts()


@pytest.mark.parametrize("name", OF_REPORTS)
def test_letters_stay_readable_on_a_phone_and_nothing_is_cut_or_hidden(report, name):
    axes = FIGURES[name][0](report)
    figure = axes.get_figure()
    figure.draw_without_rendering()
    legend = axes.get_legend()
    words = [axes.title, axes.xaxis.label, axes.yaxis.label, *legend.get_texts()]
    words += [t for t in (*axes.get_xticklabels(), *axes.get_yticklabels()) if t.get_text()]
    words += list(axes.texts)
    scale = 358 / (figure.get_figwidth() * 72)  # points to pixels, 390 wide less margins
    assert min(t.get_fontsize() for t in words) * scale >= 10
    whole = figure.bbox
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *legend.get_texts()):
        box = text.get_window_extent()
        assert box.x0 >= whole.x0 and box.x1 <= whole.x1, text.get_text()
        assert box.y0 >= whole.y0 and box.y1 <= whole.y1, text.get_text()
    assert legend.get_window_extent().y0 >= axes.bbox.y1 - 1, "the legend hides data"
    assert axes.title.get_window_extent().y0 >= legend.get_window_extent().y1 - 2
    ticks = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
    inside = sorted((b.x0, b.x1) for b in ticks if whole.x0 <= b.x0 and b.x1 <= whole.x1)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(inside)), "ticks overlap"


def test_the_demand_figure_shows_means_curves_and_bands(report):
    axes = figures.demand_curve(report)
    for outcome in ("belief", "choice"):
        (means,) = lines(axes, f"{outcome}, mean of runs")
        frame = figures.demand_frame(report.panel)
        assert means.get_ydata() == pytest.approx(frame.groupby("price")[outcome].mean())
        (curve,) = lines(axes, f"{outcome}, logit")
        table = getattr(report, outcome).demand_curve().table
        assert curve.get_ydata() == pytest.approx(table["estimate"])
    assert len(axes.collections) == 2, "one band each"
    assert "cents per diaper" in axes.get_xlabel()


def test_the_strip_shows_every_run_once(report):
    axes = figures.beliefs_by_price(report)
    strip = axes.lines[0]
    assert sorted(strip.get_ydata()) == pytest.approx(sorted(report.panel.usable["belief_pampers"]))
    away = np.abs(np.asarray(strip.get_xdata()) - figures.demand_frame(report.panel)["price"])
    assert away.max() < 0.5, "no run stands nearer to another price"
    (share,) = lines(axes, "choice, share")
    expected = figures.demand_frame(report.panel).groupby("price")["choice"].mean()
    assert share.get_ydata() == pytest.approx(expected)
    assert figures.beliefs_by_price(report.panel).lines[0].get_ydata() == pytest.approx(
        strip.get_ydata()
    )


def test_the_elasticity_curve_is_that_of_the_fit(report):
    axes = figures.elasticity_curve(report)
    (line,) = lines(axes, "belief, 95 % band")
    x = np.asarray(line.get_xdata())
    assert line.get_ydata()[-1] == pytest.approx(float(report.belief.elasticity(x[-1])))
    alone = figures.elasticity_curve(report.belief)
    assert lines(alone, "belief, 95 % band") and not lines(alone, "choice, 95 % band")


def test_precision_is_on_log_axes_with_the_guide_of_the_closed_form(report):
    axes = runplots.se_by_runs(report)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    table = report.precision.table
    (line,) = lines(axes, "belief, spread")
    part = table[table["outcome"] == "belief"]
    assert line.get_ydata() == pytest.approx(part["spread"])
    guides = [g for g in axes.lines if to_hex(g.get_color()) == style.GUIDE.lower()]
    sigma = report.precision.needed["sigma"]
    assert sorted(g.get_ydata()[0] for g in guides if len(g.get_xdata())) == pytest.approx(
        sorted(sigma)
    )
    for guide in (g for g in guides if len(g.get_xdata())):
        first, last = guide.get_ydata()
        assert first / last == pytest.approx(np.sqrt(10))
    assert (
        runplots.se_by_runs(report.precision).get_ylabel().endswith("(log-odds per unit of price)")
    )


def test_crossings_are_ringed_and_named(report):
    axes = runplots.within_by_runs(report)
    runs = report.needed.table["runs"]
    ring = [line for line in axes.lines if line.get_markersize() == 10]
    known = runs[np.isfinite(runs)]
    assert [r.get_xdata()[0] for r in ring] == list(known)
    assert all(r.get_ydata()[0] >= report.needed.confidence for r in ring)
    assert f"{known['belief']:.0f} runs" in {t.get_text() for t in axes.texts}
    legend = [t.get_text() for t in axes.get_legend().get_texts()]
    assert any(t.startswith("choice, more than 29 runs") for t in legend)
    again = runplots.within_by_runs(report.precision)
    assert len(again.lines) == len(axes.lines)


def test_the_three_kinds_of_uncertainty_have_a_panel_by_outcome(report):
    table = report.precision.table
    for outcome in ("belief", "choice"):
        axes = runplots.se_by_runs(report, outcome=outcome)
        part = table[table["outcome"] == outcome]
        for words, column in (
            ("spread", "spread"),
            ("robust SE", "se_robust"),
            ("model's SE", "se_model"),
        ):
            (line,) = lines(axes, words)
            assert line.get_ydata() == pytest.approx(part[column])
        assert axes.get_title().endswith(outcome)


def test_personas_are_named_where_they_are_few():
    panel = simulate(load_study("pampers-households"), "synthetic", runs=1, seed=1)
    axes = figures.beliefs_by_price(panel)
    named = {t.get_text() for t in axes.texts}
    assert named == {p["id"] for p in panel.study.personas}
    heights = sorted(t.xy[1] for t in axes.texts)
    assert min(np.diff(heights)) > 0.05, "names stand apart"


@pytest.mark.parametrize("metric", ["attainable", "log_score", "brier", "rmse"])
def test_scores_stand_beside_what_is_attainable(report, metric):
    axes = runplots.score_by_runs(report, metric=metric)
    labels = {t.get_text() for t in axes.get_legend().get_texts()}
    assert labels == {"belief", "choice", "firth", "attainable", "not all draws"}
    table = report.prediction.table
    drawn = {c.get_label(): c.lines[0].get_ydata() for c in axes.containers}
    for outcome, part in table.groupby("outcome"):
        assert drawn[outcome] == pytest.approx(part[metric])
    if metric != "rmse":
        (best,) = lines(axes, "attainable")
        expected = 1.0 if metric == "attainable" else report.prediction.best[metric]
        assert best.get_ydata()[0] == expected


def test_calibration_takes_the_fewest_runs_or_those_asked_for(report):
    table = report.prediction.calibration
    for runs in (None, 5):
        axes = runplots.calibration(report, runs=runs)
        (line,) = lines(axes, "belief")
        part = table[(table["outcome"] == "belief") & (table["runs"] == (runs or 1))]
        assert line.get_ydata() == pytest.approx(part.sort_values("predicted")["observed"])


def test_round_prices_are_those_of_the_test(report):
    found = round_number_test(report.belief, 5)
    axes = figures.round_prices(report)
    assert f"{found.log_odds:+.2g} log-odds" in axes.get_title()
    assert "cents per diaper" in axes.get_xlabel()
    (marked,) = lines(axes, "mean outcome, multiples of 5")
    assert list(marked.get_xdata()) == [30, 35, 40, 45]
    by_ten = figures.round_prices(report, step=10)
    assert list(lines(by_ten, "mean outcome, multiples of 10")[0].get_xdata()) == [30, 40]
    assert figures.round_prices(found).get_xlabel() == "price"


def test_colours_are_okabe_ito_and_marks_differ_without_colour():
    assert set(style.COLOUR.values()) <= {"#0072B2", "#D55E00", "#009E73"}
    assert len(set(style.MARKER.values())) == len(set(style.DASH.values())) == len(style.COLOUR)
    for ink in style.INK.values():
        channels = [int(ink[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = np.dot([0.2126, 0.7152, 0.0722], linear)
        assert 1.05 / (luminance + 0.05) > 4.5, "words must be read on white"


def test_all_figures_are_available_and_the_same_bytes_in_every_run(report, tmp_path):
    found = available(report)
    # One answer a person: nothing to say of individuals; no prices were held out.
    assert set(OF_REPORTS) < set(found) and tuple(n for n in FIGURES if n in found) == found
    save_figures(report, tmp_path)
    for name in found:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    for name in ("beliefs", "prediction"):
        assert (tmp_path / f"{name}.svg").read_bytes() == render(report, name, "svg")


@pytest.mark.parametrize(
    ("parts", "gone"),
    [
        ({"prediction": None}, {"prediction", "calibration"}),
        ({"precision": None}, {"precision", "precision-choice"}),
        (
            {"precision": None, "needed": None},
            {"precision", "precision-choice", "runs-needed"},
        ),
        ({"belief": None}, {"round-prices"}),
        ({"belief": None, "choice": None}, {"elasticity", "round-prices"}),
    ],
)
def test_figures_of_missing_parts_are_left_out(report, parts, gone):
    less = dataclasses.replace(report, **parts)
    assert set(available(report)) - set(available(less)) == gone
    for name in FIGURES:
        FIGURES[name][0](less)


@pytest.mark.parametrize("name", sorted(BEYOND))
def test_what_was_compared_beyond_the_mean_is_drawn_uncut(report, name):
    axes = FIGURES[name][0](report)
    figure = axes.get_figure()
    figure.draw_without_rendering()
    words = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels(), *axes.texts]
    assert any(text.get_text() for text in words)
    for text in (text for text in words if text.get_text()):
        box = text.get_window_extent()
        assert box.x0 >= figure.bbox.x0 - 1 and box.x1 <= figure.bbox.x1 + 1, text.get_text()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_its_part_says_so(broken, name, tmp_path):
    assert available(broken) == ()
    axes = FIGURES[name][0](broken)
    assert any("nothing to draw" in t.get_text().replace("\n", " ") for t in axes.texts)
    assert render(broken, name, "png")
    save_figures(broken, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["one price", "one run", "separated", "no log-probabilities"])
def test_poor_panels_are_drawn_as_far_as_they_go(report, case):
    panel = report.panel
    if case == "one price":
        panel = Panel(panel.frame[panel.frame["price_pampers"] == 35], panel.study)
    elif case == "one run":
        panel = simulate(load_study("pampers"), "synthetic", runs=1, seed=1)
    elif case == "separated":
        split = panel.frame["price_pampers"].lt(36).map({True: "pampers", False: "huggies"})
        panel = altered(report, choice=split)
    else:
        beliefs = dict.fromkeys(panel.frame.filter(like="belief_").columns, np.nan)
        panel = altered(report, status="no_logprobs", **beliefs)
    poor = compare(panel, runs=(1, 2), replications=20)
    assert "demand" in available(poor)
    for name in available(poor):
        FIGURES[name][0](poor).get_figure().draw_without_rendering()
    if case == "separated":
        axes = figures.demand_curve(poor)
        assert lines(axes, "choice, mean of runs") and not lines(axes, "choice, logit")
        assert lines(runplots.within_by_runs(poor), "choice, no estimate to reach")
        assert lines(runplots.score_by_runs(poor), "choice, no estimate")


def test_large_panels_are_drawn_as_images_into_small_files(report):
    frame = pd.concat([report.panel.frame] * 6, ignore_index=True)
    frame["run_id"] = frame.index.astype(str)
    big = dataclasses.replace(report, panel=Panel(frame, report.panel.study))
    assert figures.beliefs_by_price(big).lines[0].get_rasterized()
    assert not figures.beliefs_by_price(report).lines[0].get_rasterized()


def test_a_falling_index_spreads_evenly():
    place = figures._spread(np.arange(64))
    assert sorted(place) == pytest.approx(np.arange(64) / 64)


def test_names_are_shown_as_they_were_written_and_are_no_mathematics(report):
    """``$5 100% menu $`` cannot be parsed; ``US$ plan, $2`` is garbled where it is."""
    study = report.panel.study
    named = [
        dataclasses.replace(a, label="$5 100% menu $" if a.id == study.focal else a.label)
        for a in study.menu
    ]
    menu = dataclasses.replace(study.menu, alternatives=tuple(named))
    priced = dataclasses.replace(study, menu=menu, unit="US$ plan, $2 each")
    found = dataclasses.replace(
        report, panel=Panel(report.panel.frame, priced, report.panel.provenance)
    )
    for name in available(found):
        ax = FIGURES[name][0](found)
        ax.get_figure().draw_without_rendering()
    drawn = render(found, "demand", "svg").decode()
    assert "$5 100% menu $ (US$ plan, $2 each)" in drawn
