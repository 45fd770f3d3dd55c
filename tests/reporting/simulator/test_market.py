"""A page that is asked answers as the fit does, digit for digit."""

import html
import json
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.reporting.simulator.controls import controls
from llmdemand.reporting.simulator.embedded import Words, embedded

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)
SCRIPT = (files("llmdemand.reporting.simulator") / "templates" / "market.js").read_text("utf-8")
AT = {"a": 1.7, "b": 2.2, "c": 3.1}
COST = 0.4


@pytest.fixture(scope="module")
def market():
    """Choices of 60 people of two kinds among three brands with price and size, or none."""
    draw, rows = np.random.default_rng(1), []
    for case in range(360):
        price, size = draw.integers(2, 8, 3) / 2, draw.integers(1, 4, 3)
        taste = -0.9 if case // 6 % 3 else -2.2
        utility = np.append([1.0, 0.6, 0.3] + taste * price + 0.3 * size, -1.0)
        chosen = (utility + draw.gumbel(size=4)).argmax()
        for j, brand in enumerate(("a", "b", "c", "none")):
            p, s = (price[j], size[j]) if j < 3 else (0.0, 0)
            rows.append((case, case // 6, brand, p, s, int(chosen == j)))
    return pd.DataFrame(rows, columns=["case", "person", "brand", "price", "size", "bought"])


@pytest.fixture(scope="module")
def fits(market):
    how = {"case": "case", "alternative": "brand"}
    own = market[market["brand"] == "a"].assign(income=lambda d: d["person"] % 7)
    panel = {"panel": "person", **how}
    return {
        "logit": ld.logit("bought ~ price + income", own),
        "log price": ld.logit("bought ~ log(price)", own),
        "clogit": ld.clogit("bought ~ price + size", market, **how),
        "nested": ld.nlogit("bought ~ price", market, nests={"in": ["a", "b"]}, **how),
        "mixed": ld.mixlogit("bought ~ price", market, random={"price": "normal"}, **panel),
        "latent": ld.lclogit("bought ~ price | 0", market, classes=2, starts=2, **panel),
    }


def ask(questions, folder):
    """Answers of the page's own script to ``(data, expression in m)``, in one browser."""
    known = [
        f"answers.push((m => ({expression}))(new llmdemandMarket({json.dumps(data)})));"
        for data, expression in questions
    ]
    page = (
        f"<!doctype html><script>{SCRIPT}</script><script>const answers = [];\n"
        + "\n".join(known)
        + "\ndocument.documentElement.dataset.result = JSON.stringify(answers);</script>"
    )
    path = folder / "asked.html"
    path.write_text(page, encoding="utf-8")
    return json.loads(html.unescape(re.search(r'data-result="([^"]*)"', dom(path, folder))[1]))


def dom(path, folder, width=1440, fragment=""):
    """The document as it is after its scripts have run."""
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-sync", "--hide-scrollbars"),
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},1500",
        "--virtual-time-budget=6000",
        "--dump-dom",
        path.as_uri() + fragment,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, encoding="utf-8"
    )
    return done.stdout


def values(data, name):
    """The controls at `AT`, other variables as in the sample."""
    one = name in ("logit", "log price")
    ids = ["a"] if one else [data["names"][c["of"]] for c in data["controls"] if c["price"]]
    return [AT[a] for a in ids] + [None] * (len(data["controls"]) - len(ids))


def at(name):
    return {"price": AT["a"]} if name in ("logit", "log price") else AT


@needs_browser
def test_shares_bands_and_best_prices_are_those_of_the_fit(fits, tmp_path):
    tested = [name for name in fits if name != "log price"]
    data = {name: embedded(fits[name]) for name in tested}
    asked = [
        (
            data[name],
            f"[m.shareBands({json.dumps(v)}), m.best(0, {json.dumps(v)}, {COST}), "
            f"m.elasticity(0, {json.dumps(v)})]",
        )
        for name in tested
        for v in [values(data[name], name)]
    ]
    for name, (bands, best, slope) in zip(tested, ask(asked, tmp_path), strict=True):
        fit = fits[name]
        shares = fit.shares(at=at(name)).table
        for column in ("estimate", "se", "lower", "upper"):
            found = [band[column] for band in bands]
            assert found == pytest.approx(shares[column].tolist(), abs=1e-9), (name, column)
        rivals = {k: v for k, v in AT.items() if k != "a"}
        how = {} if name == "logit" else {"alternative": "a", "at": rivals}
        optimum = fit.optimal_price(cost=COST, **how)
        assert best["price"] == pytest.approx(float(optimum.estimate), abs=1e-9), name
        # The fit takes its curvature by differences, too.
        assert best["se"] == pytest.approx(float(optimum.se), rel=1e-7), name
        how = {} if name == "logit" else {"alternative": "a"}
        average = "share_weighted"
        elasticity = fit.elasticity(at=at(name), average=average, **how).table.iloc[0]
        for column in ("estimate", "se"):
            assert slope[column] == pytest.approx(elasticity[column], rel=1e-7), (name, column)


