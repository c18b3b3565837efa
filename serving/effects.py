"""From SHAP values on margins to effects in the prediction's own unit.

Aumann-Shapley along the straight line from the base margins b to the customer's margins m: feature
j's effect is `sum over margins k of phi_kj * integral over t in [0, 1] of df/dm_k(b + t (m - b))`.
The effects add up to f(m) - f(b) whatever the link f, calibration included (Aumann and Shapley,
Values of Non-Atomic Games, 1974; Sundararajan et al., Axiomatic Attribution for Deep Networks,
2017, section 3). With one margin the integral is `(f(m) - f(b)) / (m - b)`; with several it is
taken by Gauss-Legendre quadrature, exact to about 1e-10 for margins that tree models reach.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from training.links import Link

Array = NDArray[np.float64]

NODES = (10, 20, 48, 160)  # the first do for most rows, the last for margins far beyond what trees reach
ROWS_AT_ONCE = 4_096
POINTS_AT_ONCE = 8_192  # rows times nodes of a quadrature: what stays in the processor's cache
_CLOSE = 1e-10  # of what the effects add up to: beyond it the nodes were too few
_SMALL = 1e-6  # below this distance the difference quotient loses digits: take the derivative


def effects(link: Link, phi: Array, base: Array, output: NDArray[np.intp]) -> tuple[Array, Array]:
    """Effects of every feature on the chosen output, and the base prediction.

    Parameters
    ----------
    link
        Margins to predictions.
    phi
        SHAP values, shape (rows, margins, features); fastest where the rows stand innermost in memory.
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
    found = np.empty((phi.shape[2], phi.shape[0]))
    for start in range(0, len(phi), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        slopes = _mean_slopes(link, base, phi[rows].sum(axis=2), output[rows])
        found[:, rows] = sum(phi[rows, margin].T * slopes[:, margin] for margin in range(phi.shape[1]))
    return found.T, starts


def _mean_slopes(link: Link, base: Array, way: Array, output: NDArray[np.intp]) -> Array:
    """The link's mean derivative along each row's path, shape (rows, margins)."""
    if way.shape[1] == 1:
        return _secant(link, base, way, output)
    # What the slopes should add up to is known, and so which rows need more nodes.
    ends, begins = link.predict(base + way), link.predict(base[None, :])
    rise = np.take_along_axis(ends - begins, output[:, None], axis=1)[:, 0]
    slopes, off = np.empty(way.shape), np.arange(len(way))
    for nodes in NODES:
        slopes[off] = _quadrature(link, base, way[off], output[off], nodes)
        wrong = np.abs((slopes[off] * way[off]).sum(axis=1) - rise[off])
        off = off[wrong > _CLOSE * np.maximum(1.0, np.abs(rise[off]))]
        if not len(off):
            break
    return _exact(slopes, way, rise)


def _exact(slopes: Array, way: Array, rise: Array) -> Array:
    """The slopes with what the quadrature left over shared out by the size of their parts: then all adds up."""
    parts = np.abs(slopes * way)
    left = rise - (slopes * way).sum(axis=1)
    share = np.divide(left, parts.sum(axis=1), out=np.zeros_like(left), where=parts.sum(axis=1) > 0)
    found: Array = slopes * (1.0 + np.sign(slopes * way) * share[:, None])
    return found


def _quadrature(link: Link, base: Array, way: Array, output: NDArray[np.intp], nodes: int) -> Array:
    places, weights = _rule(nodes)
    total = np.zeros(way.shape)
    at_once = max(1, POINTS_AT_ONCE // max(1, len(way)))  # all nodes of few rows, one of many
    for start in range(0, nodes, at_once):
        some = slice(start, start + at_once)
        points = base + places[some, None, None] * way
        slopes = link.gradient(points, np.broadcast_to(output, points.shape[:2]))
        for weight, slope in zip(weights[some], slopes, strict=True):  # in one order: the same bits for few and many
            total += weight * slope
    return total


@cache
def _rule(nodes: int) -> tuple[Array, Array]:
    """Gauss and Legendre's places and weights on [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (places + 1) / 2, weights / 2


def _secant(link: Link, base: Array, way: Array, output: NDArray[np.intp]) -> Array:
    rise = link.predict(base + way) - link.predict(base[None, :])
    far = np.abs(way) > _SMALL
    return np.where(far, rise / np.where(far, way, 1.0), link.gradient(base + way / 2, output))
