"""Mixed logits of respondents in files are those of one machine, whatever the files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import write_shards
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.situations.panels import SpreadPanels
from llmdemand.modeling.situations.reading import File

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
    names = "nobs dropped vcov ssc df clusters title fractional weighting".split()
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
    ((1, 3, 7), "choice ~ price + size | 0", {"random": TWO, "correlated": True, "starts": 2}),
    ((3,), "belief ~ price + size", {"random": {"price": "lognormal-"}, "panel": "name"}),
    ((1,), "choice ~ price | 0", {"weights": "times", "sequence": "halton", "vcov": "iid"}),
    ((7,), "corrected ~ price + size | 0", {"read": "read", "vcov": {"CRV1": "household"}}),
    (
        (3,),
        "choice ~ price + size | 0",
        {"space": "wtp", "random": {"size": "normal"}, "panel": None},
    ),
    (
        (3,),
        "belief ~ price + size | 0",
        {
            "vcov": {"CRV1": "household"},
            "weights": "heavy",
            "weights_type": "sampling",
            "likelihood": "pairwise",
        },
    ),
]


@pytest.mark.parametrize(("files", "formula", "options"), FITS)
def test_files_give_what_memory_gives(frame, tmp_path, formula, options, files):
    by = options.get("panel", "person") or "case"
    one = fitted(frame, formula, **options)
    for k in files:
        same(fitted(written(frame, tmp_path / f"{k}", k, by), formula, **options), one)


@pytest.fixture(scope="module")
def uneven(frame):
    """Choice sets that differ, situations with gaps, respondents with one situation."""
    rng = np.random.default_rng(2)
    found = frame[(frame["choice"] == 1) | (rng.random(len(frame)) < 0.8)]
    found = found[found.groupby("case")["case"].transform("size") > 1]
    first = found.groupby("person")["case"].transform("min")
    found = found[~found["person"].isin([1, 2]) | (found["case"] == first)]
    found = found.reset_index(drop=True)
    found.loc[[3, 90], "size"] = np.nan
    return found


def test_what_is_missing_is_missing_alike(uneven, tmp_path):
    one = fitted(uneven, na="drop", draws=None, seed=3)
    found = fitted(written(uneven, tmp_path / "all", 3), na="drop", draws=None, seed=3)
    same(found, one)
    assert found.dropped > 2


def test_individual_tastes_are_given(frame, tmp_path):
    folder = written(frame, tmp_path / "all", 3)
    one, found = (fitted(d, weights="times") for d in (frame, folder))
    counted = np.arange(PEOPLE) % 3 > 0
    theirs = found.individual()
    assert theirs.notna().all(axis=1).tolist() == counted.tolist()
    pd.testing.assert_frame_equal(theirs[counted], one.individual()[counted], rtol=1e-9)
    assert found.plot_law() is not None


def test_order_is_that_of_all_files(frame, tmp_path, monkeypatch):
    """Categories in an order of their own, which is another one in each file."""
    words = frame.assign(person=frame["name"], case=[f"c{k}" for k in frame["case"]])
    folder = tmp_path / "all"
    folder.mkdir()
    for k, some in enumerate(np.array_split(words["person"].unique(), 2)):
        part = words[words["person"].isin(some)]
        kinds = {
            c: pd.CategoricalDtype(list(part[c].unique())[:: (-1) ** k])
            for c in ("person", "case", "alternative")
        }
        part.astype(kinds).to_parquet(folder / f"{k}.parquet")
    found = fitted(folder, "belief ~ price | 0")
    monkeypatch.setattr("llmdemand.modeling.situations.fits.MOST", 1000)
    same(found, fitted(folder, "belief ~ price | 0"))


def test_a_large_file_is_read_a_part_at_a_time(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.situations.reading._ROWS", 100)
    one, folder = fitted(frame, "belief ~ price | 0"), tmp_path / "all"
    folder.mkdir()
    ordered = frame.sort_values(["person", "alternative"], kind="stable")
    ordered.to_parquet(folder / "a.parquet", row_group_size=30)
    # Without categories rows are read a million at a time, whatever the row groups.
    monkeypatch.setattr("llmdemand.core.tables.pieces._BATCH", 40)
    seen = []
    parts = File.parts
    monkeypatch.setattr(File, "parts", lambda *a: (seen.append(len(p[0])) or p for p in parts(*a)))
    found = fitted(folder, "belief ~ price | 0")
    same(found, one)
    assert max(seen) < 200 and "at once" not in " ".join(found.notes)
    # Of those whose rows lie apart the file is read whole, and that is said.
    seen.clear()
    frame.to_parquet(folder / "a.parquet")
    found = fitted(folder, "belief ~ price | 0")
    same(found, one)
    assert max(seen) == len(frame)
    said = "a.parquet was read at once, with 480 rows: sorted by 'person'"
    assert any(said in note for note in found.notes)
    # A case of two respondents, who are read apart.
    shared = ordered.assign(case=ordered["case"].mask(ordered["case"] == 0, 100))
    shared.to_parquet(folder / "a.parquet")
    with pytest.raises(DesignError, match="case 100 has alternative 'acme' twice"):
        fitted(folder)


def test_a_respondent_in_two_files_is_named(frame, tmp_path):
    half = frame["case"] % 2 == 0
    for k, part in enumerate((frame[half], frame[~half])):
        part.to_parquet(tmp_path / f"{k}.parquet")
    with pytest.raises(
        DesignError, match=r"respondent \d+ is in .*0\.parquet and in .*1\.parquet.*'person'"
    ):
        fitted(tmp_path)
    assert fitted(tmp_path, panel=None).nobs == PEOPLE * TASKS  # each case by itself


def test_a_torn_file_is_named(frame, tmp_path):
    folder = written(frame, tmp_path / "all", 3)
    torn = folder / "2.parquet"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:-100])
    with pytest.raises(UsageError, match=r"2\.parquet is not a parquet file that can be read"):
        fitted(folder)
    # The end, which is read first, is whole.
    torn.write_bytes(b"PAR1" + bytes(400) + whole[404:])
    with pytest.raises(UsageError, match=r"2\.parquet is not a parquet file that can be read"):
        fitted(folder)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sequence": "mlhs"}, "'mlhs' is drawn for all respondents.*halton"),
        ({"draws": np.full((PEOPLE, 8, 1), 0.5)}, "array of all respondents.*give their number"),
        ({"draws": 1}, "draws=1: give at least 2"),
        ({"draws": 1 << 25}, "more points than Sobol's sequence has"),
        ({"vcov": "HC3"}, "is for plain logits"),
        ({"separation": "firth"}, "Firth's penalty is for plain logits"),
        ({"random": {"price": "normall"}}, "use normal, lognormal"),
    ],
)
def test_what_files_do_not_give_is_refused(frame, tmp_path, options, match):
    folder = written(frame, tmp_path / "all", 1)
    with pytest.raises(UsageError, match=match):
        fitted(folder, **options)


def test_fits_of_other_samples_are_made_in_memory(frame, tmp_path):
    folder = written(frame[frame["person"] < 12], tmp_path / "all", 2)
    found = fitted(folder, vcov={"pairs": "person", "reps": 9}, draws=8)
    assert found.frame is not None and "pairs" in found.vcov


def test_what_memory_refuses_is_refused_in_the_same_words(frame, tmp_path):
    best = frame.groupby("case")["price"].idxmin()
    separated = frame.assign(choice=frame.index.isin(best).astype(int))
    alone = frame.assign(size=np.where(frame["person"] == 3, frame["size"], 0.0))
    few = frame[frame["person"] < 3]
    turned = {"random": {"price": "lognormal+"}}
    for k, (data, options) in enumerate(
        [(separated, {}), (alone, {"random": {"size": "normal"}}), (few, {}), (frame, turned)]
    ):
        folder = written(data, tmp_path / f"{k}", 2)
        with pytest.raises(DesignError) as one:
            fitted(data, **options)
        with pytest.raises(DesignError) as found:
            fitted(folder, **options)
        assert str(found.value) == str(one.value)


def test_panels_stay_in_their_files_where_respondents_do(tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.modeling.models.demand.RUNS", 20)
    whole = ld.load_panel("pampers")
    people = sorted(whole.frame["persona_id"].unique())[:8]
    frame = whole.frame[whole.frame["persona_id"].isin(people)]
    frame = frame.sort_values("persona_id", kind="stable", ignore_index=True)
    whole = replace(whole, frame=frame)
    for k in range(2):
        some = frame["persona_id"].isin(people[k::2])
        part = replace(whole, frame=frame[some].reset_index(drop=True))
        part.write(tmp_path / f"{k}.parquet")
    how = {"model": "mixed", "outcome": "choice", "draws": 8, "reading": "pivot", "starts": 1}
    one, found = ld.fit_demand(whole, **how), ld.fit_demand(ld.read_panel(tmp_path), **how)
    assert isinstance(found.data, SpreadPanels)
    np.testing.assert_allclose(found.params, one.params, rtol=1e-9)
    np.testing.assert_allclose(found.bse, one.bse, rtol=1e-7)
    # Where they lie in several parts they are gathered.
    gathered = ld.fit_demand(write_shards(whole, tmp_path / "cut", rows=450), **how)
    assert gathered.frame is not None
    np.testing.assert_allclose(gathered.params, one.params, rtol=1e-9)
