"""What calibration promises and keeps: python benchmarks/coverage.py [--reps 4000].

Coverage of 95 % intervals of the price coefficient and of the level (log-odds at the mean price),
standard errors against the spread of estimates, effective humans said against those had, and what
is warned of; by number of humans, LLM, and world: one of known truth (`llmdemand.paired_panel`),
and people resampled from a survey (Kakadu: 1,827 answers to a bid, with attitudes). "before" is
PPI++ as published: lambda in [0, 1], t(n - 1), nothing for tuning. docs/calibration.md has the
table.

Everybody answers at one of four prices, as many at each, so that all is sums over cells and
thousands of data sets are computed at once; a test holds them to `llmdemand.calibrate`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import llmdemand as ld
from llmdemand.calibration.checks.laws import WARN, compare_laws, permuted_p
from llmdemand.calibration.moments.tuning import FEW, Contributions, effective, lost, widened
from llmdemand.calibration.samples.matching import Told

KAKADU = Path(__file__).parents[1] / "tests" / "golden" / "kakadu.csv.gz"
WORLDS = ("known truth", "Kakadu")
TARGETS = {"price": 1, "level": 0}
HUMANS = (24, 40, 60, 100, 200)
POOL = 5  # LLM respondents for each human
PRICES = {"known truth": (30.0, 35.0, 40.0, 45.0), "Kakadu": (5.0, 20.0, 50.0, 100.0)}
CHECKED = ("good", "leaked", "shifted")  # whose warnings are counted


def expit(x):
    return 1 / (1 + np.exp(-x))


def log_odds(p):
    return np.log(p) - np.log1p(-p)


# Each takes answers and beliefs of humans, beliefs of the pool, a generator: what the LLM says.
LLMS = {
    "good": lambda y, f, g, rng: (f, g),
    "biased": lambda y, f, g, rng: (expit(log_odds(f) + 1.5), expit(log_odds(g) + 1.5)),
    "inverted": lambda y, f, g, rng: (1 - f, 1 - g),
    "noise": lambda y, f, g, rng: (rng.random(f.shape), rng.random(g.shape)),
    "low variance": lambda y, f, g, rng: (0.5 + 0.05 * (f - 0.5), 0.5 + 0.05 * (g - 0.5)),
    "leaked": lambda y, f, g, rng: (expit(log_odds(f) + 2 * (2 * y - 1)), g),
    "shifted": lambda y, f, g, rng: (f, expit(log_odds(g) + 0.6)),
}


# Worlds ---------------------------------------------------------------------------------------
# Answers and beliefs (sets, people), a quarter of the people at each price, one after the other.


@cache
def survey():
    """The people of Kakadu, each with the belief of a logit in bid and attitudes."""
    frame = pd.read_csv(KAKADU)
    attitudes = [c for c in frame.columns if c not in ("price", "choice")]
    told = (frame[attitudes] - frame[attitudes].mean()) / frame[attitudes].std()
    told = told.assign(price=frame["price"], choice=frame["choice"])
    fit = ld.logit("choice ~ price + " + " + ".join(attitudes), told)
    return frame.assign(belief=np.asarray(fit.predict(told)))


@cache
def truth(world, target):
    """What infinitely many humans would be fitted with, each price asked alike."""
    if world == "known truth":
        made = ld.paired_panel(humans=8, llm=8)
        const, price = made.const, made.slope
    else:
        shares = survey().groupby("price")["choice"].mean().reset_index()
        const, price = ld.fraclogit("choice ~ price", shares).params
    return price if target == "price" else const + price * np.mean(PRICES[world])


def drawn(world, people, sets, rng):
    """Answers and beliefs of people, (sets, people)."""
    if world == "Kakadu":
        parts = [
            rows[["choice", "belief"]].to_numpy(float)[
                rng.integers(len(rows), size=(sets, people // 4))
            ]
            for _, rows in survey().groupby("price")
        ]
        both = np.concatenate(parts, axis=1)
        return both[..., 0], both[..., 1]
    price = np.repeat(PRICES[world], people // 4)
    taste, noise = rng.standard_normal((2, sets, people))
    truth = expit(-0.25 * (price - 37) + 2 * taste)
    belief = expit(-0.25 * (price - 37) + 2 * (0.8 * taste + 0.6 * noise))
    return (rng.random(truth.shape) < truth) * 1.0, belief


# Estimates ------------------------------------------------------------------------------------


def by_price(values):
    """(sets, people) as (sets, prices, people of a price)."""
    return values.reshape(len(values), 4, -1)


def newton(x, means):
    """Logits of cell means, equally weighted: coefficients, inverse information."""
    b = np.zeros((len(means), 2))
    for _ in range(40):
        mu = expit(b @ x.T)
        information = np.einsum("sj,jk,jl->skl", mu * (1 - mu) / 4, x, x)
        step = np.linalg.solve(information + 1e-12 * np.eye(2), ((means - mu) @ x / 4)[..., None])
        size = np.abs(step).max(axis=(1, 2), keepdims=True)
        b += (step * np.minimum(1, 1.5 / np.maximum(size, 1e-12)))[..., 0]
    mu = expit(b @ x.T)
    return b, np.linalg.pinv(np.einsum("sj,jk,jl->skl", mu * (1 - mu) / 4, x, x))


@dataclass(frozen=True)
class Estimates:
    """Of each data set: humans alone, and calibrated before and after."""

    fine: np.ndarray
    alone: np.ndarray
    se_alone: np.ndarray
    lam: tuple
    estimate: tuple
    se: tuple
    n_eff: tuple
    contributions: tuple
    along: np.ndarray


def estimated(world, target, y, f, g):
    """Estimates of a target from answers, their beliefs and the pool's."""
    n, price, one = y.shape[1], np.array(PRICES[world]), TARGETS[target]
    centre, scale = price.mean(), np.ptp(price) / 2
    unit = scale if target == "price" else 1.0
    x = np.column_stack([np.ones(4), (price - centre) / scale])
    cells = [by_price(v) for v in (y, f, g)]
    means = [c.mean(axis=2) for c in cells]
    left = []
    for cell, mean in zip(cells, means, strict=True):
        m = cell.shape[2]
        left.append((cell - mean[..., None]) * np.sqrt(m / (m - 1)) / (4 * m))
    total = [
        (a * b).sum(axis=2)
        for a, b in ((left[0], left[0]), (left[0], left[1]), (left[1], left[1]), (left[2], left[2]))
    ]
    b, bread = newton(x, means[0])
    fine = (np.abs(b).max(axis=1) < 15) & np.isfinite(bread).all(axis=(1, 2))
    along = bread[:, one] @ x.T  # contributions of one unit in each cell
    s, c, v, v_pool = ((along**2 * t).sum(axis=1) for t in total)
    raw = np.where(v + v_pool > 0, c / np.where(v + v_pool > 0, v + v_pool, 1), 0)
    lams, values, errors, worth = [], [], [], []
    for most, after in ((1.0, False), (np.inf, True)):
        lam = np.clip(raw, 0, most)
        b_cal, bread_cal = newton(x, means[0] + lam[:, None] * (means[2] - means[1]))
        fine &= np.abs(b_cal).max(axis=1) < 15
        to = bread_cal[:, one] @ x.T
        k = lam[:, None]
        meat = total[0] - 2 * k * total[1] + k**2 * (total[2] + total[3])
        tuned = (lam > 0) & after
        variance = (to**2 * meat).sum(axis=1) * np.where(tuned, widened(n), 1.0)
        ratio = s / np.maximum(s - 2 * lam * c + lam**2 * (v + v_pool), 1e-300)
        lams.append(lam)
        values.append(b_cal[:, one] / unit)
        errors.append(np.sqrt(variance) / unit)
        worth.append(np.where(tuned, effective(n, ratio), n * ratio))
    whole = [
        (along[..., None] * part).reshape(len(y), -1) for part in left
    ]  # by person: what lambda was tuned on
    return Estimates(
        fine,
        b[:, one] / unit,
        np.sqrt(s) / unit,
        tuple(lams),
        tuple(values),
        tuple(errors),
        tuple(worth),
        tuple(whole),
        along,
    )


