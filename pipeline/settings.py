"""The dotted paths that address the config tree.

The same path, such as `model.embedding.dim`, is used in JSON files, as command-line flag, as MLflow param and as sweep key.
A bare name stands for the only path that ends in it (`threshold` for `data.threshold`); `ALIASES` holds the other short names.
"""

import json
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import create_model
from pydantic.fields import FieldInfo

from models.config import Config
from models.time_embeddings import OwnEmbeddingConfig
from pipeline.config import RunConfig
from pipeline.errors import UsageError, shown, unknown, validate

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
FEW = 3
"""Most choices that a message names."""
NORMALIZE = {"true": "auto", "false": "raw"}
"""The time scale that each value of `normalize` stands for."""
TEXT: set[object] = {str, tuple[str, ...]}
"""The types of settings that are text, or a list of texts."""


def flat(tree: Config | Mapping[str, Any], prefix: str = "") -> Values:
    """Flatten a config or a nested mapping to dotted paths; an empty mapping is kept as a value, so that its name is not lost."""
    values: Values = {}
    for key, value in (tree.model_dump(mode="json") if isinstance(tree, Config) else tree).items():
        deeper = isinstance(value, Mapping) and value
        values |= flat(value, f"{prefix}{key}.") if deeper else {f"{prefix}{key}": value}
    return values


def fields_of(kind: type[Config], prefix: str = "") -> Iterator[tuple[str, type[Config], FieldInfo]]:
    """Yield (path, config class, field) for every leaf of every config class that can occur in the tree."""
    for name, field in kind.model_fields.items():
        nodes = [node for node in _members(field.annotation) if isinstance(node, type) and issubclass(node, Config)]
        # A user's own class is no setting: neither a file nor an option can hold code.
        nodes = [node for node in nodes if not issubclass(node, OwnEmbeddingConfig)]
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


@cache
def known_paths() -> tuple[str, ...]:
    """Return every path that some config has, in the order of the tree."""
    return tuple(dict.fromkeys(path for path, _, _ in fields_of(RunConfig)))


def is_whole(path: str) -> bool:
    """Return whether a setting takes only whole numbers."""
    kinds = _kinds(path)
    return int in kinds and float not in kinds


def _kinds(name: str) -> set[object]:
    """Return the types of the settings that a path or its last word stands for."""
    fields = [field for path, _, field in fields_of(RunConfig) if name in (path, path.rsplit(".", 1)[-1])]
    return {kind for field in fields for kind in _members(field.annotation)}


def read_values(texts: Mapping[str, str]) -> Values:
    """Return the values of settings that were written as text: parsed as JSON if possible, otherwise the text itself."""
    return {name: _read(name, text) for name, text in texts.items()}


def _read(name: str, text: str) -> Any:  # noqa: ANN401
    """Return the value of a setting that was written as text; for a setting of type text, a number is kept as its digits."""
    kinds = _kinds(name)
    is_text = bool(kinds) and kinds <= TEXT
    number = str if is_text else None
    try:
        value = json.loads(text, parse_int=number, parse_float=number, parse_constant=number)
    except (ValueError, RecursionError):  # no JSON, a number with too many digits, or too deeply nested brackets
        return text
    return text if is_text and (value is None or isinstance(value, bool)) else value


def resolve(name: str, value: object) -> tuple[str, Any]:
    """Return the path and value that a dotted path, an alias or a bare name with a value stands for.

    UsageError if the name is unknown, ambiguous, or that of a group of settings.
    """
    paths = known_paths()
    if name == "normalize":
        if str(value).lower() not in NORMALIZE:
            raise UsageError(f"normalize: must be true or false, got {shown(value)}. Choose one of the two.")
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
        check_value(path, value)
        if path in values and values[path] != value:
            raise UsageError(f"{name}: must be given once, got {values[path]!r} and {value!r} for {path}. Drop one.")
        values[path] = value
    return values


def check_value(path: str, value: object) -> None:
    """Raise UsageError if no config accepts a value at `path`, also if the chosen config does not use that path."""
    parent, _, word = path.rpartition(".")
    if word == "name":
        known = [field.default for other, _, field in fields_of(RunConfig) if other == path]
        if value not in known:
            raise unknown("name", value, known, path)
        return
    problems = []
    for kind in alone_at(path):
        try:
            validate(kind, {word: value}, parent)
        except UsageError as error:
            problems.append(error)
        else:
            return
    raise problems[0]


@cache
def alone_at(path: str) -> list[type[Config]]:
    """Return, for each different field that can occur at `path`, a config class with only that field."""
    word = path.rsplit(".", 1)[-1]
    fields = {repr(field): field for other, _, field in fields_of(RunConfig) if other == path}
    return [create_model("Alone", __base__=Config, **{word: (field.annotation, field)}) for field in fields.values()]  # type: ignore[call-overload]


def build_run(values: Mapping[str, Any]) -> RunConfig:
    """Return the default config changed by a mapping from paths to values, validated as a whole.

    A new `x.name` resets node `x` to the defaults of that kind. Names are applied first, so the order of `values` does not matter.
    """
    named = _with_names(values)
    tree, known = named.model_dump(mode="json"), flat(named)
    for path, value in values.items():
        if path not in known:
            raise misfit(path, named)
        _node(tree, path)[path.rsplit(".", 1)[-1]] = value
    return validate(RunConfig, tree)


def fits(path: str, values: Mapping[str, Any]) -> bool:
    """Return whether the default config, changed by the names among `values`, has a setting `path`."""
    return path in flat(_with_names(values))


def misfit(path: str, config: RunConfig) -> UsageError:
    """Return the error for a path that exists in some config, but not in this one."""
    having = {kind for other, kind, _ in fields_of(RunConfig) if other == path}
    kinds = sorted(kind.__name__.removesuffix("Config") for kind in having)
    parent = path.rsplit(".", 1)[0]
    chosen = flat(config).get(f"{parent}.name")
    names = sorted({kind.model_fields["name"].default for kind in having if "name" in kind.model_fields})
    other = f"set {parent}.name to {' or '.join(names)}" if 0 < len(names) <= FEW else f"choose another {parent}.name"
    return UsageError(
        f"{path}: must belong to the {parent} chosen, got a setting of {', '.join(kinds)} beside {parent}.name={chosen}. "
        f"Drop it, or {other}."
    )


def _with_names(values: Mapping[str, Any]) -> RunConfig:
    """Return the default config with the names among `values`, outer nodes first; a node with a new name has its defaults."""
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
