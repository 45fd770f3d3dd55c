"""The study: choice set, prices, personas, prompts and sampling, in one TOML file."""

from __future__ import annotations

import hashlib
import itertools
import json
import string
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llmdemand.core.fields import only_known, price_grid, texts, typed
from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.resources import data_file, data_names
from llmdemand.errors import MenuError, StudyError, nearest

__all__ = ["Cell", "Sampling", "Study", "load_study", "studies"]

ORDERS = ("fixed", "rotate", "cross")
MODES = ("chat", "completion")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn.

    Attributes
    ----------
    temperature : float
        Of the sampling law; log-probabilities are recorded before it applies.
    max_tokens : int
        Longest answer.
    top_logprobs : int
        Candidates listed per position (OpenAI allows 20).
    stop : tuple of str
        Strings that end an answer.
    """

    temperature: float = 1.0
    max_tokens: int = 60
    top_logprobs: int = 20
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One design point: prices of all alternatives, persona and, if crossed, option order.

    Attributes
    ----------
    index : int
        Position in the full factorial of the study.
    prices : mapping of str to float
        Price by alternative id, in the study's unit; outside options have none.
    persona : mapping of str to str
        Persona fields, ``id`` included; empty where the study has no personas.
    order : tuple of str or None
        The option order where the design crosses it, else None.
    """

    index: int
    prices: Mapping[str, float]
    persona: Mapping[str, str]
    order: tuple[str, ...] | None


@dataclass(frozen=True)
class Study:
    """A design that a language model can answer.

    Attributes
    ----------
    name, title, description, unit : str
        What it is called and the unit of prices.
    menu : Menu
        The choice set.
    prices : mapping of str to tuple of float
        Price grid by alternative id; one value means fixed.
    focal : str
        The alternative whose demand is estimated.
    user, system, offer : str
        Prompt templates. ``{offers}`` holds one `offer` per priced alternative in
        the run's option order; ``{price_<id>}``, ``{unit}`` and persona fields may
        be used; `offer` knows ``{label}`` and ``{price}``.
    separator : str
        Between two offers.
    orders : str
        ``fixed``; ``rotate`` (the order changes from replicate to replicate,
        balanced within a cell); ``cross`` (each order is a cell).
    mode : str
        ``chat``, or ``completion``: the prompt is text that the model continues.
    runs : int
        Runs per cell unless asked otherwise.
    cluster : str
        Panel column by which standard errors are clustered.
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

    name: str
    menu: Menu
    prices: Mapping[str, tuple[float, ...]]
    focal: str
    user: str
    offer: str
    title: str = ""
    description: str = ""
    unit: str = "currency units"
    system: str = ""
    separator: str = "\n"
    orders: str = "fixed"
    mode: str = "chat"
    runs: int = 20
    cluster: str = "cell"
    label: str = ""
    anchors: tuple[str, ...] = ()
    answer_first: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    personas: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def option_orders(self) -> tuple[tuple[str, ...], ...]:
        """The option orders of the design; outside options stay last."""
        inside = [a.id for a in self.menu.inside]
        outside = [a.id for a in self.menu if a.outside]
        if self.orders == "fixed":
            return ((*inside, *outside),)
        # A Latin square: every alternative stands once at every place.
        return tuple((*inside[k:], *inside[:k], *outside) for k in range(len(inside)))

    def cells(self) -> tuple[Cell, ...]:
        """The full factorial: personas x orders (if crossed) x prices, prices fastest."""
        crossed = self.option_orders() if self.orders == "cross" else (None,)
        people: tuple[Mapping[str, str], ...] = self.personas or ({},)
        points = itertools.product(people, crossed, itertools.product(*self.prices.values()))
        return tuple(
            Cell(index, dict(zip(self.prices, prices, strict=True)), persona, order)
            for index, (persona, order, prices) in enumerate(points)
        )

    def order(self, cell: Cell, replicate: int) -> tuple[str, ...]:
        """The option order that one run sees.

        With ``rotate`` replicates take turns, and cells begin with another order
        each, so that every order is used equally often at any number of runs.
        """
        if cell.order is not None:
            return cell.order
        orders = self.option_orders()
        return orders[(cell.index + replicate) % len(orders)]

    def prompt(self, cell: Cell, order: tuple[str, ...]) -> tuple[str, str]:
        """System and user text of one run.

        >>> study = load_study("pampers")
        >>> cell = study.cells()[5]
        >>> "35.0 cents" in study.prompt(cell, study.order(cell, 0))[1]
        True
        """
        offers = self.separator.join(
            self.offer.format(label=self.menu[a].label, price=cell.prices[a])
            for a in order
            if a in cell.prices
        )
        fields: dict[str, Any] = {
            "offers": offers,
            "unit": self.unit,
            **{f"price_{a}": p for a, p in cell.prices.items()},
            **{k: v for k, v in cell.persona.items() if k != "id"},
        }
        return self.system.format(**fields), self.user.format(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes an equal study."""
        data = {k: getattr(self, k) for k in _PLAIN if getattr(self, k) != ""}
        data["alternatives"] = [
            {**a, **({"price": list(self.prices[a["id"]])} if a["id"] in self.prices else {})}
            for a in self.menu.to_dict()
        ]
        data["anchors"] = list(self.anchors)
        data["sampling"] = {**asdict(self.sampling), "stop": list(self.sampling.stop)}
        data["personas"] = [dict(p) for p in self.personas]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "study") -> Study:
        """A study from plain data, as TOML gives it.

        Raises
        ------
        StudyError
            Naming the field and, through `where`, the file.
        """
        try:
            return cls(**_arguments(data))
        except (StudyError, MenuError) as error:
            raise StudyError(f"{where}: {error}") from error

    @property
    def hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the study's canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


