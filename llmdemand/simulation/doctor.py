"""What is installed, what is missing, and the one command that helps."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from llmdemand.core.processors import processors
from llmdemand.errors import LLMDemandError

__all__ = ["Checkup", "Finding", "doctor"]


@dataclass(frozen=True)
class Finding:
    """One part of the installation.

    Attributes
    ----------
    part : str
        What was looked at.
    ok : bool
        Whether it works.
    found : str
        What was found.
    remedy : str
        The command that helps; empty where nothing needs help.
    needed : bool
        Whether the main job, a study on the embedded model, needs it.
    """

    part: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Checkup:
    """What `doctor` found, in the order in which parts need each other."""

    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Whether the main job runs here: a study on the embedded model."""
        return all(finding.ok for finding in self.findings if finding.needed)

    def summary(self) -> str:
        """A line a part, its remedy below it, and what follows."""
        lines = []
        for one in self.findings:
            mark = "ok" if one.ok else "missing" if one.needed else "-"
            lines.append(f"{mark:<8}{one.part}: {one.found}")
            if one.remedy:
                lines.append(f"{'':<8}-> {one.remedy}")
        told = (
            "Ready: `llmdemand replicate pampers` runs here, without a key and without a server."
            if self.ready
            else "Not ready for `llmdemand replicate pampers`: run the command after each arrow "
            "of what is missing. Known-truth consumers (--backend synthetic) run already."
        )
        return "\n".join([*lines, "", told])


def doctor(*, run: bool = True) -> Checkup:
    """Look at the installation as the main job will use it.

    Nothing is asked of a network, and no key is shown: of keys only whether they are set.

    Parameters
    ----------
    run : bool
        Also let the embedded model choose once, where engine and weights are there.

    Returns
    -------
    Checkup

    Examples
    --------
    >>> found = doctor(run=False)
    >>> [finding.part for finding in found.findings][:3]
    ['Python', 'llmdemand', 'packages']
    """
    engine, weights = _engine(), _weights()
    looked = [_python(), _itself(), _packages(), engine, weights]
    if run and engine.ok and weights.ok:
        looked.append(
            _checked("a first choice", _chosen, "pip install --force-reinstall xllamacpp")
        )
    return Checkup((*looked, _key(), _machine()))


def _checked(part: str, look: Callable[[], str], remedy: str, needed: bool = True) -> Finding:
    """What a look finds; what it raises is what is wrong."""
    try:
        return Finding(part, True, look(), needed=needed)
    except (LLMDemandError, ImportError, OSError) as error:
        return Finding(part, False, str(error).split("\n")[0], remedy, needed)


def _python() -> Finding:
    inside = sys.prefix != sys.base_prefix
    where = "in a virtual environment" if inside else "not in a virtual environment"
    return Finding("Python", True, f"{platform.python_version()}, {where} ({sys.prefix})")


def _itself() -> Finding:
    import llmdemand

    return Finding("llmdemand", True, llmdemand.__version__)


def _packages() -> Finding:
    """Those that it always needs; an environment can lose one after the installation."""
    try:
        wanted = [line for line in requires("llmdemand") or () if "extra ==" not in line]
    except PackageNotFoundError:
        return Finding("packages", False, "llmdemand is not installed", 'pip install "llmdemand"')
    names = [re.split(r"[^\w.-]", line)[0] for line in wanted]
    missing = [name for name in names if not _installed(name)]
    if missing:
        return Finding("packages", False, "missing", f"pip install {' '.join(missing)}")
    shown = ("numpy", "pandas", "scipy", "statsmodels")
    return Finding("packages", True, ", ".join(f"{name} {version(name)}" for name in shown))


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _engine() -> Finding:
    if find_spec("xllamacpp") is None:
        return Finding("engine", False, "not installed", 'pip install "llmdemand[local]"')
    here = version("xllamacpp") if _installed("xllamacpp") else "of unknown version"
    lines = requires("llmdemand") or [] if _installed("llmdemand") else []
    pins = [line.split(";")[0].strip() for line in lines if line.startswith("xllamacpp==")]
    if pins and pins[0] != f"xllamacpp=={here}":
        said = f"xllamacpp {here}, but what was measured is {pins[0]}"
        return Finding("engine", False, said, f"pip install {pins[0]}")
    return Finding("engine", True, f"xllamacpp {here}")


def _weights() -> Finding:
    from llmdemand.simulation.backends.weights import embedded_model

    return _checked("embedded model", lambda: str(embedded_model()), "llmdemand model get")


def _chosen() -> str:
    """The engine loads the weights and tells the probability of a first token."""
    import math

    from llmdemand.core.study import load_study
    from llmdemand.simulation.backends.local import LocalBackend
    from llmdemand.simulation.requests import requests

    study = load_study("pampers-households")
    score = LocalBackend().scorer(next(iter(requests(study, 1, seed=1))))
    token, logprob = score(())[0]
    likeliest = token.decode("utf-8", "replace").strip()
    return f"{likeliest!r} with probability {math.exp(logprob):.2f}, to the first question"


def _key() -> Finding:
    there = bool(os.environ.get("OPENAI_API_KEY"))
    said = "OPENAI_API_KEY is set" if there else "OPENAI_API_KEY is not set"
    return Finding("key for OpenAI", there, f"{said}; only --backend openai needs one", "", False)


def _machine() -> Finding:
    number = processors()
    said = f"{number} processor{'s' if number > 1 else ''}, {platform.platform()}"
    return Finding("machine", True, said, needed=False)
