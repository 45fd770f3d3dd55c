"""Every word that results print is explained."""

from pathlib import Path

import pytest

from llmdemand.core.glossary import explain, terms
from llmdemand.core.panel import STATUSES
from llmdemand.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def test_every_status_has_its_meaning_and_a_remedy():
    for status, meaning in STATUSES.items():
        found = explain(status)
        assert meaning in found.text
        assert status == "ok" or len(found.text) > len(f"Status of a run: {meaning}. ") + 20


def test_words_are_found_in_any_case_and_by_their_other_names():
    assert explain("WTP") == explain("willingness_to_pay") == explain("willingness to  pay")
    with pytest.raises(UsageError, match=r"did you mean 'elasticity'"):
        explain("elastisity")


def test_pages_that_are_named_exist_and_no_name_has_two_meanings():
    names = [name.lower() for term in terms().values() for name in (term.name, *term.also)]
    assert len(names) == len(set(names))
    for term in terms().values():
        assert not term.where or (ROOT / term.where).is_file(), term.name
