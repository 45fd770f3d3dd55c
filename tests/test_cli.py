"""The commands as a user runs them: output, files, exit codes, one-line errors."""

import importlib.util
import json
import subprocess
import sys
import warnings

import pytest

from llmdemand import cli
from llmdemand.core.panel import Panel
from llmdemand.simulation.storing.store import Store


def responses(path):
    with Store(path) as store:
        return len(store)


def test_replicate_synthetic_end_to_end_and_again(run, tmp_path):
    arguments = ("replicate", "pampers", "--backend", "synthetic", "--runs", 12, "--out", "out")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "reconstruction" in out and "138.090" in out and "Demand falls with price" in out
    files = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    assert {"panel.parquet", "responses.sqlite", "report.html", "tables/precision.csv"} <= files
    assert responses(tmp_path / "out" / "responses.sqlite") == 192
    code, again, _ = run(*arguments)
    assert (code, again) == (0, out)
    assert responses(tmp_path / "out" / "responses.sqlite") == 192, "nothing is asked twice"


def test_results_of_another_study_or_model_are_not_overwritten(run, tmp_path):
    first = ("replicate", "pampers", "--backend", "synthetic", "--runs", 2, "--out", "out")
    assert run(*first)[0] == 0
    kept = (tmp_path / "out" / "panel.parquet").read_bytes()
    code, out, err = run(*first, "--study", "pampers-households")
    assert (code, out) == (2, "")
    assert "holds the study pampers" in err and "give another --out" in err
    simulated = ("simulate", "pampers", "--backend", "synthetic", "--runs", 2)
    assert run(*simulated)[0] == 0 and run(*simulated)[0] == 0, "the same study goes on"
    other = tuple("pampers-households" if a == "pampers" else a for a in simulated)
    code, _, err = run(*other)
    assert code == 2 and "panel.parquet holds the study pampers: it is not overwritten" in err
    assert responses(tmp_path / "panel.responses.sqlite") == 32
    assert run(*other, "--out", "other.parquet")[0] == 0
    code, _, err = run("compare", "other.parquet", "--replications", 5, "--out", "out")
    assert code == 2 and "holds the study pampers" in err
    assert (tmp_path / "out" / "panel.parquet").read_bytes() == kept


def test_the_page_knows_the_store_of_its_own_run(run, tmp_path):
    arguments = ("replicate", "pampers", "--backend", "synthetic", "--runs", 2, "--out", "out")
    code, out, _ = run(*arguments, "--json")
    found = json.loads(out)
    (report,) = found["reports"]
    assert code == 0 and report["runs"] == 32 and "Demand falls" in report["verdict"]
    assert all((tmp_path / place).exists() for place in found["files"].values())
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "was not at hand" not in text and "candidates listed at the pivot" in text


def test_simulate_fit_compare(run, tmp_path):
    code, out, _ = run(
        "simulate", "pampers", "--backend", "synthetic", "--runs", 10, "--out", "panel.parquet"
    )
    assert code == 0 and "160 runs: ok 160" in out
    assert len(Panel.read(tmp_path / "panel.parquet")) == 160
    code, out, _ = run("fit", "panel.parquet", "--price", 35, "--json")
    found = json.loads(out)
    terms = {t["term"]: t for t in found["terms"]}
    assert -0.7 < terms["price"]["Estimate"] < -0.4
    assert found["elasticity"][0]["price"] == 35
    code, out, _ = run("fit", "panel.parquet", "--outcome", "choice", "--vcov", "CRV1:cell")
    assert code == 0 and "clusters 16" in out
    code, out, _ = run("compare", "panel.parquet", "--replications", 50, "--runs", 1, "--json")
    assert {r["outcome"] for r in json.loads(out)["precision"]} == {"belief", "choice"}


