"""``llmdemand fit`` of a table of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import (
    command_line,
    err,
    out,
    print_json,
    records,
    say,
    warnings_as_lines,
)
from llmdemand.cli.reports import files_in, result_folder
from llmdemand.core.tables.files import KINDS, is_panel, read_table
from llmdemand.core.tables.pieces import Pieces
from llmdemand.errors import DesignError, LLMDemandError, UsageError, nearest

if TYPE_CHECKING:
    from llmdemand.modeling.models.results import LogitResults
    from llmdemand.reporting.own.report import DemandReport

__all__ = ["facts", "fit_table", "is_own"]


def is_own(path: Path, formula: str | None, own: Mapping[str, Any]) -> bool:
    """Whether a file is a table of one's own: not a panel, whose file says so.

    Parquet files that are no panel are tables where something is asked that is of tables alone.

    Raises
    ------
    UsageError
        For what is of tables alone, asked of a panel.
    """
    given = [name for name, value in own.items() if value is not None]
    if is_panel(path):
        if formula is not None:
            raise UsageError(f"{path} is a panel: give --formula, the right-hand side alone")
        if given:
            raise UsageError(
                f"{path} is a panel, and --{given[0].replace('_', '-')} is of tables of your own: "
                "leave it out"
            )
        return False
    parquet = KINDS.get(path.suffix.lower()) == "parquet" or not path.suffix
    return bool(formula is not None or given or not parquet)


def fit_table(
    path: Path,
    formula: str | None,
    *,
    model: str | None,
    alternative: str | None,
    refused: Mapping[str, Any],
    own: Mapping[str, Any],
    price: list[float] | None,
    cost: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit, print what follows from it, and write it.

    Parameters
    ----------
    path, formula, model, price, cost, as_json, **options
        See ``llmdemand fit``.
    alternative : str, optional
        Column of alternatives.
    refused : mapping
        Options that are of panels alone.
    own : mapping
        Options that are of tables alone.
    """
    from llmdemand.modeling.own.named import fit_own
    from llmdemand.reporting.own.report import demand_report

    for name, value in refused.items():
        if value is not None:
            raise UsageError(f"--{name} is of panels, and {path} is a table: leave it out")
    asked = dict(own)
    focal, unit, title, folder, column, sheet = (
        asked.pop(k) for k in ("focal", "unit", "title", "out", "price_column", "sheet")
    )
    target = None if folder is None else result_folder(folder)
    names = [c for c in (own["case"], alternative, own["panel"]) if c is not None]
    if path.is_dir() and sheet is not None:
        raise UsageError(f"sheet {sheet!r} is of a workbook, and {path} is a folder: leave it out")
    # Files of a folder are read piece by piece, and only as far as a column is asked for.
    frame = Pieces.open(path) if path.is_dir() else read_table(path, text=names, sheet=sheet)
    known = [str(c) for c in frame.columns]
    outcome = asked.pop("choice")
    for name in (*names, outcome, column):
        if name is not None and name not in known:
            raise DesignError(
                f"{path}: no column {name!r}{nearest(name, known)}: it has {', '.join(known)}"
            )
    if formula is None:
        raise UsageError(
            f"{path} is a table: give a formula, as in 'bought ~ price + size'; its columns are "
            f"{', '.join(known)}"
        )
    with warnings_as_lines():
        fit = fit_own(
            formula,
            frame,
            model,
            choice=outcome,
            respondent=asked.pop("panel"),
            price=column or "price",
            alternative=alternative,
            **asked,
            **options,
        )
        if fit.frame is None:
            asked_at = {"elasticity": lambda: fit.elasticity(price=column or "price")}
            if price:
                asked_at["elasticity_at"] = lambda: _at(fit, price, column, focal)
            _print_bare(fit, asked_at, as_json=as_json)
            return
        report = demand_report(
            fit,
            price=column or "price",
            cost=cost,
            alternative=focal,
            unit=unit,
            title=title or "",
        )
        more = {} if not price else {"elasticity_at": _at(fit, price, column, focal)}
    note = "" if target is None else report.save(target, command=command_line())
    _print(report, more, target, note, as_json=as_json)


def _print_bare(
    fit: LogitResults, asked: Mapping[str, Callable[[], Any]], *, as_json: bool
) -> None:
    """A fit whose rows stayed in their files, and what is to be had of it all the same."""
    lacking = ["no best prices, predictions and report: they need the rows, which are in files"]
    found = {}
    for name, ask in asked.items():
        try:
            found[name] = ask()
        except LLMDemandError as error:  # the fit is there, and is shown
            lacking.append(f"no {name.partition('_')[0]}: {error}")
    if as_json:
        terms = records(fit.tidy().rename_axis("term").reset_index())
        told = {"outcome": fit.outcome, "fit": facts(fit), "terms": terms, "files": []}
        tables = {name: records(quantity.table) for name, quantity in found.items()}
        print_json({**told, **tables, "lacking": lacking})
        return
    for text in [fit.summary(), *(quantity.summary() for quantity in found.values())]:
        out().print(f"{text}\n", markup=False, highlight=False, soft_wrap=True)
    for text in dict.fromkeys(lacking):
        err().print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)


def _at(fit: LogitResults, price: list[float], column: str | None, focal: str | None) -> Any:
    """Elasticities at prices, of one alternative."""
    design = fit.design
    if focal is None and design is not None and not design.outside:
        raise UsageError("--price is the price of one alternative: name it with --focal")
    key = (column or "price") if design is not None and design.outside else str(focal)
    named = None if design is not None and design.outside else focal
    return fit.elasticity(at={key: price}, price=column or "price", alternative=named)


def _print(
    report: DemandReport, more: dict[str, Any], target: Path | None, note: str, *, as_json: bool
) -> None:
    found = {**report.quantities, **more}
    if as_json:
        fit = report.fit
        print_json(
            {
                "outcome": fit.outcome,
                "unit": report.unit,
                "verdict": report.verdict(),
                "fit": facts(fit),
                "terms": records(fit.tidy().rename_axis("term").reset_index()),
                "lacking": list(report.answers.lacking),
                "files": files_in(target, "report.html", *([] if note else ["tables.xlsx"])),
                **{name: records(q.table) for name, q in found.items()},
            }
        )
    else:
        for text in [report.fit.summary(), *(q.summary() for q in found.values())]:
            # A table that is too wide for the terminal is better cut by it than folded by us.
            out().print(f"{text}\n", markup=False, highlight=False, soft_wrap=True)
        say(report.verdict())
        if target is not None:
            book = "" if note else "tables.xlsx, "
            say(f"\nresults in {target}/: report.html, {book}tables/")
    for text in (*report.answers.lacking, *([note] if note else [])):
        err().print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)


def facts(found: LogitResults) -> dict[str, Any]:
    """What the numbers rest on."""
    names = "kind nobs dropped vcov ssc clusters df weighting llf prsquared aic bic separated firth"
    known = {name: getattr(found, name) for name in names.split()}
    # Infinite degrees of freedom (the normal law) are no number in JSON.
    plain = {k: None if v in (float("inf"), float("-inf")) else v for k, v in known.items()}
    return {**plain, "notes": list(found.notes)}
