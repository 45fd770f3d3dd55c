"""``llmdemand lab`` as a user runs it."""

import json

import pytest


def test_list_run_write_again(run, tmp_path):
    code, out, _ = run("lab")
    assert code == 0 and len(out.splitlines()) == 9 and "round-prices" in out
    arguments = ("lab", "variance", "--experiments", 5, "--runs", 2, "--out", "o")
    code, out, _ = run(*arguments)
    assert code == 0 and "variance" in out and "not a language model" in out
    assert (tmp_path / "o" / "variance.md").is_file()
    assert run(*arguments)[1] == out
    assert run(*arguments, "--seed", 2)[1] != out


def test_json_is_strict(run):
    code, out, _ = run("lab", "downstream", "--experiments", 4, "--runs", 1, "--json")
    found = json.loads(out)
    assert code == 0 and set(found["tables"]) == {"estimators", "estimates"}
    assert isinstance(found["holds"], bool)


def test_dry_run_says_what_it_would_cost(run, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    code, out, _ = run("lab", "variance", "--backend", "openai", "--model", "gpt-4o", "--dry-run")
    assert code == 0 and "8,000 answers to ask" in out and "$" in out
    assert "asks nobody" in run("lab", "pivots", "--dry-run")[1]
    assert not list(tmp_path.glob("*.sqlite"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lab", "varience"), "did you mean 'variance'"),
        (("lab", "pivots", "--study", "pampers"), "--study is not for"),
        (("lab", "equivalence", "--experiments", 3), "--experiments is not for"),
        (("lab", "variance", "--backend", "nobody"), "no backend 'nobody'"),
        (("lab", "variance", "--experiments", 1), "at least 3"),
        (("lab", "equivalence", "--runs", 0), "at least one run"),
    ],
)
def test_mistakes_are_one_line_and_code_2(run, arguments, said):
    code, _, err = run(*arguments)
    assert code == 2 and said in err and "Traceback" not in err


def test_another_backend_is_estimated_first_and_its_answers_kept(run, tmp_path, monkeypatch):
    from llmdemand.simulation.backends.synthetic import SyntheticBackend

    monkeypatch.setattr(
        "llmdemand.cli.lab.backend_of", lambda name, study, **options: SyntheticBackend(study)
    )
    code, _, err = run("lab", "equivalence", "--backend", "local", "--runs", 2, "--out", "o")
    assert code == 0 and "32 answers to ask" in " ".join(err.split())
    assert (tmp_path / "o" / "responses.sqlite").is_file()
    _, _, err = run("lab", "equivalence", "--backend", "local", "--runs", 2, "--out", "o")
    assert "0 answers to ask (32 are stored)" in " ".join(err.split())