def test_fit_in_nests_and_by_tastes(run, tmp_path):
    import pandas as pd

    pd.DataFrame({"respondent_id": range(20)}).to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "tastes.toml").write_text("persona_sd = 3.0\npersona_slope_sd = 0.1\n")
    code, _, err = run(
        *("simulate", "pampers", "--backend", "synthetic", "--runs", 1, "--out", "who.parquet"),
        *("--respondents", "people.csv", "--consumer", "tastes.toml"),
    )
    assert code == 0, err
    fit = ("fit", "who.parquet", "--reading", "pivot", "--json")
    for more, term in (
        (("nested", "--nest", "diapers=pampers,huggies"), "dissimilarity(diapers)"),
        (("mixed", "--random", "price=lognormal-"), "sd(ln -price)"),
        (("latent", "--classes", 2), "share[2]:const"),
    ):
        code, out, err = run(*fit, "--model", *more)
        assert code == 0, err
        assert term in [row["term"] for row in json.loads(out)["terms"]]
    for more, says in (
        (("nested", "--nest", "pampers,huggies"), "--nest: give NAME=VALUE"),
        (("mixed", "--random", "price=normla"), "'normla' (did you mean 'normal'"),
        (("clogit", "--classes", 2), "classes=... goes with model='latent'"),
    ):
        code, _, err = run(*fit, "--model", *more)
        assert code == 2 and says in " ".join(err.split())


def test_extract_from_the_store_and_audit(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 3, "--out", "panel.parquet")
    code, out, _ = run(
        "extract", "panel.responses.sqlite", "--study", "pampers", "--out", "again.parquet"
    )
    assert code == 0 and "48 runs: ok 48" in out
    first, again = (Panel.read(tmp_path / f"{n}.parquet").frame for n in ("panel", "again"))
    assert first["belief_pampers"].equals(again["belief_pampers"])
    code, out, _ = run("audit", "again.parquet")
    assert code == 0 and "0 of 48" in out and "mean choice at the pivot minus mean belief" in out
    code, out, _ = run("audit", "again.parquet", "--json")
    assert json.loads(out)["checked"] == 48
    (tmp_path / "bad.jsonl").write_text("hello\n", encoding="utf-8")
    code, _, err = run("extract", "bad.jsonl", "--study", "pampers")
    assert code == 2 and "bad.jsonl line 1: no JSON" in err


def test_a_file_is_extracted_by_several_processes(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 3, "--out", "panel.parquet")
    run("store", "export", "panel.responses.sqlite", "a.jsonl")
    answered = [x for x in (tmp_path / "a.jsonl").read_text().splitlines() if '"run_id"' in x]
    (tmp_path / "a.jsonl").write_text("".join(f"{x}\n" for x in answered))
    for workers in (1, 2):
        options = ("--study", "pampers", "--workers", workers, "--out", f"{workers}.parquet")
        code, out, err = run("extract", "a.jsonl", *options)
        assert (code, err) == (0, "") and "48 runs: ok 48" in out
    one, two = (Panel.read(tmp_path / f"{w}.parquet") for w in (1, 2))
    assert one.frame.equals(two.frame) and one.provenance == two.provenance
    code, _, err = run("extract", "panel.responses.sqlite", "--study", "pampers", "--workers", 2)
    assert code == 2 and "a store is read by one process" in err
    code, _, err = run("extract", "a.jsonl", "--study", "pampers", "--workers", 0)
    assert code == 2 and "workers=0: expected a number of processes" in err


def test_many_changes_of_mind_are_said_with_what_to_do(run, tmp_path):
    from llmdemand import load_study
    from llmdemand.simulation.backends.synthetic import SyntheticBackend
    from llmdemand.simulation.run import simulate

    study = load_study("pampers")
    backend = SyntheticBackend(study, mismatch_rate=0.3, refusal_rate=0.1, verbose=True)
    simulate(study, backend, runs=20, seed=1, store=tmp_path / "s.sqlite")
    code, _, err = run("extract", "s.sqlite", "--study", "pampers", "--out", "p.parquet")
    said = " ".join(err.split())
    assert code == 0 and "choose something else in the end than at their pivot" in said
    assert "reading='final'" in said and "Keep all runs" in said and "answer_first" in said
    code, out, _ = run("audit", "p.parquet")
    assert code == 0 and out.startswith("final choice minus belief at the pivot")
    assert "what leaving a status out would select" in out
    found = json.loads(run("audit", "p.parquet", "--json")[1])
    # As many leave Pampers as come to it: the mean hides what prices show.
    assert found["final"]["p_by_cell"] < 1e-6 and found["final"]["read"] > 100
    assert {r["status"] for r in found["selection"]} == {"ok", "refusal"}
    code, out, _ = run("fit", "p.parquet", "--reading", "pivot")
    assert code == 0 and "belief at the pivot" in out
    few = ("--runs", 2, "--replications", 20)
    verdicts = [
        json.loads(run("compare", "p.parquet", "--reading", r, *few, "--json")[1])["verdict"]
        for r in ("pivot", "final")
    ]
    assert "choose something else in the end" in verdicts[0]
    assert "something else" not in verdicts[1]


