"""Studies that grow: what was asked is found, wherever levels are added, moved or taken out."""

import asyncio
import json
import re
import sqlite3
import zlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from llmdemand import Study, estimate, simulate
from llmdemand.belief.files import read_answers
from llmdemand.belief.rows import extract_panel
from llmdemand.errors import BackendError, ResponseError, UsageError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.recorded import stored_answers
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.batch import read_batch, write_batch
from llmdemand.simulation.batches.manifest import backend_of
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source, Stored, key
from llmdemand.simulation.storing.store import Store

BASE = {
    "name": "tea",
    "focal": "green",
    "user": "{offers}\nWhich?",
    "offer": "{label} at {price}",
    "orders": "rotate",
    "alternatives": [
        {"id": "green", "label": "Green"},
        {"id": "black", "label": "Black", "price": 20},
        {"id": "none", "label": "nothing", "outside": True},
    ],
}
PEOPLE = [{"id": f"person-{k}"} for k in range(4)]
VARIANTS = [{"id": "own"}, {"id": "short", "user": "{offers}?"}, {"id": "you", "system": "You."}]
# How the answers come is no part of the design.
WORKERS = st.sampled_from([1, 3, 16])


def tea(prices, **changes):
    green = {**BASE["alternatives"][0], "price": list(prices)}
    return Study.from_dict({**BASE, "alternatives": [green, *BASE["alternatives"][1:]], **changes})


class Counting(SyntheticBackend):
    """One consumer for all price grids, who counts what he is asked and may go away."""

    def __init__(self, study, fail_after=None, **options):
        super().__init__(study, slope=-0.2, indifference=20.0, **options)
        self.asked, self.fail_after = 0, fail_after

    @property
    def traits(self):
        return Traits(concurrency=64)

    async def complete(self, asked):
        async for raw in super().complete(asked):
            if self.asked == self.fail_after:
                raise BackendError("gone")
            self.asked += 1
            # Later questions are often answered first.
            await asyncio.sleep(0.001 * (asked[0].seed % 3))
            yield raw


def rows(study, panel):
    """The rows of a panel by what was asked, without the places in the design."""
    # Nor with the columns of factors, which a study without them does not have.
    frame = panel.frame.drop(columns=["cell", "run_id", "variant", "arm"], errors="ignore")
    shown = [
        (study.shown(study.cell(cell), tuple(order.split(">"))), replicate)
        for cell, order, replicate in panel.frame[["cell", "order", "replicate"]].itertuples(
            index=False
        )
    ]
    return dict(zip(shown, frame.to_dict("records"), strict=True))


DESIGNS = st.builds(
    dict,
    prices=st.lists(
        st.sampled_from([5, 12.5, 20, 0.3, 31, 40]), min_size=1, max_size=4, unique=True
    ),
    personas=st.lists(st.sampled_from(PEOPLE), max_size=3, unique_by=lambda p: p["id"]),
    variants=st.lists(st.sampled_from(VARIANTS), max_size=2, unique_by=lambda v: v["id"]),
    arms=st.sampled_from([["blind"], ["unblinded", "blind"]]),
    orders=st.sampled_from(["rotate", "rotate", "fixed", "cross"]),
    runs=st.integers(1, 3),
)


@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.tuples(DESIGNS, WORKERS), min_size=2, max_size=4), st.integers(1, 6))
def test_any_sequence_of_designs_asks_exactly_what_is_new(steps, stop_after):
    known = {}
    with TemporaryDirectory() as folder:
        store = Path(folder, "answers.sqlite")
        for design, concurrency in steps:
            study = tea(**design)
            fresh = Counting(study)
            whole = rows(study, simulate(study, fresh, seed=3, store=":memory:"))
            new = whole.keys() - known.keys()
            assert estimate(study, Counting(study), seed=3, store=store).asked == len(new)
            broken, rest = Counting(study, fail_after=stop_after), Counting(study)
            if stop_after < len(new):
                with pytest.raises(BackendError):
                    simulate(study, broken, seed=3, store=store, concurrency=1)
            found = simulate(study, rest, seed=3, store=store, concurrency=concurrency)
            assert rest.asked + broken.asked == len(new)
            found = rows(study, found)
            assert found.keys() == whole.keys()
            for run, row in found.items():
                # Equal whatever was there before, and to what it was when it was first asked.
                assert json.dumps(row) == json.dumps(whole[run])
                assert json.dumps(known.setdefault(run, row)) == json.dumps(row)


