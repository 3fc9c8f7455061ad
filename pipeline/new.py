"""The verb `new KIND NAME`: writes a file to start from, and its lines in the registry."""

import builtins
import keyword
import re
from pathlib import Path

from pipeline import templates
from pipeline.console import say
from pipeline.errors import UsageError, writing
from pipeline.place import ROOT
from pipeline.registries import REGISTRIES, Registry

TEMPLATES = {
    "embedding": templates.EMBEDDING,
    "backbone": templates.BACKBONE,
    "dataset": templates.DATASET,
    "metric": templates.METRIC,
    "analysis": templates.ANALYSIS,
    "probe": templates.PROBE,
}
NEXT = {
    "embedding": "python -m pipeline train --models {name} --data.name synthetic --train.epochs 1",
    "backbone": "python -m pipeline train --model.name {name} --data.name synthetic --train.epochs 1",
    "dataset": "python -m pipeline train --data.name {name} --train.epochs 1",
    "metric": "python -m pipeline analyze",
    "analysis": "python -m pipeline analyze",
    "probe": "python -m pipeline analyze",
}
"""A command that uses the new thing, by kind."""
TESTS = {
    "embedding": "tests/models/test_contract.py tests/models/test_cards.py -k {name}",
    "backbone": "tests/models/test_backbones.py -k {name}",
    "dataset": "tests/pipeline/data/test_datasets.py -k {name}",
    "metric": "tests/analysis/metrics/test_registry.py -k {name}",
    "analysis": "tests/analysis",
    "probe": "tests/pipeline/probes",
}
"""The contract tests, by kind."""
PAGES = {
    "embedding": "python -m scripts.settings_table && python -m scripts.encodings",
    "backbone": "python -m scripts.settings_table",
    "dataset": "python -m scripts.settings_table",
}
"""Commands that update the tables of the documentation, by kind, if a table lists things of that kind."""
NAME = re.compile(r"[a-z][a-z0-9_]{1,23}")


def new(kind: str, name: str, root: Path = ROOT) -> None:
    """Write the file of a new thing below `root`, list it in its registry, and print what to do next.

    UsageError if `root` is not a copy of the source, or if the name is taken or not allowed.
    """
    registry, forms = REGISTRIES[kind], _forms(name)
    file = root / registry.folder / f"{name}.py"
    if not (root / "pyproject.toml").is_file():
        raise UsageError(
            f"new: must write into a copy of the project's source, got {root}, where a package is installed. "
            "Clone the project, install it with `pip install -e .`, and run the command there."
        )
    listing = root / registry.file
    before = listing.read_text(encoding="utf-8")
    taken = re.compile(rf'"{name}"|^class {forms["{Name}"]}(Config)?\b', re.MULTILINE)
    if file.exists() or any(taken.search(one.read_text(encoding="utf-8")) for one in listing.parent.glob("*.py")):
        raise UsageError(
            f"new: must be given a name that is free, got {name}, which {registry.folder} has. Choose another."
        )
    after = listed(before, registry, forms)
    with writing(file):
        file.write_text(filled(TEMPLATES[kind], forms), encoding="utf-8")
        listing.write_text(after, encoding="utf-8")
    say(f"wrote {registry.folder}/{name}.py, an example to change, and listed it in {registry.file}")
    say(f"next: {filled(NEXT[kind], forms)}")
    say(f"test: .venv/bin/pytest {filled(TESTS[kind], forms)}")
    if kind == "probe":
        say(
            f'An analysis finds its table as results.probes["{name}"]: python -m pipeline new analysis NAME writes one.'
        )
    if kind in PAGES:
        say(f"tables of the documentation: {PAGES[kind]}")


def _forms(name: str) -> dict[str, str]:
    """Return the forms of a name that templates use: as it is, as the name of a class, and as words."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or hasattr(builtins, name):
        raise UsageError(
            f"new: must be given a name of 2 to 24 letters a-z, digits and _ that Python has no other use for, "
            f"got {name or 'none'}. Write for instance log_time."
        )
    words = name.replace("_", " ").strip()
    return {"{name}": name, "{Name}": words.title().replace(" ", ""), "{title}": words.capitalize()}


def filled(text: str, forms: dict[str, str]) -> str:
    """Return a template with the forms of a name filled in; its other braces are part of its Python code."""
    for form, spelled in forms.items():
        text = text.replace(form, spelled)
    return text


def listed(text: str, registry: Registry, forms: dict[str, str]) -> str:
    """Return the text of a registry with an import added in sorted order, and a line added at the end of the list."""
    module = f"{registry.package}.{forms['{name}']}"
    statement = f"from {module} import {filled(registry.symbol, forms)}\n"
    line = filled(registry.line, forms)
    text, found = re.subn(registry.end, lambda match: f"{match[1]}{line}{match[2]}", text, count=1)
    package = module.split(".", maxsplit=1)[0]
    own = list(re.finditer(rf"^from ({package}[\w.]*) import (?:\([^)]*\)|.*)\n", text, re.MULTILINE))
    if not found or not own:
        raise UsageError(
            f"{registry.file}: must have its imports and its list in their usual form, got another one. "
            f"Add `{statement.strip()}` and `{line.strip()}` by hand."
        )
    later = next((match.start() for match in own if _order(match[1]) > _order(module)), own[-1].end())
    return text[:later] + statement + text[later:]


def _order(module: str) -> list[str]:
    """Return the sort key of an import: numbers within names are compared by value."""
    parts = re.split(r"(\d+)", module)
    return [f"{int(part):09}" if part.isdigit() else part for part in parts]
