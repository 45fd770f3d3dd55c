"""Commands that ask a model: ``simulate``, ``probe``."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import (
    Api,
    ApiVersion,
    AsJson,
    BackendName,
    BaseUrl,
    CaFile,
    Concurrency,
    ConsumerFile,
    Deployment,
    Dollars,
    Early,
    Effort,
    ExtraBody,
    Headers,
    KeepLogprobs,
    KeyEnv,
    MeasureName,
    ModelName,
    NumericalPath,
    Outside,
    Overhead,
    Patience,
    PriceList,
    Proxy,
    RespondentId,
    Respondents,
    Rpm,
    Runs,
    Seed,
    ServerFile,
    Several,
    StorePath,
    StudyName,
    Thinking,
    ThinkingOpen,
    Timeout,
    Tokens,
    TokensName,
    Tpm,
    Whole,
    backend_of,
    budget,
    concurrency,
    study_of,
)
from llmdemand.cli.output import (
    err,
    panel_facts,
    print_json,
    refuse_other_study,
    refuse_overwriting,
    say,
    statuses,
    told,
)
from llmdemand.cli.shards.options import ShardNumber, Shards, SimulateWorkers, path_of, shard_of
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.core.panel import Panel
    from llmdemand.core.study import Study
    from llmdemand.simulation.backend import Backend

# Variance of belief between runs of a prompt, where it is not known yet.
_WITHIN = 0.01


@app.command()
def simulate(
    study: StudyName,
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    backend: BackendName = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    api: Api = None,
    n: Several = None,
    reasoning_effort: Effort = None,
    extra_body: ExtraBody = None,
    server: ServerFile = None,
    timeout: Timeout = None,
    max_tokens_field: TokensName = None,
    api_version: ApiVersion = None,
    deployment: Deployment = None,
    headers: Headers = None,
    key_env: KeyEnv = None,
    ca_file: CaFile = None,
    proxy: Proxy = None,
    whole: Whole = None,
    early: Early = None,
    numerics: NumericalPath = None,
    consumer: ConsumerFile = None,
    thinking: Thinking = None,
    thinking_open: ThinkingOpen = False,
    measure: MeasureName = None,
    runs: Runs = None,
    seed: Seed = 1,
    path: Annotated[Path, typer.Option("--out", help="The panel.")] = Path("panel.parquet"),
    store: StorePath = None,
    shards: Shards = None,
    shard: ShardNumber = None,
    workers: SimulateWorkers = 1,
    keep_logprobs: KeepLogprobs = None,
    budget_usd: Dollars = None,
    budget_tokens: Tokens = None,
    overhead: Overhead = 0.0,
    prices: PriceList = None,
    calls: Concurrency = "auto",
    rpm: Rpm = None,
    tpm: Tpm = None,
    patience: Patience = 300.0,
    probe: Annotated[
        bool, typer.Option(help="Find out first what a server returns, in three calls.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the estimate and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a language model a study; write the panel, keep the raw responses.

    Answers are kept as they arrive: the same command goes on after an interruption
    and asks nothing twice. With --shards each machine asks its share of the runs, with its share
    of the budget, into files of its own; `llmdemand merge` joins them.

    Example: [b]llmdemand simulate pampers --backend synthetic --runs 20 --out panel.parquet[/b]
    """
    from llmdemand.belief.measures.coherence import usable_words
    from llmdemand.reporting.truth import known_truth
    from llmdemand.simulation.run import estimate

    chosen = study_of(
        study,
        respondents,
        respondent_id,
        thinking,
        thinking_open,
        allow_outside=allow_outside,
        measure=measure,
    )
    share = shard_of(shard, shards)
    path = path_of(path, share)
    refuse_overwriting(path)
    refuse_other_study(path, chosen)
    kept = store or path.with_suffix(".responses.sqlite")
    refuse_overwriting(path, kept)
    if kept.is_dir():
        raise UsageError(f"--store {kept} is a folder: give the path of a file")
    answerer = backend_of(
        backend,
        chosen,
        model=model,
        base_url=base_url,
        api=api,
        n=n,
        reasoning_effort=reasoning_effort,
        extra_body=extra_body,
        server=server,
        timeout=timeout,
        max_tokens_field=max_tokens_field,
        api_version=api_version,
        deployment=deployment,
        headers=headers,
        key_env=key_env,
        ca_file=ca_file,
        proxy=proxy,
        prices=prices,
        whole=whole,
        early=early,
        path=numerics,
        consumer=consumer,
        store=store if backend == "recorded" else None,
        needs_key=False if dry_run and backend == "openai" else None,
    )
    if dry_run:
        found = estimate(chosen, answerer, runs=runs, seed=seed, store=kept, shard=share)
        if as_json:
            print_json({"model": answerer.model, "estimate": asdict(found)})
            return
        say("\n".join([str(found), *_price_of_stopping(answerer)]))
        return
    panel = simulated(
        chosen,
        answerer,
        runs,
        seed,
        kept,
        budget=budget(budget_usd, budget_tokens, overhead),
        concurrency=concurrency(calls),
        rpm=rpm,
        tpm=tpm,
        patience=patience,
        probe=probe,
        shard=share,
        workers=workers,
        keep_logprobs=keep_logprobs,
    )
    panel.write(path)
    truth = known_truth(panel)
    if as_json:
        facts = panel_facts(panel, panel=path, responses=kept)
        facts |= {"model": answerer.model, "kept": _kept(answerer, kept)}
        print_json(facts | {"truth": None if truth is None else vars(truth)})
        return
    say(f"{len(panel)} runs: {statuses(panel)}\npanel: {path}\nresponses: {kept}")
    if words := usable_words(panel):
        say(words)
    if truth is not None:
        say(truth.summary())


