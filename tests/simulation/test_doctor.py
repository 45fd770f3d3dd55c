"""The check-up says what is missing and which command helps."""

import importlib.metadata

import pytest

from llmdemand.errors import MissingExtra
from llmdemand.simulation import doctor as room
from llmdemand.simulation.backends import weights


def part(found, name):
    return next(finding for finding in found.findings if finding.part == name)


def test_a_missing_engine_and_missing_weights_have_their_commands(monkeypatch):
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    monkeypatch.setattr(weights, "weights_path", lambda: None)
    found = room.doctor()
    assert not found.ready
    assert part(found, "engine").remedy == 'pip install "llmdemand[local]"'
    assert part(found, "embedded model").remedy == "llmdemand model get"
    assert "-> llmdemand model get" in found.summary() and "Not ready" in found.summary()


def test_an_engine_of_another_version_is_not_what_was_measured(monkeypatch):
    real = importlib.metadata.version
    other = lambda name: "2000.1.1" if name == "xllamacpp" else real(name)  # noqa: E731
    monkeypatch.setattr(room, "find_spec", lambda name: object())
    monkeypatch.setattr(room, "version", other)
    engine = part(room.doctor(run=False), "engine")
    assert not engine.ok and engine.remedy.startswith("pip install xllamacpp==20")


def test_a_package_that_was_lost_is_named(monkeypatch):
    real = importlib.metadata.version

    def lost(name):
        if name == "formulaic":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(room, "version", lost)
    assert part(room.doctor(run=False), "packages").remedy == "pip install formulaic"


def test_keys_are_never_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-mine")
    assert "secret" not in room.doctor(run=False).summary()


@pytest.mark.local
def test_the_embedded_model_chooses_once():
    try:
        weights.embedded_model()
    except MissingExtra as error:
        pytest.skip(str(error))
    pytest.importorskip("xllamacpp")
    found = room.doctor()
    assert found.ready and "with probability" in part(found, "a first choice").found
