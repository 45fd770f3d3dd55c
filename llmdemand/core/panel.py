"""The panel: one row per run, and all that passes from simulation to estimation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.line import OneLine
from llmdemand.core.rows.checks import validate
from llmdemand.core.rows.columns import (
    columns,
    completed,
    head,
    levels_of,
    varied,
    with_final_status,
)
from llmdemand.core.rows.statuses import FINAL_STATUSES, JUDGED, STATUSES, TRIMMED, USABLE, WHOLE
from llmdemand.core.study import Study
from llmdemand.core.tables.places import file_system, whole_file
from llmdemand.errors import PanelError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FINAL_STATUSES",
    "JUDGED",
    "STATUSES",
    "TRIMMED",
    "USABLE",
    "WHOLE",
    "Panel",
    "columns",
    "levels_of",
    "told",
]

_METADATA = b"llmdemand"


@dataclass(frozen=True, repr=False)
class Panel(OneLine):
    """Runs of one study by one model.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per run: ``run_id, cell, replicate, persona_id, order, variant, arm,
        price_<alt>..., <attribute>_<alt>..., status, choice, belief_<alt>..., lo_<alt>...,
        hi_<alt>..., decided_mass, undecided_mass, tail_mass, pivot_index, pivot_token,
        pivot_listed, final_choice, final_status, mismatch, later_names, reason, text, model,
        backend, temperature, prompt_tokens, completion_tokens``. ``pivot_listed`` says whether the
        pivot token is among the listed candidates, by which belief is made; ``reason`` says in
        words why a run has no belief, where its status does not say it all. Beliefs are NaN where
        a run has none. ``cell`` is the index in the full factorial, ``order`` the option order
        that the run saw. ``variant`` (id of the prompt variant) is there only if the study has
        variants; ``arm`` (``blind`` or ``unblinded``) only if not all runs are blind;
        ``respondent_id``, after ``persona_id``, only if the personas are respondents: text, and
        the key by which data on the same people are joined. ``<attribute>_<alt>`` is the level of
        an attribute (a text or a number), there only where alternatives have attributes; ``task``
        (its name) and ``holdout`` only in a conjoint design. Of models that think first,
        ``between_<alt>...`` is the variance of belief between a run's ``thoughts``, and belief is
        their mean. ``final_choice`` is what the reader named in ``provenance["final_reader"]``
        finds in the whole answer (``final_status``: one of `FINAL_STATUSES`), ``mismatch``
        whether that is not ``choice``, missing where either is unknown; ``later_names`` are the
        names after the pivot with belief at each, as JSON. Panels that people have labelled have
        ``label``, and ``label_probability`` with which a run was drawn to be labelled, missing
        for runs that were not. ``whole_probability``, there only if some answers may have been
        stopped at their pivot, is the probability with which a run's was to be written to its
        end. ``thought_cut`` is the share of a run's thoughts that reached the
        most tokens before they were closed (natural: 0 or 1); the provenance says whether
        ``thoughts`` are ``natural`` or ``forced``. Of studies with ``sampling.branch`` belief,
        ``lo`` and ``hi`` are the branches' (of a run that is ``unread`` they sum to the weight of
        the branches that were read), ``choice`` is that of the whole text, ``pivot_choice`` and
        ``pivot_belief_<alt>...`` are what its pivot says; ``branches`` is their number,
        ``branch_tokens`` what they took besides the answer. Of studies with another measure than
        ``logprob`` there is a column ``measure``, the same in all rows; of stated probabilities
        ``stated_sum`` besides, in percent, before anything was done about it. Belief is then what
        the measure says (`llmdemand.core.questionnaire.measure.MEASURES`), ``lo`` and ``hi`` are
        missing, and an ``ok`` run need not have a choice.
    study : Study
        The design that was run.
    provenance : mapping
        Seed, versions, model file and whatever else reproduces the panel.

    Raises
    ------
    PanelError
        For a missing column or an impossible value, with its row.
    """

    frame: pd.DataFrame
    study: Study
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def _line(self) -> str:
        return f"{self.study.name}, {len(self)} runs, {len(self.usable)} usable"

    def __post_init__(self) -> None:
        validate(self.frame, self.study)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def usable(self) -> pd.DataFrame:
        """The rows with a status of `USABLE`: belief is known, and (``logprob``) choice too."""
        return self.frame[self.frame["status"].isin(USABLE)]

    @property
    def usable_runs(self) -> int:
        """How many they are."""
        return int(self.frame["status"].isin(USABLE).sum())

    @property
    def measure(self) -> str:
        """What its probabilities are, one of `llmdemand.core.questionnaire.measure.MEASURES`.

        That of the study; ``choice`` too where log-probabilities were wanted and none came.
        """
        found = self.study.measure
        if found == "logprob" and self.usable.empty:
            return "choice" if (self.frame["status"] == "no_logprobs").any() else found
        return found

    @property
    def statuses(self) -> pd.Series[int]:
        """Number of runs by status, every status listed."""
        return self.frame["status"].value_counts().reindex(list(STATUSES), fill_value=0)

    def long(self, *, filled: bool = False) -> pd.DataFrame:
        """One row per run and alternative: ``run_id, cell, alternative, price, belief, chosen``.

        The design's columns ``replicate, persona_id, order`` and, where the panel has
        them, ``respondent_id``, ``variant``, ``arm``, ``task`` and ``holdout`` are repeated;
        attributes stand after the price, texts as categories in the order of their levels.
        The price of an outside option is NaN, as are its attributes; ``chosen`` is 0/1 and
        belief is NaN where the run has none.

        Parameters
        ----------
        filled : bool
            Give alternatives without a price the price 0, and without an attribute its first
            level, as ``clogit`` takes them: their constants hold the rest.
        """
        import pandas as pd

        parts = []
        for alternative in self.study.menu.ids:
            # Of a question of numbers the price is the product's, whatever the answer.
            of = alternative if self.study.question is None else self.study.focal
            price = self.frame.get(f"price_{of}")
            part = self.frame[[*head(self.study), *varied(self.study)]].assign(
                alternative=alternative,
                price=(0.0 if filled else float("nan")) if price is None else price,
                **levels_of(self.study, self.frame, alternative, filled=filled),
                belief=self.frame[f"belief_{alternative}"],
                chosen=(self.frame["choice"] == alternative).astype(int),
            )
            parts.append(part)
        return pd.concat(parts).sort_values("run_id", kind="stable", ignore_index=True)

    def write(self, path: str | Path) -> None:
        """Write a parquet file with the study inside its metadata.

        Parameters
        ----------
        path : path
            Of this machine, or of a file system that fsspec knows (``s3://...``).
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        inside = json.dumps({"study": self.study.to_dict(), "provenance": self.provenance})
        metadata = {**(table.schema.metadata or {}), _METADATA: inside.encode()}
        with whole_file(path) as file:
            pq.write_table(table.replace_schema_metadata(metadata), file)

    @classmethod
    def read(cls, path: str | Path) -> Panel:
        """Read and validate a panel that `write` wrote.

        Raises
        ------
        PanelError
            No such file, not parquet, not a panel, or a broken one.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        where, source = str(path), path
        if "://" in where:
            system, source = file_system(where)
        else:
            system = None
            if not Path(path).is_file():
                raise PanelError(f"no panel at {path}: give a parquet file, or a folder of parts")
        try:
            table = pq.read_table(source, filesystem=system)
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise PanelError(f"{path} is not a parquet file that can be read ({reason})") from None
        study, provenance = told(table.schema.metadata or {}, where)
        frame = completed(table.to_pandas())
        if "final_status" not in frame.columns:
            frame = with_final_status(frame)
            provenance.setdefault("final_reader", "automaton")
        return cls(frame, study, provenance)


def told(metadata: Mapping[bytes, bytes], where: str) -> tuple[Study, dict[str, Any]]:
    """The study and provenance inside the metadata of a parquet file.

    Raises
    ------
    PanelError
        If they hold none.
    """
    if _METADATA not in metadata:
        raise PanelError(
            f"{where} is parquet, but no panel: it holds no study. "
            "`llmdemand simulate` writes panels"
        )
    try:
        inside = json.loads(metadata[_METADATA])
        parts = inside["study"], dict(inside["provenance"])
    except (ValueError, KeyError, TypeError):
        raise PanelError(f"{where}: its metadata hold no study and provenance") from None
    return Study.from_dict(parts[0], where=where), parts[1]
