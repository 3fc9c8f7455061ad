"""Where the things that users add lie: the folder of each kind, its registry, and the lines that list one.

Here the registries are read as text, so that a list of what there is needs no torch.
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
    """Where a file of this kind lies, below the root of the project."""
    file: str
    """Where it is listed."""
    symbol: str
    """What is imported from its file; `{name}` and `{Name}` are its name in both spellings."""
    line: str
    """The line that lists it."""
    end: str
    """A regular expression with one group: what stands before the new line, the last one, in the registry."""

    @property
    def package(self) -> str:
        """The folder as an import names it."""
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
    """Say that a file defines an embedding, a backbone or a data set of this name that no registry lists, if one does."""
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
    """Return what a registry lists and what each is, in a line: read from the source, as importing it takes seconds."""
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
    """Say whether a config stands for a class of the user's own, which has no name to be selected by."""
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
