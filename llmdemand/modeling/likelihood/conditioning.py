"""Regressors that nearly are combinations of others: a basis in which no digits are lost."""

from __future__ import annotations

import numpy as np

from llmdemand.modeling.arrays import Array

__all__ = ["orthogonal_basis", "well_conditioned"]

_WELL = 1e4  # condition number: a Hessian, its square, is then exact to 8 digits
_NOTHING = 1e-14  # of the largest: a direction without any variation but rounding


def well_conditioned(z: Array) -> bool:
    """Whether columns, each scaled to length 1, have a condition number below 10,000.

    >>> x = np.arange(5.0)
    >>> well_conditioned(np.column_stack([x**0, x])), well_conditioned(np.column_stack([x, x]))
    (True, False)
    """
    gram = z.T @ z
    size = np.sqrt(np.diag(gram))
    if not (size > 0).all():
        return False
    values = np.linalg.eigvalsh(gram / np.outer(size, size))
    return bool(values[0] * _WELL**2 > values[-1])


def orthogonal_basis(z: Array) -> Array | None:
    """A basis (K, K) in which nearly collinear columns are orthogonal.

    Newton's method and covariances work with squares of the regressors, which lose twice the
    digits that the regressors themselves have lost. With ``z P = Q R`` (Householder's
    factorisation, columns in the order of what they add) the columns of ``z @ P R^-1`` are
    orthonormal, and only the way back, ``P R^-1``, is as ill-conditioned as the data.

    Parameters
    ----------
    z : (N, K) array
        Standardised regressors.

    Returns
    -------
    (K, K) array or None
        None where nothing is gained, and where columns are collinear but for rounding.
    """
    from scipy.linalg import qr, solve_triangular

    if not z.shape[1] or well_conditioned(z):
        return None
    # The small factor has all the digits; its columns are then sorted.
    small = np.linalg.qr(z).R
    triangle, order = qr(small, mode="r", pivoting=True)
    size = np.abs(np.diag(triangle))
    if len(size) < z.shape[1] or not size[-1] > _NOTHING * size[0]:
        return None
    basis = np.zeros_like(triangle)
    basis[order] = solve_triangular(triangle, np.eye(len(triangle))) * np.sqrt(len(z))
    return np.asarray(basis, np.float64)
