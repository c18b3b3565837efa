"""From SHAP values on margins to effects in the prediction's own unit.

Aumann-Shapley along the straight line from the base margins b to the customer's margins m: feature
j's effect is `sum over margins k of phi_kj * integral over t in [0, 1] of df/dm_k(b + t (m - b))`.
The effects add up to f(m) - f(b) whatever the link f, calibration included (Aumann and Shapley,
Values of Non-Atomic Games, 1974; Sundararajan et al., Axiomatic Attribution for Deep Networks,
2017, section 3). With one margin the integral is `(f(m) - f(b)) / (m - b)`; with several it is
taken by Gauss-Legendre quadrature, exact to about 1e-12 for margins that tree models reach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.links import Link

Array = NDArray[np.float64]

NODES = 48
ROWS_AT_ONCE = 4_096
_SMALL = 1e-6  # below this distance the difference quotient loses digits: take the derivative


def effects(link: Link, phi: Array, base: Array, output: NDArray[np.intp]) -> tuple[Array, Array]:
    """Effects of every feature on the chosen output, and the base prediction.

    Parameters
    ----------
    link
        Margins to predictions.
    phi
        SHAP values, shape (rows, margins, features).
    base
        Base margins, shape (margins,).
    output
        Which output of the link is explained, per row.

    Returns
    -------
    effects, base : arrays of shape (rows, features) and (rows,)
        `base + effects.sum(axis=1)` is the prediction.
    """
    starts = np.take(link.predict(base[None, :])[0], output)
    found = np.empty((phi.shape[0], phi.shape[2]))
    for start in range(0, len(phi), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        slopes = _mean_slopes(link, phi[rows], base, output[rows])
        found[rows] = np.einsum("nkf,nk->nf", phi[rows], slopes)
    return found, starts


def _mean_slopes(link: Link, phi: Array, base: Array, output: NDArray[np.intp]) -> Array:
    """The link's mean derivative along each row's path, shape (rows, margins)."""
    way = phi.sum(axis=2)
    if phi.shape[1] == 1:
        return _secant(link, base, way, output)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    at = base + (nodes[None, :, None] + 1) / 2 * way[:, None, :]
    gradient = link.gradient(at, np.repeat(output[:, None], NODES, axis=1))
    return np.asarray(np.einsum("nqk,q->nk", gradient, weights / 2))


def _secant(link: Link, base: Array, way: Array, output: NDArray[np.intp]) -> Array:
    rise = link.predict(base + way) - link.predict(base[None, :])
    far = np.abs(way) > _SMALL
    return np.where(far, rise / np.where(far, way, 1.0), link.gradient(base + way / 2, output))
