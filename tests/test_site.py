"""The documentation site builds strictly, has every public name, and leads nowhere that is not."""

import doctest
import json
import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest

import llmdemand
from llmdemand import errors
from llmdemand.core.glossary import terms
from llmdemand.core.panel import STATUSES

for needed in ("zensical", "mkdocstrings_handlers.python"):
    pytest.importorskip(needed, reason='no site here: pip install -e ".[docs]"')

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "docs" / "site" / "build.py"
sys.path.insert(0, str(BUILD.parent))
try:
    import links
    import stored
finally:
    sys.path.remove(str(BUILD.parent))


class Page(HTMLParser):
    """What a page is called, what it links to, what it loads, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag in ("img", "script") and found.get("src"):
            self.loaded.append(found["src"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, str(BUILD), "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=out.parent, timeout=300, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def pages(site):
    # The page for wrong addresses is served from anywhere: its links are from the root.
    return {p: Page(p) for p in sorted(site.rglob("*.html")) if p.name != "404.html"}


def test_no_link_picture_or_script_is_missing_and_none_comes_from_elsewhere(site, pages):
    for path, page in pages.items():
        for target in page.loaded:
            if not target.startswith("data:"):
                assert not urlsplit(target).netloc, f"{path.name} loads {target}"
                assert (path.parent / unquote(urlsplit(target).path)).is_file(), (path, target)
        for target in page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), f"{path.relative_to(site)} links to {target}"
            if parts.fragment and there in pages:
                anchors = pages[there].anchors
                assert unquote(parts.fragment) in anchors, f"{path.relative_to(site)}: {target}"


def test_every_public_name_has_its_entry(site, pages):
    anchors = set().union(
        *(page.anchors for p, page in pages.items() if p.parent.name == "reference")
    )
    assert {f"llmdemand.{name}" for name in llmdemand.__all__} <= anchors


def test_every_error_and_status_has_what_to_do(site):
    raised = [n for n in errors.__all__ if isinstance(getattr(errors, n), type)]
    raised += [n for n in llmdemand.__all__ if n.endswith("Warning")]
    text = (site / "reference" / "errors.html").read_text("utf-8")
    for name in raised:
        assert name in terms(), f"{name}: say in data/glossary.toml what to do about it"
        assert name in text
    statuses = Page(site / "reference" / "statuses.html").anchors
    assert set(STATUSES) <= statuses


def test_every_document_and_notebook_is_a_page_and_in_the_navigation(site, pages):
    home = pages[site / "index.html"]
    sources = [*ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb"), ROOT / "CHANGELOG.md"]
    for source in sources:
        page = links.place(source.relative_to(ROOT).as_posix()).removesuffix(".md") + ".html"
        assert (site / page).is_file()
        assert any(urlsplit(link).path.removeprefix("./") == page for link in home.links), page


def test_every_picture_of_a_notebook_is_in_the_gallery(site):
    shown = {Path(p).name for p in Page(site / "gallery.html").loaded if "notebooks/" in p}
    for path in ROOT.glob("notebooks/*.ipynb"):
        outputs = [o for c in nbformat.read(path, 4).cells for o in c.get("outputs", [])]
        kinds = [set(o.get("data", {})) & {"image/png", "image/svg+xml"} for o in outputs]
        assert sum(map(bool, kinds)) == sum(name.startswith(path.stem) for name in shown)


def test_links_are_turned_but_code_is_left(tmp_path):
    assert doctest.testmod(links).attempted and not doctest.testmod(links).failed
    (tmp_path / "docs").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("docs/a.md", "data/README.md"):
        (tmp_path / name).write_text("# A\n")
    text = "[d](../data/README.md#x) [w](https://a.b) [h](#y) `[c](no.md)`\n```\n[d](no.md)\n```\n"
    turned = links.rewritten(text, "docs/a.md", tmp_path)
    assert turned == text.replace("../data/README.md", "data/index.md")
    with pytest.raises(SystemExit, match=r"docs/a.md links to no.md"):
        links.rewritten("[d](no.md)", "docs/a.md", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"execution_count": None}, r"cell 1 was never executed"),
        ({"outputs": [nbformat.v4.new_output("error", ename="KeyError")]}, r"KeyError"),
    ],
)
def test_a_notebook_that_was_not_run_or_failed_is_refused(tmp_path, change, message):
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    cell.update(change)
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])))
    with pytest.raises(SystemExit, match=message):
        stored.converted(path)


# --- In a browser -----------------------------------------------------------------------------

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
#: Types a word into the search field as a reader does, and tells the server what is shown.
SEARCH = """<script>addEventListener("load", async () => {
const wait = () => new Promise(done => setTimeout(done, 100));
const within = query => [...document.querySelectorAll("*")]
  .map(e => e.shadowRoot && e.shadowRoot.querySelectorAll(query)).filter(Boolean)
  .flatMap(found => [...found]);
const told = { links: [] };
try {
  for (let k = 0; k < 300 && !within("input").length; k++) {
    document.querySelector(".md-search__button").click(); await wait();
  }
  const field = within("input")[0];
  // A word that is typed before the index is there may find nothing: type on.
  for (let k = 0; k < 300 && !told.links.some(link => link.includes("fraclogit")); k++) {
    field.value = "fraclogit".slice(0, 8 + k % 2);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await wait();
    told.links = within("a[href]").map(a => a.href);
  }
  told.hosts = [...new Set(performance.getEntriesByType("resource")
    .map(entry => new URL(entry.name, location.href).host))];
} catch (problem) { told.problem = String(problem); }
fetch("/told?" + new URLSearchParams({ found: JSON.stringify(told) }));
});</script>"""


class Server(SimpleHTTPRequestHandler):
    """Serves the site, and keeps what its page tells."""

    told: Queue = Queue()

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/told":
            self.told.put(json.loads(parse_qs(parts.query)["found"][0]))
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *args):
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_the_search_finds_a_word_and_asks_nobody_else(site, tmp_path):
    page = (site / "index.html").read_text("utf-8")
    (site / "tried.html").write_text(page.replace("</body>", SEARCH + "</body>"), "utf-8")
    handler = partial(Server, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0"),
            f"http://{host}/tried.html",
        ]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = Server.told.get(timeout=120)
        except Empty:
            pytest.fail("the browser said nothing")
        finally:
            browser.terminate()
            browser.wait(timeout=30)
            server.shutdown()
            (site / "tried.html").unlink()
    assert "problem" not in told, told
    found = [urlsplit(link) for link in told["links"]]
    entry = ("/reference/modeling.html", "llmdemand.fraclogit")
    assert entry in [(link.path, link.fragment) for link in found], told
    assert told["hosts"] == [host]
