"""The registry of time embeddings: one line each. What is listed here is tested, documented and selectable by name."""

from typing import Annotated, get_args

from pydantic import Field

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding, TimeEmbedding, TimeEmbeddingConfig
from models.time_embeddings.bochner import BochnerConfig
from models.time_embeddings.fte import FTEConfig
from models.time_embeddings.graphmixer import GraphMixerConfig
from models.time_embeddings.kan_mammote import KANMAMMOTEConfig
from models.time_embeddings.kmote import KMOTEConfig, KMOTEGapConfig
from models.time_embeddings.kmote_expert import (
    KMOTEFourierConfig,
    KMOTEGaussianConfig,
    KMOTESplineConfig,
    KMOTEWaveletConfig,
)
from models.time_embeddings.learnable_fourier import LearnableFourierConfig
from models.time_embeddings.lete import LeTEConfig, LeTEFourierConfig, LeTEGapConfig, LeTESplineConfig
from models.time_embeddings.log_gap import LogGapConfig
from models.time_embeddings.mercer import MercerConfig
from models.time_embeddings.mtan import MTANConfig
from models.time_embeddings.none import NoTimeConfig
from models.time_embeddings.order import OrderConfig
from models.time_embeddings.own import OwnEmbeddingConfig, OwnPointwiseConfig, OwnSequenceConfig
from models.time_embeddings.position import PositionConfig, PositionGapConfig
from models.time_embeddings.position_and_gap import PositionAndGapConfig
from models.time_embeddings.position_mamba import PositionMambaConfig
from models.time_embeddings.random_fourier import RandomFourierConfig
from models.time_embeddings.row_column import RowColumnConfig
from models.time_embeddings.scalar import ScalarConfig
from models.time_embeddings.sincos import LearnedSinCosConfig, SinCosConfig
from models.time_embeddings.time2vec import Time2VecConfig
from models.time_embeddings.time_and_gap import TimeAndGapConfig

AnyTimeEmbedding = Annotated[
    NoTimeConfig
    | OrderConfig
    | ScalarConfig
    | TimeAndGapConfig
    | LogGapConfig
    | PositionConfig
    | PositionGapConfig
    | PositionAndGapConfig
    | RowColumnConfig
    | PositionMambaConfig
    | SinCosConfig
    | LearnedSinCosConfig
    | Time2VecConfig
    | MTANConfig
    | FTEConfig
    | BochnerConfig
    | MercerConfig
    | GraphMixerConfig
    | RandomFourierConfig
    | LearnableFourierConfig
    | LeTEConfig
    | LeTEFourierConfig
    | LeTESplineConfig
    | LeTEGapConfig
    | KMOTEConfig
    | KMOTEGapConfig
    | KMOTEFourierConfig
    | KMOTESplineConfig
    | KMOTEGaussianConfig
    | KMOTEWaveletConfig
    | KANMAMMOTEConfig
    | OwnPointwiseConfig
    | OwnSequenceConfig,
    Field(discriminator="name"),
]  # fmt: skip

TIME_EMBEDDINGS: dict[str, type[TimeEmbeddingConfig]] = {
    kind.model_fields["name"].default: kind
    for kind in get_args(get_args(AnyTimeEmbedding)[0])
    if not issubclass(kind, OwnEmbeddingConfig)  # a user's own class is not selected by a name
}

__all__ = [
    "TIME_EMBEDDINGS", "AnyTimeEmbedding", "OwnEmbeddingConfig", "OwnPointwiseConfig", "OwnSequenceConfig", "PointwiseConfig",
    "PointwiseEmbedding", "TimeEmbedding",
    "TimeEmbeddingConfig",
]  # fmt: skip
