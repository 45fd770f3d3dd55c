"""Every kind of LaTeX that the package writes is set by LaTeX, whatever people call things."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.modeling.tables.tex import celled, escaped, lined
from llmdemand.reporting.people import People
from llmdemand.reporting.tables.partworths import part_worth_tables
from llmdemand.reporting.tables.people import people_tables
from llmdemand.reporting.tables.table import Table, render
from llmdemand.reporting.tables.tables import all_tables

ENGINE = shutil.which("pdflatex") or shutil.which("tectonic")
NASTY = [
    "$5 100% menu",
    "a_b & #1 ~ ^ \\ {x}",
    "[0.5] to begin",
    "*starred",
    "two\n\nlines",
    "tab\tand \x07bell",
    "a--b ---c `d` 'e' \"f\" <g> |h|",
    "é ü ß € £ – “q” naïve Łódź",  # noqa: RUF001
    "λ β Δ ≤ × − → ∞ µ",  # noqa: RUF001
    "\\input{secret} \\end{tabular}",
    "-0.5 (inf)",
    "spaces of\u2007other\u202fkinds\u200b",
]


def tables():
    """Tables of every kind, a label in all places where people's words stand."""
    rng = np.random.default_rng(1)
    brand = np.array([NASTY[1], NASTY[4], "[x]"])[np.arange(80) % 3]
    df = pd.DataFrame({"price": rng.normal(size=80), "y_1": np.arange(80) % 2, "b_1": brand})
    fit = ld.logit("y_1 ~ price + b_1", df)
    yield ld.etable(*[fit] * len(NASTY), names=NASTY, format="latex")
    yield fit.summary().to_latex()
    yield ld.compare_models(*[fit] * len(NASTY), names=NASTY).table.to_latex()
    for table in ld.demand_report(fit, unit=NASTY[0], labels={"y_1": NASTY[2]}).tables:
        yield render(table, "latex")
    for word in NASTY:
        cells = pd.DataFrame({word: [word, "one"], "x": ["-1.5", word]})
        yield render(cells, "latex")
        yield render(Table("some_table", word, cells, cells, (word,)), "latex")


def of_studies():
    """Tables of a report, of a choice experiment and of people."""
    pampers = ld.load_study("pampers").to_dict()
    for alternative, word in zip(pampers["alternatives"], NASTY, strict=False):
        alternative["label"] = word
    panel = ld.simulate(ld.Study.from_dict(pampers), "synthetic", runs=4, seed=1)
    for table in all_tables(ld.compare(panel, runs=(1,), replications=10, cost=18)):
        yield render(table, "latex")
    data = ld.paired_panel(humans=60, llm=200, answers=1, seed=1)
    calibrated = ld.calibrate(data.humans, data.beliefs)
    yield calibrated.to_latex()
    found = ld.discrepancy(data.humans, data.beliefs)
    for table in people_tables(People(calibrated, found)):
        yield render(table, "latex")


def of_experiments(folder):
    study = ld.load_study(ld.new_study(folder / "coffee.toml", conjoint=True)).to_dict()
    study["unit"] = NASTY[0]
    panel = ld.simulate(ld.Study.from_dict(study), "synthetic", runs=10, seed=1)
    for some in part_worth_tables(ld.conjoint(panel)).values():
        for table in some:
            yield render(table, "latex")


@pytest.mark.skipif(ENGINE is None, reason="no LaTeX: install pdflatex (texlive) or tectonic")
def test_every_table_is_set(tmp_path):
    bodies = [*tables(), *of_studies(), *of_experiments(tmp_path)]
    assert len(bodies) > 40
    source = "\n\n\\clearpage\n".join(
        [
            r"\documentclass{article}\usepackage{booktabs}\tracinglostchars=2\begin{document}",
            *bodies,
            r"\end{document}",
        ]
    )
    (tmp_path / "all.tex").write_text(source, encoding="utf-8")
    plain = ["-interaction=nonstopmode", "-halt-on-error"]
    options = plain if "pdflatex" in str(ENGINE) else ["--only-cached", "--keep-logs"]
    done = subprocess.run(
        [str(ENGINE), *options, "all.tex"], cwd=tmp_path, capture_output=True, timeout=120
    )
    if "tectonic" in str(ENGINE) and b"failed to open" in done.stderr:
        pytest.skip("tectonic has no files at hand: let it set one document first")
    log = (tmp_path / "all.log").read_text("utf-8", errors="replace")
    troubles = [line for line in log.splitlines() if line.startswith(("!", "l.", "Missing char"))]
    assert done.returncode == 0 and not troubles, "\n".join(troubles)


def test_rows_that_begin_like_an_argument_keep_their_beginning():
    # Behind the end of a row LaTeX reads a star and a bracket as the row's own options.
    assert lined([escaped("*star"), "1"]) == r"{}*star & 1 \\"
    assert lined([celled("[x]")]).startswith("{}[") and lined(["a", "[x]"]) == r"a & [x] \\"
    assert escaped("a\n\nb\x00c") == "a b c"


def test_numbers_are_mathematics_and_words_are_not():
    assert celled("-1.5 (0.2)") == "$-1.5$ (0.2)"
    assert celled("[-1e-05, inf]") == r"[$-1 \times 10^{-5}$, $\infty$]"
    assert celled("info A-4 2024-05-01 v1.-2") == "info A-4 2024-05-01 v1.-2"