def test_extract_never_overwrites_the_responses(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 1, "--out", "panel.parquet")
    path = tmp_path / "panel.responses.sqlite"
    before = path.read_bytes()
    code, _, err = run("extract", path.name, "--study", "pampers", "--out", path.name)
    assert code == 2 and "the same file" in err and path.read_bytes() == before


def test_json_is_valid_where_numbers_are_not(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 2, "--out", "panel.parquet")
    panel = Panel.read(tmp_path / "panel.parquet")
    frame = panel.frame.assign(
        choice="pampers",
        final_choice="pampers",
        belief_pampers=1.0,
        belief_huggies=0.0,
        belief_neither=0.0,
    )
    Panel(frame, panel.study, panel.provenance).write(tmp_path / "sure.parquet")
    for arguments in (("audit",), ("fit", "--outcome", "choice")):
        code, out, _ = run(arguments[0], "sure.parquet", *arguments[1:], "--json")
        assert code == 0
        json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_studies_are_listed_and_shown(run):
    code, out, _ = run("studies")
    assert code == 0 and "pampers-households" in out
    code, out, _ = run("studies", "show", "pampers")
    assert "30.0 cents per diaper" in out
    code, out, _ = run("studies", "--json")
    assert {s["name"]: s["cells"] for s in json.loads(out)}["pampers"] == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("replicate", "diapers"), "nothing to replicate under 'diapers'"),
        (("replicate", "pampers", "--study", "pamper"), "did you mean 'pampers'"),
        (("replicate", "pampers", "--backend", "remote"), "no backend 'remote'"),
        (("replicate", "pampers", "--backend", "openai"), "no OPENAI_API_KEY"),
        (("replicate", "pampers", "--backend", "local", "--model", "x.gguf"), "not a GGUF file"),
        (("replicate", "pampers", "--backend", "synthetic", "--runs", "0"), "runs=0"),
        (("simulate", "pampers", "--backend", "synthetic", "--seed", "-1"), "seed=-1"),
        (("simulate", "pampers", "--backend", "synthetic", "--out", "."), "is a folder"),
        (("simulate", "absent.toml"), "no study 'absent.toml'"),
        (("fit", "absent.parquet"), "no panel at absent.parquet"),
        (("compare", "absent.parquet"), "no panel at absent.parquet"),
        (("studies", "show", "pamper"), "did you mean 'pampers'"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(run, monkeypatch, arguments, message):
    if "local" in arguments:
        # First where it is used: an import under the other patch would keep the stand-in.
        monkeypatch.setattr("llmdemand.simulation.backends.local.find_spec", lambda name: object())
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_a_missing_engine_is_said_before_any_work(run, monkeypatch, tmp_path):
    monkeypatch.setattr("llmdemand.simulation.backends.local.find_spec", lambda name: None)
    code, out, err = run("replicate", "pampers")
    assert (code, out) == (2, "")
    assert 'pip install "llmdemand[local]"' in err
    assert not list(tmp_path.iterdir())


def test_one_price_and_no_usable_rows_keep_the_panel(run, tmp_path):
    from llmdemand import load_study

    (tmp_path / "one.toml").write_text(
        'name = "one"\nfocal = "tea"\nuser = "{offers}"\noffer = "{label} {price}"\n'
        '[[alternatives]]\nid = "tea"\nlabel = "Tea"\nprice = 3\n'
        '[[alternatives]]\nid = "none"\nlabel = "none"\noutside = true\n',
        encoding="utf-8",
    )
    code, out, _ = run(
        "replicate",
        "pampers",
        "--study",
        "one.toml",
        "--backend",
        "synthetic",
        "--runs",
        5,
        "--out",
        "one",
    )
    # Nothing can be estimated: the report says so, and the panel is kept.
    assert code == 0 and "one price" in out
    assert "one price" in (tmp_path / "one" / "report.html").read_text("utf-8")
    assert (tmp_path / "one" / "panel.parquet").exists()

    run("simulate", "pampers", "--backend", "synthetic", "--runs", 2, "--out", "panel.parquet")
    panel = Panel.read(tmp_path / "panel.parquet")
    Panel(panel.frame.assign(status="refusal"), load_study("pampers")).write(
        tmp_path / "refused.parquet"
    )
    code, _, err = run("fit", "refused.parquet")
    assert code == 2 and "no usable run among 32" in err
    code, out, _ = run("compare", "refused.parquet", "--out", "refused")
    assert code == 0 and "none of the 32 answers can be used" in " ".join(out.split())
    page = (tmp_path / "refused" / "report.html").read_text("utf-8")
    assert "none of the 32 answers can be used" in page


def test_an_interrupt_says_how_to_go_on(run, monkeypatch):
    from llmdemand.simulation.backends.synthetic import SyntheticBackend

    async def interrupted(self, requests):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(SyntheticBackend, "complete", interrupted)
    code, _, err = run("simulate", "pampers", "--backend", "synthetic")
    assert code == 130
    assert "run the same command to go on" in " ".join(err.split())


def test_an_unwritable_folder_is_one_line(run, tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    code, _, err = run("replicate", "pampers", "--backend", "synthetic", "--out", "out")
    assert code == 2 and err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err


def commands(group, *names):
    """Every command of the application, as the words that call it."""
    for command in group.registered_commands:
        yield (*names, command.name or command.callback.__name__)
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, *names, inner.name)


ALL = sorted(commands(cli.app))


def test_the_commands_of_the_design_are_there():
    wanted = "replicate simulate extract fit compare audit probe studies store batch plan lab"
    assert set(wanted.split()) <= {words[0] for words in ALL}


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_shows_its_examples_as_they_are_typed(run, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "40")
    code, out, _ = run(*words, "--help")
    lines = out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.strip() in ("Example:", "Examples:"))
    shown = [line for line in lines[at + 1 :] if line.strip()]
    assert code == 0 and shown and "[b]" not in out
    assert all(line.startswith(f" llmdemand {' '.join(words)}") for line in shown)


