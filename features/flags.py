"""Which rows of a table count: found where they are needed, counted before any row."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl

from features.ranges import Bits, Ints, Places

FEW = 10_000  # rows up to which NumPy is done before Polars has begun
SEARCHED = 100  # rows per edge from which searching is faster than counting bits (measured)


class Flags:
    """A column that is true or false, never null."""

    def __init__(self, column: pl.Series) -> None:
        self._column = column

    @property
    def all(self) -> bool:
        """Whether every row counts."""
        return bool(self._column.all())

    @cached_property
    def rows(self) -> Ints:
        """The rows that count."""
        if len(self._column) <= FEW:
            return np.flatnonzero(self._column.to_numpy())
        flags = np.unpackbits(self._bits, count=len(self._column), bitorder="little")
        return np.flatnonzero(flags.view(np.bool_))

    def chosen(self, values: pl.Series) -> pl.Series:
        """The values of the rows that count."""
        return values.filter(self._column)

    def before(self, edges: Ints) -> Ints:
        """Where edges lie among the rows that count: how many of these stand before each."""
        size = len(self._column)
        if size <= FEW or edges.size * SEARCHED < size:
            return np.searchsorted(self.rows, edges)
        return Places(self._bits, size).before(edges)

    @cached_property
    def _bits(self) -> Bits:
        """Eight rows a byte, as they lie in memory; copied only where they do not begin with a byte."""
        size, arrow = len(self._column), self._column.rechunk().to_arrow()
        begin, buffer = arrow.offset, arrow.buffers()[1]
        if begin % 8 or buffer is None:
            return np.packbits(self._column.to_numpy(), bitorder="little")
        bits: Bits = np.frombuffer(buffer, dtype=np.uint8)[begin // 8 : begin // 8 + -(-size // 8)]
        if size % 8:
            bits = bits.copy()
            bits[-1] &= (1 << size % 8) - 1
        return bits
