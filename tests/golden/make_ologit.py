"""Ordered logits as R prints them, with their data: ologit.json.

    python make_ologit.py > ologit.json

UCLA's graduate school applications: data and the numbers of R's `MASS::polr` are those that
statsmodels keeps (miscmodels/tests/results).
"""

import csv
import json
import sys
from importlib.resources import files

import numpy as np
from statsmodels.miscmodels.tests.results import results_ordinal_model as known

text = files("statsmodels.miscmodels.tests.results").joinpath("ologit_ucla.csv").read_text("utf-8")
rows = list(csv.DictReader(text.splitlines()))
levels = ["unlikely", "somewhat likely", "very likely"]
names = "pared", "public", "gpa"
printed = known.res_ord_logit
ucla = {
    "y": [levels.index(row["apply"]) for row in rows],
    "x": {name: [float(row[name]) for row in rows] for name in names},
    "coef": dict(zip(names, printed.coefficients_val.tolist(), strict=True)),
    "se": dict(zip(names, printed.coefficients_stdE.tolist(), strict=True)),
    "cuts": printed.thresholds.tolist(),
    "probabilities": np.asarray(printed.prob_pred).tolist(),
}
# As Stata prints `ologit apply pared public gpa, or nolog` with UCLA's ologit.dta in public course
# notes on multinomial, ordered and Poisson regressions; looked up in November 2026.
ucla["stata"] = {
    "odds": ["2.850982", ".9430059", "1.851037"],
    "odds_se": [".7577601", ".2808826", ".4824377"],
    "cuts": ["2.203323", "4.298767"],
    "cuts_se": [".7795353", ".8043147"],
    "llf": "-358.51244",
}
json.dump({"ucla": ucla}, sys.stdout)
