"""The registry of time embeddings: one line each. What is listed here is tested, documented and selectable by name."""

from typing import Annotated, get_args

from pydantic import Field

from models.time_embeddings.base import PointwiseEmbedding, TimeEmbedding, TimeEmbeddingConfig
from models.time_embeddings.kan_mammote import KANMAMMOTEConfig
from models.time_embeddings.lete import LeTEConfig
from models.time_embeddings.none import NoTimeConfig
from models.time_embeddings.position import PositionConfig
from models.time_embeddings.sincos import SinCosConfig

AnyTimeEmbedding = Annotated[
    NoTimeConfig
    | PositionConfig
    | SinCosConfig
    | LeTEConfig
    | KANMAMMOTEConfig,
    Field(discriminator="name"),
]  # fmt: skip

TIME_EMBEDDINGS: dict[str, type[TimeEmbeddingConfig]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyTimeEmbedding)[0])
}

__all__ = ["TIME_EMBEDDINGS", "AnyTimeEmbedding", "PointwiseEmbedding", "TimeEmbedding", "TimeEmbeddingConfig"]