def test_prices_are_one_price_as_decimals():
    stepped = tea([0.1, 0.2, 0.3])
    assert stepped.prices["green"] == (0.1, 0.2, 0.3)
    computed = replace(stepped, prices={**stepped.prices, "green": (0.1, 0.1 + 0.2, 0.2)})
    asked = [{c.prices["green"]: s.content(c) for c in s.cells()} for s in (stepped, computed)]
    assert asked[0] == asked[1]
    assert "0.30000000000000004" not in str(
        [s.prompt(c, s.order(c, 0)) for s in (computed,) for c in s.cells()]
    )


MORE = [{"id": "own"}, VARIANTS[1]]
#: Rows of the table in docs/paid-study.md, and changes that they speak of.
CHANGES = {
    "a fifth price": [
        {"prices": [10, 20, 30, 40, 50]},
        {"prices": [10, 15, 20, 30, 40]},
        {"prices": [5, 10, 20, 30, 40]},
    ],
    "an eleventh persona": [{"people": 11}],
    "a third run": [{"runs": 3}],
    "a second variant": [{"variants": MORE}, {"variants": MORE[::-1]}],
    "the unblinded arm": [{"arms": ["unblinded", "blind"]}],
    "prices, personas or variants in another order": [{"prices": [40, 10, 30, 20]}],
    "a price taken out": [{"prices": [20, 40]}],
    "another name": [{"name": "another name", "title": "T", "description": "D"}],
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "paid-study.md"
ROWS = re.findall(r"^\| (.+) \| (\d+) \|$", DOCUMENT.read_text("utf-8"), re.M)


def test_the_document_tells_all_of_these_changes():
    assert len(ROWS) == len(CHANGES)
    assert all(sum(told.startswith(known) for told, _ in ROWS) == 1 for known in CHANGES)


@pytest.mark.parametrize(
    ("changes", "new"),
    [
        *(
            (changes, int(number))
            for told, number in ROWS
            for known, several in CHANGES.items()
            if told.startswith(known)
            for changes in several
        ),
        ({"orders": "cross", "runs": 1}, 40),  # of either order once, the first run's are there
    ],
)
def test_what_a_grown_study_asks(changes, new, tmp_path):
    def study(people=10, prices=(10, 20, 30, 40), runs=2, **more):
        persons = [{"id": f"household-{k}"} for k in range(people)]
        return tea(prices, personas=persons[::-1] if people > 10 else persons, runs=runs, **more)

    store = tmp_path / "s.sqlite"
    first = Counting(study())
    simulate(study(), first, seed=1, store=store)
    assert first.asked == 80
    for expected in (new, 0):
        grown = Counting(study(**changes))
        simulate(study(**changes), grown, seed=1, store=store)
        assert grown.asked == expected
    # What was taken out is found when it is put back.
    again = Counting(study())
    simulate(study(), again, seed=1, store=store)
    assert again.asked == 0


def test_answers_to_a_study_that_has_grown_are_extracted_from_all_that_it_was(tmp_path):
    store = tmp_path / "s.sqlite"
    small, grown = tea([10, 30]), tea([5, 10, 20, 30], personas=[], orders="rotate")
    simulate(small, Counting(small), runs=3, seed=1, store=store)
    panel = simulate(grown, Counting(grown), runs=3, seed=1, store=store)
    again = extract_panel(grown, stored_answers(store, grown))
    by_run = [p.frame.sort_values("run_id", ignore_index=True) for p in (panel, again)]
    pd.testing.assert_frame_equal(*by_run)
    # The other way round there is more than the small study asks.
    with pytest.warns(UserWarning, match="6 answers in .* does not ask"):
        assert len(extract_panel(small, stored_answers(store, small))) == 6
    with pytest.raises(UsageError, match="asked something else than 'tea'"):
        list(stored_answers(store, tea([99])))
    # Asked at another temperature, it is another question.
    hot = replace(grown, sampling=replace(grown.sampling, temperature=0.5))
    with pytest.raises(UsageError, match="asked something else"):
        list(stored_answers(store, hot))


# --- stores of before


def earlier_store(path, study, runs, *, seed=1, lines=None):
    """A store as version 1 wrote it: seeds and orders by the places of the cells."""
    backend, source = Counting(study), Source.of(Counting(study))
    entries = []

    async def answered():
        earlier = Earlier(study, seed, empty, source, always=True)
        for request in requests(study, runs, seed):
            for was in earlier.requests(
                request
            ):  # none where the fraction of then had no such cell
                async for raw in backend.complete([was]):
                    entries.append(Stored(key(was, source), 20, was.run_id, study.hash, raw))

    with Store(":memory:") as empty:
        asyncio.run(answered())
    with Store(path) as store:
        store.put_study(study)
        store.put_all((source, entry) for entry in entries)
        exported = list(store.export())
    db = sqlite3.connect(path)
    db.executemany(
        "INSERT INTO responses VALUES (?,?,1,?,?,?,?,?,?,?,'','')",
        [
            (
                e.key,
                e.top_logprobs,
                e.study,
                e.run_id,
                zlib.compress(json.dumps(e.raw).encode()),
                *(None, None, 0.0, float(k)),
            )
            for k, e in enumerate(entries)
        ],
    )
    db.executescript(
        "DROP VIEW answered; DROP TABLE answers; DROP TABLE raws; DROP TABLE texts;"
        "DROP TABLE dictionaries; ALTER TABLE responses DROP COLUMN content;"
        "ALTER TABLE responses DROP COLUMN shown; PRAGMA user_version=1;"
    )
    db.close()
    if lines is not None:
        lines.write_text("".join(json.dumps(e) + "\n" for e in exported), "utf-8")
    return entries


@pytest.mark.parametrize("points", [{}, {"points": 5}])
def test_a_store_of_before_is_found_with_its_orders_and_grows(tmp_path, points):
    path = tmp_path / "old.sqlite"
    study = tea([10, 20, 30, 40, 50, 60], **points)
    kept = earlier_store(path, study, 2)
    again = Counting(study)
    panel = simulate(study, again, runs=2, seed=1, store=path)
    inside = {c.index for c in study.cells()}
    found = [s for s in kept if int(s.run_id.split("-")[0]) in inside]
    assert again.asked == len(panel) - len(found) and (points or again.asked == 0)
    # Its orders are those that the runs saw then.
    with Store(path) as store:
        assert not points or found, "some cells of the fraction are those of before"
        assert all(store.has(s.key, 20) for s in kept)
    if points:
        return
    orders = panel.frame.set_index("run_id")["order"]
    new = {f"{c.index}-{r}": ">".join(study.order(c, r)) for c in study.cells() for r in (0, 1)}
    assert (orders != pd.Series(new)).any()
    assert all(
        set(o) == set(new.values())
        for _, o in orders.groupby(panel.frame.set_index("run_id")["cell"])
    )
    grown = tea([5, 10, 15, 20, 30, 40, 50, 60])
    more = Counting(grown)
    simulate(grown, more, runs=3, seed=1, store=path)
    assert more.asked == 8 * 3 - 6 * 2
    with pytest.warns(UserWarning, match="6 answers in .* does not ask"):
        again = extract_panel(study, stored_answers(path, study)).frame
    same = again[again["replicate"] < 2].sort_values("run_id", ignore_index=True)
    pd.testing.assert_frame_equal(same, panel.frame.sort_values("run_id", ignore_index=True))


def test_lines_of_before_are_read_and_imported_with_the_orders_of_then(tmp_path):
    lines = tmp_path / "old.jsonl"
    study = tea([10, 20, 30, 40, 50, 60])
    earlier_store(tmp_path / "old.sqlite", study, 2, lines=lines)
    assert '"order"' not in lines.read_text("utf-8")
    with Store(tmp_path / "new.sqlite") as store:
        store.import_lines(lines)
    rest = Counting(study)
    panel = simulate(study, rest, runs=2, seed=1, store=tmp_path / "new.sqlite")
    assert rest.asked == 0
    read = {f"{a.cell.index}-{a.replicate}": ">".join(a.order) for a in read_answers(lines, study)}
    assert read == dict(zip(panel.frame["run_id"], panel.frame["order"], strict=True))


def test_lines_of_now_say_their_order(tmp_path):
    study = tea([10, 20, 30])
    panel = simulate(study, Counting(study), runs=2, seed=1, store=tmp_path / "s.sqlite")
    with Store(tmp_path / "s.sqlite") as store:
        entries = list(store.export())
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries), "utf-8")
    read = {
        f"{a.cell.index}-{a.replicate}": ">".join(a.order)
        for a in read_answers(tmp_path / "s.jsonl", study)
    }
    assert read == dict(zip(panel.frame["run_id"], panel.frame["order"], strict=True))


