"""The examples in the documents run as they are written."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = [
    pytest.param(code, id=f"{path.name}-{k}")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for k, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.S))
]


@pytest.mark.parametrize("code", BLOCKS)
def test_python_examples(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {})


def test_every_link_between_the_documents_leads_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_no_document_holds_the_marks_of_a_merge():
    folders = [ROOT, *(ROOT / name for name in ("docs", "data", "tests", "notebooks"))]
    kinds = {".md", ".toml", ".json", ".ipynb", ".csv"}
    for path in [p for f in folders for p in (f.glob("*") if f == ROOT else f.rglob("*"))]:
        if path.suffix in kinds and path.is_file():
            text = path.read_text("utf-8")
            assert not re.search(r"^(<{7} |>{7} )", text, re.M), f"{path} was merged halfway"
