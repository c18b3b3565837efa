"""Links: from a task's margins to its prediction, calibration included, with derivatives.

Margins are what the trees add up to and what SHAP values live on; a link carries them to the unit
of the prediction. `gradient` is what carries the SHAP values there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.calibration import PlattCalibrator, VectorCalibrator, read_calibrator

Array = NDArray[np.float64]


class Link(Protocol):
    """Margins of shape (..., M) to predictions of shape (..., K)."""

    def predict(self, margins: Array) -> Array:
        """Predictions, shape (..., K)."""
        ...

    def gradient(self, margins: Array, output: NDArray[np.intp]) -> Array:
        """Derivative of the output numbered `output` (shape (...)) by each margin, shape (..., M)."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read_link` makes the same value of it."""
        ...


@dataclass(frozen=True, slots=True)
class Probability:
    """One margin, one calibrated probability."""

    calibrator: PlattCalibrator

    def predict(self, margins: Array) -> Array:
        """Probability, shape (..., 1)."""
        return self.calibrator.probability(margins)

    def gradient(self, margins: Array, output: NDArray[np.intp]) -> Array:
        """Derivative by the margin, shape (..., 1)."""
        return self.calibrator.derivative(margins)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"kind": "probability", "calibrator": self.calibrator.to_json()}


@dataclass(frozen=True, slots=True)
class Probabilities:
    """A margin and a calibrated probability per class."""

    calibrator: VectorCalibrator

    def predict(self, margins: Array) -> Array:
        """Probabilities, shape (..., K)."""
        return self.calibrator.probabilities(margins)

    def gradient(self, margins: Array, output: NDArray[np.intp]) -> Array:
        """Derivative of each row's chosen class by every margin, shape (..., K)."""
        p = self.calibrator.probabilities(margins)
        chosen = np.take_along_axis(p, output[..., None], axis=-1)
        own = np.arange(p.shape[-1]) == output[..., None]
        return np.asarray(chosen * (own - p) / self.calibrator.temperature)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"kind": "probabilities", "calibrator": self.calibrator.to_json()}


@dataclass(frozen=True, slots=True)
class TwoParts:
    """Two margins, one amount: the probability of spending at all times the amount if so.

    The amount is `exp(slope * margin + intercept)`, margins on the log scale.
    """

    spends: PlattCalibrator
    slope: float
    intercept: float

    def parts(self, margins: Array) -> tuple[Array, Array]:
        """The probability of spending and the amount if so, each of shape (...)."""
        amount = np.exp(np.minimum(self.slope * margins[..., 1] + self.intercept, 50.0))
        return self.spends.probability(margins[..., 0]), amount

    def predict(self, margins: Array) -> Array:
        """The expected amount, shape (..., 1)."""
        probability, amount = self.parts(margins)
        return np.asarray((probability * amount)[..., None])

    def gradient(self, margins: Array, output: NDArray[np.intp]) -> Array:
        """Derivative by both margins, shape (..., 2)."""
        probability, amount = self.parts(margins)
        by_first = self.spends.derivative(margins[..., 0]) * amount
        return np.stack([by_first, probability * amount * self.slope], axis=-1)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"kind": "two parts", "spends": self.spends.to_json(), "slope": self.slope, "intercept": self.intercept}


def read_link(written: dict[str, Any]) -> Link:
    """The link that `to_json` wrote.

    Raises
    ------
    ValueError
        Where the object is none that a link writes.
    """
    if written.get("kind") == "two parts":
        spends = read_calibrator(written["spends"])
        if isinstance(spends, PlattCalibrator):
            return TwoParts(spends, float(written["slope"]), float(written["intercept"]))
    calibrator = read_calibrator(written.get("calibrator", {}))
    if written.get("kind") == "probability" and isinstance(calibrator, PlattCalibrator):
        return Probability(calibrator)
    if written.get("kind") == "probabilities" and isinstance(calibrator, VectorCalibrator):
        return Probabilities(calibrator)
    raise ValueError(f"{written!r} is not a link; accepted kinds: probability, probabilities, two parts")
