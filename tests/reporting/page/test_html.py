"""The page: what stands in it, what it says of broken panels, and how a browser shows it."""

import html.parser
import itertools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from llmdemand import (
    SyntheticBackend,
    calibrate,
    compare,
    discrepancy,
    load_panel,
    load_study,
    paired_panel,
    plan_sample,
    simulate,
    stored_answers,
)
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError
from llmdemand.reporting.figures.figures import available
from llmdemand.reporting.measures.variance import worth_number
from llmdemand.reporting.page.decision import usual_price
from llmdemand.reporting.page.html import write_page
from llmdemand.reporting.page.people import write_people
from llmdemand.reporting.people import People

BELIEFS = [
    f"{kind}_{a}" for kind in ("belief", "lo", "hi") for a in ("pampers", "huggies", "neither")
]
MASSES = ["decided_mass", "undecided_mass", "tail_mass"]
SECTIONS = [
    "answer",
    "market",
    "design",
    "quality",
    "demand",
    "precision",
    "needed",
    "prediction",
    "worth",
    "pricing",
    "answers",
    "provenance",
    "cite",
    "reproduce",
]


VOID = ("meta", "img", "br", "link", "input")


class Page(html.parser.HTMLParser):
    """Collects the structure of a page."""

    def __init__(self, path):
        super().__init__()
        self.headings, self.ids, self.loads, self.open = [], [], [], []
        self.captions = self.tables = 0
        self.alts, self.landmarks, self.text, self.labels = [], [], [], []
        self.feed(path.read_text("utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [v for k, v in found.items() if k in ("src", "href", "srcset", "action")]
        self.ids += [found["id"]] if "id" in found else []
        self.labels += [found[k] for k in ("aria-labelledby",) if k in found]
        self.alts += [found.get("alt")] if tag == "img" else []
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.landmarks += [tag] if tag in ("header", "nav", "main", "footer") else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), found.get("id", "")))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def said(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def without_beliefs(panel, rows, status):
    """The panel with these rows of a status that has no belief."""
    frame = panel.frame.copy()
    frame.loc[rows, [*BELIEFS, *MASSES]] = float("nan")
    frame.loc[rows, ["status", "pivot_index", "pivot_token"]] = [status, -1, ""]
    if status != "no_logprobs":
        frame.loc[rows, ["choice", "final_choice"]] = None
        frame.loc[rows, "final_status"] = "unread"
    return Panel(frame, panel.study, panel.provenance)


def sure(panel, chosen):
    """The panel with beliefs of 0 and 1 in the alternatives that are chosen."""
    beliefs = {f"belief_{a}": (chosen == a).astype(float) for a in panel.study.menu.ids}
    made = panel.frame.assign(choice=chosen, final_choice=chosen, **beliefs)
    return Panel(made, panel.study, panel.provenance)


@pytest.fixture(scope="module")
def small():
    return simulate(load_study("pampers"), "synthetic", runs=20, seed=1)


@pytest.fixture(scope="module")
def broken(small):
    frame, every = small.frame, np.arange(len(small))
    constant = dict.fromkeys(["belief_pampers", "belief_huggies"], 0.4) | {"belief_neither": 0.2}
    low = frame["price_pampers"] < 36
    first = frame["order"].str.split(">").str[0]
    return {
        "all refusals": without_beliefs(small, every, "refusal"),
        "one price": Panel(frame[frame["price_pampers"] == 35], small.study, small.provenance),
        "no log-probabilities": without_beliefs(small, every, "no_logprobs"),
        "3 of 320": without_beliefs(small, np.setdiff1d(every, [5, 120, 300]), "no_pivot"),
        "separated": sure(small, np.where(low, "pampers", "huggies")),
        "constant": Panel(frame.assign(**constant), small.study, small.provenance),
        "always bought": sure(small, np.full(len(frame), "pampers")),
        "never bought": sure(small, np.full(len(frame), "huggies")),
        "two rows": Panel(frame.iloc[[0, 310]], small.study, small.provenance),
        "no rows": Panel(frame.iloc[:0], small.study, small.provenance),
        "by position": Panel(
            frame.assign(choice=first, final_choice=first),
            small.study,
            small.provenance,
        ),
    }


# What is missing, what the problems say (in this order), how the verdict begins.
DRAWN = ["precision", "needed", "prediction"]
FITS = ["belief", "choice"]
EXPECTED = {
    "all refusals": ([*FITS, *DRAWN, "variance"], ["none of the 320 answers"], "Nothing can"),
    "one price": ([*FITS, *DRAWN], ["have one price (35 cents"], "Nothing can be said"),
    "no log-probabilities": (
        ["belief", *DRAWN, "variance"],
        ["log-probabilities"],
        "Demand falls with price (from choice alone",
    ),
    "3 of 320": ([], ["Choice: the data are separated", "Only 3 of 320"], "Demand falls"),
    "separated": (
        ["precision", "needed"],
        ["No precision or runs needed: belief is separated", "0 or 1", "Belief:", "Choice:"],
        "No finite reaction",
    ),
    "constant": (
        DRAWN,
        ["same number (0.4)", "does not vary", "Demand from belief contradicts the known truth"],
        "No reaction to price: the share",
    ),
    "always bought": (DRAWN, ["same number (1)", "0 or 1", "Belief", "Choice"], "No finite"),
    "never bought": (DRAWN, ["same number (0)", "0 or 1", "Belief", "Choice"], "No finite"),
    "two rows": ([*FITS, *DRAWN], ["2 rows cannot fit 2 coefficients"], "Nothing can be said"),
    "no rows": ([*FITS, *DRAWN, "variance"], ["the panel has no rows"], "Nothing can be said"),
    "by position": (
        [],
        ["answers by position", "Demand from choice contradicts the known truth"],
        "Demand falls",
    ),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_broken_panel_is_a_page_that_says_so(broken, tmp_path, kind):
    missing, said, verdict = EXPECTED[kind]
    report = compare(broken[kind], runs=(1, 2), replications=20)
    parts = [*FITS, *DRAWN, "variance"]
    assert [p for p in parts if getattr(report, p) is None] == missing
    assert len(report.problems) == len(said)
    for sentence, part in zip(report.problems, said, strict=True):
        assert part in sentence and sentence.endswith(".")
    assert report.verdict().startswith(verdict)
    if kind == "3 of 320":
        assert report.verdict().endswith("But only 3 of 320 answers could be used.")
    if kind == "by position":
        assert "follow the position" in report.verdict()
    report.to_html(tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    # There is nothing to simulate without an estimate that is finite.
    simulated = any(not d.separated for d in report.demands)
    sections = [s for s in SECTIONS if simulated or s != "market"]
    assert [id_ for level, id_ in page.headings if level == 2] == sections
    for sentence in (report.verdict(), *report.problems):
        words = re.sub(r"\W+", " ", sentence).strip()
        assert words in re.sub(r"\W+", " ", page.said)
    report.save(tmp_path)
    assert (tmp_path / "panel.parquet").exists() and report._repr_html_()


def test_prices_of_the_respondents_are_no_design_and_the_report_says_so():
    report = compare(load_panel("travel-mode"), runs=(1,), replications=5)
    assert any("Prices of Plane are those of the respondents" in p for p in report.problems)
    assert report.verdict().endswith("But prices are the respondents' own, not set by a design.")


def test_arguments_are_checked_whatever_the_panel(broken):
    for arguments in ({"runs": (0,)}, {"runs": ()}, {"replications": 0}, {"seed": -1}):
        with pytest.raises(UsageError):
            compare(broken["all refusals"], **arguments)
    with pytest.raises(UsageError, match="cost"):
        compare(broken["all refusals"], cost=float("nan"))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good report with all sorts of answers, and the page with and without responses."""
    study, folder = load_study("pampers"), tmp_path_factory.mktemp("good")
    backend = SyntheticBackend(
        study,
        refusal_rate=0.05,
        no_pivot_rate=0.05,
        mismatch_rate=0.05,
        verbose=True,
        preambles="mixed",
        subwords=True,
    )
    panel = simulate(study, backend, runs=20, seed=1, store=folder / "responses.sqlite")
    report = compare(panel, runs=(1, 2, 5), replications=60, cost=18)
    responses = {
        f"{a.cell.index}-{a.replicate}": a.response
        for a in stored_answers(folder / "responses.sqlite", study)
    }
    report.to_html(
        folder / "report.html",
        note="A note & more.",
        command="llmdemand compare 'x y.parquet' --out results",
        responses=responses,
    )
    report.to_html(folder / "plain.html")
    return report, folder


def test_the_structure_of_the_page(good):
    report, folder = good
    page = Page(folder / "report.html")
    assert page.headings == [(1, ""), *((2, id_) for id_ in SECTIONS)]
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.loads if link.startswith("#")} <= set(page.ids)
    assert set(page.labels) <= set(page.ids)
    assert all(link.startswith(("data:", "#")) for link in page.loads), "nothing is loaded"
    text = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"@import|url\(|https?://", text.replace("http://www.w3.org", ""))
    assert page.landmarks == ["header", "nav", "main", "footer"]
    assert page.captions == page.tables
    assert len(page.alts) == len(available(report)) and all(page.alts)
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_what_the_page_says(good):
    report, folder = good
    page = Page(folder / "report.html")
    for said in (
        "A note & more.",
        "How does the demand for Pampers react to its price?",
        report.verdict(),
        "Huggies: 30.0 cents per diaper",
        "the model declined to answer",
        "138.090",
        "indifference price",
        "profit-maximising price at cost 18",
        f"{worth_number(report.variance.worth)} choice runs",
        report.panel.study.hash,
        "answers that change their mind",
        "What leaving answers out would select",
        "2512.23184",
        "llmdemand compare 'x y.parquet' --out results",
        "ld.compare(panel, runs=(1, 2, 5), replications=60, tolerance=0.1, confidence=0.95, "
        "seed=1, cost=18)",
        "--backend synthetic --runs 20 --seed 1",
    ):
        assert said in page.said, said
    assert "needs a unit cost" not in page.said


def test_what_is_said_of_again_computes_the_same(good):
    report, folder = good
    report.panel.write(folder / "panel.parquet")
    page = Page(folder / "report.html").said
    call = re.search(r"ld\.compare\(panel, (.*?)\) report\.", page)[1]
    panel = Panel.read(folder / "panel.parquet")
    again = compare(panel, **eval(f"dict({call})"))  # the page's own words
    assert again.precision.table.equals(report.precision.table)
    assert again.pricing().equals(report.pricing())


def test_the_same_report_is_the_same_page(good, tmp_path):
    report, folder = good
    report.to_html(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (folder / "plain.html").read_bytes()


def test_several_reports_in_one_page(good, broken, tmp_path):
    report, _ = good
    other = compare(broken["all refusals"])
    write_page([(report, "one"), (other, "two")], tmp_path / "two.html")
    page = Page(tmp_path / "two.html")
    assert len(set(page.ids)) == len(page.ids)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert {"a-answer", "b-answer", "a-list", "b-list"} <= set(page.ids)


def test_a_page_is_no_folder(good, tmp_path):
    report, _ = good
    with pytest.raises(UsageError, match="is a folder"):
        report.to_html(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="lies in a file"):
        report.to_html(tmp_path / "file" / "report.html")


def test_prices_without_reaction_are_missing_with_a_reason(broken, good):
    flat = compare(broken["constant"], runs=(1,), replications=5).pricing()
    belief = flat[flat["outcome"] == "belief"].set_index("quantity")
    assert np.isnan(belief.loc["indifference price", "estimate"])
    assert "does not react" in belief.loc["indifference price", "note"]
    report, _ = good
    priced = report.pricing().set_index(["outcome", "quantity"])["estimate"]
    assert priced[("belief", "profit-maximising price")] == pytest.approx(
        report.belief.optimal_price(18).estimate
    )
    assert "profit-maximising price" not in set(
        compare(report.panel, runs=(1,), replications=5).pricing()["quantity"]
    )


# --- In a browser ---------------------------------------------------------------------------

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HEAD = """<script>window.problems = [];
window.addEventListener("error", e => problems.push(String(e.message)));
console.error = console.warn = (...a) => problems.push(a.join(" "));</script>"""
BODY = """<script>window.addEventListener("load", () => setTimeout(async () => {
const wait = () => new Promise(done => setTimeout(done, 20));
const result = { width: innerWidth, problems };
try {
  const nav = document.querySelector("nav");
  result.contents = [nav.querySelector("details").open, getComputedStyle(nav).position];
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  const form = document.querySelector("form.filters");
  const items = [...document.querySelectorAll(".answers > li")];
  const shown = () => items.filter(i => !i.hidden && i.getBoundingClientRect().height > 0);
  if (form) {
    result.form = !form.hidden;
    const output = () => form.querySelector("output").textContent;
    const more = document.querySelector("button.more");
    result.first = shown().length;
    result.said = output();
    more.click();
    result.second = shown().length;
    result.focus = items.indexOf(document.activeElement);
    while (!more.hidden) more.click();
    result.all = shown().length;
    form.text.value = "a";
    form.text.dispatchEvent(new Event("input", { bubbles: true }));
    while (!more.hidden) more.click();
    const has = i => i.querySelector(".said").textContent.toLowerCase().includes("a");
    result.searched = [shown().length, shown().every(has), items.filter(has).length];
    form.reset(); await wait();
    for (const select of form.querySelectorAll("select")) {
      const value = select.options[select.options.length - 1].value;
      select.value = value;
      select.dispatchEvent(new Event("change", { bubbles: true }));
      while (!more.hidden) more.click();
      const fits = i => i.dataset[select.name] === value;
      const seen = shown();
      result[select.name] = [seen.length, seen.every(fits), items.filter(fits).length, output()];
      form.reset(); await wait();
    }
    result.again = shown().length;
    form.price.value = items[0].dataset.price;
    form.status.selectedIndex = form.status.options.length - 1;
    form.order.selectedIndex = 1; form.dispatchEvent(new Event("change"));
    result.none = shown().length > 0 || !document.querySelector(".none").hidden;
    form.reset(); await wait();
    while (!more.hidden) more.click();
    const token = document.querySelector(".said .t[tabindex='0']");
    if (token) {
      const item = token.closest("li"), all = [...item.querySelectorAll(".said .t")];
      result.stops = all.filter(t => t.tabIndex === 0).length;
      token.focus();
      token.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
      result.moved = document.activeElement === all[0];
      all[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
      result.moved = result.moved && document.activeElement === all[1];
      all[1].dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
      result.detail = item.querySelector(".detail").textContent;
      result.pressed = all[1].getAttribute("aria-pressed");
    }
  }
  const within = e => e.closest(".wide, .vh, .skip");
  const outside = e => {
    const box = e.getBoundingClientRect();
    return box.right > innerWidth + 1 || box.left < -1;
  };
  const overflows = e => {
    const style = getComputedStyle(e);
    return e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && style.display !== "inline"
      && style.overflowX === "visible";
  };
  result.wide = [...document.querySelectorAll("body *")]
    .filter(e => !within(e) && (outside(e) || overflows(e)))
    .map(e => e.tagName + "." + e.className + " " + e.textContent.slice(0, 40));
  result.page = document.documentElement.scrollWidth;
  result.regions = ![...document.querySelectorAll(".wide")].some(outside);
} catch (error) { problems.push(String(error)); }
parent.postMessage(JSON.stringify(result), "*");
}, 0));</script>"""


# A headless window has a least width; a frame has any.
FRAME = """<!doctype html><title>frame</title><script>addEventListener("message", e =>
document.documentElement.setAttribute("data-result", e.data));</script>
<iframe src="{src}" style="border:0;width:{width}px;height:2000px"></iframe>"""


def browse(path, width, folder):
    """What the script found out about a page in a browser of this width."""
    text = path.read_text("utf-8").replace("<head>", "<head>" + HEAD, 1)
    text = text.replace("</body>", BODY + "</body>", 1)
    tried = folder / f"{path.stem}-{width}.html"
    tried.write_text(text, encoding="utf-8")
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(src=tried.as_uri(), width=width), encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1500,2100",
        "--virtual-time-budget=4000",
        "--dump-dom",
        frame.as_uri(),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, encoding="utf-8"
    )
    found = re.search(r'data-result="([^"]*)"', done.stdout)
    assert found, done.stderr[-500:]
    return json.loads(html.unescape(found[1]))


needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)


@needs_browser
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_in_a_browser_filters_work_and_nothing_overflows(good, tmp_path, width):
    _, folder = good
    found = browse(folder / "report.html", width, tmp_path)
    assert found["problems"] == []
    assert found["width"] == width and found["page"] <= width
    assert found["wide"] == [] and found["regions"]
    # Contents are folded on a phone, and stand beside the text where there is room.
    assert found["contents"] == ([True, "sticky"] if width == 1440 else [width > 640, "static"])
    assert found["form"] and found["first"] == found["again"] == 10 and found["second"] == 20
    assert found["said"] == "10 of 60 answers shown" and found["focus"] == 10
    assert found["all"] == 60
    for name in ("price", "status", "order", "chosen", "against"):
        count, fits, expected, said = found[name]
        assert fits and 0 < count == expected <= 60
        assert said.startswith(f"{count} of {count} answers shown")
    count, fits, expected = found["searched"]
    assert fits and 0 < count == expected
    assert found["none"]
    assert found["stops"] == 1 and found["moved"] and found["pressed"] == "true"
    assert found["detail"].startswith("Token 2, ") and "probability 0." in found["detail"]


@needs_browser
def test_a_report_of_a_real_model_prints_on_few_pages(good, tmp_path):
    real = compare(load_panel("pampers"), runs=(1, 2, 5), replications=20, cost=18)
    truth, _ = good
    write_page([(real, "Real."), (truth, "Known.")], tmp_path / "two.html", letters="BA")
    page = Page(tmp_path / "two.html")
    parts = [id_ for level, id_ in page.headings if level == 2]
    assert parts[:2] == ["b-report", "a-report"], "the real model stands first"
    text = (tmp_path / "two.html").read_text("utf-8")
    assert text.count('<details class="whole">') == 1, "the known truth is folded"
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=4000",
        f"--print-to-pdf={tmp_path / 'two.pdf'}",
        (tmp_path / "two.html").as_uri(),
    ]
    subprocess.run(command, capture_output=True, timeout=120, check=False)
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "two.pdf").read_bytes())
    assert 4 < len(pages) <= 14


def test_the_first_screen_answers_what_a_manager_asks(good):
    report, folder = good
    said = Page(folder / "report.html").said
    first = said[: said.index("Market simulator", said.index("Question and answer", 400))]
    usual = usual_price(report.belief)
    best = report.belief.optimal_price(18)
    for words in (
        f"Share of Pampers at {usual:g}",
        f"{100 * float(report.belief.shares(usual, alternative='pampers').estimate):.1f} %",
        "Price of the highest profit at unit cost 18",
        f"{float(best.estimate):.2f}",
        "Does it react to price? yes",
        "What it cost",
    ):
        assert words in first, words
    assert "Price sensitivity" not in first.split("Demand falls")[0], "log-odds stand below"


@needs_browser
@pytest.mark.parametrize("kind", ["all refusals", "no log-probabilities", "separated", "no rows"])
def test_in_a_browser_broken_panels_are_pages_too(broken, tmp_path, kind):
    compare(broken[kind], runs=(1, 2), replications=20).to_html(tmp_path / "report.html")
    found = browse(tmp_path / "report.html", 390, tmp_path)
    assert found["problems"] == [] and found["wide"] == [] and found["page"] <= 390


@needs_browser
@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser_the_page_on_people_overflows_nothing(tmp_path, width):
    data = paired_panel(humans=100, llm=400, answers=1, seed=1)
    found = calibrate(data.humans, data.beliefs)
    people = People(
        found,
        discrepancy(data.humans, data.beliefs, covariates=["income"], margin=0.1),
        plan_sample(found, cost_human=4.0, cost_llm=0.01, n_eff=500),
    )
    write_people(people, tmp_path / "people.html")
    seen = browse(tmp_path / "people.html", width, tmp_path)
    assert seen["problems"] == [] and seen["wide"] == [] and seen["page"] <= width


def test_without_scripts_the_answers_are_a_list(good):
    _, folder = good
    text = (folder / "report.html").read_text("utf-8")
    plain = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    form = re.search(r'<form class="filters"[^>]*>', plain)[0]
    assert form.endswith(" hidden>"), "filters are shown by the script that makes them work"
    items = re.findall(r'<li class="one"[^>]*>', plain)
    assert len(items) == 60 and not any("hidden" in item for item in items)
    assert plain.count("<mark") == len(re.findall(r">pivot: ", plain)) > 40
