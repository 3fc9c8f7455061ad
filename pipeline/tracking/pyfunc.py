"""The best model of a run as an MLflow model: raw event lists in, class and probabilities out.

MLflow runs this file to load the model (models from code). Code, weights and config are its artifacts; nothing is unpickled.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

SIGNATURE = ModelSignature(
    outputs=Schema(
        [
            ColSpec(DataType.long, "predicted"),
            ColSpec(DataType.string, "class"),
            ColSpec(Array(DataType.double), "probabilities"),
            ColSpec(Array(DataType.string), "anytime_class", required=False),
            ColSpec(Array(Array(DataType.double)), "anytime_probabilities", required=False),
        ]
    ),
    params=ParamSchema([ParamSpec("anytime", DataType.boolean, default=False)]),
)
"""The outputs of a stored model, and its parameter.

The signature has no input schema: with one, MLflow would refuse whole numbers, drop columns that it does not know, and report
errors in many lines. The model checks its input itself, and the example that is stored with it shows the form of an input.
"""


class RequestError(MlflowException):
    """A request that cannot be answered, with HTTP status 400.

    MLflow's server prepends the whole request to the message of an exception; this exception's message stays one line.
    """

    def __init__(self, line: str) -> None:
        """Keep the line."""
        self._line = line
        super().__init__(line, INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The line."""
        return self._line

    @message.setter
    def message(self, told: str) -> None:
        del told


class EventClassifier(PythonModel):
    """`pipeline.inference.Inference` as MLflow calls it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model with the code that was stored with it, or, where the project is imported already, with that.

        Whoever got here has let MLflow run code of the store, this file included, so the source of an embedding is run, too.
        """
        if "pipeline" not in sys.modules:
            sys.path.insert(0, context.artifacts["code"])  # a ZIP file, from which Python imports as from a folder
        files = (Path(context.artifacts[name]) for name in ("config", "weights"))
        self._inference = import_module("pipeline.inference").Inference(*files, trusted=True)
        self._refused: type[Exception] = import_module("pipeline.errors").UsageError

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return `predicted` (number of the class), `class` (its name) and `probabilities` (list of C) of each row.

        With `params={"anytime": True}`, also return the answers after each event. RequestError if a row cannot be answered.
        """
        del context
        try:
            answers: pd.DataFrame = self._inference.answers(model_input, anytime=bool((params or {}).get("anytime")))
        except self._refused as error:
            raise RequestError(str(error)) from None
        return answers


mlflow.models.set_model(EventClassifier())
