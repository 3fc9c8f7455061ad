"""The completion script for shells: it completes verbs, options, settings, and names of files."""

import argparse

import shtab

from pipeline.ls import LISTS, settings
from pipeline.registries import names

COMMAND = "time-embeddings"
FILES = {"config", "source", "file", "sign", "key", "place", "output", "checkpoints", "data.path"}
"""Options that take the path of a file or folder."""
NAMES = {"models": "embedding", "model.embedding.name": "embedding", "data.name": "dataset", "model.name": "backbone"}
"""Options that take a name of a registry, by the registry's kind."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script for a shell, made from the parser of the command line."""
    parser.prog = COMMAND
    paths = {row[0] for row in settings()[1]} | {path for path in NAMES if "." in path}
    # argparse has no public access to the parsers of its verbs and to their options.
    [verbs] = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    for name, verb in verbs.choices.items():
        options = verb._option_string_actions  # noqa: SLF001
        for path in sorted(paths) if "--config" in options else ():
            if f"--{path}" not in options:
                verb.add_argument(f"--{path}")
        for action in verb._actions:  # noqa: SLF001
            if action.dest in FILES:
                action.complete = shtab.FILE
            elif action.dest in NAMES and (name, action.dest) != ("ablate", "models"):  # `ablate --models` takes rows
                action.choices = [one for one, _ in names(NAMES[action.dest])]
            elif action.dest == "topic":
                action.choices = [*LISTS, "data"]
    return shtab.complete(parser, shell)
