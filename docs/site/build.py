"""Build the documentation site: ``python docs/site/build.py --out site``.

Pages come from ``docs/``, from the README files and notebooks that they link to, and from the
package itself; a page that is added to ``docs/`` is taken up, at the end of "How to". The build is
strict: a link or an anchor that leads nowhere fails it. Nothing is fetched, neither here nor by
the pages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import reference
from links import piped, place, rewritten, targets
from stored import Picture, converted

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

#: Pages of docs/ with a place of their own; all others are ways to do something.
THEORY = ["belief", "branching", "demand-models", "tastes"]
EVIDENCE = ["replicating-the-paper", "comparison"]
FIRST = ["backends", "paid-study", "vllm", "shards", "dask", "ten-million"]
FIRST += ["respondents", "choice-experiments", "own-data", "simulator", "calibration"]

#: A picture of data/figures in a page: what it shows, and its file.
FIGURE = r"!\[([^\]]+)\]\((?:[./]*data/)?figures/([^)]+)\)"

#: What every site has: a folder without it is not overwritten.
MARK = "objects.inv"

Nav = list[dict[str, "str | Nav"]]


def main() -> None:
    """Assemble the pages in a folder beside the site, and build it strictly."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site")
    out = parser.parse_args().out.resolve()
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / MARK).exists()):
        raise SystemExit(f"{out} holds something else than a site: name another folder")
    if not find_spec("zensical"):
        raise SystemExit("the site's generator is not installed: pip install -e '.[docs]'")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "docs")
        navigation = assemble(tree)
        config = Path(folder, "mkdocs.yml")
        config.write_text(configuration(navigation), "utf-8")
        code = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(config)],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", "PYTHONUTF8": "1"},
        ).returncode
        if code:
            raise SystemExit(
                "the site was not built: mend what is named above (an unresolved autoref is a "
                "docstring's a[b][c] without backticks)"
            )
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(Path(folder, "site"), out)
    print(f"{len(list(out.rglob('*.html')))} pages in {out}")


def assemble(tree: Path) -> Nav:
    """Write every page and picture into a folder; the navigation."""
    pictures: dict[str, list[Picture]] = {}
    figures = shown((ROOT / "README.md").read_text("utf-8"))
    written: dict[str, str] = {}
    sources = [p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").glob("*.md"))]
    sources += [p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("notebooks/*.ipynb"))]
    waiting = [*sources, "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md"]
    while waiting:
        source = waiting.pop(0)
        if source in written or source in ("README.md", "notebooks/README.md"):
            continue
        if source.endswith((".md", ".ipynb")):
            text, found = page(ROOT / source)
            pictures |= {source: found} if found else {}
            waiting += targets(text, source, ROOT)
            save(tree, place(source), rewritten(text, source, ROOT))
            for picture in found:
                file = (tree / place(source)).with_name(picture.file)
                file.write_bytes(picture.data)
            written[source] = heading(text, source)
            figures = shown(text) | figures
        else:
            (tree / place(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, tree / place(source))
            written[source] = ""
    titles = {place(s): title for s, title in written.items() if title}
    for name, text in reference.pages().items():
        save(tree, f"reference/{name}", text)
        titles[f"reference/{name}"] = heading(text, name)
    for file in figures:
        (tree / "data/figures").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "data/figures" / file, tree / "data/figures")
    save(tree, "notebooks/index.md", tutorials(titles))
    save(tree, "gallery.md", gallery(figures, pictures, titles))
    shutil.copy(HERE / "style.css", tree / "style.css")
    return navigation(titles)


def page(path: Path) -> tuple[str, list[Picture]]:
    """A source as markdown whose pictures lie beside it, and these."""
    return converted(path) if path.suffix == ".ipynb" else (path.read_text("utf-8"), [])


def shown(text: str) -> dict[str, str]:
    """Pictures of data/figures in a page, and what they show."""
    return {file: said for said, file in re.findall(FIGURE, text)}


def heading(text: str, source: str) -> str:
    """The title of a page."""
    found = re.search(r"^# (.+)$", text, re.M)
    if not found:
        raise SystemExit(f"{source} has no title: begin it with `# Title`")
    return found[1].replace("`", "")


def save(tree: Path, name: str, text: str) -> None:
    """Write a page."""
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(piped(text), "utf-8")


def tutorials(titles: dict[str, str]) -> str:
    """The list of notebooks."""
    listed = [
        f"- [{title}]({Path(name).name})" for name, title in titles.items() if "notebooks/" in name
    ]
    said = "Notebooks, shown with the outputs that the tests execute them to."
    return "\n".join(["# Tutorials", "", said, "", *listed, ""])


def gallery(
    figures: dict[str, str], pictures: dict[str, list[Picture]], titles: dict[str, str]
) -> str:
    """A picture for each result, with a link to what made it."""
    parts = [
        "# Gallery",
        "The pictures of the guides, then those of the notebooks; a notebook's lead to its page.",
        "## Guides",
    ]
    parts += [f"![{said}](data/figures/{file})\n\n*{said}*" for file, said in figures.items()]
    for source, found in pictures.items():
        name = place(source)
        parts.append(f"## {titles[name]}")
        for picture in found:
            parts.append(
                f"[![{picture.section}](notebooks/{picture.file}){{ loading=lazy }}]({name})\n\n"
                f"*{picture.section}*"
            )
    return "\n\n".join(parts) + "\n"


def navigation(titles: dict[str, str]) -> Nav:
    """All pages in their places; those of docs/ that nobody placed are ways to do something."""
    top = [name.removesuffix(".md") for name in titles if "/" not in name]
    placed = {*THEORY, *EVIDENCE, *FIRST, "index", "changelog", "contributing"}
    how = [n for n in FIRST if n in top] + [n for n in top if n not in placed]

    def listed(names: list[str]) -> Nav:
        return [{titles[n]: n} for n in names]

    def pages(stems: list[str]) -> Nav:
        return listed([f"{n}.md" for n in stems if n in top])

    def under(folder: str) -> Nav:
        return listed([n for n in titles if n.startswith(folder)])

    data = [n for n in titles if "/" in n and not n.startswith(("notebooks/", "reference/"))]
    return [
        {"Home": "index.md"},
        {"Tutorials": [{"Tutorials": "notebooks/index.md"}, *under("notebooks/")]},
        {"How to": pages(how)},
        {"Theory": pages(THEORY)},
        {"Reference": under("reference/")},
        {"Evidence": [*pages(EVIDENCE), {"Gallery": "gallery.md"}, *listed(sorted(data))]},
        {"Project": pages(["contributing", "changelog"])},
    ]


def configuration(nav: Nav) -> str:
    """What the generator reads: what is always so, then navigation and reference."""
    options = {
        "docstring_style": "numpy",
        # Tables would call "required" what is handed on by `**options`.
        "docstring_section_style": "list",
        "docstring_options": {"warn_unknown_params": False},
        "show_source": False,
        "inherited_members": True,
        "show_root_heading": True,
        "show_root_full_path": False,
        "heading_level": 2,
        "separate_signature": True,
        "show_signature_annotations": True,
        "show_if_no_docstring": False,
        "line_length": 88,
    }
    handlers = {"python": {"paths": [str(ROOT)], "options": options}}
    # JSON is YAML: names need no thought about quoting.
    added = {
        "nav": nav,
        "plugins": ["search", {"mkdocstrings": {"handlers": handlers}}],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in added.items()]
    return (HERE / "mkdocs.yml").read_text("utf-8") + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
