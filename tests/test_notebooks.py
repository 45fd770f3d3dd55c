"""Notebooks run from a clean kernel, and are shipped with what they said."""

import base64
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")


def said(book):
    """Words of each code cell's output, whatever their spacing, and its numbers."""
    for cell in book.cells:
        if cell.cell_type == "code":
            parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
            text = "".join(parts)
            numbers = [float(n.replace(",", "")) for n in NUMBER.findall(text)]
            yield NUMBER.sub("#", text).split(), numbers


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook_runs_and_says_what_it_is_shipped_with(path, tmp_path):
    book, shipped = (nbformat.read(path, as_version=4) for _ in range(2))
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell, (now, then) in enumerate(zip(said(book), said(shipped), strict=True), 1):
        stale = f"code cell {cell} is shipped with another output: run the notebook and keep it"
        assert now[0] == then[0], stale
        # Rounding differs between machines, in the last digit that is shown.
        assert now[1] == pytest.approx(then[1], rel=2e-3, abs=1e-6), stale


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_shipped_with_its_outputs(path):
    assert path.stat().st_size < 2_000_000
    book = nbformat.read(path, as_version=4)
    cells = [c for c in book.cells if c.cell_type == "code"]
    assert all(c.execution_count for c in cells) and any(c.outputs for c in cells)
    kinds = {o.output_type for c in cells for o in c.outputs}
    assert "error" not in kinds
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))


@pytest.mark.parametrize(
    ("notebook", "name", "which"),
    [("06-price-war", "price-war", 0), ("05-calibration", "cars", -1)],
)
def test_pictures_of_the_documents_are_the_notebooks(notebook, name, which):
    """data/make_figures.py takes them from what the notebooks show."""
    book = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    shown = [
        o.data["image/png"]
        for c in book.cells
        for o in c.get("outputs", ())
        if "image/png" in o.get("data", {})
    ]
    kept = (ROOT / "data" / "figures" / f"{name}.png").read_bytes()
    assert base64.b64decode(shown[which]) == kept
