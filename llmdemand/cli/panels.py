"""Commands that read answers and beliefs: ``extract``, ``audit``."""

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
    Thinking,
    ThinkingOpen,
    study_of,
)
from llmdemand.cli.output import (
    counting,
    err,
    out,
    panel_facts,
    print_json,
    records,
    refuse_overwriting,
    say,
    statuses,
)
from llmdemand.cli.own import options as own
from llmdemand.cli.shards.extracting import extract_parts, is_folder
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.belief.audit import Audit
    from llmdemand.core.shards.shards import AnyPanel


@app.command()
def extract(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="A response store, or files of answers with run ids: several, or patterns as "
            "'raw/*.jsonl.gz', become a folder of parts."
        ),
    ],
    study: Annotated[str, typer.Option("--study", help="The study that was asked.")],
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    path: Annotated[
        Path, typer.Option("--out", help="The panel; a name without an ending is a folder.")
    ] = Path("panel.parquet"),
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
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Address of a Dask scheduler, whose workers read the files and write the parts."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Extract beliefs from responses on disk; asks no model.

    A folder of parts is the same whoever works, and is taken up where it broke off.

    Example: [b]llmdemand extract panel.responses.sqlite --study pampers --out panel.parquet[/b]
    [b]llmdemand extract 'raw/*.jsonl.gz' --study pampers --out panel --workers 2[/b]
    [b]llmdemand extract 'raw/*.jsonl.gz' --study pampers --out panel --cluster
    tcp://127.0.0.1:8786[/b]
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
    if is_folder(files, path, cluster):
        if model is not None:
            raise UsageError(f"--model {model!r}: it chooses among the answers of one store")
        extract_parts(
            files, chosen, path, low_mass, workers=workers, cluster=cluster, as_json=as_json
        )
        return
    (file,) = files
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
    found = audited(panel)
    if as_json:
        ends = {"mismatches": found.mismatches, "checked": found.checked, "stopped": found.stopped}
        print_json({**panel_facts(panel, panel=path, source=file), **ends})
    else:
        say(f"{len(panel)} runs: {statuses(panel)}\npanel: {path}")
        if words := usable_words(panel):
            say(words)
    if found.mismatch[0] > MUCH:
        said = f"{found.mismatches} of {found.checked} answers choose something else in the end"
        err().print(
            f"{said} than at their pivot: {remedy(found.stopped)}", markup=False, highlight=False
        )


@app.command()
def audit(
    context: typer.Context,
    panel: PanelPath,
    choices: Annotated[
        Path | None,
        typer.Option(
            "--choices",
            help="Of stated probabilities or similarity: the panel of the model's own choices.",
        ),
    ] = None,
    workers: own.Workers = None,
    cluster: own.Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a panel's beliefs can be believed.

    Example: [b]llmdemand audit panel.parquet[/b]
    [b]llmdemand audit panel-folder/ --workers 2[/b]
    """
    from llmdemand.belief.audit import audit as run
    from llmdemand.belief.auditing.snapshots import snapshots
    from llmdemand.belief.branching.compared import compare_branching
    from llmdemand.core.shards.shards import sampled
    from llmdemand.reporting.measures.quality import by_snapshot
    from llmdemand.reporting.measures.selection import selection

    read = own.panel_by(context, panel, workers, cluster)
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
    branches = None
    if read.study.sampling.branch:
        rows = sampled(read)
        several = rows.frame["cell"].duplicated().any()
        if several and rows.frame["final_choice"].notna().any():
            branches = compare_branching(rows)
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


def _no_pivot(panel: AnyPanel) -> str:
    """What an audit says of a panel in which no answer has a pivot."""
    from llmdemand.core.panel import STATUSES

    lines = [
        f"no answer has a pivot: of {len(panel)} answers none settles a choice with a token whose "
        "probability is known, so there is no belief to audit",
        *(f"  {s} {n}: {STATUSES[str(s)]}" for s, n in panel.statuses.items() if n),
    ]
    if panel.statuses["no_logprobs"] == len(panel):
        hint = (
            "ask a model or server that returns log-probabilities: `llmdemand probe` finds out; "
            "demand can still be fitted to choices: `llmdemand fit PANEL --outcome choice`"
        )
    else:
        hint = "read some of the answers (column 'text'), then try another prompt or model"
    return "\n".join([*lines, hint])