def test_the_installed_command_runs():
    found = subprocess.run(
        [sys.executable, "-c", "from llmdemand.cli import main; main()", "studies"],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert "pampers" in found.stdout


def test_a_panel_overwrites_nothing_but_a_panel(run, tmp_path):
    simulate = ("simulate", "pampers", "--backend", "synthetic", "--runs", 1)
    run(*simulate, "--out", "p.parquet", "--store", "kept.sqlite")
    (tmp_path / "mine.toml").write_text("name = 1", encoding="utf-8")
    before = (tmp_path / "kept.sqlite").read_bytes()
    for out in ("kept.sqlite", "mine.toml"):
        code, _, err = run(*simulate, "--out", out)
        assert code == 2 and "exists and is no panel" in err
    code, _, err = run(*simulate, "--out", "new.parquet", "--store", "new.parquet")
    assert code == 2 and "the same file" in err
    code, _, err = run(*simulate, "--out", "panel.csv")
    assert code == 2 and "panels are parquet files" in err
    assert (tmp_path / "kept.sqlite").read_bytes() == before
    assert run(*simulate, "--out", "p.parquet", "--store", "kept.sqlite")[0] == 0


def test_answers_are_not_read_by_a_study_that_asked_something_else(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 1, "--out", "p.parquet")
    code, _, err = run("extract", "p.responses.sqlite", "--study", "pampers-households")
    assert code == 2 and "asked something else than" in err
    from llmdemand import load_study
    from llmdemand.core.study import Study

    # More ways to write a brand change how answers are read, not what was asked.
    data = load_study("pampers").to_dict()
    data["alternatives"][0]["forms"] = ["Pampers", "Pampers Swaddlers"]
    data["title"] = "wider"
    wider = tmp_path / "wider.toml"
    _toml(wider, Study.from_dict(data))
    code, out, _ = run("extract", "p.responses.sqlite", "--study", wider, "--out", "w.parquet")
    assert code == 0 and "16 runs" in out


def _toml(path, study):
    """The fields of the diaper study, as TOML."""
    data = study.to_dict()
    lines = [f"{k} = {json.dumps(v)}" for k, v in data.items() if isinstance(v, str | int)]
    for entry in data["alternatives"]:
        lines += ["[[alternatives]]", *(f"{k} = {json.dumps(v)}" for k, v in entry.items())]
    lines += ["[sampling]", *(f"{k} = {json.dumps(v)}" for k, v in data["sampling"].items())]
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rpm", "-1"), "rpm=-1"),
        (("--concurrency", "0"), "concurrency=0"),
        (("--concurrency", "many"), "give a number of calls, or auto"),
        (("--patience", "-1"), "patience=-1"),
        (("--store", "."), "is a folder"),
        (("--budget", "-2"), "budget of -2"),
        (("--budget", "2", "--overhead", "-1"), "overhead of -1"),
        (("--overhead", "100"), "--overhead 100 is for a budget"),
        (("--timeout", "5"), "--timeout is for the backend openai or choice_only"),
        (("--header", "X=Y"), "--header is for the backend openai or choice_only"),
        (("--backend", "openai", "--header", "X: secret"), "--header is no Name=VARIABLE"),
        (("--backend", "openai", "--server", "no.toml"), "--server no.toml cannot be read"),
        (("--backend", "openai", "--base-url", "http://127.0.0.1:9/v1"), "no --model for"),
        (("--backend", "choice_only"), "no --model for"),
        (("--backend", "openai", "--model", "m", "--token-prices", "2"), "--token-prices '2'"),
        (("--backend", "openai", "--model", "m", "--extra-body", "[]"), "no JSON object"),
        (("--backend", "openai", "--model", "o3", "--dry-run"), "no log-probabilities"),
        (("--backend", "recorded"), "name it with --store"),
    ],
)
def test_impossible_options_are_said_before_anything_else(run, options, message):
    code, out, err = run("simulate", "pampers", "--backend", "synthetic", *options)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert out == ""


