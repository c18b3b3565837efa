"""SHAP values of boosted trees for many rows at once: those of TreeSHAP, path-dependent.

The values of a row in one tree depend on nothing but the outcomes of the tree's splits, and many rows
share one pattern of outcomes (the observation behind WOODELF: Nadel and Wettenstein, From Decision
Trees to Boolean Logic, AAAI 2026). So each pattern is explained once, and rows look theirs up.
"""

from __future__ import annotations

import warnings
from weakref import WeakKeyDictionary

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.tree_shap import TreeShap, tabled
from training.tree_text import Tree, UnreadTreesError, read_trees

Array = NDArray[np.float64]
Codes = NDArray[np.integer]
Indices = NDArray[np.intp]

ROWS_AT_LEAST = 100
CHECKED, TOLERANCE = 3, 1e-6  # rows of a batch held against LightGBM's values
SPLITS_AT_MOST = 62  # of a tree: the bits of a pattern
_COUNTED = 16  # splits up to which a table of all patterns finds those that rows have


def contributions(booster: lgb.Booster, matrix: Array, threads: int = 1) -> tuple[Array, Array]:
    """SHAP values, shape (margins, features, rows), and base margins, shape (margins,), of one row or more.

    Few rows go to LightGBM's own TreeSHAP, many to `BatchShap`, whose values of some rows are held
    against LightGBM's: where they differ, LightGBM's are given for all rows, with a warning.
    """
    batch = _batch_of(booster) if len(matrix) >= ROWS_AT_LEAST else None
    if batch is None:
        return _tree_shap(booster, matrix, threads)
    found = batch.values(matrix)
    some = np.linspace(0, len(matrix) - 1, CHECKED).astype(np.intp)
    wanted, base = _tree_shap(booster, matrix[some], threads)
    if np.allclose(found[:, :, some], wanted, rtol=TOLERANCE, atol=TOLERANCE):
        return found, base
    warnings.warn("batch SHAP values differ from LightGBM's, which are used instead", RuntimeWarning, stacklevel=2)
    return _tree_shap(booster, matrix, threads)


def _tree_shap(booster: lgb.Booster, matrix: Array, threads: int) -> tuple[Array, Array]:
    """LightGBM's own, row by row."""
    found = np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=threads))
    values = found.reshape(len(matrix), booster.num_model_per_iteration(), -1).transpose(1, 2, 0)
    return values[:, :-1], values[:, -1, 0]


def _batch_of(booster: lgb.Booster) -> BatchShap | None:
    """The booster's `BatchShap`, made once; None: its trees are of another kind."""
    if booster not in _BATCHES:
        try:
            _BATCHES[booster] = BatchShap(booster)
        except UnreadTreesError:
            _BATCHES[booster] = None
    return _BATCHES[booster]


class BatchShap:
    """SHAP values of a booster's margins.

    Reading the trees takes about a millisecond each; the instance is meant to be kept. Safe to share
    between threads.

    Raises
    ------
    UnreadTreesError
        Where the trees are of a kind not explained here.
    """

    def __init__(self, booster: lgb.Booster) -> None:
        trees = read_trees(booster.model_to_string())
        if max(len(tree.features) for tree in trees) > SPLITS_AT_MOST:
            raise UnreadTreesError(f"a tree has more than {SPLITS_AT_MOST} splits")
        self.margins, self.features = booster.num_model_per_iteration(), booster.num_feature()
        self.base = np.array([sum(t.expected for t in trees[k :: self.margins]) for k in range(self.margins)])
        self._edges = _edges(trees, self.features)
        tables = tabled(trees)
        self._trees = [
            (margin, _Splits(tree, self._edges), TreeShap(tree, tables))
            for margin in range(self.margins)  # one after the other: what is added to stays in the cache
            for tree in trees[margin :: self.margins]
            if len(tree.features)
        ]

    def values(self, matrix: Array) -> Array:
        """Shape (margins, features, rows)."""
        found = np.zeros((self.margins, self.features, len(matrix)))
        ranks = _ranks(matrix, self._edges)
        for margin, splits, shap in self._trees:
            codes, which = splits.patterns(ranks)
            for feature, values in zip(shap.features, shap.values(codes), strict=True):
                found[margin, feature] += values.take(which)
        return found


def _edges(trees: list[Tree], features: int) -> list[Array]:
    """Per feature, the thresholds of all trees, ascending."""
    owners = np.concatenate([tree.features for tree in trees])
    thresholds = np.concatenate([tree.thresholds for tree in trees])
    return [np.unique(thresholds[owners == feature]) for feature in range(features)]


def _ranks(matrix: Array, edges: list[Array]) -> NDArray[np.unsignedinteger]:
    """How many thresholds each value exceeds, shape (2 * features, rows).

    A value that is missing exceeds all in the first half of the rows, none in the second.
    """
    most = max(len(found) for found in edges)
    ranks = np.zeros((2 * len(edges), len(matrix)), dtype=np.min_scalar_type(most))
    for feature, found in enumerate(edges):
        if len(found):
            column = np.ascontiguousarray(matrix[:, feature])
            ranks[feature] = np.searchsorted(found, column)  # nan sorts behind all
            ranks[len(edges) + feature] = np.where(np.isnan(column), 0, ranks[feature])
    return ranks


class _Splits:
    """A tree's splits, as comparisons of ranks."""

    def __init__(self, tree: Tree, edges: list[Array]) -> None:
        self.rows = tree.features + len(edges) * tree.missing_left
        ranks = [np.searchsorted(edges[f], at) for f, at in zip(tree.features, tree.thresholds, strict=True)]
        self.ranks = np.array(ranks, dtype=np.min_scalar_type(max(len(found) for found in edges)))[:, None]

    def patterns(self, ranks: NDArray[np.unsignedinteger]) -> tuple[Codes, Indices]:
        """The patterns that occur, and which of them each row has; bit s: split s sends the row left."""
        left = ranks[self.rows] <= self.ranks
        return _counted(left) if len(left) <= _COUNTED else _hashed(left)


def _counted(left: NDArray[np.bool_]) -> tuple[Codes, Indices]:
    """Patterns of few splits, through a table with a place for each there could be."""
    low, high = (_byte(left[some]) for some in (slice(8), slice(8, None)))
    codes = low | high.astype(np.intp) << 8
    place = np.zeros(1 << len(left), dtype=np.intp)
    place[codes] = 1
    found = np.flatnonzero(place)
    place[found] = np.arange(len(found))
    return found.astype(np.uint16), place.take(codes)


def _byte(left: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Up to eight outcomes as the bits of a byte, the first the lowest."""
    codes = np.zeros(left.shape[1], dtype=np.uint8)
    for outcomes in left[::-1].view(np.uint8):
        codes += codes  # doubling is faster than a shift
        codes |= outcomes
    return codes


def _hashed(left: NDArray[np.bool_]) -> tuple[Codes, Indices]:
    codes = np.zeros(left.shape[1], dtype=np.int64)
    for split, outcomes in enumerate(left):
        codes |= np.left_shift(outcomes, split, dtype=np.int64)
    which, found = pd.factorize(codes)
    return np.asarray(found, dtype=np.int64), which


_BATCHES: WeakKeyDictionary[lgb.Booster, BatchShap | None] = WeakKeyDictionary()