@needs_browser
def test_prices_that_enter_by_a_curve_are_tabulated(fits, tmp_path):
    fit = fits["log price"]
    data = embedded(fit)
    (control,) = data["controls"]
    assert "slope" not in control and control["reach"][0] > 0
    ((bands, best),) = ask([(data, f"[m.shareBands([2.5]), m.best(0, [2.5], {COST})]")], tmp_path)
    shares = fit.shares(at={"price": 2.5}).table
    assert [b["lower"] for b in bands] == pytest.approx(shares["lower"].tolist(), abs=1e-9)
    grid = np.array(control["grid"])
    profit = [(p - COST) * fit.shares(at={"price": p}).table["estimate"][0] for p in grid]
    assert best["price"] == grid[np.argmax(profit)] and best["se"] is None


@needs_browser
def test_prices_that_enter_by_levels_are_these_levels(market, tmp_path):
    own = market[market["brand"] == "a"]
    data = embedded(ld.logit("bought ~ C(price)", own))
    levels = sorted(own["price"].unique())
    assert data["controls"][0]["grid"] == levels
    moves = "[m.stepped(0, 1.1, 1, 0.01), m.stepped(0, 1, -1, 0.01), m.stepped(0, 2, 10, 0.01)]"
    (found,) = ask([(data, moves)], tmp_path)
    assert found == [levels[1], levels[0], levels[-1]], "a key never stays on a level"


@needs_browser
def test_attributes_move_and_are_left_as_in_the_data(fits, market, tmp_path):
    fit = fits["clogit"]
    data = embedded(fit)
    names = [(c["label"], c["name"]) for c in data["controls"]]
    assert names == [(a, v) for v in ("price", "size") for a in ("a", "b", "c")]
    moved = [*AT.values(), 3.0, None, 1.0]
    (bands,) = ask([(data, f"m.shareBands({json.dumps(moved)})")], tmp_path)
    there = market.copy()
    for brand, price in AT.items():
        there.loc[there["brand"] == brand, "price"] = price
    there.loc[there["brand"] == "a", "size"] = 3
    there.loc[there["brand"] == "c", "size"] = 1
    there["share"] = np.asarray(fit.predict(there))
    expected = there.groupby("brand")["share"].mean()
    found = dict(zip(data["names"], [b["estimate"] for b in bands], strict=True))
    assert found == pytest.approx(expected.to_dict(), abs=1e-9)


def test_equal_cases_are_one_and_many_draws_are_cut(fits, monkeypatch):
    data = embedded(fits["mixed"])
    assert len(data["start"]) == 1 and sum(data["weight"]) == 360
    assert data["notes"] == []
    monkeypatch.setattr("llmdemand.reporting.simulator.embedded._DRAWS", 300)
    few = embedded(fits["mixed"])
    assert len(few["beta"]) == 300 and "first 300 of" in few["notes"][0]
    monkeypatch.setattr("llmdemand.reporting.simulator.embedded._WORK", 10_000)
    cut = embedded(fits["clogit"])
    assert len(cut["labelled"]) <= 10_000 and len(json.dumps(cut)) < 1_000_000


def test_controls_know_what_was_seen(fits):
    price = controls(fits["clogit"])[0]
    assert (price.alternative, price.column, price.price) == ("a", "price", True)
    assert price.seen == (1.0, 3.5) and price.start in np.arange(1, 4, 0.5)
    assert price.reach == (0.375, 4.125)


def test_what_cannot_be_simulated_is_refused(market, tmp_path):
    own = market[market["brand"] == "a"]
    sure = own.assign(bought=(own["price"] < 2).astype(int))
    with pytest.warns(UserWarning, match="separated"):
        separated = ld.logit("bought ~ price", sure)
    with pytest.raises(DesignError, match="separated"):
        embedded(separated)
    with pytest.raises(DesignError, match="price"):
        embedded(ld.logit("bought ~ size", own))
    crossed = embedded(ld.logit("bought ~ price * size", own))
    assert len(crossed["controls"]) == 1 and "interact" in crossed["notes"][0]
    fit = ld.logit("bought ~ price", own)
    with pytest.raises(UsageError, match="is a folder"):
        ld.market_page(fit, tmp_path)


def test_words_that_look_like_markup_are_text(market, tmp_path):
    fit = ld.logit("bought ~ price", market[market["brand"] == "a"])
    labels = {"bought": "</script><b>$5 & more"}
    ld.market_page(fit, tmp_path / "x.html", labels=labels, unit="US$ <i>")
    text = (tmp_path / "x.html").read_text("utf-8")
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)[1]
    assert json.loads(data)["labels"][0] == labels["bought"]
    assert "<b>$5" not in text and "<i>" not in text
    assert embedded(fit, Words(labels))["unit"] == "units of price"


