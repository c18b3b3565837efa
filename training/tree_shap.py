"""SHAP values of one tree, by pattern: which splits send a row left.

A leaf of value w with the features j on its path is the game `v(S) = w * product over S of o_j *
product over the others of r_j`: o_j is 1 where the row stays on the path at every split on j, else 0,
and r_j the share of the training rows that do (path-dependent SHAP: Lundberg et al., From Local
Explanations to Global Understanding, 2020). The Shapley value of j is `w * (o_j - r_j) * integral over
t in [0, 1] of the product over i != j of t * o_i + (1 - t) * r_i`: a polynomial, which Gauss-Legendre
quadrature integrates exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from training.tree_text import Leaf, Tree

Array = NDArray[np.float64]
Codes = NDArray[np.integer]

TABLED = 10  # features on a path up to which all its patterns are explained beforehand: 1,024 of them
_AT_ONCE = 200  # leaves explained at once: bounds the memory


def shapley(follows: NDArray[np.bool_], shares: Array, values: Array) -> Array:
    """Shapley values of leaves.

    Parameters
    ----------
    follows
        o, shape (..., features, patterns).
    shares
        r, shape (..., features, 1), all above 0.
    values
        w, shape (..., 1, 1).

    Returns
    -------
    Array of shape (..., features, patterns)
    """
    nodes, weights = np.polynomial.legendre.leggauss((shares.shape[-2] + 1) // 2)
    total = np.zeros(np.broadcast_shapes(follows.shape, shares.shape))
    for at, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        factors = at * follows + (1 - at) * shares
        total += weight * factors.prod(axis=-2, keepdims=True) / factors
    return np.asarray(values * (follows - shares) * total)


def tabled(trees: Iterable[Tree]) -> dict[Leaf, Array]:
    """The values of every pattern of the leaves with few features, shape (features, 2^features) each."""
    leaves = [leaf for tree in trees for leaf in tree.leaves if len(leaf.features) <= TABLED]
    found: dict[Leaf, Array] = {}
    for width, group in groupby(sorted(leaves, key=_width), key=_width):
        follows = (np.arange(2**width) >> np.arange(width)[:, None] & 1).astype(bool)
        same = list(group)
        for start in range(0, len(same), _AT_ONCE):
            some = same[start : start + _AT_ONCE]
            shares, values = np.array([leaf.shares for leaf in some]), np.array([leaf.value for leaf in some])
            found |= zip(some, shapley(follows, shares[..., None], values[:, None, None]), strict=True)
    return found


def _width(leaf: Leaf) -> int:
    return len(leaf.features)


class TreeShap:
    """The SHAP values of a tree's patterns.

    Attributes
    ----------
    features
        The features that the tree splits on: the rows of `values`.
    """

    def __init__(self, tree: Tree, tables: dict[Leaf, Array]) -> None:
        self.features = np.unique(tree.features)
        leaves = [leaf for leaf in tree.leaves if leaf in tables]
        self._deep = [leaf for leaf in tree.leaves if leaf not in tables]
        # An entry per leaf and feature on its path, leaf by leaf; its row in the leaf's table begins at `begins`.
        widths = np.array([len(leaf.features) for leaf in leaves], dtype=np.intp)
        places = np.array([place for width in widths.tolist() for place in range(width)], dtype=np.intp)
        owners = np.array([feature for leaf in leaves for feature in leaf.features], dtype=np.intp)
        sizes = np.array([tables[leaf].size for leaf in leaves], dtype=np.intp)
        lengths = np.repeat(1 << widths, widths)
        begins = np.repeat(np.cumsum(sizes) - sizes, widths) + places * lengths
        self._splits = np.array([bits for leaf in leaves for bits in leaf.splits], dtype=np.int64)[:, None]
        self._wanted = np.array([bits for leaf in leaves for bits in leaf.wanted], dtype=np.int64)[:, None]
        self._bits = (1 << places).astype(np.uint16)[:, None]
        self._paths = list(map(slice, *_bounds(widths)))
        # The same entries feature by feature.
        order = np.argsort(owners, kind="stable")
        self._leaf = np.repeat(np.arange(len(leaves)), widths)[order]
        self._begins = begins[order][:, None]
        self._owned = list(map(slice, *_bounds(np.array([(owners == feature).sum() for feature in self.features]))))
        self._table = np.concatenate([tables[leaf].ravel() for leaf in leaves]) if leaves else np.empty(0)

    def values(self, codes: Codes) -> Array:
        """SHAP values of the patterns, shape (features, patterns); bit s of a pattern: split s sends left."""
        follows = (codes & self._splits.astype(codes.dtype)) == self._wanted.astype(codes.dtype)
        bits = follows * self._bits
        patterns = np.empty((len(self._paths), len(codes)), dtype=np.intp)
        for path, entries in enumerate(self._paths):
            np.add.reduce(bits[entries], axis=0, out=patterns[path])
        parts = self._table.take(patterns[self._leaf] + self._begins)
        found = np.empty((len(self.features), len(codes)))
        for slot, entries in enumerate(self._owned):
            np.add.reduce(parts[entries], axis=0, out=found[slot])
        for leaf in self._deep:
            self._add_deep(leaf, codes, found)
        return found

    def _add_deep(self, leaf: Leaf, codes: Codes, to: Array) -> None:
        """A leaf whose patterns are too many for a table: only those that rows have are explained."""
        splits, wanted = (np.array(bits, dtype=np.int64)[:, None] for bits in (leaf.splits, leaf.wanted))
        follows = (codes.astype(np.int64) & splits) == wanted
        slots = np.searchsorted(self.features, leaf.features)
        to[slots] += shapley(follows, np.array(leaf.shares)[:, None], np.array([[leaf.value]]))


def _bounds(sizes: NDArray[np.intp]) -> tuple[list[int], list[int]]:
    """Where parts of these sizes begin and end, one after the other."""
    ends = np.cumsum(sizes)
    return (ends - sizes).tolist(), ends.tolist()
