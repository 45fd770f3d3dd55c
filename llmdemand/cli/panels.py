"""Commands on panels: ``fit``, ``extract``, ``audit``, ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.measures.audit import audit_measure
from llmdemand.cli.options import (
    AsJson,
    MeasureName,
    Outside,
    PanelPath,
    RespondentId,
    Respondents,
    Seed,
    StorePath,
    Thinking,
    ThinkingOpen,
    pairs,
    study_of,
)
from llmdemand.cli.output import (
    command_line,
    counting,
    err,
    out,
    print_json,
    records,
    refuse_other_study,
    refuse_overwriting,
    say,
    statuses,
    warnings_as_lines,
)
from llmdemand.cli.own import options as own
from llmdemand.cli.own.fits import facts, fit_table, is_own
from llmdemand.cli.reports import (
    compared,
    kept_responses,
    print_numbers,
    print_report,
    result_folder,
)
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.belief.audit import Audit
    from llmdemand.core.panel import Panel


Read = Annotated[
    str | None,
    typer.Option(
        "--reading",
        help="Whose choice: [b]final[/b], of the whole answer (belief is corrected by it), or "
        "[b]pivot[/b]; by default final where whole answers are there.",
    ),
]


@app.command()
def fit(
    panel: own.Table,
    formula_text: own.FormulaText = None,
    outcome: Annotated[
        str | None, typer.Option(help="Of a panel: [b]belief[/b] (the default) or [b]choice[/b].")
    ] = None,
    alternative: Annotated[
        str | None,
        typer.Option(
            help="Of a panel, whose demand (the focal one by default); of an own table, the column "
            "of alternatives."
        ),
    ] = None,
    formula: Annotated[
        str | None,
        typer.Option(help="Right-hand side, as 'log(price)' or 'price + round(price, 5)'."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="logit (bought or not; the default); of all alternatives clogit (the default with "
            "--case), mnlogit, nested, mixed, latent; fraclogit of own shares; quantities and "
            "ratings have their own, count and ordered."
        ),
    ] = None,
    vcov: Annotated[
        str | None,
        typer.Option(
            help="iid, HC0 to HC3, CRV1:column, CRV1:a+b, CRV3:column, within:cell, pairs:column, "
            "score:column; chosen by the design by default."
        ),
    ] = None,
    ssc: Annotated[
        str, typer.Option(help="Small-sample factor: stata, sandwich, fixest or none.")
    ] = "stata",
    separation: Annotated[
        str, typer.Option(help="Where estimates are infinite: warn, raise or firth.")
    ] = "warn",
    price: Annotated[
        list[float] | None, typer.Option("--price", help="Print the elasticity at this price.")
    ] = None,
    cost: Annotated[
        float | None, typer.Option(help="Print the price of the highest profit at this unit cost.")
    ] = None,
    nest: Annotated[
        list[str] | None, typer.Option("--nest", help="For nested: NAME=a,b, once for each nest.")
    ] = None,
    random: Annotated[
        list[str] | None,
        typer.Option("--random", help="For mixed: TERM=LAW, as price=lognormal-, once for each."),
    ] = None,
    classes: Annotated[int | None, typer.Option(help="For latent: how many classes.")] = None,
    reading: Read = None,
    case: own.CaseColumn = None,
    choice: own.ChoiceColumn = None,
    focal: own.Focal = None,
    base: own.Base = None,
    availability: own.Availability = None,
    respondent: own.Respondent = None,
    weights: own.Weights = None,
    weights_type: own.WeightsType = None,
    na: own.Missing = None,
    membership: own.Membership = None,
    price_column: own.PriceColumn = None,
    unit: own.Unit = None,
    title: own.Title = None,
    sheet: own.Sheet = None,
    folder: own.Folder = None,
    workers: own.Workers = None,
    cluster: own.Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Fit a demand model to a panel, or to a table of your own; either may be a folder.

    Example: [b]llmdemand fit panel.parquet --outcome belief --price 35 --cost 18[/b]
    [b]llmdemand fit own.csv --model clogit --case id --alternative brand --choice bought
    "bought ~ price + size" --cost 2 --out results[/b]
    [b]llmdemand fit panel-folder/ --workers 2[/b]
    """
    from llmdemand.core.panel import Panel
    from llmdemand.core.shards.shards import read_panel
    from llmdemand.modeling.models.demand import fit_demand
    from llmdemand.reporting.truth import known_truth

    options: dict[str, Any] = {"ssc": ssc, "separation": separation, "vcov": vcov}
    if nest:
        options["nests"] = {name: some.split(",") for name, some in pairs(nest, "nest").items()}
    if random:
        options["random"] = pairs(random, "random")
    if classes is not None:
        options["classes"] = classes
    of_tables: dict[str, Any] = {"case": case, "choice": choice, "focal": focal, "base": base}
    of_tables |= {"availability": availability, "panel": respondent, "weights": weights}
    of_tables |= {"weights_type": weights_type, "na": na, "membership": membership}
    of_tables |= {"price_column": price_column, "unit": unit, "title": title, "sheet": sheet}
    of_tables["out"] = folder
    executor = own.executor(workers, cluster)
    if is_own(panel, formula_text, of_tables):
        if executor is not None:
            options["executor"] = executor
        fit_table(
            panel,
            formula_text if formula is None else formula,
            model=model,
            alternative=alternative,
            refused={"outcome": outcome, "reading": reading},
            own=of_tables,
            price=price,
            cost=cost,
            as_json=as_json,
            **options,
        )
        return
    read, outcome, model = read_panel(panel), outcome or "belief", model or "logit"
    options["model"] = model
    if read.study.question is not None:
        read = read if isinstance(read, Panel) else read.panel()
        known = {"alternative": alternative, "formula": formula, "reading": reading, **options}
        with warnings_as_lines():
            print_numbers(read, outcome, known, price, cost, as_json=as_json)
        return
    with warnings_as_lines():
        demand = fit_demand(
            read,
            outcome,  # type: ignore[arg-type]  # checked there, with a message
            alternative=alternative,
            formula=formula,
            reading=reading,  # type: ignore[arg-type]  # checked there too
            executor=executor,
            **options,
        )
        found = {}
        if price:
            found["elasticity"] = demand.elasticity(price)
        if cost is not None:
            found["optimal_price"] = demand.optimal_price(cost)
    truth = known_truth(read) if isinstance(read, Panel) else None
    measure = read.measure if isinstance(read, Panel) else read.study.measure
    against = truth.contradiction(demand, f"{model} of {outcome}") if truth is not None else ""
    if as_json:
        parts = {name: records(q.table) for name, q in found.items()}
        terms = records(demand.fit.tidy().rename_axis("term").reset_index())
        named: dict[str, Any] = {"outcome": outcome, "alternative": demand.alternative}
        named |= {"unit": demand.unit, "measure": measure}
        if truth is not None:
            named |= {"truth": vars(truth), "contradiction": against}
        print_json({**named, "fit": facts(demand.fit), "terms": terms, **parts})
        return
    for text in [demand.summary(), *(q.summary() for q in found.values())]:
        # A table that is too wide for the terminal is better cut by it than folded by us.
        out().print(f"{text}\n", markup=False, highlight=False, soft_wrap=True)
    if against:
        err().print(against, markup=False, highlight=False)


