"""The paper that plots are drawn on: colours, titles and text that every font can show.

Figures are made without pyplot: nothing global is touched and no window system is needed.
"""

from __future__ import annotations

import textwrap
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Okabe and Ito's palette, told apart by every kind of colour vision: what the model said, and what happened.
SAID, HAPPENED = "#D55E00", "#0072B2"
PALE, GREY, INK = "#D9D9D9", "#6B6B6B", "#1A1A1A"

_FONT = "DejaVu Sans"  # comes with matplotlib, so a figure looks the same everywhere
_OTHER_SCRIPTS = (
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Arial Unicode MS",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
)
_LONGEST = 75  # characters of a label; the rest would leave no room for the bars


@cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Families to draw with, in order, and the code points that they can show together."""
    installed = set(font_manager.fontManager.get_font_names())
    families = [_FONT, *(name for name in _OTHER_SCRIPTS if name in installed)]
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in families]
    return families, frozenset(code for font in fonts for code in font.get_charmap())


def legible(text: str) -> str:
    """The text on one line, shortened; characters that no font here can show as `U+8CFC`."""
    known, line = _fonts()[1], textwrap.shorten(text, _LONGEST, placeholder=" …")
    # A single long word would be dropped whole by `shorten`.
    line = line if line not in ("", "…", " …") else " ".join(text.split())[:_LONGEST]
    return "".join(c if ord(c) in known else f"U+{ord(c):04X}" for c in line)


def words() -> dict[str, Any]:
    """Properties of a text that holds names: fonts of other scripts, a `$` that is no formula."""
    return {"fontfamily": _fonts()[0], "parse_math": False}


def panel(title: str, subtitle: str, width: float = 7.0, height: float = 5.0) -> tuple[Figure, Axes]:
    """A figure with one plot, a title and a line below it; sizes in inches."""
    figure = page(title, width, height)
    axes = figure.add_subplot()
    plain(axes, subtitle)
    return figure, axes


def page(title: str, width: float, height: float) -> Figure:
    """An empty figure with a title."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    figure.suptitle(legible(title), x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK, **words())
    return figure


def plain(axes: Axes, subtitle: str) -> None:
    """Take away what carries no data, and say what is shown."""
    axes.set_title(subtitle, loc="left", fontsize=9.5, color=GREY, **words())
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=9)
    axes.set_axisbelow(True)


def name_axes(axes: Axes, x: str, y: str) -> None:
    """What the axes count, in words with units."""
    axes.set_xlabel(legible(x), color=INK, **words())
    axes.set_ylabel(legible(y), color=INK, **words())


def percent(share: float, decimals: int = 0) -> str:
    """A share as the project writes it: `12 %`."""
    return f"{100 * share:.{decimals}f} %"


def in_percent(decimals: int = 0) -> PercentFormatter:
    """Ticks of shares, written as `percent` does."""
    return PercentFormatter(1.0, decimals=decimals, symbol=" %")


def say(axes: Axes, x: float, y: float, text: str, off: tuple[float, float] = (0, 0), **style: Any) -> Text:
    """A direct label beside what it names, moved away by `off` points."""
    shown: dict[str, Any] = {"fontsize": 9, "color": GREY, "annotation_clip": False, **words(), **style}
    return axes.annotate(legible(text), (x, y), xytext=off, textcoords="offset points", **shown)


def wilson(share: ArrayLike, rows: ArrayLike) -> tuple[Array, Array]:
    """Ends of the 95 % interval of a share seen on so many rows (Wilson 1927)."""
    share, rows, z = np.asarray(share, dtype=np.float64), np.asarray(rows, dtype=np.float64), 1.959964
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def whiskers(axes: Axes, x: ArrayLike, share: ArrayLike, rows: ArrayLike) -> None:
    """The 95 % intervals of shares, as thin vertical lines."""
    axes.vlines(x, *wilson(share, rows), color=HAPPENED, linewidth=1.2, alpha=0.6)
