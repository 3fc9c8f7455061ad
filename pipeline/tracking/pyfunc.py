"""The best model of a run as an MLflow model: raw event lists in, class and probabilities out.

MLflow runs this file to load the model (models from code). Code, weights and config are its artifacts; nothing is unpickled.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class EventClassifier(PythonModel):
    """`pipeline.inference.Inference` as MLflow calls it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model with the code that was stored with it, or, where the project is imported already, with that."""
        if "pipeline" not in sys.modules:
            sys.path.insert(0, context.artifacts["code"])  # a ZIP file, from which Python imports as from a folder
        files = (Path(context.artifacts[name]) for name in ("config", "weights"))
        self._inference = import_module("pipeline.inference").Inference(*files)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return `predicted` (number of the class), `class` (its name) and `probabilities` (list of C) of each row."""
        del context, params
        answers: pd.DataFrame = self._inference.answers(model_input)
        return answers


mlflow.models.set_model(EventClassifier())