def test_a_batch_grows_by_levels_and_keeps_its_answers(tmp_path, complete):
    def lines(written):
        return [json.loads(x) for f in written.files for x in f.read_text("utf-8").splitlines()]

    def answered(asked, name):
        body = complete("Green", [("Green", -0.4, {"Green": -0.4, "B": -1.6})])
        out = [{"custom_id": x["custom_id"], "response": {"body": body}} for x in asked]
        (tmp_path / name).write_text("".join(json.dumps(x) + "\n" for x in out), "utf-8")
        return tmp_path / name

    folder = tmp_path / "batch"
    small, grown = tea([10, 30]), tea([5, 10, 20, 30], variants=MORE)
    first = lines(write_batch(small, folder, runs=2))
    # It grows while the first files are under way; their answers are known by their ids.
    second = lines(write_batch(grown, folder, runs=2))
    assert (len(first), len(second)) == (4, 16)
    early = read_batch(folder, [answered(first, "first.jsonl")])
    assert (early.answered, early.foreign, len(early.missing)) == (4, 0, 12)
    third = write_batch(grown, folder, runs=2)
    assert (third.requests, third.stored) == (12, 4)
    found = read_batch(folder, [answered(second, "second.jsonl")])
    assert (found.answered, found.known, found.missing) == (12, 4, ())
    with pytest.raises(UsageError, match="another study"):
        write_batch(tea([10, 30], user="{offers}?"), folder, runs=2)