_PLAIN = [
    "name",
    "title",
    "description",
    "unit",
    "focal",
    "user",
    "system",
    "offer",
    "separator",
    "orders",
    "mode",
    "runs",
    "cluster",
    "label",
    "answer_first",
]
_TOML = [*_PLAIN, "anchors", "alternatives", "sampling", "personas"]


def _arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments from plain data, with every unknown key named."""
    if not isinstance(data, Mapping):
        raise StudyError(f"a study is a table of fields, found {type(data).__name__}")
    only_known(data, _TOML, "field")
    for required in ("name", "alternatives", "focal", "user", "offer"):
        if required not in data:
            raise StudyError(f"{required!r} is missing: add it (`llmdemand studies` shows one)")
    alternatives, prices = [], {}
    for entry in typed(data["alternatives"], list, "alternatives"):
        typed(entry, dict, "alternatives")
        only_known(
            entry, ["id", "label", "forms", "outside", "whole", "price"], "alternative field"
        )
        where = f"alternative {entry.get('id', '?')!r}, field "
        if not {"id", "label"} <= set(entry):
            raise StudyError(f"alternative {dict(entry)} needs an id and a label")
        rest = {k: typed(entry[k], str, where + k) for k in ("id", "label")}
        flags = {k: typed(entry[k], bool, where + k) for k in ("outside", "whole") if k in entry}
        forms = texts(entry.get("forms", ()), where + "forms")
        alternatives.append(Alternative(**rest, **flags, forms=forms))
        if "price" in entry:
            prices[entry["id"]] = price_grid(entry["price"], entry["id"])
    sampling = dict(typed(data.get("sampling", {}), dict, "sampling"))
    only_known(sampling, ["temperature", "max_tokens", "top_logprobs", "stop"], "sampling field")
    sampling["stop"] = texts(sampling.get("stop", ()), "sampling.stop")
    for name, kind in (("temperature", float), ("max_tokens", int), ("top_logprobs", int)):
        if name in sampling:
            sampling[name] = typed(sampling[name], kind, f"sampling.{name}")
    kinds = {"runs": int, "answer_first": bool}
    plain = {k: typed(data[k], kinds.get(k, str), k) for k in _PLAIN if k in data}
    personas = typed(data.get("personas", []), list, "personas")
    return {
        **plain,
        "anchors": texts(data.get("anchors", ()), "anchors"),
        "menu": Menu(tuple(alternatives)),
        "prices": prices,
        "sampling": Sampling(**sampling),
        "personas": tuple(
            {k: typed(v, str, f"personas.{k}") for k, v in typed(p, dict, "personas").items()}
            for p in personas
        ),
    }


def _check(study: Study) -> None:
    """Everything that can be wrong with a study, before any model is asked."""
    for name, value, allowed in (
        ("orders", study.orders, ORDERS),
        ("mode", study.mode, MODES),
    ):
        if value not in allowed:
            raise StudyError(
                f"{name} is {value!r}{nearest(value, allowed)}: use one of {', '.join(allowed)}"
            )
    outside = [a.id for a in study.menu if a.outside and a.id in study.prices]
    if outside:
        raise StudyError(f"{outside[0]!r} is an outside option and has a price: remove either")
    clusters = ("cell", "order", *(["persona_id"] if study.personas else []))
    if study.cluster not in clusters:
        raise StudyError(f"cluster is {study.cluster!r}: use one of {', '.join(clusters)}")
    if study.focal not in study.prices:
        raise StudyError(
            f"focal alternative {study.focal!r} has no price: "
            f"priced alternatives are {', '.join(study.prices) or 'none'}"
        )
    if study.runs < 1 or study.sampling.max_tokens < 1 or study.sampling.top_logprobs < 1:
        raise StudyError("runs, max_tokens and top_logprobs must be at least 1")
    if not study.sampling.temperature > 0:
        raise StudyError(
            f"temperature is {study.sampling.temperature}: use a positive number (at 0 choice is "
            "the most likely answer, while belief still is that of temperature 1)"
        )
    _check_personas(study)
    fields = {"offers", "unit", *(f"price_{a}" for a in study.prices)}
    fields |= {k for p in study.personas for k in p if k != "id"}
    used = _placeholders(study.user, "user", fields) | _placeholders(study.system, "system", fields)
    if "offers" not in used and f"price_{study.focal}" not in used:
        raise StudyError(
            f"no prompt shows the price: put {{offers}} or {{price_{study.focal}}} into 'user'"
        )
    if _placeholders(study.offer, "offer", {"label", "price"}) != {"label", "price"}:
        raise StudyError("'offer' needs both {label} and {price}")
    cell = study.cells()[0]
    try:
        study.prompt(cell, study.order(cell, 0))
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise StudyError(
            f"a template cannot be filled ({error}): check the formats after ':', "
            "such as {price:.1f}"
        ) from None


def _check_personas(study: Study) -> None:
    ids = [p.get("id") for p in study.personas]
    if None in ids or len(set(ids)) < len(ids):
        raise StudyError("every persona needs an 'id' of its own")
    for persona in study.personas:
        missing = set(study.personas[0]) ^ set(persona)
        if missing:
            raise StudyError(
                f"persona {persona['id']!r} and the first one differ in fields: {sorted(missing)}"
            )


def _placeholders(template: str, where: str, allowed: set[str]) -> set[str]:
    """Field names in a template; raises for one that nothing fills."""
    try:
        parsed = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise StudyError(
            f"template {where!r} has unbalanced braces ({error}): write {{{{ and }}}}"
        ) from None
    for name in parsed:
        if name not in allowed:
            raise StudyError(
                f"template {where!r} uses {{{name}}}{nearest(name, sorted(allowed))}, which "
                f"nothing fills: known are {', '.join(sorted(allowed))}"
            )
    return set(parsed)


def studies() -> tuple[str, ...]:
    """Names of the bundled studies."""
    return tuple(
        sorted(n.removesuffix(".toml") for n in data_names("studies") if n.endswith(".toml"))
    )


def load_study(name: str | Path) -> Study:
    """A bundled study by name, or any study by path.

    Parameters
    ----------
    name : str or Path
        ``"pampers"``, ``"pampers-households"``, or the path of a TOML file.

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
    if str(name) in studies():
        where, text = f"study {name}", data_file("studies", f"{name}.toml").read_text("utf-8")
    else:
        path = Path(name)
        if path.suffix != ".toml" or not path.is_file():
            raise StudyError(
                f"no study {str(name)!r}{nearest(str(name), studies())}: bundled are "
                f"{', '.join(studies())}; or give the path of a TOML file"
            )
        where = str(path)
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            raise StudyError(f"{where}: is not UTF-8 text; a study is a TOML file") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where}: is not valid TOML ({error})") from None
    return Study.from_dict(data, where=where)
