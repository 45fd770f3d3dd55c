"""Demand models, measured side by side in one run.

    python benchmarks/modeling.py                # everything, some minutes on two cores
    python benchmarks/modeling.py batch study    # parts: batch, study, choices, mixed, large
    python benchmarks/modeling.py large --rows 1000000

Rivals that are not installed are skipped and named: pip install pyfixest scikit-learn xlogit.
Times depend on the machine, ratios are what is read; that coefficients agree is asserted.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

PRICES = np.arange(30, 46.0)
RUNS = 20


def choice_share(price):
    """A published demand curve for diapers."""
    return 1 / (1 + np.exp(0.535 * (price - 34.8)))


def seconds(work, repeats=1):
    """Shortest of some times, and the last result."""
    best = np.inf
    for _ in range(repeats):
        begun = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - begun)
    return best, found


# 16 cells x 20 runs -----------------------------------------------------------------------


def by_glm(y, x):
    import statsmodels.api as sm

    # Its HC1 is HC0 under another name: the factor is applied by the caller.
    found = sm.GLM(y, x, family=sm.families.Binomial()).fit(cov_type="HC0", tol=1e-12)
    return found.params, found.bse


def by_logit(y, x):
    import statsmodels.api as sm

    found = sm.Logit(y, x).fit(disp=0, cov_type="HC0", method="newton", tol=1e-12)
    return found.params, found.bse


def by_pyfixest(y, x):
    import pyfixest as pf

    data = pd.DataFrame({"y": y, "price": x[:, 1]})
    found = pf.feglm("y ~ price", data=data, family="logit", vcov="hetero")
    return found.coef().to_numpy(), found.se().to_numpy()


def by_sklearn(y, x):
    from sklearn.linear_model import LogisticRegression

    # tol: it stops early otherwise, and coefficients agree to three digits.
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200)
    model.fit(x[:, 1:], y)
    return np.array([model.intercept_[0], model.coef_[0, 0]]), None


RIVALS = {
    "statsmodels GLM, HC": (by_glm, "statsmodels"),
    "statsmodels Logit, HC": (by_logit, "statsmodels"),
    "pyfixest feglm, HC": (by_pyfixest, "pyfixest"),
    "sklearn LogisticRegression, no SE": (by_sklearn, "sklearn"),
}


def batch(table, fits, sample):
    from llmdemand.modeling.batch.batch import fit_batch

    rng = np.random.default_rng(1)
    shares = np.broadcast_to(choice_share(PRICES)[:, None], (fits, len(PRICES), RUNS))
    y = (rng.random(shares.shape) < shares).astype(float)
    n = np.full((fits, len(PRICES)), float(RUNS))

    def from_rows():
        total = y.sum(axis=2)
        return fit_batch(PRICES, n, total, np.einsum("bjr,bjr->bj", y, y))

    total = y.sum(axis=2)
    ours, found = seconds(lambda: fit_batch(PRICES, n, total, total), repeats=5)
    with_sums, _ = seconds(from_rows, repeats=3)
    x = np.column_stack([np.ones(y[0].size), np.repeat(PRICES, RUNS)])
    factor = np.sqrt(y[0].size / (y[0].size - 1))
    usable = np.flatnonzero(found.exists)[:sample]
    times = {}
    for name, (fit, package) in RIVALS.items():
        try:
            fit(y[usable[0]].ravel(), x)
        except ImportError:
            table.add_row(name, f"not installed: pip install {package}", "", "")
            continue
        spent, results = seconds(lambda fit=fit: [fit(y[b].ravel(), x) for b in usable])
        times[name] = spent / len(usable)
        gap = max(
            np.abs(params / found.params[b] - 1).max()
            for b, (params, _) in zip(usable, results, strict=True)
        )
        table.add_row(
            name,
            f"{1 / times[name]:,.0f} fits/s",
            f"{times[name] / (ours / fits):,.0f} x slower",
            f"coefficients within {gap:.0e}",
        )
        if fit is by_glm:
            assert gap < 1e-9, f"coefficients differ from GLM's by {gap:.1e}"
            errors = max(
                np.abs(bse * factor / found.se_robust[b] - 1).max()
                for b, (_, bse) in zip(usable, results, strict=True)
            )
            assert errors < 1e-7, f"robust errors differ from GLM's by {errors:.1e}"
    goal = times["statsmodels GLM, HC"] / (ours / fits)
    table.add_row(
        "fit_batch, HC1, from sums",
        f"{fits / ours:,.0f} fits/s",
        f"{goal:,.0f} x GLM",
        "goal: 1,000 x GLM",
    )
    table.add_row(
        "fit_batch, HC1, from rows",
        f"{fits / with_sums:,.0f} fits/s",
        f"{times['statsmodels GLM, HC'] / (with_sums / fits):,.0f} x GLM",
        "summing included",
    )
    firth, _ = seconds(lambda: fit_batch(PRICES, n, total, total, firth=True), repeats=2)
    table.add_row("fit_batch, Firth", f"{fits / firth:,.0f} fits/s", "", "")


# Runs needed ------------------------------------------------------------------------------


def study(table):
    from llmdemand import load_study, simulate
    from llmdemand.reporting.measures.precision import precision

    panel = simulate(load_study("pampers"), "synthetic", runs=120, seed=1)
    spent, found = seconds(lambda: precision(panel, runs=range(1, 101), replications=1000))
    fits = found.replications * 2 * len(found.reach["runs"].unique())
    table.add_row(
        "runs needed, whole study",
        f"{spent:.1f} s",
        f"{fits / spent:,.0f} fits/s",
        f"{fits:,} fits, drawing included; goal: 10 s",
    )


# Choice sets ------------------------------------------------------------------------------

CASES, OFFERED, ATTRIBUTES = 20_000, 4, 5


def choice_frame(balanced):
    """Choices in long format: of four alternatives each, or of two to six, as many rows."""
    rng = np.random.default_rng(1)
    sizes = np.tile([OFFERED] * 5 if balanced else [2, 3, 4, 5, 6], CASES // 5)
    start, case = np.cumsum(sizes) - sizes, np.repeat(np.arange(CASES), sizes)
    x = rng.normal(size=(len(case), ATTRIBUTES))
    utility = x @ np.linspace(-1, 1.2, ATTRIBUTES) + rng.gumbel(size=len(case))
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(ATTRIBUTES)])
    frame["choice"] = (utility == np.maximum.reduceat(utility, start)[case]).astype(int)
    frame["case"] = case
    frame["alternative"] = np.array(list("abcdef"))[np.arange(len(case)) - start[case]]
    return frame


def by_clogit(frame):
    import llmdemand as ld

    formula = "choice ~ " + " + ".join(f"x{k}" for k in range(ATTRIBUTES)) + " | 0"
    return ld.clogit(formula, frame, vcov="HC1")


def by_xlogit(frame):
    from xlogit import MultinomialLogit

    model, names = MultinomialLogit(), [f"x{k}" for k in range(ATTRIBUTES)]
    model.fit(
        X=frame[names],
        y=frame["choice"],
        varnames=names,
        alts=frame["alternative"],
        ids=frame["case"],
        robust=True,
        verbose=0,
    )
    return model


def choices(table, repeats=15):
    """Medians of runs in turn: what else the machine does touches all alike."""
    balanced, unbalanced = choice_frame(True), choice_frame(False)
    works = {
        "clogit, HC1": lambda: by_clogit(balanced),
        "clogit, HC1, two to six alternatives": lambda: by_clogit(unbalanced),
        "xlogit, robust": lambda: by_xlogit(balanced),
    }
    ours = works["clogit, HC1"]()
    works["clogit, HC1, two to six alternatives"]()
    try:
        theirs = works["xlogit, robust"]()
    except ImportError:
        del works["xlogit, robust"]
        table.add_row("xlogit, robust", "not installed: pip install xlogit", "", "")
    else:
        gap = abs(ours.llf / theirs.loglikelihood - 1)
        assert gap < 1e-9, f"log-likelihoods differ by {gap:.1e}"
        errors = np.abs(ours.bse.to_numpy() / theirs.stderr - 1).max()
        assert errors < 1e-3, f"robust errors differ by {errors:.1e}"
    times = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work)[0])
    base = np.array(times["clogit, HC1"])
    for name, spent in times.items():
        ratio = f"{np.median(np.array(spent) / base):.2f} x balanced clogit"
        note = {"xlogit, robust": "goal: 3 x, same log-likelihood to 1e-9"}.get(name, "")
        if "two to six" in name:
            note = "as many rows; goal: 1.5 x"
        shown = f"{1e3 * np.median(spent):.1f} ms"
        table.add_row(name, shown, "" if name == "clogit, HC1" else ratio, note)


# Mixed logit ------------------------------------------------------------------------------


def tastes_frame(people=500, tasks=8, alternatives=4):
    """Choices of people whose coefficients are normal."""
    rng = np.random.default_rng(1)
    cases, who = people * tasks, np.repeat(np.arange(people), tasks)
    x = rng.normal(size=(cases, alternatives, 4))
    own = rng.normal(size=(people, 4)) * [0.8, 0.6, 0.5, 0.0] + [-1.0, 0.5, 0.8, 0.3]
    v = np.einsum("njk,nk->nj", x, own[who]) + rng.gumbel(size=(cases, alternatives))
    frame = pd.DataFrame(x.reshape(-1, 4), columns=["price", "a", "b", "c"])
    return frame.assign(
        case=np.repeat(np.arange(cases), alternatives),
        alternative=list("wxyz") * cases,
        person=np.repeat(who, alternatives),
        choice=(v == v.max(axis=1, keepdims=True)).astype(int).ravel(),
    )


VARYING = ["price", "a", "b"]


def halton_points(people, draws):
    """The points that xlogit draws, (people, draws, 3), without loading it beside ours."""
    columns = []
    for prime in (2, 3, 5):
        n = np.arange(100, 100 + people * draws)
        x, digit = np.zeros(len(n)), 1 / prime
        while n.any():
            x, n, digit = x + digit * (n % prime), n // prime, digit / prime
        columns.append(x)
    return np.stack(columns, axis=-1).reshape(people, draws, 3)


def by_mixlogit(people, draws, given=False):
    import llmdemand as ld

    frame, mixlogit = tastes_frame(people), ld.mixlogit
    points = halton_points(people, draws) if given else draws
    formula, random = "choice ~ price + a + b + c | 0", dict.fromkeys(VARYING, "normal")
    return lambda: (
        mixlogit(formula, frame, random=random, panel="person", draws=points, vcov="iid").llf
    )


def by_xlogit_mixed(people, draws):
    from xlogit import MixedLogit

    frame = tastes_frame(people)
    names = [*VARYING, "c"]
    model = MixedLogit()

    def work():
        model.fit(
            X=frame[names],
            y=frame["choice"],
            varnames=names,
            alts=frame["alternative"],
            ids=frame["case"],
            panels=frame["person"],
            randvars=dict.fromkeys(VARYING, "n"),
            n_draws=draws,
            verbose=0,
        )
        return model.loglikelihood

    return work


def _mixed(channel, prepare, people, draws, more):
    warnings.simplefilter("ignore")
    try:
        prepare(20, 10, **more)()
        work = prepare(people, draws, **more)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        spent, llf = seconds(work)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        channel.send((spent, before, peak, llf))
    except Exception as error:
        channel.send(f"{type(error).__name__}: {error}")


def mixed(table):
    """500 people x 8 situations x 4 alternatives, 3 coefficients that vary, 500 draws."""
    ways = {
        "mixlogit, xlogit's draws": (by_mixlogit, 500, 500, {"given": True}),
        "xlogit": (by_xlogit_mixed, 500, 500, {}),
        "mixlogit, Sobol": (by_mixlogit, 500, 500, {}),
        "mixlogit, 1000 people": (by_mixlogit, 1000, 500, {}),
        "mixlogit, 1000 draws": (by_mixlogit, 500, 1000, {}),
    }
    context, found = multiprocessing.get_context("spawn"), {}
    for name, (prepare, people, draws, more) in ways.items():
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_mixed, args=(there, prepare, people, draws, more))
        child.start()
        there.close()
        found[name] = here.recv()
        child.join()
    base, own = found["xlogit"], found["mixlogit, Sobol"]
    for name, result in found.items():
        if isinstance(result, str):
            table.add_row(name, "failed", "", result[:60])
            continue
        spent, before, peak, llf = result
        note = f"peak {peak:,.0f} MB, {peak - before:,.0f} of them the fit's; llf {llf:.6f}"
        ratio = f"{spent / own[0]:.1f} x 500 people, 500 draws" if "1000" in name else ""
        if name == "mixlogit, xlogit's draws" and not isinstance(base, str):
            ratio = f"{base[0] / spent:.1f} x xlogit; goal: 3 x"
            note += f"; {peak / base[2]:.2f} of xlogit's memory, goal: a third"
            assert abs(llf - base[3]) < 1e-4, f"log-likelihoods {llf} and {base[3]}"
        table.add_row(name, f"{spent:.2f} s", ratio, note)


# Ten million rows -------------------------------------------------------------------------


def write(path, rows):
    """Choices at 16 prices, about a hundred per household."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    households = max(2, rows // 100)
    taste = rng.normal(0, 0.8, households)
    with pq.ParquetWriter(
        path, pa.schema([("choice", "int8"), ("price", "f8"), ("household", "i4")])
    ) as file:
        for start in range(0, rows, 500_000):
            size = min(500_000, rows - start)
            household = ((start + np.arange(size)) % households).astype(np.int32)
            price = rng.choice(PRICES, size)
            eta = 0.535 * (34.8 - price) + taste[household]
            choice = (rng.random(size) < 1 / (1 + np.exp(-eta))).astype(np.int8)
            file.write_table(pa.table({"choice": choice, "price": price, "household": household}))


