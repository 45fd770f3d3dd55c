"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.core.written import json_of
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.core.study import Study
    from llmdemand.simulation.backend import Backend
    from llmdemand.simulation.cost import Budget, Prices

BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="[b]local[/b], [b]openai[/b], [b]synthetic[/b], [b]recorded[/b] or "
        "[b]choice_only[/b].",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A GGUF file (local) or a model name (openai)."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="A compatible server (openai), ending in /v1; several of one model with commas.",
    ),
]
Api = Annotated[
    str | None,
    typer.Option("--api", help="openai: [b]chat[/b], [b]responses[/b] or [b]completions[/b]."),
]
Several = Annotated[
    int | None, typer.Option("--n", help="openai: answers per call; their prompt is paid once.")
]
Effort = Annotated[
    str | None,
    typer.Option("--reasoning-effort", help="openai: [b]none[/b] for gpt-5.1 and gpt-5.2."),
]
ExtraBody = Annotated[
    str | None, typer.Option("--extra-body", help="openai: further request fields, as JSON.")
]
PriceList = Annotated[
    str | None,
    typer.Option("--token-prices", help="Dollars per million tokens read, written: [b]2.5,10[/b]."),
]
ServerFile = Annotated[
    Path | None,
    typer.Option("--server", help="openai: a TOML file that says how a server is reached."),
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", help="openai: seconds for one call; a slow server gets twice that."),
]
TokensName = Annotated[
    str | None,
    typer.Option(
        "--max-tokens-field", help="openai: [b]max_tokens[/b] or [b]max_completion_tokens[/b]."
    ),
]
Outside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Read a table of personas that the study names outside of its own folder.",
    ),
]
ApiVersion = Annotated[
    str | None, typer.Option("--api-version", help="openai: sent as ?api-version= (Azure).")
]
Deployment = Annotated[
    str | None, typer.Option("--deployment", help="openai: an Azure deployment's name.")
]
Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        help="openai: Name=VARIABLE, a header with the value of an environment variable.",
    ),
]
KeyEnv = Annotated[
    str | None, typer.Option("--key-env", help="openai: the environment variable of the key.")
]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", help="openai: certificates (PEM) to trust as well.")
]
Proxy = Annotated[
    str | None, typer.Option("--proxy", help="openai: an HTTP proxy; HTTPS_PROXY by default.")
]
Overhead = Annotated[
    float,
    typer.Option(
        "--overhead", help="Tokens per call that the server may count beyond what it is sent."
    ),
]
Runs = Annotated[int | None, typer.Option("--runs", help="Runs per cell; the study's by default.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the whole panel.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
PanelPath = Annotated[Path, typer.Argument(help="A panel.parquet file, or a folder of them.")]
StudyName = Annotated[str, typer.Argument(help="A bundled study or a TOML file.")]
Respondents = Annotated[
    Path | None,
    typer.Option(
        "--respondents", help="A table (.csv, .parquet) of people as whom the model answers."
    ),
]
RespondentId = Annotated[
    str | None,
    typer.Option("--respondent-id", help="Its column of ids; [b]respondent_id[/b] by default."),
]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", help="Where responses are kept; beside the panel by default."),
]
Dollars = Annotated[
    float | None, typer.Option("--budget", help="The most that may be spent, in dollars.")
]
Tokens = Annotated[
    float | None, typer.Option("--budget-tokens", help="The most tokens, read and written.")
]
Concurrency = Annotated[
    str, typer.Option("--concurrency", help="Calls in flight: a number, or [b]auto[/b].")
]
Rpm = Annotated[float | None, typer.Option("--rpm", help="Most requests per minute.")]
Tpm = Annotated[float | None, typer.Option("--tpm", help="Most tokens per minute.")]
Patience = Annotated[
    float, typer.Option("--patience", help="Seconds of silence after which a server is gone.")
]
Whole = Annotated[
    float | None,
    typer.Option(
        "--whole",
        help="local: probability of an answer to the end; 1 by default, others stop where their "
        "choice is settled.",
    ),
]
KeepLogprobs = Annotated[
    int | None,
    typer.Option(
        "--keep-logprobs",
        help="Store so many candidates, the most likely, where they decide nothing; the panel is "
        "the same.",
    ),
]
NumericalPath = Annotated[
    str | None,
    typer.Option(
        "--path",
        help="local: [b]exact[/b], or [b]invariant[/b], which answers 16 prompts at a time; a "
        "store keeps their answers apart.",
    ),
]
ConsumerFile = Annotated[
    Path | None,
    typer.Option(
        "--consumer",
        help="synthetic: a TOML file of the consumer's options: slope, constants, nests, tastes.",
    ),
]
Early = Annotated[
    int | None,
    typer.Option("--early", help="local: first tokens; a choice settled there is never final."),
]

Read = Annotated[
    str | None,
    typer.Option(
        "--reading",
        help="Whose choice: [b]final[/b], of the whole answer (belief is corrected by it), or "
        "[b]pivot[/b]; by default final where whole answers are there.",
    ),
]
SmallSample = Annotated[
    str,
    typer.Option("--ssc", help="Small-sample factor: stata, sandwich, fixest or none."),
]
Separation = Annotated[
    str,
    typer.Option("--separation", help="Where estimates are infinite: warn, raise or firth."),
]
Thinking = Annotated[
    tuple[str, str] | None,
    typer.Option(help="Tags between which the model thinks before it answers."),
]
ThinkingOpen = Annotated[
    bool, typer.Option("--thinking-open", help="Answers begin within a thought.")
]

MeasureName = Annotated[
    str | None,
    typer.Option(
        "--measure",
        help="[b]logprob[/b], [b]stated[/b] (percentages are asked for), [b]similarity[/b] or "
        "[b]choice[/b]; the study's by default.",
    ),
]


def study_of(
    name: str,
    respondents: Path | None,
    respondent_id: str | None,
    thinking: tuple[str, str] | None = None,
    thinking_open: bool = False,
    *,
    allow_outside: bool = False,
    measure: str | None = None,
) -> Study:
    """The study that the options describe."""
    from llmdemand.core.study import load_study

    if respondents is None and respondent_id is not None:
        raise UsageError(
            f"--respondent-id {respondent_id!r} names a column of --respondents: give the table"
        )
    if respondent_id is None:
        study = load_study(name, respondents, allow_outside=allow_outside)
    else:
        study = load_study(name, respondents, respondent_id, allow_outside=allow_outside)
    if measure is not None:
        study = replace(study, measure=measure)
    if thinking is None and not thinking_open:
        return study
    return replace(
        study,
        thinking=study.thinking if thinking is None else thinking,
        thinking_open=study.thinking_open or thinking_open,
    )


def price_list(text: str | None) -> Prices | None:
    """``2.5,10`` as prices."""
    if text is None:
        return None
    from llmdemand.simulation.cost import Prices

    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--token-prices {text!r}: give dollars per million tokens read and written, such as "
            "2.5,10"
        ) from None
    return Prices(prompt, completion)


