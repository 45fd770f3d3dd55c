"""``llmdemand multiverse``: one coefficient under every prompt, model, temperature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, Seed
from llmdemand.cli.output import print_json, records, say, warnings_as_lines
from llmdemand.cli.people.inputs import ClusterColumn, OutcomeColumn, belief_table, human_table


@app.command()
def multiverse(
    beliefs: Annotated[
        Path, typer.Argument(help="A table of beliefs under all specifications, a row each.")
    ],
    by: Annotated[
        list[str],
        typer.Option("--by", help="Column that tells specifications apart; may be repeated."),
    ],
    formula: Annotated[
        str, typer.Option(help="Of the fractional logit of every specification.")
    ] = "belief ~ price",
    term: Annotated[str, typer.Option(help="The coefficient that is compared.")] = "price",
    humans: Annotated[
        Path | None, typer.Option("--humans", help="Human answers, fitted alike.")
    ] = None,
    outcome: OutcomeColumn = "choice",
    cluster: ClusterColumn = "respondent_id",
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Estimate one coefficient under every specification: its sign, and what it varies with.

    Example: [b]llmdemand multiverse beliefs.parquet --by prompt --by model --humans humans.csv[/b]
    """
    from llmdemand.calibration.fidelity.multiverse import multiverse as run

    with warnings_as_lines():
        found = run(
            belief_table(beliefs, cluster),
            by,
            formula,
            term=term,
            humans=None if humans is None else human_table(humans, cluster),
            outcome=outcome,
            cluster=cluster,
            seed=seed,
        )
    if not as_json:
        say(found.summary())
        return
    number, low, high = found.negative
    print_json(
        {
            "verdict": found.verdict(),
            "specifications": records(found.table.reset_index()),
            "components": records(found.components.rename_axis("varied").reset_index()),
            "negative": {"number": number, "lower": low, "upper": high},
            "humans": None
            if found.humans is None
            else {"estimate": found.humans[0], "se": found.humans[1]},
            "notes": list(found.notes),
        }
    )
