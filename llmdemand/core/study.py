"""The study: choice set, prices, personas, prompts and sampling, in one TOML file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.line import OneLine
from llmdemand.core.questionnaire.checking.checks import check
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.core.questionnaire.reading import arguments, plain_data
from llmdemand.core.questionnaire.respondents import ID, read_respondents
from llmdemand.core.resources import data_file, data_names
from llmdemand.core.written import toml
from llmdemand.errors import MenuError, StudyError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Study", "load_study", "studies"]


@dataclass(frozen=True, repr=False)
class Study(OneLine, Questionnaire):
    """A design that a language model can answer.

    Attributes
    ----------
    name, title, description, unit : str
        What it is called and the unit of prices.
    menu : Menu
        The choice set.
    prices : mapping of str to tuple of float
        Price grid by alternative id, in `unit`; one value means fixed. Of an alternative
        whose price comes from the personas (see `price_fields`), the price of each persona
        in turn: no factor of the design, since a persona meets its own price only.
    focal : str
        The alternative whose demand is estimated.
    user, system, offer : str
        Prompt templates. ``{offers}`` holds one `offer` per priced alternative in
        the run's option order; ``{price_<id>}``, ``{unit}``, ``{disclosure}`` and
        persona fields may be used; `offer` knows ``{label}`` and ``{price}``, and fills
        any other ``{x}`` for alternative a from the persona field ``x_<a>``.
    separator : str
        Between two offers.
    orders : str
        ``fixed``; ``rotate`` (the order changes from replicate to replicate, balanced
        within a cell, and drawn for each cell by itself); ``cross`` (each order is a cell).
    mode : str
        ``chat``, or ``completion``: the prompt is text that the model continues.
    runs : int
        Runs per cell unless asked otherwise.
    cluster : str
        Panel column by which standard errors are clustered; in a study file whose personas
        are respondents ``persona_id`` unless it says otherwise.
    anchors : tuple of str
        Texts after the first of which the answer begins ("Answer:"); none by default.
    answer_first : bool
        Whether the prompt asks for the choice as the first word.
    label : str
        What kind of demand this is, printed with every result.
    sampling : Sampling
        How answers are drawn.
    personas : tuple of mapping
        One mapping of template fields per persona, each with an ``id``.
    variants : tuple of Variant
        Wordings of the prompt, a factor of the design; none by default. The study's own
        templates are what variants inherit, and a level only as ``Variant("own")``.
    price_scale : float
        Factor on prices when templates are filled, in shown units per `unit`: 0.01
        shows a study in cents as dollars. Panel prices stay in `unit`.
    outside_offer : str
        How an outside option is listed among the offers, such as ``- {label}``; empty: it
        is not. Other placeholders are filled as in `offer`.
    outside_last : bool
        Whether outside options stand last in every option order, as opposed to taking
        turns with the others (which needs `outside_offer`).
    arms : tuple of str
        ``blind``, ``unblinded`` or both, a factor of the design. Blind, a model takes a
        price for a sign of what usually comes with it (quality, season, competitors), so
        that unstated factors vary with the price and confound its effect. Unblinded, the
        prompt says that prices were randomised: the remedy of Gui & Toubia,
        arXiv 2312.15524.
    disclosure : str
        What the unblinded arm says, literally. It stands where a template has
        ``{disclosure}`` (empty in the blind arm); else as the last paragraph of the system
        text, or before the user text in completion mode.
    points : int or None
        Number of design points kept of the full factorial, balanced as `fractions.kept`
        guarantees, which also says which points stay when the design grows; None keeps all.
    design_seed : int
        Seeds the fraction and the option orders of ``rotate``; at least 0.
    price_fields : mapping of str to str
        Persona field by alternative id, for alternatives that have a price of its own for
        each persona: numbers in `unit`. They take the place of a grid in `prices`.
    respondents : bool
        Whether the personas are respondents, rows of a table of people: panels then have a
        column ``respondent_id``, by which data on the same people are joined.
    thinking : (str, str) or empty
        Tags between which the model thinks before it answers, such as ``<think>`` and
        ``</think>``: nothing is read there, and the panel says which thoughts were cut.
    thinking_open : bool
        Whether answers begin within a thought, as the prompt's template opens it.
    pinned : tuple of str
        Further alternatives that stand last in every option order, as the menu lists them.
    question : Question or None
        Asks for a number, a quantity or a point of a scale, of which the menu is made; None
        asks which alternative is chosen. Templates then know ``{scale}``, the possible answers.
    weights : str
        Persona field that says for how many people each stands: sampling weights of every
        fit; empty for none.
    measure : str
        What the probabilities are: ``logprob`` (model belief), ``stated`` (the model is asked for
        percentages, after the study's own question), ``similarity`` (its text is compared with
        anchor statements), ``choice`` (none are taken). See
        `llmdemand.core.questionnaire.measure.MEASURES`.

    Raises
    ------
    StudyError
        For an unknown or missing field, placeholder, price or persona; the
        message names it.

    Examples
    --------
    >>> study = load_study("pampers")
    >>> len(study.cells()), study.focal, study.unit
    (16, 'pampers', 'cents per diaper')
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)

    @property
    def _line(self) -> str:
        names = ", ".join(self.menu.ids)
        return f"{self.name}, menu {names}, {len(self.cells())} cells, {self.runs} runs each"

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes an equal study."""
        return plain_data(self)

    def with_respondents(
        self, table: str | Path | pd.DataFrame, id: str = ID, **quotas: Any
    ) -> Study:
        """The same study, answered by the model as each of these respondents.

        Parameters
        ----------
        table : path or DataFrame
            A CSV or parquet file or a data frame, one row per respondent, or EDSL agents: see
            `llmdemand.core.questionnaire.respondents.read_respondents`. Columns fill the templates.
        id : str
            The column that identifies respondents.
        **quotas
            ``quota``, or ``margins``, ``size`` and ``seed``: how many respondents of each kind
            are asked; see `read_respondents`.

        Returns
        -------
        Study
            With these in place of all personas; standard errors that were clustered by cell
            are clustered by persona. A study file that needs the table in order to be read
            is given it by ``load_study(file, respondents=table)``.

        Raises
        ------
        StudyError
            For a table that cannot be read, or lacks what the study needs.

        Examples
        --------
        >>> import pandas as pd
        >>> people = pd.DataFrame({"respondent_id": [1, 2], "income": [35, 60]})
        >>> study = load_study("pampers").with_respondents(people)
        >>> len(study.cells()), study.cells()[0].persona["income"]
        (32, '35')
        """
        cluster = "persona_id" if self.cluster == "cell" else self.cluster
        people = read_respondents(table, id, **quotas)
        return replace(self, personas=people, respondents=True, cluster=cluster)

    def counted_alike(self, what: str) -> str:
        """What has to be said where a measure leaves its weights aside; else empty."""
        if not self.weights:
            return ""
        return (
            f"the study has sampling weights {self.weights!r}; {what} leave them aside: "
            "every run counts as one"
        )

    def unweighted(self, what: str) -> None:
        """Refuse what makes nothing of the study's sampling weights.

        Raises
        ------
        UsageError
            If the study has weights.
        """
        if self.weights:
            raise UsageError(
                f"{what} makes nothing of sampling weights, and the study has "
                f"{self.weights!r}: to look at its respondents as they are, take them off by "
                "replace(panel, study=replace(panel.study, weights=''))"
            )

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        where: str = "study",
        folder: str | Path | Traversable = ".",
        allow_outside: bool = False,
    ) -> Study:
        """A study from plain data, as TOML gives it.

        `folder` is where a table of respondents lies that the data name; with `allow_outside`
        it may lie elsewhere.

        Raises
        ------
        StudyError
            Naming the field and, through `where`, the file.
        """
        folder = Path(folder) if isinstance(folder, str) else folder
        try:
            return cls(**arguments(data, folder, allow_outside=allow_outside))
        except (StudyError, MenuError) as error:
            raise StudyError(f"{where}: {error}") from error

    @cached_property
    def hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the study's canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def studies() -> tuple[str, ...]:
    """Names of the bundled studies."""
    return tuple(
        sorted(n.removesuffix(".toml") for n in data_names("studies") if n.endswith(".toml"))
    )


def load_study(
    name: str | Path,
    respondents: str | Path | pd.DataFrame | None = None,
    id: str = ID,
    *,
    allow_outside: bool = False,
) -> Study:
    """A bundled study by name, or any study by path.

    Parameters
    ----------
    name : str or Path
        ``"pampers"``, ``"pampers-households"``, or the path of a TOML file.
    respondents : path or DataFrame, optional
        A table of people as whom the model answers, in place of the study's own personas:
        see `Study.with_respondents`.
    id : str
        The column that identifies them.
    allow_outside : bool
        Whether a study file may name a table of personas that lies outside of its folder.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        No such study or file, or what is wrong inside it.

    Examples
    --------
    >>> load_study("pampers-households").label
    'in-context demand'
    """
    folder: Path | Traversable
    if str(name) in studies():
        folder = data_file("studies")
        where, text = f"study {name}", data_file("studies", f"{name}.toml").read_text("utf-8")
    else:
        path = Path(name)
        if path.suffix != ".toml" or not path.is_file():
            raise StudyError(
                f"no study {str(name)!r}{nearest(str(name), studies())}: bundled are "
                f"{', '.join(studies())}; or give the path of a TOML file"
            )
        where, folder = str(path), path.parent
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            raise StudyError(f"{where}: is not UTF-8 text; a study is a TOML file") from None
    try:
        data = toml(text)
    except ValueError as error:
        raise StudyError(f"{where}: is not valid TOML ({error})") from None
    if respondents is not None:
        data |= {"personas": list(read_respondents(respondents, id)), "respondents": True}
    return Study.from_dict(data, where=where, folder=folder, allow_outside=allow_outside)
