"""Plain data, as TOML gives them, to the arguments of `Study`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from llmdemand.core.experiment.attributes import Attribute
from llmdemand.core.experiment.conjoint import Conjoint
from llmdemand.core.experiment.space import Space
from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.questionnaire.experiments import read_attributes, read_conjoint
from llmdemand.core.questionnaire.fields import only_known, price_grid, texts, typed
from llmdemand.core.questionnaire.prompts import Variant
from llmdemand.core.questionnaire.question import Question, read_question
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.core.questionnaire.respondents import named_table
from llmdemand.core.sampling import Sampling, Thinking
from llmdemand.errors import StudyError

__all__ = ["DESIGN", "PLAIN", "arguments", "plain_data"]

#: Fields that plain data always hold, except where they are empty.
PLAIN = (
    "name title description unit focal user system "
    "offer separator orders mode runs cluster label answer_first"
).split()
#: Fields that plain data hold only where they differ from their default, so that a study
#: without them keeps its hash.
DESIGN = (
    "price_scale outside_offer outside_last pinned arms disclosure points design_seed "
    "respondents thinking thinking_open weights measure"
).split()
_TABLES = "anchors alternatives sampling personas variants attributes conjoint question".split()
_KINDS = {
    "runs": int,
    "answer_first": bool,
    "price_scale": float,
    "outside_last": bool,
    "points": int,
    "design_seed": int,
    "respondents": bool,
    "thinking_open": bool,
}
# Lists of texts.
_TEXTS = ("arms", "thinking", "pinned")


def arguments(
    data: Mapping[str, Any],
    folder: Path | Traversable = Path(),
    *,
    allow_outside: bool = False,
) -> dict[str, Any]:
    """Constructor arguments of a study from plain data.

    Parameters
    ----------
    data : mapping
        Fields of a study, as TOML gives them.
    folder : path
        Where a table of respondents lies that is named in them.
    allow_outside : bool
        Whether that table may lie outside of the folder.

    Returns
    -------
    dict

    Raises
    ------
    StudyError
        For an unknown or missing field or a value of another type; the message names it.

    Examples
    --------
    >>> arguments({"name": "tea"})
    Traceback (most recent call last):
    ...
    llmdemand.errors.StudyError: 'alternatives' is missing: see `llmdemand studies new`
    """
    if not isinstance(data, Mapping):
        raise StudyError(f"a study is a table of fields, found {type(data).__name__}")
    only_known(data, [*PLAIN, *DESIGN, *_TABLES], "field")
    for required in ("name", "alternatives", "focal", "user", "offer"):
        if required not in data:
            raise StudyError(f"{required!r} is missing: see `llmdemand studies new`")
    given = [k for k in (*PLAIN, *DESIGN) if k in data and k not in _TEXTS]
    found = {k: typed(data[k], _KINDS.get(k, str), k) for k in given}
    found |= {k: texts(data[k], k) for k in _TEXTS if k in data}
    menu, prices, price_fields, question = _menu(data["alternatives"], data.get("question", {}))
    attributes = read_attributes(data.get("attributes", {}))
    personas = data.get("personas", [])
    if isinstance(personas, str | Mapping):
        table = named_table(personas, folder, allow_outside=allow_outside)
        personas, found["respondents"] = list(table), True
    if found.get("respondents"):
        # Answers of one respondent are no independent evidence, whatever the prices.
        found.setdefault("cluster", "persona_id")
    return {
        **found,
        "anchors": texts(data.get("anchors", ()), "anchors"),
        "menu": menu,
        "question": question,
        "prices": prices,
        "price_fields": price_fields,
        "sampling": _sampling(data.get("sampling", {})),
        "personas": tuple(
            {k: typed(v, str, f"personas.{k}") for k, v in typed(p, dict, "personas").items()}
            for p in typed(personas, list, "personas")
        ),
        "attributes": attributes,
        "conjoint": _conjoint(data, folder, menu, prices, attributes),
        "variants": tuple(_variant(v) for v in typed(data.get("variants", []), list, "variants")),
    }


def _conjoint(
    data: Mapping[str, Any],
    folder: Path | Traversable,
    menu: Menu,
    prices: Mapping[str, tuple[float, ...]],
    attributes: tuple[Attribute, ...],
) -> Conjoint | None:
    if "conjoint" not in data:
        return None

    def space(given: Conjoint) -> Space:
        return Space.of(menu, prices, attributes, given.labelled, given.prohibited)

    return read_conjoint(data["conjoint"], folder, space)


def plain_data(study: Questionnaire) -> dict[str, Any]:
    """Plain data from which `arguments` makes an equal study.

    >>> from llmdemand.core.study import load_study
    >>> plain_data(load_study("pampers"))["alternatives"][1]["price"]
    [30.0]
    """
    data = {k: getattr(study, k) for k in PLAIN if getattr(study, k) != ""}
    asked = study.question
    listed = study.menu.to_dict() if asked is None else [a.to_dict() for a in asked.products]
    data["alternatives"] = [
        {**a, **({"price": _price(study, a["id"])} if a["id"] in study.prices else {})}
        for a in listed
    ]
    if asked is not None:
        data["question"] = asked.to_dict()
    data["anchors"] = list(study.anchors)
    sampling = {**asdict(study.sampling), "stop": list(study.sampling.stop)}
    # What is off by default is left out, so that a study without it keeps its hash.
    data["sampling"] = {k: v for k, v in sampling.items() if v is not None and v is not False}
    data["personas"] = [dict(p) for p in study.personas]
    defaults = {f.name: f.default for f in fields(study)}
    for name in DESIGN:
        value = getattr(study, name)
        if value != defaults[name]:
            data[name] = list(value) if isinstance(value, tuple) else value
    if "unblinded" in study.arms:
        # Said to the model, hence kept, whatever later versions say by default.
        data["disclosure"] = study.disclosure
    if study.attributes:
        # A list: their order is that of the design's factors, and tables may lose it.
        data["attributes"] = [{"name": x.name, **x.to_dict()} for x in study.attributes]
    if study.conjoint is not None:
        data["conjoint"] = study.conjoint.to_dict()
    if study.variants:
        data["variants"] = [v.to_dict() for v in study.variants]
    return data


def _price(study: Questionnaire, alternative: str) -> list[float] | dict[str, str]:
    if alternative in study.price_fields:
        return {"field": study.price_fields[alternative]}
    return list(study.prices[alternative])


def _menu(
    entries: Any, asked: Any
) -> tuple[Menu, dict[str, tuple[float, ...]], dict[str, str], Question | None]:
    """The menu, the price grids, the persona fields of prices that have no grid, the question."""
    alternatives: list[Alternative] = []
    prices: dict[str, tuple[float, ...]] = {}
    price_fields: dict[str, str] = {}
    for entry in typed(entries, list, "alternatives"):
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
        if "price" not in entry:
            continue
        id, price = entry["id"], entry["price"]
        if isinstance(price, Mapping) and "field" in price:
            only_known(price, ["field"], "price field")
            price_fields[id] = typed(price["field"], str, where + "price.field")
            # Its place among the factors; `Study` fills it from the personas.
            prices[id] = ()
        else:
            prices[id] = price_grid(price, id)
    question = read_question(asked, tuple(alternatives))
    menu = Menu(tuple(alternatives)) if question is None else question.menu()
    return menu, prices, price_fields, question


def _sampling(entry: Any) -> Sampling:
    sampling = dict(typed(entry, dict, "sampling"))
    known = ["temperature", "max_tokens", "top_logprobs", "stop", "thinking", "branch"]
    only_known(sampling, known, "sampling field")
    sampling["stop"] = texts(sampling.get("stop", ()), "sampling.stop")
    kinds = {"temperature": float, "max_tokens": int, "top_logprobs": int, "branch": bool}
    for name in kinds.keys() & sampling:
        sampling[name] = typed(sampling[name], kinds[name], f"sampling.{name}")
    if "thinking" in sampling:
        sampling["thinking"] = _thinking(sampling["thinking"])
    return Sampling(**sampling)


def _thinking(entry: Any) -> Thinking:
    entry = typed(entry, dict, "sampling.thinking")
    only_known(entry, ["thoughts", "max_tokens", "open", "close", "answer"], "thinking field")
    kinds = {"thoughts": int, "max_tokens": int}
    return Thinking(
        **{k: typed(v, kinds.get(k, str), f"sampling.thinking.{k}") for k, v in entry.items()}
    )


def _variant(entry: Any) -> Variant:
    entry = typed(entry, dict, "variants")
    only_known(entry, ["id", "system", "user", "offer", "price_scale"], "variant field")
    if "id" not in entry:
        raise StudyError(f"variant {dict(entry)} has no id: give it one")
    where = f"variant {entry['id']!r}, field "
    kinds = {"price_scale": float}
    return Variant(**{k: typed(v, kinds.get(k, str), where + k) for k, v in entry.items()})