def test_an_estimate_needs_no_key(run):
    code, out, _ = run("simulate", "pampers", "--backend", "openai", "--dry-run", "--runs", 2)
    assert code == 0 and "32 answers to ask" in out and "$" in out


def test_sources_that_share_a_model_are_told_apart(run, tmp_path):
    from llmdemand.simulation.storing.records import Source, Stored

    raw = {"text": " Pampers", "tokens": []}
    with Store(tmp_path / "s.sqlite") as store:
        for k in (1, 2):
            source = Source("openai", "m", f'{{"n":{k}}}', True)
            store.put(source, Stored(f"{k:064x}", 20, "0-0", "x", raw))
    code, out, _ = run("store", "info", "s.sqlite")
    assert code == 0 and "openai:m#1: 1 responses" in out and '{"n": 2}' in out
    code, _, err = run("extract", "s.sqlite", "--study", "pampers")
    assert code == 2 and "choose one with --model among openai:m#1, openai:m#2" in err
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = run("extract", "s.sqlite", "--study", "pampers", "--model", "openai:m#2")
    assert code == 0 and "1 runs: no_logprobs 1" in out
    assert "warning: 1 answers in s.sqlite came without what was asked" in err


def test_store_export_import_and_its_refusals(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 1, "--out", "p.parquet")
    code, out, _ = run("store", "export", "p.responses.sqlite", "lines.jsonl")
    assert code == 0 and "16 responses" in out
    code, _, err = run("store", "export", "p.responses.sqlite", "lines.jsonl")
    assert code == 2 and "exists already" in err
    code, out, _ = run("store", "import", "copy.sqlite", "lines.jsonl")
    assert code == 0 and "16 responses are new, 0 were there" in out
    code, out, _ = run("store", "import", "copy.sqlite", "lines.jsonl")
    assert "0 responses are new, 16 were there" in out
    assert run("store", "info", "absent.sqlite")[0] == 2
    assert run("store", "import", "copy.sqlite", "absent.jsonl")[0] == 2
    code, out, _ = run("extract", "copy.sqlite", "--study", "pampers", "--out", "c.parquet")
    assert code == 0 and "16 runs: ok 16" in out


def test_a_new_study_can_be_shown_and_rehearsed_at_once(run, tmp_path):
    assert run("studies", "new", "mine.toml")[0] == 0
    code, _, err = run("studies", "new", "mine.toml")
    assert code == 2 and "mine.toml" in err
    assert run("studies", "show", "mine.toml")[0] == 0
    run("simulate", "mine.toml", "--backend", "synthetic", "--out", "m.parquet")
    code, out, _ = run("fit", "m.parquet", "--json")
    terms = {t["term"]: t for t in json.loads(out)["terms"]}
    assert code == 0 and terms["price"]["Estimate"] < -0.01


