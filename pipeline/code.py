"""The code that a computation consists of, and a digest of it.

The code is followed from a few roots, functions and classes, through the names that it uses: a definition that is used
belongs to it, another one in the same file does not. The digest leaves out what cannot change a number: docstrings,
comments, layout, annotations, error messages, and checks (functions whose names begin with `check`), which raise or do
nothing. Definitions count under their own names, not under the names of their files.

A registry, a dictionary from names to the project's functions, is not followed: only its chosen entry is a root. Only the
methods of a config count, because its values have a hash of their own (`Config.effective`).
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.place import ROOT

PACKAGES = ("models", "pipeline", "analysis")
"""The project's own packages: other code counts by the version of its library."""
LIBRARIES = {"numba": "numba", "kan": "pykan", "mamba_ssm": "mamba-ssm"}
"""Packages besides torch that a model may compute with: import name to distribution name."""
CONFIG = ("models.config", "Config")
VALIDATORS = ("field_validator", "model_validator")
MODULE = "*"
"""Stands in place of a name for the module itself."""
Definition = tuple[str, str]
"""A module and a name at its top level; `Class.method` means a single method."""
EMPTY: Mapping[str, Iterable[Definition]] = MappingProxyType({})


@dataclass(frozen=True)
class Code:
    """The definitions and libraries that were found from some roots."""

    definitions: dict[Definition, str]
    """Digest of each definition."""
    libraries: frozenset[str] = field(default_factory=frozenset)
    """Import names of packages that are not the project's own."""

    @property
    def digest(self) -> str:
        """SHA-256 of the definitions under their own names, and of the versions of the libraries."""
        lines = sorted(f"{name} {digest}" for (_, name), digest in self.definitions.items())
        lines += [
            f"{LIBRARIES[name]} {_version(LIBRARIES[name])}" for name in sorted(self.libraries & LIBRARIES.keys())
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def place_of(thing: Any) -> Definition:  # noqa: ANN401 - a function or a class
    """Return where a function or class is defined."""
    return thing.__module__, thing.__qualname__


def methods_of(kinds: Iterable[type]) -> dict[str, list[Definition]]:
    """Return the methods that classes define themselves, by name."""
    found: dict[str, list[Definition]] = {}
    for module, name in map(place_of, kinds):
        for part in ast.iter_child_nodes(_node(module, name)):
            if isinstance(part, ast.FunctionDef):
                found.setdefault(part.name, []).append((module, f"{name}.{part.name}"))
    return found


def code_of(
    roots: Iterable[Definition],
    *,
    followed: Iterable[str],
    skipped: Iterable[str] = (),
    methods: Mapping[str, Iterable[Definition]] = EMPTY,
    registries: bool = False,
    idle_calls: Iterable[str] = (),
) -> Code:
    """Return the code of `roots` and of all definitions that they use in the modules below `followed`.

    `skipped` are names of methods that change no number. `methods` belong to objects that the code receives as arguments, so no
    name leads to them: they count if an attribute of their name is used. With `registries`, registries are followed, too, for
    code that may use every entry. `idle_calls` are names of functions that return their first argument here: a call counts as
    that argument.
    """
    followed, skipped, idle = tuple(followed), frozenset(skipped), frozenset(idle_calls)
    definitions: dict[Definition, str] = {}
    libraries: set[str] = set()
    waiting = list(roots)
    while waiting:
        definition = waiting.pop()
        if definition in definitions:
            continue
        digest, names, attributes = _cleaned(definition, skipped, idle)
        definitions[definition] = digest
        waiting += [method for attribute in attributes for method in methods.get(attribute, ())]
        for module, name in (_resolved(definition[0], used) for used in names):
            if not name:
                libraries.add(module.split(".")[0])
            elif name != MODULE and any(module == place or module.startswith(f"{place}.") for place in followed):
                waiting += [(module, name)] if registries or not _is_registry(module, name) else []
    return Code(definitions, frozenset(libraries))


# ------------------------------------------------------------------------------------------------------------ modules


@dataclass(frozen=True)
class _Module:
    """The top level of a file."""

    nodes: dict[str, ast.stmt]
    """Functions, classes and assignments, by name."""
    imports: dict[str, Definition]
    """The origin of each imported name; the second part is empty if the name is a module."""


@cache
def _module(name: str) -> _Module:
    tree = ast.parse(_file(name).read_text(encoding="utf-8"))
    nodes = {target: node for node in _statements(tree.body) for target in _targets(node)}
    imports: dict[str, Definition] = {}
    for node in ast.walk(tree):  # includes imports within functions, where slow ones are placed
        imports |= _imported(node)
    return _Module(nodes, imports)


def _file(module: str) -> Path:
    place = ROOT.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body and of its `if` and `try` branches."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt))
        else:
            yield node


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def _imported(node: ast.AST) -> dict[str, Definition]:
    """Return where each name that a statement imports comes from."""
    if isinstance(node, ast.Import):
        # `import a.b` binds `a`; `import a.b as c` binds the module a.b.
        return {part.asname or part.name.split(".")[0]: (part.name, "") for part in node.names}
    if not isinstance(node, ast.ImportFrom) or not node.module:
        return {}
    module = node.module
    return {part.asname or part.name: _part_of(module, part.name) for part in node.names}


def _part_of(module: str, name: str) -> Definition:
    """Return a name of a module, or the module that a package has under that name."""
    part = f"{module}.{name}"
    return (part, "") if module.split(".", maxsplit=1)[0] in PACKAGES and _file(part).is_file() else (module, name)


def _resolved(module: str, used: str) -> Definition:
    """Return where a dotted name that a module uses is defined; for another package, only the package's name."""
    first, _, rest = used.partition(".")
    while True:
        here = _module(module)
        if first in here.nodes:
            return module, first
        if first not in here.imports:
            return "builtins", first
        origin, name = here.imports[first]
        if origin.split(".")[0] not in PACKAGES:
            return origin, ""
        if name:
            module, first = origin, name
            continue
        if not rest:
            return origin, MODULE
        module, (first, _, rest) = origin, rest.partition(".")


@cache
def _is_registry(module: str, name: str) -> bool:
    """Return whether a name is a registry: a dictionary whose values are functions or classes of its module."""
    node = _module(module).nodes.get(name)
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Dict) or not value.values:
        return False
    return all(
        isinstance(part, ast.Name) and isinstance(_module(module).nodes.get(part.id), ast.FunctionDef | ast.ClassDef)
        for part in value.values
    )