@app.command()
def extract(
    file: Annotated[
        Path, typer.Argument(help="A response store, or a file of answers with run ids.")
    ],
    study: Annotated[str, typer.Option("--study", help="The study that was asked.")],
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    path: Annotated[Path, typer.Option("--out", help="The panel.")] = Path("panel.parquet"),
    model: Annotated[
        str | None, typer.Option("--model", help="Whose answers, if the store holds several.")
    ] = None,
    low_mass: Annotated[
        float, typer.Option(help="Below this decided mass a run is low_mass.")
    ] = 0.05,
    thinking: Thinking = None,
    thinking_open: ThinkingOpen = False,
    measure: MeasureName = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that read a file of lines; by default as many as there are cores from "
            "128 MB on, else one. The panel is the same."
        ),
    ] = None,
) -> None:
    """Extract beliefs from responses on disk; asks no model.

    Example: [b]llmdemand extract panel.responses.sqlite --study pampers --out panel.parquet[/b]
    """
    from llmdemand.belief.audit import MUCH, remedy
    from llmdemand.belief.audit import audit as audited
    from llmdemand.belief.files import extract_file
    from llmdemand.belief.measures.coherence import usable_words
    from llmdemand.belief.rows import extract_panel
    from llmdemand.simulation.backends.recorded import stored_answers
    from llmdemand.simulation.storing.store import is_store

    chosen = study_of(
        study,
        respondents,
        respondent_id,
        thinking,
        thinking_open,
        allow_outside=allow_outside,
        measure=measure,
    )
    refuse_overwriting(path, file)
    provenance = {"backend": "file", "source": file.name, "study_hash": chosen.hash}
    if is_store(file):
        if workers not in (None, 1):
            raise UsageError(f"--workers {workers}: a store is read by one process, leave it out")
        answers = stored_answers(file, chosen, model=model)
        panel = extract_panel(chosen, answers, provenance, low_mass=low_mass)
    else:
        with counting("answers read") as progress:
            panel = extract_file(
                file, chosen, provenance, low_mass=low_mass, workers=workers, progress=progress
            )
    panel.write(path)
    out().print(f"{len(panel)} runs: {statuses(panel)}\npanel: {path}")
    if words := usable_words(panel):
        say(words)
    found = audited(panel)
    if found.mismatch[0] > MUCH:
        said = f"{found.mismatches} of {found.checked} answers choose something else in the end"
        err().print(
            f"{said} than at their pivot: {remedy(found.stopped)}", markup=False, highlight=False
        )


