"""How well n runs predict choices that they have not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import xlogy

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel, sampled
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch.batch import fit_batch
from llmdemand.modeling.batch.sums import Read
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.outcomes.frames import WHOSE, Reading
from llmdemand.modeling.outcomes.measured import needs_choices
from llmdemand.reporting.measures.heldout import Aim, Drawn, Pool, by_price, draw

__all__ = ["Prediction", "prediction"]

#: What is fitted to a draw: the column it is fitted to, and whether by Firth's likelihood.
_MODELS = {"belief": ("belief", False), "choice": ("choice", False), "firth": ("choice", True)}
_METRICS = ("log_score", "brier", "rmse")
_RIVALS = ("choice", "firth")  # what belief is compared with
_BINS = 10
_FLAT = 1e-12  # an attainable gain below this is rounding

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Prediction(OneLine):
    """Predictive scores of demand fitted to n runs per cell.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per number of runs and ``outcome`` (``belief``; ``choice``, by maximum
        likelihood; ``firth``, the same choices by Firth's likelihood): ``runs``; ``log_score,
        brier, rmse``, each with its ``_se``; ``attainable`` (share of the attainable log
        score); ``fitted`` (share of draws with an estimate); ``draws`` (number of draws that
        are averaged); ``paired`` (log score over the draws in which all three have an
        estimate); ``constant`` and ``best`` (log scores of a constant share and of the best
        function of price, on what these draws were scored on); ``rmse_floor`` (root mean
        square error that the true curve would have here, for held-out shares are noisy).
    differences : pandas.DataFrame
        One row per number of runs, rival of belief (``choice``, then ``firth``) and ``metric``:
        ``better`` and ``worse`` (outcomes; belief stands first where nothing differs),
        ``difference`` (by how much, in units of the metric, not negative), ``se``, ``draws``.
    calibration : pandas.DataFrame
        ``outcome, runs, predicted, observed`` (means over a bin of predicted shares, bins a
        tenth wide), ``n`` (choices in the bin, per draw).
    best : dict
        On all choices of the panel, or on the truth: ``log_score`` and ``brier`` of the best
        function of price, ``constant`` and ``constant_brier`` of a constant share, and
        ``optimism``, about how much the first is too high because the shares were estimated
        from the choices that they are scored on (0 for a truth).
    scored_on : str
        ``held-out choices`` or ``exact probabilities``.
    replications, pool : int
        Draws per number of runs, and runs per cell in the panel.
    notes : tuple of str
        What the reader should know.
    reading : str
        ``final`` or ``pivot``: whose choices are predicted.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    calibration: pd.DataFrame
    best: dict[str, float]
    scored_on: str
    replications: int
    pool: int
    notes: tuple[str, ...] = ()
    reading: Reading = "pivot"

    def summary(self) -> str:
        """Scores and differences as text, with what their standard errors mean."""
        shown = ["outcome", "runs", *_METRICS, "attainable", "fitted"]
        tables = (self.table[shown], self.differences)
        texts = [t.to_string(index=False, float_format=lambda v: f"{v:.4f}") for t in tables]
        lines = [
            f"Prediction of {self.scored_on}: {self.replications} draws of n from {self.pool} "
            f"runs per cell, of {WHOSE[self.reading]}",
            texts[0],
            f"attainable: log score {self.best['log_score']:.4f}, of a constant share "
            f"{self.best['constant']:.4f}",
            "",
            "Paired differences, over draws in which both have an estimate",
            texts[1],
            "Standard errors are Monte Carlo errors: draws come from one panel, and another "
            "panel would differ by more.",
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def prediction(
    panel: AnyPanel,
    runs: Sequence[int] = (1, 2, 3, 5, 10, 20),
    replications: int = 200,
    seed: int = 1,
    truth: Mapping[Any, float] | pd.Series[float] | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    reading: Reading | None = None,
) -> Prediction:
    """Fit demand to n runs per cell, many times, and score it on what was left out.

    Parameters
    ----------
    panel : Panel or PanelShards
        R runs per cell; only ``ok`` runs say something, the others are drawn all the same. Of
        shards a sample, see `llmdemand.core.shards.sample`.
    runs : sequence of int
        Numbers of runs to fit; those that leave nothing to score are left out, and noted.
    replications : int
        Draws.
    seed : int
        Of the draws; one stream per draw, so that the first ones do not depend on how many
        follow.
    truth : mapping or Series, optional
        Exact probability of choosing the focal alternative, by cell or by price: of the
        synthetic consumer, or of `llmdemand.belief.tree.tree`. Predictions are then scored
        on it in place of held-out choices, each cell weighing by its runs in the panel. A
        Series whose index is named ``cell`` or ``price`` says which of them its keys are.
    progress : callable, optional
        Called with the share of the work that is done.
    reading : str, optional
        ``final``: corrected belief and the choice of the whole answer, which is what is
        predicted; ``pivot``: both at the pivot. By default as `llmdemand.fit_demand`.

    Returns
    -------
    Prediction

    Raises
    ------
    DesignError
        No usable runs, one price, nothing left to score.
    UsageError
        For impossible arguments, and a truth that lacks a cell or is no probability.

    Notes
    -----
    A draw takes n runs of every cell without replacement, the same for all three fits: belief
    and choice by the logit's (quasi-)likelihood, and choice by Firth's penalised one. The
    fitted share at a price, p, is scored on N other choices y:

    - log score ``1/N sum y log p + (1 - y) log(1 - p)``, the larger the better;
    - Brier score ``1/N sum (y - p)^2``;
    - RMSE of the demand curve, ``sqrt(sum_j N_j / N (p_j - ybar_j)^2)`` over prices j.

    On a truth q, y is replaced by its law: the means of the first two over y, and q for ybar.
    The share of the attainable score is ``(score - constant) / (best - constant)``, where a
    constant share and the best function of price are, on held-out choices, the mean choice of
    the whole panel, overall and by price. These have seen the held-out choices: `best` is too
    high by about J / (2 N) for J prices and N choices in the panel, and no fit reaches 1. On a
    truth it is the truth.

    Where choice is separated it has no estimate and predicts nothing; such draws are counted
    in `fitted` and are no part of its scores, which are those of its luckier draws. Belief
    and Firth's estimate, which exists nearly always, are averaged over all draws that have
    them; compare rows only where `fitted` is 1, and else by `differences`, which pair the two
    on the draws where both exist, or by `paired`. Firth's row is choice with no draw left out.

    Where answers were stopped at their pivot, those that are whole stand for them by one over
    their probability: N counts answers that are whole, by Kish's effective number
    ``(sum w)^2 / sum w^2``, and scores are consistent for those of all answers. What corrects
    belief is learnt anew in each draw, from its own runs: held-out answers have no part in it.

    The standard errors are standard deviations over draws by the root of their number. Given
    the panel draws are independent, and the errors say how far more replications could move
    the means. They are no statement on another panel: all draws share R runs per cell.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> found = prediction(panel, runs=(1, 5), replications=50)
    >>> found.differences[["metric", "better", "worse"]].iloc[0].tolist()
    ['log_score', 'belief', 'choice']
    """
    _check(runs, replications, seed)
    panel = sampled(panel)
    needs_choices(panel, "prediction")
    pool = Pool.of(panel, reading)
    exact = None if truth is None else by_price(pool, truth)
    known = pool.whole if exact is None else exact
    tried = _tried(pool, runs, exact is not None)
    tell = progress or (lambda share: None)
    drawn = draw(pool, tried, replications, seed, tell)
    rows, differences, curves = [], [], []
    for k, n in enumerate(tried):
        aim = drawn.held_out(k, pool) if exact is None else exact.repeated(replications)
        fits = {o: _predicted(pool, drawn, k, o) for o in _MODELS}
        scores = {o: _scores(eta, aim) for o, eta in fits.items()}
        fitted = {o: float(np.isfinite(eta).all(axis=1).mean()) for o, eta in fits.items()}
        rows += _rows(n, fitted, scores, _limits(known, aim), aim)
        differences += _differences(n, scores)
        for outcome, eta in fits.items():
            curves += _calibration(n, outcome, eta, aim)
        tell(0.5 + 0.5 * (k + 1) / len(tried))
    columns = ["outcome", "runs", "predicted", "observed", "n"]
    return Prediction(
        pd.DataFrame(rows),
        pd.DataFrame(differences),
        pd.DataFrame(curves, columns=columns),
        _best(known, exact is not None),
        "held-out choices" if exact is None else "exact probabilities",
        replications,
        pool.runs,
        _notes(pool, runs, tried),
        pool.reading,
    )


def _check(runs: Sequence[int], replications: int, seed: int) -> None:
    if not len(runs) or any(n < 1 or n != int(n) for n in runs):
        raise UsageError(f"runs={tuple(runs)}: give numbers of runs, whole ones from 1")
    if replications < 1:
        raise UsageError(f"replications={replications}: give at least 1")
    if seed < 0:
        raise UsageError(f"seed={seed}: give a number that is not negative")


def _tried(pool: Pool, runs: Sequence[int], exact: bool) -> list[int]:
    most = pool.runs if exact else pool.runs - 1
    tried = sorted({int(n) for n in runs if n <= most})
    if tried:
        return tried
    if not most:
        raise DesignError(
            "one run per cell: nothing is left to score a fit on; collect more runs, or give truth="
        )
    raise DesignError(
        f"runs={tuple(runs)} of {pool.runs} per cell leave nothing to fit or score: ask for "
        f"{most} or fewer" + ("" if exact else ", or give truth=")
    )


def _notes(pool: Pool, runs: Sequence[int], tried: list[int]) -> tuple[str, ...]:
    out = sorted({int(n) for n in runs} - set(tried))
    text = f"{', '.join(map(str, out))} runs of {pool.runs} per cell leave nothing to score"
    return (*((text,) if out else ()), *pool.notes)


# --- Scores -------------------------------------------------------------------------------


def _predicted(pool: Pool, drawn: Drawn, k: int, outcome: str) -> Array:
    """Fitted log-odds by draw and price, NaN where there is no estimate."""
    column, firth = _MODELS[outcome]
    n, total = drawn.n[column][:, k], drawn.sums[column][:, k]
    read = Read() if column in pool.read and not firth else None
    fit = fit_batch(pool.price, n, total, read=read, firth=firth)
    # NaN where there is none: `exists` is about the likelihood without Firth's penalty.
    return np.asarray(fit.const[:, None] + fit.slope[:, None] * pool.price)


def _log_score(share: Array, aim: Aim) -> Array:
    """Mean log score of given shares (1, J), by draw; NaN where nothing is scored."""
    score = xlogy(aim.ones, share) + xlogy(aim.n - aim.ones, 1 - share)
    return _per(np.asarray(score, np.float64), aim)


def _limits(known: Aim, aim: Aim) -> dict[str, Array]:
    """Log scores of a constant share and of the best function of price, by draw."""
    constant = np.full_like(known.shares, known.ones.sum() / known.n.sum())
    return {"constant": _log_score(constant, aim), "best": _log_score(known.shares, aim)}


def _best(known: Aim, exact: bool) -> dict[str, float]:
    rows, share = float(known.rows[0]), known.shares
    mean = float(known.ones.sum()) / rows
    limits = _limits(known, known)
    return {
        "log_score": float(limits["best"][0]),
        "brier": float((known.n * share * (1 - share)).sum()) / rows,
        "constant": float(limits["constant"][0]),
        "constant_brier": mean * (1 - mean),
        "optimism": 0.0 if exact else float((known.n > 0).sum()) / (2 * rows),
    }


def _scores(eta: Array, aim: Aim) -> dict[str, Array]:
    """Log score, Brier score and RMSE of log-odds (B, J), by draw."""
    known = np.asarray(np.isfinite(eta).all(axis=1))
    eta = np.where(known[:, None], eta, 0.0)
    p = sigmoid(eta)
    log = aim.ones * eta - aim.n * np.logaddexp(0.0, eta)
    brier = aim.ones - 2 * p * aim.ones + aim.n * p**2
    error = aim.n * (p - aim.shares) ** 2
    parts = (_per(part, aim) for part in (log, brier, error))
    scores = dict(zip(_METRICS, (np.where(known, part, np.nan) for part in parts), strict=True))
    return {**scores, "rmse": np.sqrt(scores["rmse"])}


def _per(parts: Array, aim: Aim) -> Array:
    """Sum over prices per choice that is scored."""
    rows = aim.rows
    return np.where(rows > 0, parts.sum(axis=1) / np.where(rows > 0, rows, 1), np.nan)


def _rows(
    n: int,
    fitted: dict[str, float],
    scores: dict[str, dict[str, Array]],
    limits: dict[str, Array],
    aim: Aim,
) -> list[dict[str, Any]]:
    scored = {o: np.asarray(np.isfinite(s["log_score"])) for o, s in scores.items()}
    every = np.asarray(np.stack(list(scored.values())).all(axis=0))
    rows = []
    for outcome, found in scores.items():
        used = scored[outcome]
        row: dict[str, Any] = {"outcome": outcome, "runs": n}
        for metric in _METRICS:
            row[metric], row[f"{metric}_se"] = _mean_se(found[metric][used])
        constant, best = (_mean_se(limits[k][used])[0] for k in ("constant", "best"))
        gain = best - constant
        row["attainable"] = (row["log_score"] - constant) / gain if gain > _FLAT else math.nan
        row["fitted"] = fitted[outcome]
        row["draws"] = int(used.sum())
        row["paired"] = _mean_se(found["log_score"][every])[0]
        row["constant"], row["best"] = constant, best
        row["rmse_floor"] = math.sqrt(aim.noise[used].mean()) if used.any() else math.nan
        rows.append(row)
    return rows


def _differences(n: int, scores: dict[str, dict[str, Array]]) -> list[dict[str, Any]]:
    rows = []
    for rival in _RIVALS:
        for metric in _METRICS:
            gap = scores["belief"][metric] - scores[rival][metric]
            if metric != "log_score":
                gap = -gap  # of errors, the smaller is the better one
            gap = gap[np.isfinite(gap)]
            mean, se = _mean_se(gap)
            better, worse = (rival, "belief") if mean < 0 else ("belief", rival)
            rows.append(
                {
                    "runs": n,
                    "metric": metric,
                    "better": better,
                    "worse": worse,
                    "difference": abs(mean),
                    "se": se,
                    "draws": len(gap),
                }
            )
    return rows


def _calibration(n: int, outcome: str, eta: Array, aim: Aim) -> list[dict[str, Any]]:
    """Mean prediction and observed share by bin of predictions, over all draws."""
    known = np.isfinite(eta).all(axis=1) & (aim.rows > 0)
    p, weight, ones = sigmoid(eta[known]).ravel(), aim.n[known].ravel(), aim.ones[known].ravel()
    code = np.minimum((p * _BINS).astype(np.intp), _BINS - 1)
    count, chosen, mean = (np.bincount(code, w, _BINS) for w in (weight, ones, weight * p))
    return [
        {
            "outcome": outcome,
            "runs": n,
            "predicted": float(mean[b] / count[b]),
            "observed": float(chosen[b] / count[b]),
            "n": float(count[b] / known.sum()),
        }
        for b in np.flatnonzero(count > 0)
    ]


def _mean_se(values: Array) -> tuple[float, float]:
    """Mean over draws and its Monte Carlo error; NaN of nothing, and of one draw's error."""
    if not len(values):
        return math.nan, math.nan
    se = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), se
