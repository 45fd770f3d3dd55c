"""``llmdemand calibrate``: human answers and a language model's beliefs, together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, Seed
from llmdemand.cli.output import (
    command_line,
    print_json,
    refuse_other_study,
    say,
    warnings_as_lines,
)
from llmdemand.cli.people.inputs import (
    BeliefColumn,
    Beliefs,
    ClusterColumn,
    Humans,
    human_table,
    read_beliefs,
    read_margins,
)
from llmdemand.cli.people.shown import plain
from llmdemand.cli.reports import compared, files_in, result_folder
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.core.shards.shards import AnyPanel
    from llmdemand.reporting.people import People


@app.command()
def calibrate(
    humans: Humans,
    beliefs: Beliefs,
    formula: Annotated[
        str, typer.Option(help="Outcome and regressors; both sides have the latter.")
    ] = "choice ~ price",
    target: Annotated[
        str,
        typer.Option(
            help="What lambda is tuned to: [b]price[/b], [b]share[/b], [b]elasticity[/b], "
            "[b]wtp[/b]."
        ),
    ] = "price",
    at: Annotated[
        float | None, typer.Option(help="Price of a share or elasticity; over the design without.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="[b]logit[/b], [b]fraclogit[/b] or [b]clogit[/b].")
    ] = "logit",
    cluster: ClusterColumn = "respondent_id",
    design: Annotated[
        str,
        typer.Option(
            help="Price design of both sides: [b]humans[/b], [b]equal[/b], [b]beliefs[/b]; "
            "[b]sampled[/b] where each case has attributes of its own."
        ),
    ] = "humans",
    lam: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            help="[b]tuned[/b], [b]aipw[/b], or a number from 0; tuned by default, aipw with "
            "--recalibrate.",
        ),
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Teach belief on other humans first.")
    ] = False,
    covariates: Annotated[
        list[str] | None,
        typer.Option("--covariate", help="Column compared on both sides; may be repeated."),
    ] = None,
    price: Annotated[str, typer.Option(help="The price column.")] = "price",
    belief: BeliefColumn = "belief",
    case: Annotated[
        str | None, typer.Option(help="clogit: column of choice tasks, if there are several.")
    ] = None,
    focal: Annotated[
        str | None, typer.Option(help="Alternative whose belief, share or elasticity it is.")
    ] = None,
    attribute: Annotated[
        str | None, typer.Option(help="clogit: what a willingness to pay is for.")
    ] = None,
    na: Annotated[str, typer.Option(help="Missing values: [b]raise[/b] or [b]drop[/b].")] = "raise",
    prompt_chosen_on: Annotated[
        str | None,
        typer.Option(
            help="Whose answers chose the prompt: [b]others[/b], [b]nobody[/b]; a warning without."
        ),
    ] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            help="Column with the beliefs of one of several prompts, of which the best is chosen "
            "by cross-fitting; repeated.",
        ),
    ] = None,
    proxies: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            help="Column with the beliefs of one of several models that are used together; "
            "repeated.",
        ),
    ] = None,
    more: Annotated[
        list[Path] | None,
        typer.Option("--beliefs", help="Beliefs of a further model, used together; repeated."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Column of the humans' sampling weights; of a panel its study's by default, "
            "[b]''[/b] for none."
        ),
    ] = None,
    strata: Annotated[
        str | None, typer.Option(help="Column of strata on both sides, a lambda for each.")
    ] = None,
    psu: Annotated[
        str | None,
        typer.Option(help="Column of stores, households, ...: errors are clustered by it."),
    ] = None,
    probability: Annotated[
        str | None,
        typer.Option(help="Column of the probability with which each human was selected."),
    ] = None,
    margins: Annotated[
        Path | None,
        typer.Option(
            "--margins",
            help="Table [b]column, value, share[/b] of the population, to which humans are raked.",
        ),
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(help="Of a panel: whose choice, [b]final[/b] or [b]pivot[/b]."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Difference of shares that does not matter.")
    ] = None,
    subgroups: Annotated[
        list[str] | None,
        typer.Option(
            "--subgroup", help="Column of people in whose groups shares are compared; repeated."
        ),
    ] = None,
    tastes: Annotated[
        list[str] | None,
        typer.Option(
            "--taste",
            help="clogit: attribute whose spread between people is compared; repeated, all "
            "without.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.html, tables and figures.")
    ] = None,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Calibrate a language model's beliefs with human answers: valid whatever the model does.

    Example: [b]llmdemand calibrate humans.csv panel.parquet --target share --at 35 --out out[/b]
    """
    if folder is not None:
        result_folder(folder)
    design_of_people = {
        "weights": weights,
        "strata": strata,
        "psu": psu,
        "probability": probability,
        "margins": None if margins is None else read_margins(margins),
        "proxies": proxies or None,
        "prompts": prompts or None,
    }
    given = {k: v for k, v in design_of_people.items() if v is not None}
    if recalibrate and (given or more):
        word = "prompt" if prompts else next(iter(given), "beliefs").rstrip("s")
        raise UsageError(f"--{word} is for a calibration without --recalibrate")
    people = human_table(humans, cluster)
    answers = read_beliefs(beliefs, cluster)
    if folder is not None and (study := getattr(answers, "study", None)) is not None:
        refuse_other_study(folder / "panel.parquet", study)
    with warnings_as_lines():
        found = _calibrated(
            people,
            _by_model(beliefs, answers, more or [], cluster),
            recalibrate,
            covariates or [],
            formula=formula,
            target=target,
            at=at,
            model=model,
            cluster=cluster,
            design=design,
            lam=_lam(lam, recalibrate),
            price=price,
            belief=belief,
            case=case,
            focal=focal,
            attribute=attribute,
            na=na,
            prompt_chosen_on=prompt_chosen_on,
            reading=reading,
            seed=seed,
            **given,
        )
        people_found = _compared(
            found,
            answers,
            margin is not None or bool(covariates) or bool(subgroups) or bool(tastes),
            formula=formula,
            model=model,
            covariates=covariates or [],
            margin=margin,
            price=price,
            belief=belief,
            case=case,
            focal=focal,
            attribute=attribute,
            reading=reading,
            subgroups=subgroups or [],
            tastes=tastes or None,
            seed=seed,
        )
    if folder is not None:
        _save(people_found, answers, folder, seed)
    if as_json:
        files = files_in(folder, "report.html", "tables", "figures")
        print_json({**plain(people_found), "files": files})
        return
    say(found.summary())
    if people_found.discrepancy is not None:
        say("\n" + people_found.discrepancy.summary())
    if folder is not None:
        say(f"\nFiles in {folder}/: report.html (the page to open), tables/, figures/")