def ours_from_file(path, clustered):
    import llmdemand as ld

    vcov = {"CRV1": "household"} if clustered else "HC1"
    logit = ld.logit
    return lambda: logit("choice ~ price", str(path), vcov=vcov)


def ours_from_frame(path, clustered):
    import llmdemand as ld

    frame, logit = pd.read_parquet(path), ld.logit
    vcov = {"CRV1": "household"} if clustered else "HC1"
    return lambda: logit("choice ~ price", frame, vcov=vcov)


def statsmodels_from_frame(path, clustered):
    import statsmodels.formula.api as smf

    frame = pd.read_parquet(path)
    how = {"cov_type": "HC0"}
    if clustered:
        how = {"cov_type": "cluster", "cov_kwds": {"groups": frame["household"].to_numpy()}}
    return lambda: smf.logit("choice ~ price", frame).fit(disp=0, **how)


def _measure(prepare, path, clustered, channel):
    warnings.simplefilter("ignore")
    try:
        # What is loaded on first use is loaded before, on a few rows.
        prepare(path.with_name("few.parquet"), clustered)()
        work = prepare(path, clustered)
        spent, found = seconds(work)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        channel.send((spent, peak, float(found.params["price"]), float(found.bse["price"])))
    except Exception as error:
        channel.send(f"{type(error).__name__}: {error}")