def test_batch_write_and_read(run, tmp_path):
    code, out, _ = run("batch", "write", "pampers", "--out", "b", "--model", "gpt-4o", "--runs", 1)
    assert code == 0 and "16 requests in b" in out
    (tmp_path / "errors.jsonl").write_text(
        "".join(
            json.dumps({"custom_id": json.loads(line)["custom_id"], "error": {"code": "expired"}})
            + "\n"
            for line in (tmp_path / "b" / "requests-001.jsonl")
            .read_text(encoding="utf-8")
            .splitlines()
        ),
        encoding="utf-8",
    )
    code, out, err = run("batch", "read", "b", "errors.jsonl")
    assert "failed 16: expired" in out and "16 runs are missing (0-0, 1-0" in out
    assert code == 2 and "no answer to the batch" in err


def test_probe_has_the_patience_that_it_is_given(run, fake_server):
    fake_server.answer = lambda body, call: (503, b"", {"Retry-After": "3"})
    options = ("--base-url", fake_server.url, "--model", "m")
    code, _, err = run("probe", *options, "--patience", 1)
    assert code == 2 and "it asks to wait 3 s" in err and len(fake_server.requests) == 1


def test_probe_prints_what_it_found_and_keeps_it(run, tmp_path):
    code, out, _ = run("probe", "--backend", "synthetic", "--store", "s.sqlite")
    assert code == 0 and "log-probabilities     yes" in out
    with Store(tmp_path / "s.sqlite") as store:
        (source,) = store.sources()
        assert store.probe(source)["logprobs"] is True
    code, out, _ = run("probe", "--backend", "synthetic", "--json")
    assert json.loads(out)["problems"] == []


PEOPLE = "respondent_id,income\n1,35\n2,60\n"


def test_simulate_as_respondents(run, tmp_path):
    (tmp_path / "people.csv").write_text(PEOPLE, encoding="utf-8")
    (tmp_path / "others.csv").write_text(PEOPLE.replace("respondent_id", "who"), encoding="utf-8")
    for arguments in (("people.csv",), ("others.csv", "--respondent-id", "who")):
        path = f"{arguments[0]}.parquet"
        code, out, _ = run(
            "simulate", "pampers", "--respondents", *arguments, "--backend", "synthetic",
            "--runs", 1, "--out", path,
        )  # fmt: skip
        assert code == 0 and "32 runs" in out
        frame = Panel.read(tmp_path / path).frame
        assert list(frame["respondent_id"].unique()) == ["1", "2"]
    code, out, _ = run("studies", "show", "pampers", "--respondents", "people.csv")
    assert code == 0 and "32 cells, 2 respondents" in out
    code, out, _ = run(
        "batch", "write", "pampers", "--respondents", "people.csv", "--runs", 1, "--out", "batch"
    )
    assert code == 0 and "32 requests" in out
    code, out, _ = run(
        "extract", "people.csv.responses.sqlite", "--study", "pampers",
        "--respondents", "people.csv", "--out", "again.parquet",
    )  # fmt: skip
    assert code == 0
    assert "respondent_id" in Panel.read(tmp_path / "again.parquet").frame


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--respondents", "absent.csv"), "absent.csv: no such file"),
        (("--respondents", "twice.csv"), "'respondent_id' '1' is in row 1 and in row 2"),
        (("--respondents", "people.csv", "--respondent-id", "incom"), "did you mean 'income'?"),
        (("--respondent-id", "who"), "names a column of --respondents: give the table"),
        (("--respondents", "taken.csv"), "a column 'status', which is a column of every panel"),
    ],
)
def test_mistakes_in_tables_of_respondents_are_one_line(run, tmp_path, arguments, message):
    (tmp_path / "people.csv").write_text(PEOPLE, encoding="utf-8")
    (tmp_path / "twice.csv").write_text(PEOPLE.replace("\n2", "\n1"), encoding="utf-8")
    (tmp_path / "taken.csv").write_text(PEOPLE.replace("income", "status"), encoding="utf-8")
    code, _, err = run("simulate", "pampers", *arguments, "--backend", "synthetic")
    assert code == 2 and message in err
    assert "Traceback" not in err and err.count("\n") <= 1
