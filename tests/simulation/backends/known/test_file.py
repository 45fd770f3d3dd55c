"""A consumer in a file."""

import pytest

from llmdemand.core.study import load_study
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.named import backend_named
from llmdemand.simulation.backends.synthetic import SyntheticBackend

STUDY = load_study("pampers")
TEXT = """
icc = 0.1
slope = -1
verbose = true
preambles = [["So", ":"]]
persona_slope_law = "lognormal"
dissimilarity = {brands = 0.5}
[nests]
brands = ["pampers", "huggies"]
[constants]
pampers = 18
huggies = 16.5
"""


def read(path, text):
    path.write_text(text, "utf-8")
    return backend_named("synthetic", STUDY, consumer=path)


def test_a_file_is_the_options(tmp_path):
    backend = read(tmp_path / "c.toml", TEXT)
    same = SyntheticBackend(
        STUDY,
        icc=0.1,
        slope=-1,
        verbose=True,
        preambles=[["So", ":"]],
        persona_slope_law="lognormal",
        nests={"brands": ["pampers", "huggies"]},
        dissimilarity={"brands": 0.5},
        constants={"pampers": 18, "huggies": 16.5},
    )
    assert (backend.model, backend.settings) == (same.model, same.settings)
    assert backend.truth(STUDY.cells()[3]) == same.truth(STUDY.cells()[3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ic = 0.1", "did you mean 'icc'"),
        ("study = 1", "no option 'study'"),
        ("icc = 'much'", "icc = 'much': give a number"),
        ("icc = true", "give a number"),
        ("verbose = 1", "give true or false"),
        ("persona_slope_law = 1", "give a text"),
        ("constants = 3", "give a table of numbers by alternative"),
        ("[constants]\npampers = 'a'", "give a table of numbers"),
        ("nests = ['pampers']", "give a table of lists"),
        ("[nests]\nbrands = 'pampers'", "give a table of lists"),
        ("[dissimilarity]\nbrands = 'a'", "a number, or a table"),
        ("preambles = [1]", "lists of token texts"),
        ("icc = ", "is not a TOML file"),
        ("[nests]\nbrands = ['pampers', 'huggie']\n[dissimilarity]\nbrands = 0.5", "'huggies'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path / "c.toml", text)


def test_a_missing_file_and_another_backend(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        backend_named("synthetic", STUDY, consumer=tmp_path / "c.toml")
    with pytest.raises(UsageError, match="--consumer is for the backend synthetic, not for local"):
        backend_named("local", STUDY, consumer=tmp_path / "c.toml")