def in_a_child(prepare, path, clustered):
    """Seconds, peak memory in MB, price coefficient and error; a sentence if it failed.

    In a process of its own, begun afresh: the peak of a process never falls.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(prepare, path, clustered, there))
    child.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        found = "ended without an answer, out of memory most likely"
    child.join()
    return found


def large(table, rows):
    """HC1 and clustered covariances on a file and on a frame, against statsmodels."""
    ways = {
        "logit, parquet file": ours_from_file,
        "logit, data frame": ours_from_frame,
        "statsmodels Logit, data frame": statsmodels_from_frame,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "choices.parquet")
        # In a child as well: what was written here would be copied into nobody's peak.
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(path, rows))
        writer.start()
        writer.join()
        write(path.with_name("few.parquet"), 2_000)
        for clustered in (False, True):
            kind = "clustered by household" if clustered else "HC1"
            found = {name: in_a_child(way, path, clustered) for name, way in ways.items()}
            base = found["statsmodels Logit, data frame"]
            for name, result in found.items():
                title = f"{name}, {kind}"
                if isinstance(result, str):
                    table.add_row(title, "failed", "", result[:60])
                    continue
                spent, peak, price, error = result
                ratio, note = "", f"peak {peak:,.0f} MB"
                if not isinstance(base, str):
                    ratio = f"{base[0] / spent:.1f} x statsmodels"
                    assert abs(price / base[2] - 1) < 1e-6, f"{title}: {price} against {base[2]}"
                    # Factors differ: N/(N-1) and G/(G-1) against none and Stata's.
                    assert abs(error / base[3] - 1) < 1e-3, f"{title}: {error} against {base[3]}"
                if "file" in name:
                    note += "; goal: 10 x, under 600 MB"
                table.add_row(title, f"{spent:.2f} s", ratio, note)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ["batch", "study", "choices", "mixed", "large"]
    parser.add_argument("parts", nargs="*", default=known, help=", ".join(known))
    parser.add_argument("--fits", type=int, default=50_000, help="fits of the batch part")
    parser.add_argument("--sample", type=int, default=200, help="of them repeated by each rival")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the large part")
    chosen = parser.parse_args()
    table = Table("what", "measured", "ratio", "note")
    for part in chosen.parts:
        if part == "batch":
            table.add_row(f"[bold]{len(PRICES)} cells x {RUNS} runs, {chosen.fits:,} fits")
            batch(table, chosen.fits, chosen.sample)
        elif part == "study":
            table.add_row("[bold]n = 1..100 of 120 runs, 1,000 draws, both measures")
            study(table)
        elif part == "choices":
            size = f"{CASES:,} cases x {OFFERED} alternatives x {ATTRIBUTES} regressors"
            table.add_row(f"[bold]{size}")
            choices(table)
        elif part == "mixed":
            table.add_row(
                "[bold]500 people x 8 situations x 4 alternatives, 500 draws of 3 coefficients"
            )
            mixed(table)
        elif part == "large":
            table.add_row(f"[bold]{chosen.rows:,} rows")
            large(table, chosen.rows)
        else:
            parser.error(f"no part {part!r}: there are {', '.join(known)}")
        table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
