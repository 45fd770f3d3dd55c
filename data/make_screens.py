"""Draws the first screen of a page and its simulator at three widths, with Chromium.

    python data/make_screens.py

writes data/figures/page-390.png, page-768.png, page-1440.png and simulator-<width>.png, from the
bundled panel of a real language model.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from matplotlib.image import imread, imsave

import llmdemand as ld

FIGURES = Path(__file__).parent / "figures"
HEIGHTS = {390: (1500, 2000), 768: (1100, 1350), 1440: (1000, 1250)}
FRAME = '<!doctype html><body style="margin:0"><iframe src="{src}" style="{style}"></iframe>'


def shot(browser: str, page: Path, width: int, height: int, out: Path) -> None:
    """A picture of a page in a frame: a window has a least width, a frame any."""
    frame = page.with_name("frame.html")
    style = f"border:0;width:{width}px;height:{height}px"
    frame.write_text(FRAME.format(src=page.name, style=style), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = f"--window-size={max(width, 500)},{height}"
    profile = f"--user-data-dir={page.parent / 'profile'}"
    wait, picture = "--virtual-time-budget=8000", f"--screenshot={out}"
    subprocess.run(
        [browser, *flags, size, profile, wait, picture, frame.as_uri()],
        check=True,
        capture_output=True,
    )
    imsave(out, imread(out)[:, :width])


def main() -> None:
    """Both pages at every width."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "no Chromium here: apt-get install chromium"
    report = ld.compare(ld.load_panel("pampers"), cost=18)
    labels = {a.id: a.label for a in report.panel.study.menu}
    fit = ld.fit_demand(report.panel, model="clogit")
    with tempfile.TemporaryDirectory() as folder:
        page, market = Path(folder, "report.html"), Path(folder, "market.html")
        report.to_html(page, note="A real language model on this machine.")
        ld.market_page(fit, market, cost=18, labels=labels)
        for width, heights in HEIGHTS.items():
            shot(browser, page, width, heights[0], FIGURES / f"page-{width}.png")
            shot(browser, market, width, heights[1], FIGURES / f"simulator-{width}.png")


if __name__ == "__main__":
    main()