def budget(usd: float | None, tokens: float | None, overhead: float = 0.0) -> Budget | None:
    """The cap, if there is one."""
    if usd is None and tokens is None:
        if overhead:
            raise UsageError(f"--overhead {overhead:g} is for a budget: give that too")
        return None
    from llmdemand.simulation.cost import Budget

    return Budget(usd, tokens, overhead)


def concurrency(text: str) -> Any:
    """``auto`` or a number of calls."""
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise UsageError(f"--concurrency {text!r}: give a number of calls, or auto") from None


def extra_body(text: str | None) -> dict[str, Any] | None:
    """Request fields from JSON."""
    if text is None:
        return None
    try:
        fields = json_of(text)
        if not isinstance(fields, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise UsageError(
            f"--extra-body is no JSON object ({error}): write '{{\"top_k\": -1}}'"
        ) from None
    return fields


def headers_of(texts: list[str] | None) -> dict[str, str] | None:
    """``Name=VARIABLE`` as names of headers and of environment variables."""
    found = {}
    for text in texts or ():
        name, sign, variable = text.partition("=")
        if not (name and sign and variable):
            # What is no such pair may hold the secret itself, which is not to be shown.
            raise UsageError(
                "--header is no Name=VARIABLE: name the environment variable that holds the "
                "header's value, which is read from there"
            )
        found[name] = variable
    return found or None


def backend_of(name: str | None, study: Study, **options: Any) -> Backend:
    """The backend that the options describe."""
    from llmdemand.simulation.backends.named import backend_named

    if name is None:
        name = "openai" if options.get("base_url") or options.get("server") else "local"
    if "extra_body" in options:
        options["extra_body"] = extra_body(options["extra_body"])
    if "headers" in options:
        options["headers"] = headers_of(options["headers"])
    if "prices" in options:
        options["prices"] = price_list(options["prices"])
    return backend_named(name, study, **options)


def pairs(given: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` options by name."""
    found = dict(one.split("=", 1) for one in given if "=" in one)
    if len(found) < len(given):
        raise UsageError(f"--{option}: give NAME=VALUE, each name once, found {' '.join(given)}")
    return found
