"""A trained model away from its run: raw lists of events in, classes and probabilities out.

A stored model carries this module and what it imports, and nothing else of the project (`pipeline/parcel.py`).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from models.time_embeddings import OwnEmbeddingConfig
from pipeline.checkpoint import load
from pipeline.config import RunConfig
from pipeline.data import EventDataset, Standardization
from pipeline.training.evaluation import predict


class Inference:
    """Classifies sequences of timed events given as lists of raw times, with features where the model has them."""

    def __init__(self, description: Path, weights: Path) -> None:
        """Rebuild a model from the description that was stored with it, and from its weights."""
        described = json.loads(description.read_text(encoding="utf-8"))
        self.shape = described["shape"]
        config = RunConfig.model_validate(described["config"]).model
        if isinstance(config.embedding, OwnEmbeddingConfig):
            config.embedding.trust()  # who loads a model of MLflow runs the code beside it, this file included
        self.model = config.build(
            horizon=self.shape["horizon"], feature_dim=self.shape["feature_dim"], classes=self.shape["classes"]
        )
        self.model.load_state_dict(load(weights)["model"])

    def answers(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return `predicted` (number of the class), `class` (its name) and `probabilities` (list of C).

        A row holds `times` (list) in the unit of the training data, and `features` where the model has them, which are
        standardised as those of the training data were.
        """
        features = events["features"].tolist() if self.shape["feature_dim"] else None
        if features and self.shape["standardization"]:
            features = [Standardization(**self.shape["standardization"]).apply(table) for table in features]
        dataset = EventDataset.from_lists(
            events["times"].tolist(),
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