@cache
def _is_config(module: str, name: str) -> bool:
    """Return whether a class is a config, that is, whether it inherits from `Config`."""
    if (module, name) == CONFIG:
        return True
    node = _module(module).nodes.get(name) if module.split(".", maxsplit=1)[0] in PACKAGES else None
    if not isinstance(node, ast.ClassDef):
        return False
    return any(_is_config(*_resolved(module, base.id)) for base in node.bases if isinstance(base, ast.Name))


# ---------------------------------------------------------------------------------------------------------- one piece


@cache
def _cleaned(
    definition: Definition, skipped: frozenset[str], idle: frozenset[str]
) -> tuple[str, frozenset[str], frozenset[str]]:
    """Return the digest of a cleaned definition, the dotted names that it uses, and its attributes.

    Cleaning removes what cannot change a number.
    """
    module, name = definition
    tree = _Cleaner(skipped, idle, config=_is_config(module, name)).visit(deepcopy(_node(module, name)))
    parts = [part for part in ast.walk(tree) if isinstance(part, ast.Name | ast.Attribute)]
    attributes = frozenset(part.attr for part in parts if isinstance(part, ast.Attribute))
    names = frozenset(map(_dotted, parts)) - {""}
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), names, attributes


def _node(module: str, name: str) -> ast.stmt:
    first, _, method = name.partition(".")
    node = _module(module).nodes[first]
    if not method:
        return node
    assert isinstance(node, ast.ClassDef), name  # noqa: S101 - a qualified name has a class before the dot
    return next(part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == method)


def _dotted(node: ast.Name | ast.Attribute) -> str:
    """Return `a.b.c` for a chain of attributes of a name; "" if the chain begins with another expression."""
    if isinstance(node, ast.Name):
        return node.id
    before = _dotted(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else ""
    return before and f"{before}.{node.attr}"


class _Cleaner(ast.NodeTransformer):
    """Removes from a definition what cannot change a number."""

    def __init__(self, skipped: frozenset[str], idle: frozenset[str], *, config: bool) -> None:
        """Remember what to remove; with `config` the fields are removed, because their values have a hash of their own."""
        self.skipped, self.idle, self.config, self.depth = skipped, idle, config, 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Visit the children; put `pass` into a block that became empty."""
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        """Leave out annotations, and methods that are skipped, checks, or validators."""
        nested, self.depth = self.depth > 0, self.depth + 1
        if nested and (node.name in self.skipped or _checks(node.name) or any(map(_validates, node.decorator_list))):
            self.depth -= 1
            return None
        node.returns = None
        cleaned = self.generic_visit(node)
        self.depth -= 1
        return cleaned

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Note that the functions within are methods."""
        self.depth += 1
        cleaned = self.generic_visit(node)
        self.depth -= 1
        return cleaned

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Leave out the annotation."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Leave out the annotation, and the fields of a config."""
        if self.config and "ClassVar" not in ast.dump(node.annotation):
            return None
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Leave out an `if` that only raises."""
        if all(isinstance(part, ast.Raise) for part in node.body) and not node.orelse:
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """Leave out the message of an error."""
        return ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc, None)

    def visit_Assert(self, _node: ast.Assert) -> None:
        """Leave out an assertion: it raises or does nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Leave out docstrings and calls of checks."""
        if isinstance(node.value, ast.Constant):
            return None
        if isinstance(node.value, ast.Call):
            called = node.value.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if _checks(name):
                return None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace an idle call by its first argument."""
        is_idle = isinstance(node.func, ast.Name) and node.func.id in self.idle
        found: ast.AST = self.visit(node.args[0]) if is_idle else self.generic_visit(node)
        return found

    def visit_Import(self, _node: ast.Import) -> None:
        """Leave out an import: the imported names that are used are followed."""

    def visit_ImportFrom(self, _node: ast.ImportFrom) -> None:
        """Leave out an import, as above."""


def _checks(name: str) -> bool:
    return name.lstrip("_").startswith("check")


def _validates(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id in VALIDATORS


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
