"""``llmdemand transport``: shares where no human was asked, by a stated assumption."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, Seed
from llmdemand.cli.output import print_json, records, say, warnings_as_lines
from llmdemand.cli.people.inputs import (
    BeliefColumn,
    ClusterColumn,
    Humans,
    OutcomeColumn,
    belief_table,
    human_table,
)


@app.command()
def transport(
    humans: Humans,
    beliefs: Annotated[Path, typer.Argument(help="A table of beliefs at all prices.")],
    by: Annotated[str, typer.Option(help="Column of prices or products.")] = "price",
    outcome: OutcomeColumn = "choice",
    belief: BeliefColumn = "belief",
    cluster: ClusterColumn = "respondent_id",
    error: Annotated[
        str,
        typer.Option(help="Assumed of the LLM's error: [b]constant[/b] or [b]linear[/b] in price."),
    ] = "constant",
    delta: Annotated[
        float | None,
        typer.Option(help="By how many log-odds it may be off; the worst held-out one without."),
    ] = None,
    cost: Annotated[float, typer.Option(help="Unit cost, for the best price.")] = 0.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Shares at prices or products that no human was asked, with what it takes to flip them.

    Example: [b]llmdemand transport humans.csv beliefs.parquet --delta 0.3[/b]
    """
    from llmdemand.calibration.carried.transport import transport as run

    with warnings_as_lines():
        found = run(
            human_table(humans, cluster),
            belief_table(beliefs, cluster),
            by=by,
            outcome=outcome,
            belief=belief,
            cluster=cluster,
            error=error,  # type: ignore[arg-type]  # checked there, with a message
            delta=delta,
            cost=cost,
            seed=seed,
        )
    if not as_json:
        say(found.summary())
        return
    print_json(
        {
            "verdict": found.verdict(),
            "assumption": found.assumption,
            "delta": found.delta,
            "stated": found.stated,
            "shares": records(found.table.reset_index()),
            "held_out": records(found.held_out.reset_index()),
            "conclusions": records(found.conclusions.rename_axis("conclusion").reset_index()),
            "notes": list(found.notes),
        }
    )