def _kept(backend: Backend, store: Path) -> dict[str, Any]:
    """All answers of a source that a store holds, and what they took: this call's and earlier."""
    from llmdemand.simulation.storing.records import Source
    from llmdemand.simulation.storing.store import Store

    if backend.name == "recorded":
        return {}
    with Store(store) as opened:
        return dict(opened.totals(Source.of(backend)))


@app.command()
def probe(
    study: Annotated[
        str, typer.Option("--study", help="Whose first question is asked.")
    ] = "pampers",
    allow_outside: Outside = False,
    backend: BackendName = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    api: Api = None,
    reasoning_effort: Effort = None,
    extra_body: ExtraBody = None,
    server: ServerFile = None,
    timeout: Timeout = None,
    max_tokens_field: TokensName = None,
    api_version: ApiVersion = None,
    deployment: Deployment = None,
    headers: Headers = None,
    key_env: KeyEnv = None,
    ca_file: CaFile = None,
    proxy: Proxy = None,
    patience: Patience = 300.0,
    seed: Seed = 1,
    store: StorePath = None,
    as_json: AsJson = False,
) -> None:
    """Find out in three cheap calls what a server returns, and whether belief can be had.

    Example: [b]llmdemand probe --base-url http://127.0.0.1:8000/v1 --model my-model[/b]
    """
    from llmdemand.core.study import load_study
    from llmdemand.simulation.probe import probe as run
    from llmdemand.simulation.storing.records import Source
    from llmdemand.simulation.storing.store import Store

    chosen = load_study(study, allow_outside=allow_outside)
    answerer = backend_of(
        backend,
        chosen,
        model=model,
        base_url=base_url,
        api=api,
        reasoning_effort=reasoning_effort,
        extra_body=extra_body,
        server=server,
        timeout=timeout,
        max_tokens_field=max_tokens_field,
        api_version=api_version,
        deployment=deployment,
        headers=headers,
        key_env=key_env,
        ca_file=ca_file,
        proxy=proxy,
    )

    async def asked() -> Any:
        try:
            return await run(answerer, chosen, seed=seed, patience=patience)
        finally:
            await answerer.close()

    found = asyncio.run(asked())
    if store is not None:
        with Store(store) as opened:
            opened.put_probe(Source.of(answerer), found.to_dict())
    if as_json:
        print_json({**found.to_dict(), "problems": list(found.problems)})
    else:
        say(found.summary())
    if found.problems:
        raise typer.Exit(1)


def _price_of_stopping(backend: Backend) -> list[str]:
    """What stopping answers at their pivot costs in variance; nothing where all are whole."""
    from llmdemand.modeling.outcomes.stopped import variance_of_stopping

    whole = float(backend.settings.get("whole_probability", 1.0))
    if whole == 1:
        return []
    two, ten = (variance_of_stopping(whole, m, _WITHIN) for m in (0.02, 0.1))
    return [
        f"whole answers with probability {whole:g}: corrected belief has about {two:.2g} times the "
        f"variance of whole answers if 2 % of them change the choice, {ten:.2g} times if 10 % do; "
        "it pays where endings are long and beliefs differ from run to run"
    ]


def simulated(
    study: Study, backend: Backend, runs: int | None, seed: int, store: Path, **options: Any
) -> Panel:
    """Say what will be asked and what it costs, then ask it."""
    from llmdemand.simulation.calls.options import Options
    from llmdemand.simulation.run import estimate
    from llmdemand.simulation.run import simulate as run
    from llmdemand.simulation.storing.store import unused

    # What is wrong with them is said first.
    shard = Options(store=store, **options).shard
    expected = estimate(study, backend, runs=runs, seed=seed, store=store, shard=shard)
    err().print(f"{study.name}, {backend.model}: {expected}", highlight=False)
    for line in _price_of_stopping(backend):
        err().print(line, highlight=False)
    if other := unused(store, backend):
        err().print(
            f"{other:,} answers of this model under other settings are stored and not used: "
            "--n, --api, --extra-body and the like are part of what is asked",
            highlight=False,
        )
    try:
        return run(study, backend, runs=runs, seed=seed, store=store, progress=told(), **options)
    except KeyboardInterrupt:
        err().print(
            f"interrupted; every answer so far is in {store}: run the same command to go on",
            highlight=False,
        )
        raise typer.Exit(130) from None