@app.command()
def audit(
    panel: PanelPath,
    choices: Annotated[
        Path | None,
        typer.Option(
            "--choices",
            help="Of stated probabilities or similarity: the panel of the model's own choices.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a panel's beliefs can be believed.

    Example: [b]llmdemand audit panel.parquet[/b]
    """
    from llmdemand.belief.audit import audit as run
    from llmdemand.belief.audit import snapshots
    from llmdemand.belief.branching.compared import compare_branching
    from llmdemand.core.panel import Panel
    from llmdemand.reporting.measures.quality import by_snapshot
    from llmdemand.reporting.measures.selection import selection

    read = Panel.read(panel)
    if read.study.measure in ("stated", "similarity"):
        audit_measure(read, choices, as_json)
        return
    if choices is not None:
        raise UsageError(
            f"--choices is for panels of stated probabilities or similarity, and {panel} is of "
            f"{read.measure!r}: leave it out"
        )
    found = run(read)
    drift = by_snapshot(read).reset_index() if len(snapshots(read)) > 1 else None
    left_out = selection(read)
    # One run per cell has no variance to compare.
    several = read.frame["cell"].duplicated().any() and read.frame["final_choice"].notna().any()
    branches = compare_branching(read) if read.study.sampling.branch and several else None
    if as_json:
        print_json(
            {
                "measure": read.measure,
                "statuses": {str(k): int(v) for k, v in read.statuses.items()},
                "mismatches": found.mismatches,
                "checked": found.checked,
                "stopped": found.stopped,
                "unread": found.unread,
                "position_locked": found.position_locked,
                "snapshots": records(snapshots(read).reset_index() if drift is None else drift),
                "thoughts": found.thoughts,
                "thought_cut": found.thought_cut if found.thoughts else None,
                "note": found.note,
                "final": _final(found),
                "equivalence": None
                if found.equivalence is None
                else {
                    "difference": found.equivalence.difference,
                    "se": found.equivalence.se,
                    "p": found.equivalence.chi2_pvalue,
                },
                "selection": records(left_out.reset_index()),
                "branching": None
                if branches is None
                else {
                    "difference": branches.difference,
                    "se": branches.se,
                    "p": branches.pvalue,
                    "measures": records(branches.table.rename_axis("measure").reset_index()),
                },
            }
        )
        return
    if drift is not None:
        shown = drift.to_string(index=False, float_format=lambda v: f"{v:.4g}")
        out().print(f"estimates by snapshot\n{shown}\n", markup=False, highlight=False)
    if not found.checked + found.stopped + found.unread:
        # Without a pivot there are no masses, tokens or mismatches to show.
        say(_no_pivot(read))
        return
    out().print(found.summary(), markup=False, highlight=False, soft_wrap=True)
    if len(left_out) > 1:
        shown = left_out.to_string(float_format=lambda v: f"{v:.3g}")
        out().print(
            f"\nwhat leaving a status out would select\n{shown}", markup=False, highlight=False
        )
    if branches is not None:
        out().print(f"\n{branches.summary()}", markup=False, highlight=False)


def _final(found: Audit) -> dict[str, Any] | None:
    """Belief at the pivot against the final choice; None where that is not known."""
    same = found.equivalence
    if same is None or not same.read:
        return None
    return {
        "read": same.read,
        "difference": same.final_difference,
        "se": same.final_se,
        "p": same.final_pvalue,
        "p_by_cell": same.final_chi2_pvalue,
    }


def _no_pivot(panel: Panel) -> str:
    """What an audit says of a panel in which no answer has a pivot."""
    from llmdemand.core.panel import STATUSES

    lines = [
        f"no answer has a pivot: of {len(panel)} answers none settles a choice with a token whose "
        "probability is known, so there is no belief to audit",
        *(f"  {s} {n}: {STATUSES[str(s)]}" for s, n in panel.statuses.items() if n),
    ]
    if (panel.frame["status"] == "no_logprobs").all():
        hint = (
            "ask a model or server that returns log-probabilities: `llmdemand probe` finds out; "
            "demand can still be fitted to choices: `llmdemand fit PANEL --outcome choice`"
        )
    else:
        hint = "read some of the answers (column 'text'), then try another prompt or model"
    return "\n".join([*lines, hint])


@app.command()
def compare(
    panel: PanelPath,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for tables, figures and report.html.")
    ] = None,
    runs: Annotated[
        list[int] | None, typer.Option("--runs", help="A number of runs; may be repeated.")
    ] = None,
    replications: Annotated[int, typer.Option(help="Draws per number of runs.")] = 1000,
    seed: Seed = 1,
    cost: Annotated[
        float | None, typer.Option(help="Unit cost, for the price of the highest profit.")
    ] = None,
    reading: Read = None,
    store: StorePath = None,
    as_json: AsJson = False,
) -> None:
    """Compare belief and choice on the runs of one panel.

    What a panel is too poor for is left out, and said. Answers are shown token by
    token if the response store lies beside the panel, or is given.

    Example: [b]llmdemand compare panel.parquet --out results[/b]
    """
    from llmdemand.core.panel import Panel
    from llmdemand.reporting.tables.frames import by_outcome

    read = Panel.read(panel)
    if folder is not None:
        refuse_other_study(result_folder(folder) / "panel.parquet", read.study)
    responses = kept_responses(read, panel, store) if folder or store else None
    report = compared(
        read, seed, tuple(runs or (1, 2, 3, 5, 10, 20)), replications, cost=cost, reading=reading
    )
    if folder is not None:
        report.save(folder)
        report.to_html(folder / "report.html", command=command_line(), responses=responses)
    if as_json:
        drawn, needed = report.precision, report.needed
        print_json(
            {
                "measure": read.measure,
                "verdict": report.verdict(),
                "problems": report.problems,
                "estimates": records(report.estimates().reset_index()),
                "pricing": records(report.pricing()),
                "precision": None if drawn is None else records(drawn.table),
                "needed": None if needed is None else records(by_outcome(needed.table)),
            }
        )
        return
    print_report(report, "", folder=folder)
