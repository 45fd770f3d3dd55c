"""What people chose is what its README and its sources say."""

import importlib.util
import pickle

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.people.humans import humans
from llmdemand.core.resources import data_file
from llmdemand.errors import UsageError

ATTRIBUTES = "price + seat4 + seat5 + trans + convert | 0"
#: Price coefficients of people and of each set-up, and their clustered errors.
ALONE = {
    "choice": (-0.1793, 0.0121),
    "choice_gpt_0613": (0.0165, 0.0089),
    "choice_cot_gpt_0613": (-0.0604, 0.0101),
    "choice_gpt_0125": (0.0572, 0.0086),
    "choice_cot_gpt_0125": (-0.1535, 0.0123),
    "choice_gpt_4o": (-0.0851, 0.0122),
    "choice_cot_gpt_4o": (-0.1661, 0.0135),
    "choice_cot_gpt_4": (-0.1349, 0.0120),
    "choice_fs_gpt_4o": (-0.6599, 0.0321),
    "choice_ft_gpt_4o": (-0.4676, 0.0199),
}


@pytest.fixture(scope="module")
def cars():
    return ld.load_humans("cars")


def test_every_task_has_three_cars_of_which_each_chose_one(cars):
    tasks = cars.groupby(["respondent_id", "task"])
    assert tasks.ngroups == cars["task"].nunique() == 1200
    assert tasks["alternative"].apply(list).map(lambda a: a == [1, 2, 3]).all()
    assert (tasks[list(ALONE)].sum() == 1).all(axis=None)
    people = cars.drop_duplicates("respondent_id")
    assert people["segment"].value_counts().to_dict() == {1: 73, 2: 32, 3: 15}
    assert cars.groupby("respondent_id")["segment"].nunique().eq(1).all()
    assert set(cars["price"]) == {30, 35, 40} and not cars.isna().any(axis=None)


@pytest.mark.parametrize("outcome", ALONE)
def test_price_coefficients_are_those_of_the_readme(cars, outcome):
    fit = ld.clogit(f"{outcome} ~ {ATTRIBUTES}", cars, case="task", vcov={"CRV1": "respondent_id"})
    value, error = ALONE[outcome]
    assert fit.params["price"] == pytest.approx(value, abs=6e-5)
    assert fit.bse["price"] == pytest.approx(error, abs=6e-5)


def test_humans_are_loaded_by_name():
    assert humans() == ("cars", "travel-mode")
    travel = ld.load_humans("travel-mode")
    path = str(data_file("humans", "travel-mode.csv"))
    pd.testing.assert_frame_equal(travel, pd.read_csv(path, dtype={"respondent_id": str}))
    with pytest.raises(UsageError, match="did you mean 'cars'"):
        ld.load_humans("car")


def test_the_readme_names_sources_and_licences():
    text = data_file("humans", "README.md").read_text("utf-8")
    for name in (
        "cars.csv.gz",
        "CC BY 4.0",
        "arXiv 2412.19363",
        "travel-mode.csv",
        "public domain",
    ):
        assert name in text


def test_the_script_reads_arrays_and_calls_nothing_else(tmp_path):
    path = data_file("humans", "make_cars.py")
    spec = importlib.util.spec_from_file_location("make_cars", str(path))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps([print]))
    with pytest.raises(pickle.UnpicklingError, match="no part of an array"):
        script.read(tmp_path / "bad.pkl")
