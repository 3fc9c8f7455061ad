"""The config tree of a run, and the one dotted vocabulary that addresses it.

`model.embedding.dim` is the path in a JSON file, the command-line flag, the MLflow param and the sweep key.
A bare name stands for the one path that ends in it (`threshold` for `data.threshold`); `ALIASES` holds the rest.
"""

import hashlib
import json
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from models.classifier import LSTMConfig
from models.config import Config
from models.registry import AnyModel
from pipeline.data import AnyDataset
from pipeline.data.mnist import EventMNISTConfig
from pipeline.errors import UsageError, unknown, validate

Values = dict[str, Any]
"""A mapping from dotted paths to values."""

ALIASES = {
    "num_epochs": "train.epochs",
    "dropout_rate": "model.dropout",
    "lstm_hidden_dim": "model.hidden_dim",
    "lstm_num_layers": "model.num_layers",
    "time_embedding_dim": "model.embedding.dim",
    "normalize": "model.embedding.time_scale",
}
"""Names of the requirement that differ from the last word of their path."""

NORMALIZE = {"true": "auto", "false": "raw"}
"""What `normalize` means as a time scale."""


class ConstantSchedule(Config):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"


class StepSchedule(Config):
    """The learning rate is multiplied by `decay` every `step_size` epochs."""

    name: Literal["step"] = "step"
    step_size: int = Field(20, ge=1)
    """Epochs between two reductions."""
    decay: float = Field(0.5, gt=0, le=1)
    """Factor of a reduction."""


class CosineSchedule(Config):
    """The learning rate falls along half a cosine to `final_fraction` of its start over the run."""

    name: Literal["cosine"] = "cosine"
    final_fraction: float = Field(0.0, ge=0, le=1)
    """Learning rate of the end as a fraction of the start."""


class PlateauSchedule(Config):
    """The learning rate is multiplied by `factor` when validation accuracy has not risen for a while."""

    name: Literal["plateau"] = "plateau"
    factor: float = Field(0.5, gt=0, lt=1)
    """Factor of a reduction."""
    plateau_epochs: int = Field(5, ge=1)
    """Epochs without a better validation accuracy before a reduction."""


AnySchedule = Annotated[ConstantSchedule | StepSchedule | CosineSchedule | PlateauSchedule, Field(discriminator="name")]


class TrainConfig(Config):
    """How a model is trained."""

    epochs: int = Field(50, ge=1)
    """Passes over the training split."""
    batch_size: int = Field(128, ge=1)
    """Sequences an update."""
    accumulation_steps: int = Field(1, ge=1)
    """Parts that a batch is computed in: the same update with less memory."""
    batching: Literal["random", "bucketed"] = "random"
    """`random` draws each batch from the whole split; `bucketed` groups similar lengths: faster, but biased by class."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """AdamW (decoupled decay), Adam (decay as an L2 gradient) or SGD with momentum 0.9."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate at the start."""
    frequency_rate: float = Field(0.1, gt=0, le=1)
    """Share of `learning_rate` for learned frequencies that multiply raw times, which then do not decay; 1 treats them as all weights."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay, in the optimizer's own sense."""
    scheduler: AnySchedule = StepSchedule()
    """How the learning rate changes from epoch to epoch."""
    clip_norm: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 does not clip."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the backbone (of Mamba always fp32); `auto` is bf16 where the processor has matrix units for it, else fp32."""
    patience: int = Field(0, ge=0)
    """Stop after this many epochs without a better validation accuracy; 0 never stops early."""


class RunConfig(Config):
    """Everything that decides the numbers of one run."""

    seed: int = Field(0, ge=0)
    """Seed of every random stream of the run: initial values, order of the data, dropout."""
    data: AnyDataset = EventMNISTConfig()
    """The data set and its splits."""
    model: AnyModel = LSTMConfig()
    """The classifier and its time embedding."""
    train: TrainConfig = TrainConfig()
    """How it is trained."""

    @model_validator(mode="after")
    def _check_validation(self) -> "RunConfig":
        if not self.data.validation_size and (self.train.patience or isinstance(self.train.scheduler, PlateauSchedule)):
            raise ValueError(
                "data.validation_size: must be above 0 where train.patience or the plateau schedule looks at validation, got 0"
            )
        return self


def config_hash(config: RunConfig) -> str:
    """Return the SHA-256 of the canonical JSON of `config` without its seed: equal for the seeds of one variant.

    A file of the user's counts by its content.
    """
    return digest_of({**config.model_dump(mode="json", exclude={"seed"}), "data": config.data.identity()})


