"""The registries of things that users can add: the folder of each kind, its registry, and the lines that list an entry.

The registries are read as source text here, so that listing them does not import torch.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.place import ROOT


@dataclass(frozen=True)
class Registry:
    """The registry of one kind of thing."""

    folder: str
    """Folder of the files of this kind, below the root of the project."""
    file: str
    """File with the registry."""
    symbol: str
    """Name that the registry imports from an entry's file; `{name}` and `{Name}` are the entry's name in both spellings."""
    line: str
    """The line of an entry in the registry."""
    end: str
    """A regular expression with two groups: the registry up to the place of a new last line, and the text after it."""

    @property
    def package(self) -> str:
        """The folder as a dotted name."""
        return self.folder.replace("/", ".")


UNION = r'((?:    \| \w+\n)*    \| \w+)(,\n    Field\(discriminator="name"\))'
REGISTRIES: dict[str, Registry] = {
    "embedding": Registry(
        "models/time_embeddings", "models/time_embeddings/__init__.py", "{Name}Config", "\n    | {Name}Config", UNION
    ),
    "backbone": Registry("models", "models/registry.py", "{Name}Config", "\n    | {Name}Config", UNION),
    "dataset": Registry("pipeline/data", "pipeline/data/__init__.py", "{Name}Config", "\n    | {Name}Config", UNION),
    "metric": Registry(
        "analysis/metrics",
        "analysis/metrics/registry.py",
        "{name}",
        '    Metric("{name}", "{title}", "rate", "higher", {name}, high=1),\n',
        r"(METRICS: tuple\[Metric, \.\.\.\] = \(\n(?:    .*\n)*)(\)\n)",
    ),
    "analysis": Registry(
        "analysis/analyses",
        "analysis/analyses/registry.py",
        "{name}",
        '    "{name}": {name},\n',
        r"(ANALYSES: dict\[str, Analysis\] = \{\n(?:    .*\n)*)(\}\n)",
    ),
    "probe": Registry(
        "pipeline/probes",
        "pipeline/probes/registry.py",
        "{name}",
        '    "{name}": Probe({name}),\n',
        r"(PROBES: dict\[str, Probe\] = \{\n(?:    .*\n)*)(\}\n)",
    ),
}


def unlisted(name: str, root: Path = ROOT) -> str:
    """Return the message that a file defines an embedding, a backbone or a data set of this name that no registry lists.

    Return "" if there is no such file.
    """
    if not name.isidentifier():
        return ""
    definition = re.compile(rf'^    name: Literal\["{name}"\]', re.MULTILINE)
    for kind in ("embedding", "backbone", "dataset"):
        registry = REGISTRIES[kind]
        listed = (root / registry.file).read_text(encoding="utf-8")
        for file in sorted((root / registry.folder).glob("*.py")):
            if f"{registry.package}.{file.stem} import" in listed:
                continue
            if definition.search(file.read_text(encoding="utf-8")):
                return (
                    f"must be listed in {registry.file}, got one that {registry.folder}/{file.name} defines and the registry "
                    f"lacks. Add its import and its line there; `python -m pipeline new {kind} NAME` writes both with a new file."
                )
    return ""


def names(kind: str, root: Path = ROOT) -> list[tuple[str, str]]:
    """Return the entries of a registry, name and description in a line, read from the source: importing it takes seconds."""
    registry = REGISTRIES[kind]
    tree = ast.parse((root / registry.file).read_text(encoding="utf-8"))
    if kind == "metric":
        calls = [node for node in ast.walk(_value(tree, "METRICS")) if isinstance(node, ast.Call)]
        listed = [[_text(argument) for argument in call.args[:2]] for call in calls if _is_name(call.func, "Metric")]
        return [(name, title) for name, title in listed]
    if kind == "analysis":
        places = {
            alias.name: node.module or ""
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        found = _value(tree, "ANALYSES")
        assert isinstance(found, ast.Dict)  # noqa: S101 - the registry of this project
        functions = [(_text(key), value.id) for key, value in zip(found.keys, found.values, strict=True)]  # type: ignore[attr-defined]
        return [(name, _described(root.joinpath(*places[one].split(".")), one)) for name, one in functions]
    classes = {
        node.name: node
        for file in sorted((root / registry.folder).glob("*.py"))
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    union = next(node.value for node in tree.body if isinstance(node, ast.Assign) and "Any" in ast.unparse(node))
    members = sorted(
        (node for node in ast.walk(union) if isinstance(node, ast.Name) and node.id in classes),
        key=lambda node: (node.lineno, node.col_offset),
    )
    named = [classes[node.id] for node in members if not _is_own(classes[node.id])]
    return [(_name_of(kind), _first_line(kind)) for kind in named]


def _is_own(kind: ast.ClassDef) -> bool:
    """Return whether a config stands for a user's own class, which cannot be selected by a name."""
    return any(_is_name(base, "OwnEmbeddingConfig") for base in kind.bases)


def _value(tree: ast.Module, name: str) -> ast.expr:
    """Return what a module assigns to an annotated name."""
    return next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value and _is_name(node.target, name)
    )


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _text(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _described(module: Path, function: str) -> str:
    nodes = ast.parse(module.with_suffix(".py").read_text(encoding="utf-8")).body
    return next(_first_line(node) for node in nodes if isinstance(node, ast.FunctionDef) and node.name == function)


def _first_line(node: ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").split("\n", maxsplit=1)[0]


def _name_of(node: ast.ClassDef) -> str:
    """Return the name by which a config is selected."""
    return next(
        _text(part.value) for part in node.body if isinstance(part, ast.AnnAssign) and _is_name(part.target, "name")
    )
