"""``llmdemand calibrate``: human answers and a language model's beliefs, together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, Seed
from llmdemand.cli.output import (
    command_line,
    print_json,
    records,
    refuse_other_study,
    say,
    warnings_as_lines,
)
from llmdemand.cli.reports import compared, files_in, result_folder
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.calibration.fidelity.fidelity import Fidelity
    from llmdemand.calibration.sample_plan import SamplePlan
    from llmdemand.core.shards.shards import AnyPanel
    from llmdemand.reporting.people import People

Humans = Annotated[
    Path,
    typer.Argument(
        help="Human answers, a row each (or per alternative): CSV, parquet, xlsx, dta or Arrow."
    ),
]
Beliefs = Annotated[Path, typer.Argument(help="A panel of respondents, or a table of beliefs.")]


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
    cluster: Annotated[str, typer.Option(help="Column of respondents.")] = "respondent_id",
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
    belief: Annotated[str, typer.Option(help="The column of beliefs.")] = "belief",
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
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.html, tables and figures.")
    ] = None,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Calibrate a language model's beliefs with human answers: valid whatever the model does.

    Example: [b]llmdemand calibrate humans.csv panel.parquet --target share --at 35 --out out[/b]
    """
    from llmdemand.core.tables.files import read_table

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
    people = read_table(humans, text=[cluster], what="humans")
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
            margin is not None or bool(covariates) or bool(subgroups),
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
            seed=seed,
        )
    if folder is not None:
        _save(people_found, answers, folder, seed)
    if as_json:
        files = files_in(folder, "report.html", "tables", "figures")
        print_json({**_plain(people_found), "files": files})
        return
    say(found.summary())
    if people_found.discrepancy is not None:
        say("\n" + people_found.discrepancy.summary())
    if folder is not None:
        say(f"\nFiles in {folder}/: report.html (the page to open), tables/, figures/")


def read_beliefs(path: Path, cluster: str = "respondent_id") -> pd.DataFrame | AnyPanel:
    """A panel where the file is one, else a table."""
    from llmdemand.core.shards.shards import read_panel
    from llmdemand.core.tables.files import is_panel, read_table

    if is_panel(path):
        return read_panel(path)
    return read_table(path, text=[cluster], what="beliefs")


def belief_table(path: Path, cluster: str = "respondent_id") -> pd.DataFrame:
    """A table of beliefs, a row for each respondent and price.

    Raises
    ------
    UsageError
        For a panel, whose runs are of a study and not of prices alone.
    """
    from llmdemand.core.tables.files import is_panel, read_table

    if is_panel(path):
        raise UsageError(f"{path} is a panel; give a table with {cluster}, price and belief")
    return read_table(path, text=[cluster], what="beliefs")


def _by_model(path: Path, answers: Any, more: list[Path], cluster: str) -> Any:
    """The beliefs of one model, or of several by the names of their files."""
    if not more:
        return answers
    found = {path.stem: answers} | {p.stem: read_beliefs(p, cluster) for p in more}
    if len(found) < 1 + len(more):
        raise UsageError("--beliefs: files of several models need different names")
    return found


def read_margins(path: Path) -> dict[str, dict[str, float]]:
    """Margins of a population from a table with the columns column, value and share.

    Raises
    ------
    UsageError
        Without these columns.
    """
    from llmdemand.core.tables.files import read_table

    table = read_table(path, text=["column", "value"], what="margins")
    if not {"column", "value", "share"} <= set(table.columns):
        raise UsageError(f"{path}: give the columns column, value, share; a row for each value")
    found: dict[str, dict[str, float]] = {}
    for name, value, share in zip(table["column"], table["value"], table["share"], strict=True):
        found.setdefault(str(name), {})[str(value)] = float(share)
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
    return People(found, compared.beside(calibration=found.verdict()))


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


def _plain(people: People) -> dict[str, Any]:
    found = people.calibration
    return {
        "verdict": found.verdict(),
        "target": found.target.label,
        "estimates": records(found.table.rename_axis("estimator").reset_index()),
        "tuning": records(found.tuning.table.rename_axis("quantity").reset_index()),
        "coefficients": records(found.tidy().rename_axis("term").reset_index()),
        "assumptions": records(found.assumptions),
        "imbalance_p": found.imbalance,
        "beliefs": {
            "p": found.laws.p,
            "parts": found.laws.parts,
            "table": records(found.laws.table.rename_axis("cell").reset_index()),
        },
        "proxies": None
        if found.proxies is None
        else records(found.proxies.rename_axis("proxy").reset_index()),
        "unseen": None if found.unseen is None else asdict(found.unseen),
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "discrepancy": None
        if people.discrepancy is None
        else {
            "verdict": people.discrepancy.verdict(),
            "table": records(people.discrepancy.table.rename_axis("quantity").reset_index()),
            "shares": records(people.discrepancy.curve),
            "balance": records(people.discrepancy.balance.rename_axis("what").reset_index()),
            "licences": records(people.discrepancy.licences.reset_index()),
            "heuristic": _heuristic(people.discrepancy.fidelity),
        },
    }


def _heuristic(found: Fidelity | None) -> dict[str, Any] | None:
    """What was compared beyond the mean."""
    if found is None:
        return None
    counts, people = found.counts, found.individuals
    return {
        "spread": _table(found.spread),
        "distribution": None
        if counts is None
        else {
            "table": _table(counts.table),
            "energy_distance": counts.distance,
            "by_chance": counts.by_chance,
            "p": counts.p,
        },
        "subgroups": _table(found.subgroups),
        "individuals": None
        if people is None
        else {"respondents": people.respondents, "table": _table(people.table)},
        "held_out": None
        if found.held_out is None
        else {"table": _table(found.held_out.table), "prices": _table(found.held_out.prices)},
        "notes": list(found.notes),
    }


def _table(frame: pd.DataFrame | None) -> Any:
    return None if frame is None else records(frame.rename_axis("what").reset_index())


def plan_of_people(
    beliefs: Path | None,
    humans: Path | None,
    *,
    rho: float | None,
    target: str,
    at: float | None,
    folder: Path | None,
    **options: Any,
) -> SamplePlan:
    """The plan of a sample of humans and LLM respondents, and its files."""
    from llmdemand.calibration.ppi import calibrate as run
    from llmdemand.calibration.sample_plan import plan_sample
    from llmdemand.core.sheets import write_csv
    from llmdemand.core.tables.files import read_table
    from llmdemand.reporting.figures.style import image

    pilot = None
    if humans is not None:
        if beliefs is None:
            raise UsageError("--humans needs the beliefs too: llmdemand plan BELIEFS --humans ...")
        with warnings_as_lines():
            pilot = run(
                read_table(humans, text=["respondent_id"], what="humans"),
                read_beliefs(beliefs),
                target=target,  # type: ignore[arg-type]  # checked there, with a message
                at=at,
            )
    found = plan_sample(pilot, rho=rho, **options)
    if folder is not None:
        result_folder(folder).mkdir(parents=True, exist_ok=True)
        write_csv(found.table, folder / "sample_plan.csv", index=True)
        for kind in ("svg", "png"):
            drawn = image(found.plot(), "sample-plan", kind)
            (folder / f"sample-plan.{kind}").write_bytes(drawn)
    return found
