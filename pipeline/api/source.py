"""The source of a class, with all of the user's own code that it uses: functions, other classes, and constants.

Names from an installed package or from this project are imported in that source, with the version of the package in its
docstring. Anything else, such as an object that was computed, has no source and is refused in one line.
"""

import ast
import builtins
import dis
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import metadata
from types import CodeType, FunctionType, ModuleType
from typing import Any

from pipeline.code import PACKAGES
from pipeline.errors import UsageError

FUTURE = "from __future__ import annotations\n"
"""First line of the source: annotations stay text, so the names in them need no definition."""
GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME"}
"""Bytecode instructions that look up a global name."""
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
"""Bytecode instructions that look up an attribute of an object or a module."""
BUILT_IN = ("torch", "torch.nn.functional", "numpy", "math")
"""Modules that are searched for compiled functions, which do not know their module."""
COUNTED = ("torch", *PACKAGES)
"""Packages whose version or code is always part of a run's identity."""


def source_of(kind: type, where: str) -> str:
    """Return self-contained Python source that defines `kind`; UsageError, which begins with `where`, if that is impossible."""
    collector = _Collector(where)
    collector.define(kind.__name__, kind)
    versions = ", ".join(sorted(collector.versions))
    said = f"{kind.__name__}, with {versions}" if versions else kind.__name__
    return f'"""{said}."""\n\n{FUTURE}\n' + "\n".join(collector.parts)


class _Collector:
    """Collects definitions in an order in which they can be executed."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.parts: list[str] = []
        self.versions: set[str] = set()
        self._done: dict[str, Any] = {}

    def define(self, name: str, value: Any, attributes: Collection[str] = ()) -> None:  # noqa: ANN401 - whatever it is
        """Add the definition of `name`, after the definitions that it uses; `attributes` are names that are looked up in modules."""
        if name in self._done:
            if self._done[name] is not value and repr(self._done[name]) != repr(value):
                raise self._error(f"must use one thing by the name {name}", "two from different modules", "Rename one.")
            return
        self._done[name] = value
        if isinstance(value, ModuleType):
            self._import_module(name, value, attributes)
        elif _is_plain(value):
            self.parts.append(f"{name} = {value!r}\n")
        elif _is_own(value) and isinstance(value, type | FunctionType):
            self._inline(name, value)
        else:
            self._import(name, value)

    def _import_module(self, name: str, module: ModuleType, attributes: Collection[str]) -> None:
        if _is_own_module(module.__name__):
            raise self._error(
                "must take names from modules of your own",
                f"the module {module.__name__}",
                f"Write `from {module.__name__} import NAME`.",
            )
        if module.__name__.split(".")[0] in PACKAGES:
            raise self._error("must take names from modules of this project", module.__name__, "Import the names.")
        self._note(module.__name__)
        self.parts.append(f"import {_renamed(module.__name__, name)}\n")
        self.parts += [f"import {part}\n" for part in _submodules(module.__name__, attributes)]

    def _import(self, name: str, value: object) -> None:
        original = getattr(value, "__qualname__", None) or getattr(value, "_name", None) or name
        declared = getattr(value, "__module__", None) or ""
        for module in filter(None, (declared, *BUILT_IN)):
            if "." not in original and not _is_own_module(module):
                found = getattr(sys.modules.get(module), original, None)
                if found is value:
                    self._note(module)
                    self.parts.append(f"from {module} import {_renamed(original, name)}\n")
                    return
        raise self._error(
            "must use modules, functions, classes, and constants such as numbers and text",
            f"{name}, which is a {type(value).__name__}",
            "Make it in the constructor of the class, or pass it as an argument of functools.partial.",
        )

    def _note(self, module: str) -> None:
        package = module.split(".", maxsplit=1)[0]
        if package not in COUNTED and package not in sys.stdlib_module_names:
            names = metadata.packages_distributions().get(package, [package])
            self.versions |= {f"{name} {metadata.version(name)}" for name in names}

    def _inline(self, name: str, thing: type | FunctionType) -> None:
        text = self._text(thing)
        scope = _scope(thing)
        looked_up, attributes = _names(text)
        for used in looked_up:
            if used in scope and used != thing.__name__:
                self.define(used, scope[used], attributes)
            elif used != thing.__name__ and not hasattr(builtins, used) and not re.fullmatch("__.*__", used):
                raise self._error(f"must find what {thing.__name__} uses", f"nothing called {used}", "Define it first.")
        self.parts.append(text)
        if name != thing.__name__:
            self.parts.append(f"{name} = {thing.__name__}\n")

    def _text(self, thing: type | FunctionType) -> str:
        """Return the source of a function or class, without indentation."""
        for code in _codes(thing):
            lines = linecache.getlines(code.co_filename)
            if found := _around("".join(lines), thing.__name__, code.co_firstlineno):
                return textwrap.dedent("".join(lines[found[0] - 1 : found[1]])).rstrip() + "\n"
        try:
            return textwrap.dedent(inspect.getsource(thing))
        except (OSError, TypeError):
            raise self._error(
                "must have a source that can be read",
                f"{thing.__name__} without one",
                "Define it with class or def, in a file or in a cell of a notebook.",
            ) from None

    def _error(self, rule: str, got: str, remedy: str) -> UsageError:
        return UsageError(f"{self.where}: {rule}, got {got}. {remedy}")


def _renamed(original: str, name: str) -> str:
    return original if original == name else f"{original} as {name}"


def _submodules(module: str, attributes: Collection[str]) -> Iterator[str]:
    """Yield the imported submodules of a module whose names are among the attributes."""
    for part in sorted(f"{module}.{attribute}" for attribute in attributes):
        if part in sys.modules:
            yield part
            yield from _submodules(part, attributes)


def _is_plain(value: object) -> bool:
    """Return whether the `repr` of a value is Python source for the same value."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _is_own(thing: Any) -> bool:  # noqa: ANN401
    return _is_own_module(getattr(thing, "__module__", None) or "")


