"""Mixed logits of respondents in files are those of one machine, whatever the files."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.modeling.situations.panels import SpreadPanels

PEOPLE, TASKS, BRANDS = 40, 4, ("acme", "best", "none")


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.situations.fits.MOST", 50)


@pytest.fixture(scope="module")
def frame():
    """Choices and beliefs; ids that sort otherwise as text than as numbers, tasks numbered."""
    rng = np.random.default_rng(4)
    cases, j = PEOPLE * TASKS, len(BRANDS)
    case = np.repeat(np.arange(cases), j)
    who = case // TASKS
    price, size = rng.uniform(1, 4, cases * j), rng.normal(size=cases * j)
    v = rng.normal(-1, 0.7, PEOPLE)[who] * price + rng.normal(0.5, 0.5, PEOPLE)[who] * size
    v = v.reshape(-1, j)
    e = np.exp(v - v.max(axis=1, keepdims=True))
    belief = e / e.sum(axis=1, keepdims=True)
    u = v + rng.gumbel(size=v.shape)
    noise = rng.uniform(-0.3, 0.3, (cases, j))
    found = pd.DataFrame(
        {
            "case": case[::-1],
            "alternative": list(BRANDS) * cases,
            "person": who,
            "name": [f"p{k}" for k in who],
            "household": who // 3,
            "price": price,
            "size": size,
            "choice": (u == u.max(axis=1, keepdims=True)).astype(int).ravel(),
            "belief": belief.ravel(),
            "corrected": (belief + noise - noise.mean(axis=1, keepdims=True)).ravel(),
            "read": 1.0,
            "times": who % 3,
            "heavy": np.where(who % 2, 0.5, 2.0),
        }
    )
    return found.sample(frac=1, random_state=1, ignore_index=True)


def written(frame, folder, files, by="person"):
    """Respondents dealt to files at random, whose rows lie anyhow; one of the files is empty."""
    rng = np.random.default_rng(files)
    ids = np.asarray(frame[by].unique(), object)
    folder.mkdir()
    names = rng.permutation(files + 1)
    for k, some in zip(names, np.array_split(rng.permutation(ids), files), strict=False):
        part = frame[frame[by].isin(some)].sample(frac=1, random_state=int(k))
        part.to_parquet(folder / f"{k}.parquet", row_group_size=50)
    frame.iloc[:0].to_parquet(folder / f"{names[-1]}.parquet")
    return folder


def fitted(data, formula="choice ~ price + size | 0", **options):
    how = {"random": {"price": "normal"}, "panel": "person", "draws": 16, "starts": 1}
    return ld.mixlogit(formula, data, **how | options)


def same(found, one, digits=1e-10):
    assert isinstance(found.data, SpreadPanels) and found.frame is None
    names = "nobs dropped vcov ssc df clusters title fractional weighting iterations".split()
    for name in names:
        assert getattr(found, name) == getattr(one, name), name
    assert list(found.params.index) == list(one.params.index)
    np.testing.assert_allclose(found.params, one.params, rtol=digits)
    np.testing.assert_allclose(found.bse, one.bse, rtol=digits)
    np.testing.assert_allclose([found.llf, found.llnull], [one.llf, one.llnull], rtol=digits)
    assert set(one.notes) < set(found.notes)
    assert found.respondents.equals(one.respondents)


TWO = {"price": "normal", "size": "normal"}
FITS = [
    ("choice ~ price + size | 0", {"random": TWO, "correlated": True, "starts": 2}),
    ("belief ~ price + size", {"random": {"price": "lognormal-"}, "panel": "name"}),
    ("choice ~ price + size | 0", {"weights": "times", "sequence": "halton", "vcov": "iid"}),
    ("corrected ~ price + size | 0", {"read": "read", "vcov": {"CRV1": "household"}}),
    (
        "choice ~ price + size | 0",
        {"space": "wtp", "random": {"size": "normal"}, "panel": None, "starts": 2},
    ),
    (
        "belief ~ price + size | 0",
        {
            "vcov": {"CRV1": "household"},
            "weights": "heavy",
            "weights_type": "sampling",
            "likelihood": "pairwise",
        },
    ),
]


@pytest.mark.parametrize("files", [1, 3, 7])
@pytest.mark.parametrize(("formula", "options"), FITS)
def test_files_give_what_memory_gives(frame, tmp_path, formula, options, files):
    by = options.get("panel", "person") or "case"
    one = fitted(frame, formula, **options)
    same(fitted(written(frame, tmp_path / "all", files, by), formula, **options), one)