def intervals(found, n):
    """Half widths before and after."""
    tuned = found.lam[1] > 0
    after = np.where(tuned, *(stats.t.ppf(0.975, lost(n, k, n)) for k in (1, 0)))
    return stats.t.ppf(0.975, n - 1) * found.se[0], after * found.se[1]


def warned(f, g, along, contributions, reps=499):
    """Whether each data set is warned of: by distribution, or by a leak."""
    said = np.zeros(len(f), bool)
    for k in range(len(f)):
        sides = [
            Told(np.arange(v.shape[1]), np.repeat(np.arange(4), v.shape[1] // 4), v[k], 1)
            for v in (f, g)
        ]
        laws = compare_laws(*sides, ["a", "b", "c", "d"], direction=along[k], reps=reps, seed=k)
        r, q, p = (c[k] for c in contributions)
        leaks = (r @ q > 0) and permuted_p(
            (len(q) * q) ** 2, (len(p) * p) ** 2, reps=reps, seed=k
        ) < WARN
        said[k] = laws.p < WARN or leaks
    return said


def spread(values):
    """Standard deviation from the middle two thirds: slopes of few humans have long tails."""
    low, high = np.nanquantile(values, [1 / 6, 5 / 6])
    return (high - low) / 1.9348


def true_rho(world, target, llm):
    """The correlation of 40 large samples."""
    rng = np.random.default_rng(99)
    (y, f), (_, g) = drawn(world, 4000, 40, rng), drawn(world, 4000, 40, rng)
    found = estimated(world, target, y, *LLMS[llm](y, f, g, rng))
    r, q, _ = found.contributions
    return float(np.mean((r * q).sum(1) / np.sqrt((r * r).sum(1) * (q * q).sum(1))))


def study(world, target, n, sets, checked, seed=1):
    """One row per LLM."""
    rng = np.random.default_rng(seed)
    (y, f), (_, g) = drawn(world, n, sets, rng), drawn(world, POOL * n, sets, rng)
    rows, known = {}, truth(world, target)
    for llm, says in LLMS.items():
        own, pool = says(y, f, g, rng)
        found = estimated(world, target, y, own, pool)
        fine = found.fine
        halves = intervals(found, n)
        inside = [np.abs(e - known) < h for e, h in zip(found.estimate, halves, strict=True)]
        alone = np.abs(found.alone - known) < stats.t.ppf(0.975, lost(n, 0, n)) * found.se_alone
        row = {"refused": 1 - fine.mean(), "alone": alone[fine].mean()}
        for k, when in enumerate(("before", "after")):
            wide = spread(found.estimate[k][fine])
            row |= {
                f"coverage {when}": inside[k][fine].mean(),
                f"SE/SD {when}": np.median(found.se[k][fine]) / wide,
                f"n_eff said {when}": found.n_eff[k][fine].mean(),
                f"n_eff true {when}": n * (spread(found.alone[fine]) / wide) ** 2,
            }
        rho = true_rho(world, target, llm)
        some = np.flatnonzero(fine)[:500]
        ends = np.array(
            [
                [Contributions(*(c[k] for c in found.contributions)).law.quantile(p) for p in
                 (0.025, 0.975)] for k in some
            ]
        )  # fmt: skip
        row["rho interval"] = ((ends[:, 0] < rho) & (rho < ends[:, 1])).mean()
        if llm in CHECKED and checked:
            part = np.flatnonzero(fine)[:checked]
            said = warned(
                own[part], pool[part], found.along[part], [c[part] for c in found.contributions]
            )
            row["warned"] = said.mean()
            row["coverage, not warned"] = (
                inside[1][part][~said].mean() if (~said).sum() > 20 else np.nan
            )
        rows[llm] = row
    return pd.DataFrame(rows).T.rename_axis("LLM")


def markdown(table):
    """The tables of docs/calibration.md, from what `--out` wrote."""
    shown = {
        "coverage of 95 % intervals, %": lambda r, w: f"{100 * r[f'coverage {w}']:.1f}",
        "standard error / spread of estimates": lambda r, w: f"{r[f'SE/SD {w}']:.2f}",
        "effective humans, said / true": lambda r, w: (
            f"{r[f'n_eff said {w}']:.0f}/{r[f'n_eff true {w}']:.0f}"
        ),
    }
    lines = []
    for (world, target), part in table.groupby(["world", "target"], sort=False):
        sizes = list(dict.fromkeys(part["humans"]))
        for name, cell in shown.items():
            head = f"{world}, {target}: {name}"
            lines += ["", f"| {head} | " + " | ".join(f"n = {n}" for n in sizes) + " |"]
            lines.append("|---" * (len(sizes) + 1) + "|")
            for llm in LLMS:
                rows = [part[(part["LLM"] == llm) & (part["humans"] == n)].iloc[0] for n in sizes]
                cells = [f"{cell(r, 'before')} → {cell(r, 'after')}" for r in rows]
                lines.append(f"| {llm} | " + " | ".join(cells) + " |")
            if name.startswith("coverage"):
                few = " | ".join("100" if n < FEW else "0" for n in sizes)
                lines.append(f"| *all: warned of as few, %* | {few} |")
                said = part[part["warned"].notna()]
                for llm in CHECKED:
                    rows = [said[(said["LLM"] == llm) & (said["humans"] == n)] for n in sizes]
                    cells = [f"{100 * r['warned'].iloc[0]:.0f}" for r in rows]
                    lines.append(f"| *{llm}: warned of, %* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    """Print the tables, and save them as CSV if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=4000, help="data sets of each kind")
    parser.add_argument("--checked", type=int, default=200, help="of which warnings are counted")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--humans", type=int, nargs="*", default=HUMANS)
    parser.add_argument("--markdown", type=Path, help="print the tables of this CSV file, no more")
    options = parser.parse_args()
    if options.markdown:
        print(markdown(pd.read_csv(options.markdown)))
        return
    tables, begin = {}, time.perf_counter()
    for world, target, n in product(WORLDS, TARGETS, options.humans):
        found = study(world, target, n, options.reps, options.checked)
        tables[world, target, n] = found
        if options.out:
            pd.concat(tables, names=["world", "target", "humans"]).to_csv(options.out)
        print(f"\n{world}, {target}, {n} humans, {time.perf_counter() - begin:.0f} s", flush=True)
        print(found.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