def test_a_batch_of_before_is_read_after_the_study_has_grown(tmp_path, complete, monkeypatch):
    """Also if cells were taken out while their answers were under way: those are kept."""
    folder, out = tmp_path / "batch", tmp_path / "out.jsonl"
    small, other = tea([10, 30, 40, 50]), tea([5, 30, 40, 50, 60])
    asked = write_batch(small, folder, runs=2)
    source = Source.of(
        backend_of(small, "gpt-4o", json.loads((folder / "batch.json").read_text())["options"])
    )
    with Store(":memory:") as empty:
        earlier = Earlier(small, 1, empty, source, always=True)
        names = [key(was, source) for r in requests(small, 2, 1) for was in earlier.requests(r)]
    assert asked.requests == len(set(names)) == 8
    # The ids that the version before wrote for the same runs.
    body = complete("Green", [("Green", -0.4, {"Green": -0.4, "B": -1.6})])
    out.write_text(
        "".join(json.dumps({"custom_id": n, "response": {"body": body}}) + "\n" for n in names)
    )
    write_batch(other, folder, runs=2)
    found = read_batch(folder, [out])
    assert (found.answered, found.foreign, len(found.missing)) == (8, 0, 4)
    assert set(found.panel.frame["price_green"]) == {30, 40, 50}
    again = write_batch(small, folder, runs=2)
    assert (again.requests, again.stored) == (0, 8)


