"""Every form in which servers deliver an answer, as a small file with the right result."""

import json
import math
import warnings
from pathlib import Path

import pytest

from llmdemand.belief.extract import extract
from llmdemand.belief.readers import read_response
from llmdemand.core.menu import Alternative, Menu
from llmdemand.errors import ResponseError

SHAPES = sorted((Path(__file__).parent / "shapes").glob("*.json"))


def menu_of(names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that begin alike are what some files are about
        if names is None:
            return Menu.of("Pampers", "Huggies", outside="neither")
        if isinstance(names[0], str):
            return Menu.of(*names)
        return Menu(tuple(Alternative(**n) for n in names))


def ways(raw):
    """The object as it is decoded, as bytes, and as another program writes it."""
    yield raw
    yield json.dumps(raw).encode()
    yield json.dumps(raw, ensure_ascii=False, indent=2).encode()


@pytest.mark.parametrize("path", SHAPES, ids=lambda p: p.stem)
def test_a_shape_is_read_right(path):
    case = json.loads(path.read_text("utf-8"))
    expect, menu = dict(case["expect"]), menu_of(case.get("menu"))
    raw = case["raw"]
    if "error" in expect:
        for one in ways(raw):
            with pytest.raises(ResponseError, match=expect["error"]):
                read_response(one)
        return
    if isinstance(raw, list):
        raw = read_response(raw) and raw[0]
    reason, belief = expect.pop("reason", ""), expect.pop("belief", None)
    upper = expect.pop("upper", {})
    for one in ways(raw):
        response = read_response(one)
        found = extract(response, menu, **case.get("options", {}))
        assert reason in found.reason
        for field, value in expect.items():
            assert getattr(found, field) == pytest.approx(value, abs=1e-5), (field, found.reason)
        if belief is None:
            assert all(math.isnan(b) for b in found.belief)
        else:
            assert dict(zip(menu.ids, found.belief, strict=True)) == pytest.approx(belief, abs=1e-5)
        for name, value in upper.items():
            assert found.upper[menu.index(name)] == pytest.approx(value, abs=1e-5)


def test_token_counts_keep_their_names_in_every_form():
    counted = [
        json.loads(p.read_text("utf-8"))["raw"]
        for p in SHAPES
        if p.stem.startswith(("openai", "ollama_chat", "gemini_sdk", "sglang", "inspect", "llama"))
        and p.stem != "llama_post_sampling"
    ]
    assert len(counted) > 10
    for raw in counted:
        assert read_response(raw).usage["prompt_tokens"] == 9
