"""LightGBM's text form of a booster, read into arrays: splits, leaves and the path to each leaf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Bits of `decision_type`: a categorical split; where missing values go; what counts as missing.
_CATEGORICAL, _MISSING_LEFT, _MISSING = 0b0001, 0b0010, 0b1100
_ZERO_IS_MISSING, _NAN_IS_MISSING = 0b0100, 0b1000


class UnreadTreesError(ValueError):
    """The trees are of a kind that is not read here: categorical splits, zeros as missing, linear leaves."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf and its path, told per feature that the path splits on, in order of first use.

    Attributes
    ----------
    value
        What the leaf adds to the margin.
    features
        The features, shape (features,).
    splits, wanted
        Per feature, as bits, the splits on the path and the outcomes (1: left) that stay on it.
    shares
        Per feature, the share of the training rows that stay on the path where it alone decides.
    """

    value: float
    features: tuple[int, ...]
    splits: tuple[int, ...]
    wanted: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree; split 0 is the root.

    Attributes
    ----------
    features, thresholds
        Per split: rows go left whose value is at most the threshold.
    missing_left
        Per split: whether rows without a value go left.
    leaves
        In LightGBM's order.
    expected
        Mean of the leaves' values over the training rows.
    """

    features: Indices
    thresholds: Array
    missing_left: NDArray[np.bool_]
    leaves: tuple[Leaf, ...]
    expected: float


def read_trees(text: str) -> list[Tree]:
    """The trees of `lightgbm.Booster.model_to_string()`, in its order: class by class, round by round.

    Raises
    ------
    UnreadTreesError
        Where a tree is of a kind that is not read here.
    """
    head, *blocks = text.split("end of trees", 1)[0].split("\nTree=")
    if "\naverage_output" in head:
        raise UnreadTreesError("the trees are averaged, not added up")
    return [_tree(_fields(block)) for block in blocks]


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _tree(fields: dict[str, str]) -> Tree:
    values = _numbers(fields["leaf_value"])
    if fields.get("is_linear", "0") != "0":
        raise UnreadTreesError("a tree has linear leaves")
    if len(values) == 1:  # no split was worth making: the tree adds a constant
        nothing = np.empty(0, dtype=np.intp)
        return Tree(nothing, np.empty(0), np.empty(0, dtype=bool), (), float(values[0]))
    kinds = _numbers(fields["decision_type"]).astype(np.intp)
    if (kinds & _CATEGORICAL).any():
        raise UnreadTreesError("a tree splits on categories")
    if ((kinds & _MISSING) == _ZERO_IS_MISSING).any():
        raise UnreadTreesError("a tree takes zeros as missing")
    features, thresholds = _numbers(fields["split_feature"]).astype(np.intp), _numbers(fields["threshold"])
    # Where no value was missing in training, LightGBM reads a missing one as 0.
    missing = (kinds & _MISSING) == _NAN_IS_MISSING
    missing_left = np.where(missing, (kinds & _MISSING_LEFT) > 0, thresholds >= 0)
    counts = _numbers(fields["leaf_count"])
    leaves = _leaves(fields, features, values, counts)
    return Tree(features, thresholds, missing_left, leaves, float(values @ counts / counts.sum()))


def _leaves(fields: dict[str, str], features: Indices, values: Array, counts: Array) -> tuple[Leaf, ...]:
    """Walk from the root to every leaf; children below 0 are leaves, -1 the first."""
    children = [_numbers(fields[side]).astype(np.intp).tolist() for side in ("right_child", "left_child")]
    inner = _numbers(fields["internal_count"])
    if min(inner.min(), counts.min()) <= 0:
        raise UnreadTreesError("a leaf has no training rows")
    found: dict[int, Leaf] = {}
    waiting: list[tuple[int, dict[int, tuple[int, int, float]]]] = [(0, {})]
    while waiting:
        split, path = waiting.pop()
        feature = int(features[split])
        for left in (0, 1):
            child = children[left][split]
            share = (counts[~child] if child < 0 else inner[child]) / inner[split]
            splits, wanted, before = path.get(feature, (0, 0, 1.0))
            further = path | {feature: (splits | 1 << split, wanted | left << split, before * float(share))}
            if child < 0:
                found[~child] = Leaf(float(values[~child]), tuple(further), *zip(*further.values(), strict=True))
            else:
                waiting.append((child, further))
    return tuple(found[number] for number in range(len(values)))


def _numbers(text: str) -> Array:
    return np.array(text.split(), dtype=np.float64)