def digest_of(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------- paths


def flat(tree: Config | Mapping[str, Any], prefix: str = "") -> Values:
    """Flatten a config or a nested mapping to dotted paths; an empty mapping stays, so that its name is not lost."""
    values: Values = {}
    for key, value in (tree.model_dump(mode="json") if isinstance(tree, Config) else tree).items():
        deeper = isinstance(value, Mapping) and value
        values |= flat(value, f"{prefix}{key}.") if deeper else {f"{prefix}{key}": value}
    return values


def fields_of(kind: type[Config], prefix: str = "") -> Iterator[tuple[str, type[Config], FieldInfo]]:
    """Yield (path, owning config class, field) for every leaf of every kind that can stand in the tree."""
    for name, field in kind.model_fields.items():
        nodes = [node for node in _members(field.annotation) if isinstance(node, type) and issubclass(node, Config)]
        if not nodes:
            yield f"{prefix}{name}", kind, field
        for node in nodes:
            yield from fields_of(node, f"{prefix}{name}.")


def _members(annotation: object) -> Iterator[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def known_paths() -> list[str]:
    """Return every path that some config has, in the order of the tree."""
    return list(dict.fromkeys(path for path, _, _ in fields_of(RunConfig)))


def is_whole(path: str) -> bool:
    """Say whether a setting takes whole numbers only."""
    kinds = {kind for known, _, field in fields_of(RunConfig) if known == path for kind in _members(field.annotation)}
    return int in kinds and float not in kinds


def resolve(name: str, value: object) -> tuple[str, Any]:
    """Return the path and value that a dotted path, an alias or a bare name with a value stands for."""
    paths = known_paths()
    if name == "normalize":
        if str(value).lower() not in NORMALIZE:
            raise UsageError(f"normalize: must be true or false, got {value!r}. Choose one of the two.")
        value = NORMALIZE[str(value).lower()]
    name = ALIASES.get(name, name)
    endings = [name] if name in paths else [path for path in paths if path.rsplit(".", 1)[-1] == name]
    if f"{name}.name" in paths:
        raise UsageError(
            f"{name}: must be one setting, got a group of them. Write {name}.name, or one of its settings."
        )
    if not endings:
        raise unknown("setting", name, [*paths, *ALIASES, *(path.rsplit(".", 1)[-1] for path in paths)])
    if len(endings) > 1:
        raise UsageError(f"{name}: must name one setting, got one of {len(endings)}. Write {' or '.join(endings)}.")
    return endings[0], value


def resolve_all(tree: Mapping[str, Any]) -> Values:
    """Return the paths and values that a nested or flat mapping stands for; a setting given twice is an error."""
    values: Values = {}
    for name, value in flat(tree).items():
        if value == {} and any(path.startswith(f"{name}.") for path in known_paths()):
            continue
        path, value = resolve(name, value)  # noqa: PLW2901
        if path in values and values[path] != value:
            raise UsageError(f"{name}: must be given once, got {values[path]!r} and {value!r} for {path}. Drop one.")
        values[path] = value
    return values


# ------------------------------------------------------------------------------------------------------- building


def build_run(values: Mapping[str, Any]) -> RunConfig:
    """Return the default config changed by a mapping from paths to values, validated as a whole.

    A new `x.name` resets node `x` to the defaults of that kind, and names apply first: the order never matters.
    """
    named = _with_names(values)
    tree, known = named.model_dump(mode="json"), flat(named)
    for path, value in values.items():
        if path not in known:
            raise misfit(path, named)
        if isinstance(value, bool) and not isinstance(known[path], bool):
            raise UsageError(f"{path}: must be a number or a name, got {str(value).lower()}. Correct the value.")
        _node(tree, path)[path.rsplit(".", 1)[-1]] = value
    return validate(RunConfig, tree)


def fits(path: str, values: Mapping[str, Any]) -> bool:
    """Say whether the default config, changed by the names among `values`, has a setting `path`."""
    return path in flat(_with_names(values))


def misfit(path: str, config: RunConfig) -> UsageError:
    """Return the error for a path that some config has, but not this one."""
    kinds = sorted({kind.__name__.removesuffix("Config") for other, kind, _ in fields_of(RunConfig) if other == path})
    parent = path.rsplit(".", 1)[0]
    chosen = flat(config).get(f"{parent}.name")
    return UsageError(
        f"{path}: must belong to the {parent} chosen, got a setting of {', '.join(kinds)} beside {parent}.name={chosen}. "
        f"Drop it, or choose another {parent}.name."
    )


def _with_names(values: Mapping[str, Any]) -> RunConfig:
    """Return the defaults with the names among `values`, outer nodes first; a node with a new name has those of its kind."""
    config = RunConfig()
    for path in sorted((path for path in values if path.endswith(".name")), key=lambda path: path.count(".")):
        tree = config.model_dump(mode="json")
        parent = path.removesuffix(".name")
        if _node(tree, path)["name"] != values[path]:
            _node(tree, parent)[parent.rsplit(".", 1)[-1]] = {"name": values[path]}
        config = validate(RunConfig, tree)
    return config


def _node(tree: Values, path: str) -> Values:
    """Return the mapping that holds the last word of `path`."""
    for parent in path.split(".")[:-1]:
        tree = tree[parent]
    return tree