def _by_model(path: Path, answers: Any, more: list[Path], cluster: str) -> Any:
    """The beliefs of one model, or of several by the names of their files."""
    if not more:
        return answers
    found = {path.stem: answers} | {p.stem: read_beliefs(p, cluster) for p in more}
    if len(found) < 1 + len(more):
        raise UsageError("--beliefs: files of several models need different names")
    return found


def _lam(text: str | None, recalibrate: bool) -> Any:
    if text is None:
        return "aipw" if recalibrate else "tuned"
    if text in ("tuned", "aipw"):
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--lambda {text!r}: give tuned, aipw or a number from 0") from None


def _calibrated(
    humans: pd.DataFrame,
    beliefs: Any,
    recalibrate: bool,
    covariates: list[str],
    **options: Any,
) -> CalibratedDemand:
    from llmdemand.calibration.ppi import calibrate as run
    from llmdemand.calibration.recalibrate import recalibrated

    if recalibrate:
        return recalibrated(humans, beliefs, covariates=covariates, **options)
    return run(humans, beliefs, **options)


def _compared(
    found: CalibratedDemand, beliefs: pd.DataFrame | AnyPanel, asked: bool, **options: Any
) -> People:
    """With the heuristic comparison of the same humans."""
    from llmdemand.calibration.discrepancy import discrepancy
    from llmdemand.reporting.people import People

    pairs = found.moments.pairs
    try:
        if pairs.survey is not None:
            raise DesignError(
                "it makes nothing of weights, strata and clusters: leave --margin and --covariate "
                "out, or compare without them"
            )
        compared = discrepancy(pairs.human_frame, beliefs, cluster=pairs.cluster, **options)
    except DesignError as error:
        if asked:
            raise
        # Nobody asked for the comparison; the calibration stands without it.
        typer.echo(f"warning: no comparison of shares: {error}", err=True)
        return People(found)
    return People(found, compared)


def _save(people: People, beliefs: pd.DataFrame | AnyPanel, folder: Path, seed: int) -> None:
    """The page, tables and figures; of a panel with everything that is said of it."""
    from llmdemand.core.shards.shards import AnyPanel
    from llmdemand.reporting.page.people import save_people, write_people

    if isinstance(beliefs, AnyPanel):
        report = compared(beliefs, seed).with_people(people.calibration, people.discrepancy)
        report.save(folder)
        report.to_html(folder / "report.html", command=command_line())
        return
    save_people(people, folder)
    write_people(people, folder / "report.html", command=command_line())
