"""The registry of backbones: one line each. What is listed here is tested, documented and selectable by name."""

from typing import Annotated, get_args

from pydantic import Field

from models.classifier import ClassifierConfig, GRUConfig, LSTMConfig
from models.mamba import MambaConfig
from models.transformer import TransformerConfig

AnyModel = Annotated[
    LSTMConfig
    | GRUConfig
    | TransformerConfig
    | MambaConfig,
    Field(discriminator="name"),
]  # fmt: skip

MODELS: dict[str, type[ClassifierConfig]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyModel)[0])
}