def _is_own_module(name: str) -> bool:
    """Return whether a module is the user's: not of this project, of Python, or of an installed package."""
    package = name.split(".", maxsplit=1)[0]
    if package in PACKAGES or (package in sys.stdlib_module_names and package != "__main__"):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    if package == "__main__":
        return True
    return file is not None and not {"site-packages", "dist-packages"} & set(file.replace("\\", "/").split("/"))


def _codes(thing: type | FunctionType) -> Iterator[CodeType]:
    """Yield the code objects of a function, or of the methods that a class itself defines."""
    if isinstance(thing, FunctionType):
        yield inspect.unwrap(thing).__code__
        return
    for function in _methods(thing):
        yield function.__code__


def _methods(kind: type) -> Iterator[FunctionType]:
    for part in vars(kind).values():
        part = getattr(part, "fget", None) or getattr(part, "__func__", part)  # noqa: PLW2901
        function = inspect.unwrap(part) if isinstance(part, FunctionType) else part
        if isinstance(function, FunctionType) and function.__qualname__.startswith(f"{kind.__qualname__}."):
            yield function


def _scope(thing: type | FunctionType) -> Mapping[str, Any]:
    """Return the values of the names that a definition can see: those of its module, and of an enclosing function."""
    functions: list[Callable[..., Any]] = [thing] if isinstance(thing, FunctionType) else list(_methods(thing))
    scope = dict(vars(sys.modules[thing.__module__]))
    for function in functions:
        scope |= getattr(function, "__globals__", {})
        closure = inspect.getclosurevars(function) if inspect.isfunction(function) else None
        scope |= closure.nonlocals if closure else {}
    if isinstance(thing, type):  # the bases of a class within a function may be local variables of that function
        scope |= {base.__name__: base for base in thing.__mro__[1:-1] if base.__name__ not in scope}
    return scope


def _around(text: str, name: str, line: int) -> tuple[int, int] | None:
    """Return the first and the last line of the innermost definition of `name` that contains the line `line`."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    found = None
    for node in ast.walk(tree):  # outer ones come first
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(part.lineno for part in node.decorator_list)])
            last = node.end_lineno or first
            found = (first, last) if first <= line <= last else found
    return found


def _names(text: str) -> tuple[list[str], set[str]]:
    """Return the global names that a definition looks up, in that order, and the attributes that it uses."""
    waiting, names, attributes = (
        [compile(FUTURE + text, "<source>", "exec", dont_inherit=True)],
        dict[str, None](),
        set[str](),
    )
    while waiting:
        code = waiting.pop(0)
        instructions = list(dis.get_instructions(code))
        bound = {part.argval for part in instructions if part.opname == "STORE_NAME"}
        looked_up = [part.argval for part in instructions if part.opname in GLOBALS]
        names |= dict.fromkeys(name for name in looked_up if name not in bound)
        attributes |= {str(part.argval) for part in instructions if part.opname in ATTRIBUTES}
        waiting += [part for part in code.co_consts if isinstance(part, CodeType)]
    return list(names), attributes
