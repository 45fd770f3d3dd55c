"""The backends that come with the package, by name."""

from __future__ import annotations

from typing import Any

from llmdemand.core.study import Study
from llmdemand.errors import UsageError, nearest
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.backends.wire.server import read_server

__all__ = ["BACKENDS", "backend_named"]

BACKENDS = ("local", "openai", "synthetic", "recorded", "choice_only")
# How a server is reached, and a file that may say all of it.
_SERVER = (
    "base_url",
    "timeout",
    "max_tokens_field",
    "api_version",
    "deployment",
    "headers",
    "key_env",
    "ca_file",
    "proxy",
    "server",
)
# Options that each backend knows; the others take none.
_OPTIONS = {
    "local": ("model", "whole", "early", "path"),
    "openai": (
        "model",
        *_SERVER,
        "api",
        "n",
        "top_logprobs",
        "reasoning_effort",
        "extra_body",
        "prices",
        "needs_key",
    ),
    "recorded": ("model", "store"),
    "choice_only": ("model", *_SERVER, "reasoning_effort", "extra_body", "prices"),
    "synthetic": ("consumer",),
}


def backend_named(name: str, study: Study, **options: Any) -> Backend:
    """One of the backends that come with the package.

    Parameters
    ----------
    name : str
        ``local``, ``openai``, ``synthetic``, ``recorded`` or ``choice_only``.
    study : Study
        The study that will be asked.
    **options
        Those of the backend: ``model`` (a GGUF file for ``local``, a model name
        otherwise), ``base_url``, ``consumer`` (a TOML file of the options of
        `SyntheticBackend`), ... ; None means the backend's own default. ``server`` is a
        TOML file that holds those of `OpenAIBackend`; what is given beside it comes first.

    Raises
    ------
    UsageError
        For an unknown name or an option that the backend does not have.
    """
    if name not in BACKENDS:
        raise UsageError(f"no backend {name!r}{nearest(name, BACKENDS)}: use {', '.join(BACKENDS)}")
    given = {k: v for k, v in options.items() if v is not None}
    if (file := given.get("server")) is not None and "server" in _OPTIONS[name]:
        given = {**read_server(file), **given}
        del given["server"]
    for option in given:
        if option not in _OPTIONS[name]:
            having = [b for b, known in _OPTIONS.items() if option in known]
            flag = "--header" if option == "headers" else "--" + option.replace("_", "-")
            raise UsageError(f"{flag} is for the backend {' or '.join(having)}, not for {name}")
    if "model" not in given and ("base_url" in given or name == "choice_only"):
        raise UsageError(
            f"no --model for {given.get('base_url', 'the choice_only backend')}: give the name "
            "under which the server knows it"
        )
    if name == "local":
        from llmdemand.simulation.backends.local import LocalBackend

        return LocalBackend(**given)
    if name == "openai" and study.measure != "logprob":
        from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend

        # Nothing is read of log-probabilities, which reasoning models do not have.
        return ChoiceOnlyBackend.server(**given)
    if name == "openai":
        from llmdemand.simulation.backends.openai import OpenAIBackend

        return OpenAIBackend(**given)
    if name == "recorded":
        from llmdemand.simulation.backends.recorded import RecordedBackend

        if "store" not in given:
            raise UsageError("the recorded backend replays a store: name it with --store PATH")
        return RecordedBackend(**given)
    if name == "choice_only":
        from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend

        return ChoiceOnlyBackend.server(**given)
    from llmdemand.simulation.backends.known.file import read_options
    from llmdemand.simulation.backends.synthetic import SyntheticBackend

    chosen = read_options(given["consumer"], SyntheticBackend) if given else {}
    return SyntheticBackend(study, **chosen)
