"""A worker that is killed in the middle of a fit changes no bit of it."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.modeling.sample.columns import chunks

NESTS = {"nests": {"inside": ["acme", "best"]}, "dissimilarity": {"inside": 0.5}}
PANEL = {"panel": "person", "random": {"price": "normal"}, "draws": 16, "starts": 1}
CLUSTERS = {"vcov": {"CRV1": "person"}}
# At which reading of a file its reader is killed. Files are read to learn who is where, what levels
# there are and how large numbers are; then for the first step of a plain logit, and of a mixed one.
MODELS = {
    "logit": (ld.logit, CLUSTERS, 1),
    # One file may be found too long to group before another is begun.
    "logit in passes": (ld.logit, CLUSTERS, 2),
    "clogit": (ld.clogit, {}, 3),
    "nested": (ld.nlogit, NESTS, 3),
    "mixed": (ld.mixlogit, PANEL, 7),
}


class Deadly:
    """Rows whose reader is killed when it begins to read them for the n-th time."""

    def __init__(self, path, first, mark=None, times=0):
        self.path, self.first, self.mark, self.times = path, first, mark, times

    def frames(self, columns):
        if self.mark:
            with open(self.mark, "a") as file:
                file.write(".")
            if os.path.getsize(self.mark) == self.times:
                os.kill(os.getpid(), signal.SIGKILL)
        yield from chunks(self.path, columns)


class Table:
    """Files of which each holds whole cases and respondents."""

    columns = ("case", "alternative", "person", "price", "choice")
    apart = True

    def __init__(self, shards):
        self.shards = shards


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("files")
    found = []
    for k in range(3):
        case = np.repeat(np.arange(60) + 60 * k, 3)
        price = rng.uniform(1, 3, (60, 3))
        taste = np.repeat(rng.normal(-1, 0.8, 12), 5)
        u = taste[:, None] * price + rng.gumbel(size=price.shape)
        frame = pd.DataFrame(
            {
                "case": case,
                "alternative": ["acme", "best", "none"] * 60,
                "person": case // 5,
                "price": price.ravel(),
                "choice": (u == u.max(axis=1, keepdims=True)).astype(int).ravel(),
            }
        )
        frame.to_parquet(folder / f"{k}.parquet")
        found.append(str(folder / f"{k}.parquet"))
    return found


@pytest.mark.parametrize("model", MODELS)
def test_a_killed_worker_changes_nothing(paths, tmp_path, monkeypatch, dask_client, model):
    if model == "logit in passes":
        monkeypatch.setattr("llmdemand.modeling.estimation.binary.MOST", 4)
    dask_client.wait_for_workers(2, timeout=300)  # whom an earlier test killed comes back
    door, options, times = MODELS[model]
    mark = tmp_path / "reads"
    deadly = [
        Deadly(path, 180 * k, str(mark) if k == 1 else None, times) for k, path in enumerate(paths)
    ]
    alive = [Deadly(path, 180 * k) for k, path in enumerate(paths)]
    found = door("choice ~ price", Table(deadly), **options, executor=dask_client)
    assert len(Path(mark).read_text()) > times  # it was read anew
    here = door("choice ~ price", Table(alive), **options)
    assert found.params.equals(here.params) and found.cov.equals(here.cov)
    assert (found.llf, found.llnull) == (here.llf, here.llnull)
    assert (found.frame is None) == (model != "logit")
    one = door("choice ~ price", pd.concat(map(pd.read_parquet, paths)), **options)
    np.testing.assert_allclose(found.params, one.params, rtol=1e-10)
    np.testing.assert_allclose(found.bse, one.bse, rtol=1e-9)
