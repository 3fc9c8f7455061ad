"""The best model of a run as an MLflow model: raw event lists in, class and probabilities out.

MLflow runs this file to load the model (models from code): weights and config are its artifacts, nothing is unpickled.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from models.time_embeddings import OwnEmbeddingConfig
from pipeline.checkpoint import load
from pipeline.config import RunConfig
from pipeline.data import EventDataset, Standardization
from pipeline.training.evaluation import predict


class EventClassifier(PythonModel):
    """Classifies sequences of timed events given as lists of raw times, with features where the model has them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model from its config and state_dict."""
        description = json.loads(Path(context.artifacts["config"]).read_text())
        self.shape = description["shape"]
        config = RunConfig.model_validate(description["config"])
        if isinstance(config.model.embedding, OwnEmbeddingConfig):
            config.model.embedding.trust()  # who loads a model of MLflow runs the code beside it, this file included
        self.model = config.model.build(
            horizon=self.shape["horizon"], feature_dim=self.shape["feature_dim"], classes=self.shape["classes"]
        )
        self.model.load_state_dict(load(Path(context.artifacts["weights"]))["model"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return `predicted` (number of the class), `class` (its name) and `probabilities` (list of C).

        A row holds `times` (list) in the unit of the training data, and `features` where the model has them, which are
        standardised as those of the training data were.
        """
        del context, params
        features = model_input["features"].tolist() if self.shape["feature_dim"] else None
        if features and self.shape["standardization"]:
            features = [Standardization(**self.shape["standardization"]).apply(table) for table in features]
        dataset = EventDataset.from_lists(
            model_input["times"].tolist(),
            features=features,
            horizon=self.shape["horizon"],
            classes=self.shape["classes"],
        )
        probabilities_NC = np.exp(predict(self.model, dataset).double().numpy())
        predicted_N = probabilities_NC.argmax(1)
        return pd.DataFrame(
            {
                "predicted": predicted_N,
                "class": [self.shape["class_names"][number] for number in predicted_N],
                "probabilities": probabilities_NC.tolist(),
            }
        )


mlflow.models.set_model(EventClassifier())
