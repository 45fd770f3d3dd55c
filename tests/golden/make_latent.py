"""Latent class logit of electricity contracts by lcl-choice, for `electricity_latent.json`.

pip install lcl-choice==0.1.46 (jax, polars); then ``python make_latent.py``: it prints what
the file holds under "computed".
"""

from __future__ import annotations

import json
from pathlib import Path

import lcl
import numpy as np
import polars as pl
from lcl import ChoiceIds, FitOptions, InferenceOptions, LCLSpec, OptimizationOptions, Options

HERE = Path(__file__).parent


def main() -> None:
    df = pl.read_csv(HERE / "electricity.csv.gz").filter(pl.col("id") <= 100)
    df = df.with_columns(
        (pl.col("choice") == 1).alias("choice"),
        (pl.col("id") % 2).cast(pl.Float64).alias("odd"),
    )
    spec = LCLSpec(
        ids=ChoiceIds(alt="alt", case="case", panel="id", choice="choice"),
        utility_formula="choice ~ pf + cl + loc + wk + tod + seas",
        membership_formula="~ odd",
        classes=3,
    )
    options = Options(
        fit=FitOptions(seed=1, starts=8, max_em_iter=500, num_devices=1),
        optimization=OptimizationOptions(maxiter=100, newton_decrement_tol=1e-10),
        inference=InferenceOptions(covariance="clustered"),
    )
    found = lcl.fit(df, spec, options=options)
    # Coefficients term by term, each class by class; then membership by class, term by term.
    flat = [float(b) for b in found.flat_params]
    se = np.sqrt(np.diag(np.asarray(found.cov_matrix))).tolist()
    terms, c = ("pf", "cl", "loc", "wk", "tod", "seas"), 3
    tastes = {t: flat[c * k : c * (k + 1)] for k, t in enumerate(terms)}
    errors = {t: se[c * k : c * (k + 1)] for k, t in enumerate(terms)}
    computed = {"llf": float(found.em_res.unconditional_loglik), "params": tastes, "bse": errors}
    computed["membership"], computed["membership_bse"] = flat[c * 6 :], se[c * 6 :]
    print(json.dumps(computed, indent=1))


if __name__ == "__main__":
    main()
