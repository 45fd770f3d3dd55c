"""How much a design will tell: information, D-error, expected standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = ["d_error", "information", "shares", "weighted"]

_SINGULAR = 1e-10


def shares(x: Array, beta: Array) -> Array:
    """Logit shares (..., R, J) of tasks x (..., J, K) at coefficients (R, K)."""
    import numpy as np

    v = np.einsum("...jk,rk->...rj", x, beta)
    v = np.exp(v - v.max(axis=-1, keepdims=True))
    return np.asarray(v / v.sum(axis=-1, keepdims=True))


def weighted(x: Array, beta: Array) -> Array:
    """``sqrt(p_j) (x_j - sum_k p_k x_k)`` (..., R, J, K), whose products are the information."""
    import numpy as np

    p = shares(x, beta)
    centred = x[..., None, :, :] - np.einsum("...rj,...jk->...rk", p, x)[..., None, :]
    return np.asarray(np.sqrt(p)[..., None] * centred)


def information(x: Array, beta: Array) -> Array:
    """Fisher information of a conditional logit, one answer to each task.

    ``sum_n sum_j p_nj (x_nj - xbar_n)(x_nj - xbar_n)'`` (McFadden 1974; Huber & Zwerina 1996).

    Parameters
    ----------
    x : (T, J, K) array
        Regressors by task and alternative.
    beta : (R, K) array
        Coefficients; one row, or draws of a prior.

    Returns
    -------
    (R, K, K) array

    Examples
    --------
    >>> import numpy as np
    >>> information(np.array([[[1.0], [-1.0]]]), np.zeros((1, 1))).round(12).tolist()
    [[[1.0]]]
    """
    import numpy as np

    z = weighted(x, beta)
    return np.asarray(np.einsum("nrjk,nrjl->rkl", z, z))


def d_error(found: Array) -> float:
    """``mean_r det(I_r)^(-1/K)`` of informations (R, K, K); infinite if one is singular.

    The D-error of Huber & Zwerina (1996); over draws of a prior the D_b-error of Sandor & Wedel
    (2001). Smaller is better: at half of it, half the answers tell the same.

    Examples
    --------
    >>> import numpy as np
    >>> round(d_error(np.eye(2)[None] * 4), 12)
    0.25
    """
    import numpy as np

    k = found.shape[-1]
    scale = np.sqrt(np.einsum("rkk->rk", found))
    if not (scale > 0).all():
        return float("inf")
    # Units of regressors say nothing of how near to singular it is.
    standard = found / (scale[:, :, None] * scale[:, None, :])
    if np.linalg.eigvalsh(standard).min() < _SINGULAR:
        return float("inf")
    log = np.linalg.slogdet(standard)[1]
    return float(np.mean(np.exp(-(log + 2 * np.log(scale).sum(axis=1)) / k)))