DRIVE = """<script>addEventListener("load", async () => {
const wait = ms => new Promise(done => setTimeout(done, ms));
const place = document.querySelector(".market"), result = { width: innerWidth };
const said = () => place.querySelector(".answer").textContent;
const row = k => [...place.querySelectorAll("tbody tr")[k].children].map(c => c.textContent);
const all = what => [...place.querySelectorAll(what)];
const click = words => all("button").find(b => b.textContent === words).click();
const knob = words => all(".knob").find(k => k.textContent.startsWith(words));
const put = async (input, value) => { input.value = value;
  input.dispatchEvent(new Event("input")); await wait(150); };
try {
  result.first = row(0); result.answer = said();
  click("Copy A to B");
  const field = knob("Price of a").querySelector("input[type=number]");
  await put(field, 9);
  result.far = knob("Price of a").querySelector(".hint").textContent;
  result.moved = row(0); result.state = place.simulator.state();
  result.hash = place.simulator.written();
  result.csv = place.simulator.csv();
  const range = knob("Price of b").querySelector("input[type=range]");
  const before = place.simulator.state().B[1];
  range.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", cancelable: true }));
  await wait(150);
  result.key = place.simulator.state().B[1] - before;
  await put(knob("Unit cost").querySelector("input"), "");
  result.revenue = said();
  click("Reset"); await wait(150);
  result.reset = row(0); result.again = place.simulator.state().A;
  result.labelled = [...place.querySelectorAll("input:not([type=radio])")].every(i => i.ariaLabel);
  result.shaded = place.querySelectorAll("svg .far").length;
  result.picture = place.querySelector("svg").getAttribute("aria-label");
  const box = e => e.getBoundingClientRect();
  result.wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".wide, .vh") &&
    !(e instanceof SVGElement) && box(e).right > innerWidth + 1).map(e => e.tagName + e.className);
} catch (error) { result.error = String(error); }
(parent === window ? document : parent.document).documentElement.dataset.result =
  JSON.stringify(result);
});</script>"""


def driven(path, folder, width, fragment=""):
    """A headless window has a least width; a frame has any."""
    text = path.read_text("utf-8").replace("</body>", DRIVE + "</body>", 1)
    (folder / "driven.html").write_text(
        text.replace(
            "(parent === window ? document : parent.document).documentElement.dataset.result =",
            "parent.postMessage(",
        ).replace("  JSON.stringify(result);\n});", '  JSON.stringify(result), "*");\n});'),
        encoding="utf-8",
    )
    frame = folder / f"frame{width}.html"
    frame.write_text(
        '<!doctype html><script>addEventListener("message", e => '
        'document.documentElement.setAttribute("data-result", e.data));</script>'
        f'<iframe src="driven.html{fragment}" style="width:{width}px;height:2000px;border:0">'
        "</iframe>",
        encoding="utf-8",
    )
    found = re.search(r'data-result="([^"]*)"', dom(frame, folder))
    return json.loads(html.unescape(found[1]))


@needs_browser
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_simulator_is_driven(fits, tmp_path, width):
    fit = fits["clogit"]
    ld.market_page(fit, tmp_path / "market.html", cost=COST, unit="euros")
    found = driven(tmp_path / "market.html", tmp_path, width)
    assert "error" not in found, found
    assert found["width"] == width and found["wide"] == [] and found["labelled"]
    assert found["first"][1] == found["first"][2] and found["answer"].startswith("Best price of a")
    data = embedded(fit)
    start = {data["names"][c["of"]]: c["start"] for c in data["controls"] if c["price"]}
    for column, prices in ((1, start), (2, {**start, "a": 9.0})):
        row = fit.shares(at=prices, alternative="a").table.iloc[0]
        shown = "{:.1f} % ({:.1f} % to {:.1f} %)".format(
            *(100 * row[k] for k in ("estimate", "lower", "upper"))
        )
        rows = found["moved"]
        assert rows[0] == "Share of a" and rows[column] == shown
    assert found["state"]["edited"] == "B" and found["state"]["B"][0] == 9
    assert found["far"].startswith("extrapolation: observed were 1 to 3.5")
    assert found["key"] > 0 and "for revenue" in found["revenue"]
    assert found["reset"] == found["first"] and found["again"][0] == start["a"]
    assert found["shaded"] == 2 and found["picture"].startswith("Curve of share of a")
    lines = found["csv"].split("\r\n")
    assert lines[0] == "quantity,A,A lower,A upper,B,B lower,B upper"
    assert lines[1].startswith("price of a,") and any(x.startswith("profit of a,") for x in lines)


@needs_browser
def test_a_link_brings_both_scenarios_back(fits, tmp_path):
    ld.market_page(fits["nested"], tmp_path / "market.html", cost=COST)
    link = "#simulator%3FA=1.5_2_2%26B=1.25_2_3&c=0.5__&n=2000&own=1&y=profit&e=B"  # by mail
    found = driven(tmp_path / "market.html", tmp_path, 800, link)
    assert "error" not in found and found["answer"].startswith("Best price of b")
    assert found["first"][1] != found["first"][2]
    bad = "#simulator?A=1_2&B=x_y_z&n=-4&own=77&y=nothing&e=Z&&=%E0%A4%A"
    found = driven(tmp_path / "market.html", tmp_path, 800, bad)
    assert "error" not in found and found["answer"].startswith("Best price of a")
