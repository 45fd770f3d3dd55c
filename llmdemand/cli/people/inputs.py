"""What commands on people read: human answers, beliefs, margins, and the options that name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.core.shards.shards import AnyPanel

__all__ = [
    "BeliefColumn",
    "Beliefs",
    "ClusterColumn",
    "Humans",
    "OutcomeColumn",
    "belief_table",
    "human_table",
    "read_beliefs",
    "read_margins",
]

Humans = Annotated[
    Path,
    typer.Argument(
        help="Human answers, a row each (or per alternative): CSV, parquet, xlsx, dta or Arrow."
    ),
]
Beliefs = Annotated[Path, typer.Argument(help="A panel of respondents, or a table of beliefs.")]
ClusterColumn = Annotated[str, typer.Option("--cluster", help="Column of respondents.")]
BeliefColumn = Annotated[str, typer.Option("--belief", help="The column of beliefs.")]
OutcomeColumn = Annotated[str, typer.Option("--outcome", help="The humans' answers, 0 to 1.")]


def human_table(path: Path, cluster: str = "respondent_id") -> pd.DataFrame:
    """Human answers, respondents as text, so that zeros in front of them stay."""
    from llmdemand.core.tables.files import read_table

    return read_table(path, text=[cluster], what="humans")


def read_beliefs(path: Path, cluster: str = "respondent_id") -> pd.DataFrame | AnyPanel:
    """A panel where the file is one, else a table."""
    from llmdemand.core.shards.shards import read_panel
    from llmdemand.core.tables.files import is_panel, read_table

    if is_panel(path):
        return read_panel(path)
    return read_table(path, text=[cluster], what="beliefs")


def belief_table(path: Path, cluster: str = "respondent_id") -> pd.DataFrame:
    """A table of beliefs, a row for each respondent and price.

    Raises
    ------
    UsageError
        For a panel, whose runs are of a study and not of prices alone.
    """
    from llmdemand.core.tables.files import is_panel, read_table

    if is_panel(path):
        raise UsageError(f"{path} is a panel; give a table with {cluster}, price and belief")
    return read_table(path, text=[cluster], what="beliefs")


def read_margins(path: Path) -> dict[str, dict[str, float]]:
    """Margins of a population from a table with the columns column, value and share.

    Raises
    ------
    UsageError
        Without these columns.
    """
    from llmdemand.core.tables.files import read_table

    table = read_table(path, text=["column", "value"], what="margins")
    if not {"column", "value", "share"} <= set(table.columns):
        raise UsageError(f"{path}: give the columns column, value, share; a row for each value")
    found: dict[str, dict[str, float]] = {}
    for name, value, share in zip(table["column"], table["value"], table["share"], strict=True):
        found.setdefault(str(name), {})[str(value)] = float(share)
    return found
