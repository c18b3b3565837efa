"""The same text and JSON artifacts as an MLflow pyfunc, for MLflow's own users.

Models-from-code: MLflow stores this file, not a pickle. It takes vectors as `journeycast features`
writes them and gives the task's predictions, without reasons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl

from training.intervals import read_intervals
from training.model import Model


class VectorModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Vectors in, predictions out."""

    def load_context(self, context: Any) -> None:
        """Read the model's files."""
        self.model = Model.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of predictions per row of vectors.

        Columns: `probability` (churn); one per stage (next stage); `expected`, `low`, `high` (CLTV).
        """
        model = self.model
        # Columns that are not given are unknown, as the signature says.
        found = model.predict(pl.from_pandas(model_input.reindex(columns=list(model.encoding.inputs))))
        if model.task == "next_stage":
            return pd.DataFrame(found, columns=model.about["classes"])
        if model.task == "churn":
            return pd.DataFrame({"probability": found[:, 0]})
        low, high = read_intervals(model.about["intervals"]).interval(found[:, 0])
        return pd.DataFrame({"expected": found[:, 0], "low": low, "high": high})


mlflow.models.set_model(VectorModel())
