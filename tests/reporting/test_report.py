import html.parser
import re

import pandas as pd
import pytest

from llmdemand import compare
from llmdemand.core.panel import Panel
from llmdemand.reporting import tables
from llmdemand.reporting.figures import FIGURES
from llmdemand.reporting.quality import quality


@pytest.fixture(scope="module")
def report(synthetic_panel):
    return compare(synthetic_panel, runs=(1, 2, 5), replications=100)


class Page(html.parser.HTMLParser):
    """Collects what a page loads and says."""

    def __init__(self):
        super().__init__()
        self.links, self.alts, self.tables, self.text = [], [], 0, []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.links += [v for k, v in found.items() if k in ("src", "href")]
        self.alts += [found.get("alt")] if tag == "img" else []
        self.tables += tag == "table"

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_one_file_with_every_figure_and_table(report, tmp_path):
    path = tmp_path / "report.html"
    report.to_html(path, note="A note.", command="llmdemand compare x")
    page = Page()
    page.feed(path.read_text())
    assert all(link.startswith("data:") for link in page.links)
    assert len(page.alts) == len(FIGURES) and all(page.alts)
    assert page.tables == 5
    text = " ".join(page.text)
    for said in ("A note.", "llmdemand compare x", "30.0 cents per diaper", "138.090", "HC1"):
        assert said in text, said
    assert report.verdict() in text


def test_saved_tables_hold_the_numbers_of_the_report(report, tmp_path):
    report.save(tmp_path)
    saved = pd.read_csv(tmp_path / "tables" / "precision.csv")
    pd.testing.assert_frame_equal(saved, report.precision.table)
    estimates = pd.read_csv(tmp_path / "tables" / "estimates.csv", index_col=0)
    assert estimates.loc["belief", "price_sensitivity"] == pytest.approx(
        report.belief.price_sensitivity
    )
    assert Panel.read(tmp_path / "panel.parquet").frame.shape == report.panel.frame.shape
    for name in FIGURES:
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "figures" / f"{name}.svg").read_text()
    assert (tmp_path / "tables" / "tables.md").read_text().count("## ") == 4


def test_figures_are_the_same_bytes_in_every_run(report):
    from llmdemand.reporting.figures import render

    assert render(report, "demand", "svg") == render(report, "demand", "svg")


@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_on_the_given_axes_and_label_them(report, name):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert FIGURES[name][0](report, ax=axes) is axes
    assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title()
    legend = {t.get_text().split(",")[0] for t in axes.get_legend().get_texts()}
    assert legend == {"belief", "choice"}


def test_the_demand_figure_shows_the_means_of_the_panel(report, synthetic_panel):
    axes = FIGURES["demand"][0](report)
    (means,) = [line for line in axes.lines if line.get_label() == "belief, mean of runs"]
    expected = synthetic_panel.frame.groupby("price_pampers")["belief_pampers"].mean()
    assert means.get_ydata() == pytest.approx(expected.to_numpy())


def altered(panel, **columns):
    return Panel(panel.frame.assign(**columns), panel.study, panel.provenance)


def test_the_verdict_tells_reaction_from_none(report, synthetic_panel):
    assert report.verdict().startswith("Demand falls with price: price sensitivity -0.5")
    frame = synthetic_panel.frame
    shuffled = frame[["choice", *frame.filter(like="belief_")]].sample(
        frac=1, random_state=1, ignore_index=True
    )
    none = compare(altered(synthetic_panel, **shuffled), runs=(1,), replications=20)
    assert none.verdict().startswith("No reaction to price can be shown")
    mirrored = altered(synthetic_panel, price_pampers=75 - frame["price_pampers"])
    assert compare(mirrored, runs=(1,), replications=20).verdict().startswith("Demand rises")


def test_a_separated_choice_is_a_result_and_not_a_crash(synthetic_panel, tmp_path):
    frame = synthetic_panel.frame
    split = frame["price_pampers"].lt(36).map({True: "pampers", False: "huggies"})
    report = compare(altered(synthetic_panel, choice=split), runs=(1, 2), replications=20)
    table = tables.estimates_table(report).set_index("outcome")
    assert table.loc["choice", "price coef."] == "-inf"
    report.to_html(tmp_path / "report.html")
    report.save(tmp_path)
    assert re.search(r"-inf", (tmp_path / "report.html").read_text())


def test_quality_counts_orders_statuses_and_locks(synthetic_panel):
    found = quality(synthetic_panel)
    assert found.statuses == {"ok": 480} and not found.position_locked
    first = synthetic_panel.frame["order"].str.split(">").str[0]
    locked = quality(altered(synthetic_panel, choice=first))
    assert locked.position_locked and locked.first_chosen == 1
    nothing = quality(altered(synthetic_panel, status="refusal"))
    assert nothing.readable == 0 and nothing.statuses == {"refusal": 480}