def by_content(study, answers):
    return {(study.shown(a.cell, a.order), a.replicate): a.response for a in answers}


def exported(store, lines):
    with Store(store) as opened:
        lines.write_text("".join(json.dumps(e) + "\n" for e in opened.export()), "utf-8")


@pytest.mark.parametrize("told", [True, False])
def test_a_grown_study_comes_through_jsonl_in_its_own_cells(tmp_path, told):
    """The run ids of what it was are places in a design that has changed since."""
    small, grown = tea([10, 30]), tea([5, 10, 20, 30])
    store, lines, other = (tmp_path / name for name in ("s.sqlite", "s.jsonl", "o.sqlite"))
    simulate(small, Counting(small), runs=3, seed=1, store=store)
    exported(store, lines)
    with pytest.raises(ResponseError, match=r"asked what 'tea' does not ask.*store import"):
        list(read_answers(lines, tea([5, 10])))
    early = by_content(grown, stored_answers(store, grown))
    assert by_content(grown, read_answers(lines, grown)) == early and len(early) == 6
    simulate(grown, Counting(grown), runs=3, seed=1, store=store)
    exported(store, lines)
    if not told:  # as lines were written before they told what was asked
        entries = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
        kept = [{k: v for k, v in entry.items() if k != "asked"} for entry in entries]
        lines.write_text("".join(json.dumps(entry) + "\n" for entry in kept), "utf-8")
    with Store(other) as opened:
        assert opened.import_lines(lines) == (12, 0)
    whole = by_content(grown, stored_answers(store, grown))
    assert len(whole) == 12
    assert by_content(grown, stored_answers(other, grown)) == whole
    assert by_content(grown, read_answers(lines, grown)) == whole
    with pytest.warns(UserWarning, match="6 answers in .* does not ask"):
        assert by_content(small, stored_answers(other, small)) == early


def test_lines_of_before_that_do_not_tell_what_was_asked_are_read_with_a_warning(tmp_path):
    study, store = tea([10, 20, 30, 40]), tmp_path / "new.sqlite"
    earlier_store(tmp_path / "old.sqlite", study, 2)
    exported(tmp_path / "old.sqlite", tmp_path / "old.jsonl")
    entries = [json.loads(x) for x in (tmp_path / "old.jsonl").read_text("utf-8").splitlines()]
    kept = [{k: v for k, v in entry.items() if k != "asked"} for entry in entries]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(e) + "\n" for e in kept), "utf-8")
    with Store(store) as opened:
        opened.import_lines(tmp_path / "old.jsonl")
    same = by_content(study, stored_answers(tmp_path / "old.sqlite", study))
    assert by_content(study, stored_answers(store, study)) == same and len(same) == 8
    with pytest.warns(UserWarning, match="8 answers in .* came without what was asked"):
        list(stored_answers(store, replace(study, title="Another")))


def test_a_store_of_before_grows_after_it_came_through_jsonl(tmp_path):
    study, grown = tea([10, 20, 30, 40]), tea([5, 10, 15, 20, 30, 40])
    earlier_store(tmp_path / "old.sqlite", study, 2)
    exported(tmp_path / "old.sqlite", tmp_path / "old.jsonl")
    with Store(tmp_path / "new.sqlite") as store:
        store.import_lines(tmp_path / "old.jsonl")
    asked = Counting(grown)
    simulate(grown, asked, runs=2, seed=1, store=tmp_path / "new.sqlite")
    assert asked.asked == 2 * 2
