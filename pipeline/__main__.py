"""The command line: `python -m pipeline VERB [--config FILE] [--models A,B] [--seeds 0,1] [--any.dotted.path VALUE]`."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

# One thread a process, whichever verb starts it: cells must be comparable, and processes share the cores.
# Torch reads it when it is imported, so it is set before.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# oneDNN keeps a compiled kernel for each shape it met, 1024 by default: gigabytes, since batches differ in length.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

VERBS = {
    "main": "train what is missing of a study, analyse it, print the verdicts",
    "train": "train one model with one seed",
    "compare": "train what is missing of a study: models x seeds",
    "analyze": "analyse a finished study: figures, tables, report",
    "ablate": "vary settings: grids, searches, named changes",
    "ls": "list embeddings, models, datasets, metrics, analyses, presets and settings",
    "bench": "measure speed against the usual recipes",
}
OPTIONS = ("config", "models", "seeds", "workers", "device", "study", "output", "storage", "allow_missing")
TAKES: dict[str, set[str]] = {
    "main": {"config", "models", "seeds", "workers", "device", "output", "allow_missing", "settings"},
    "train": {"config", "models", "seeds", "device", "settings"},
    "compare": {"config", "models", "seeds", "workers", "device", "settings"},
    "analyze": {"study", "output", "allow_missing"},
    "ablate": {"config", "models", "seeds", "workers", "device", "study", "output", "storage", "settings"},
    "ls": set(),
    "bench": set(),
}
"""Which options a verb has a use for; `settings` are the dotted ones."""
EPILOG = (
    "Any setting can be given as --dotted.path VALUE, for instance --model.embedding.name lete --train.epochs 5, "
    "or by its last word where that is unique, for instance --threshold 0.5. "
    "`python -m pipeline ls settings` lists them all."
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}. `python -m pipeline --help` shows what can be given.", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    verbs = "\n".join(f"  {verb:9}{what}" for verb, what in VERBS.items())
    parser = _Parser(
        prog="python -m pipeline",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Which way of encoding time makes a sequence model better, and is the difference real?\n\n{verbs}",
        epilog=EPILOG,
    )
    parser.add_argument("verb", metavar="VERB", choices=VERBS, help="one of the above")
    parser.add_argument("topic", nargs="?", default="", help="for ls: one of its lists")
    parser.add_argument("--config", default="", metavar="FILE", help="a JSON file of settings; config/ holds presets")
    parser.add_argument(
        "--models", default="", metavar="A,B", help="variants of the study, rows of an ablation, or embeddings"
    )
    parser.add_argument("--seeds", default="", metavar="0,1,2", help="seeds of the study")
    parser.add_argument("--workers", default="", metavar="N", help="processes that train at once (default: one a core)")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda", help="where to train (default: auto)")
    parser.add_argument(
        "--study", default="", metavar="ID", help="study to analyse (default: the newest); name of an ablation"
    )
    parser.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="database of an ablation (default: OPTUNA_STORAGE, or else sqlite:///optuna.db)",
    )
    parser.add_argument("--output", default="", metavar="FOLDER", help="folder of the results (default: results/STUDY)")
    parser.add_argument(
        "--allow_missing", "--allow-missing", nargs="?", const="true", default="", choices=("", "true", "false"),
        metavar="true|false", help="analyse a study in which runs are missing",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code: 0 done, 1 a run failed, 2 the input was wrong, 130 interrupted."""
    options, rest = _parser().parse_known_args(arguments)
    from pipeline.launch import interrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        _dispatch(options, _settings(rest))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, FloatingPointError) as error:
        # By name: importing the classes would cost `--help` seconds.
        if type(error).__name__ in ("UsageError", "DataError", "ResultsError", "ModelError"):
            print(f"error: {error}", file=sys.stderr)
            return 2
        if type(error).__name__ in ("RunError", "FigureError", "FloatingPointError"):
            print(f"failed: {error}", file=sys.stderr)
            return 1
        raise
    return 0


def _dispatch(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    # Each verb imports its stage when it runs: torch and MLflow cost seconds that `--help` need not pay.
    # ruff: noqa: PLC0415
    from pipeline.errors import UsageError

    if options.topic and options.verb != "ls":
        raise UsageError(
            f"{options.topic}: must be --name value, got a word alone. Put -- before the name of a setting."
        )
    given = {name for name in OPTIONS if getattr(options, name) not in ("", "auto")}
    useless = (given - TAKES[options.verb]) | (set() if "settings" in TAKES[options.verb] else overrides.keys())
    for name in sorted(useless):
        raise UsageError(f"--{name}: must be left out of {options.verb}, which has no use for it, got one. Drop it.")
    if options.verb == "ls":
        from pipeline.ls import ls

        return ls(options.topic)
    if options.verb == "bench":
        from pipeline.bench import bench

        return bench()
    from pipeline import verbs as stages

    run = stages.Call(
        config=Path(options.config) if options.config else None,
        models=tuple(filter(None, options.models.split(","))),
        seeds=_seeds(options.seeds),
        workers=_workers(options.workers),
        device=options.device or "auto",
        study=options.study,
        output=Path(options.output) if options.output else None,
        storage=options.storage,
        allow_missing=options.allow_missing == "true",
        overrides=overrides,
    )
    return getattr(stages, options.verb)(run)  # type: ignore[no-any-return]


def _seeds(text: str) -> list[Any] | None:
    """Return what `--seeds` lists; None where it is not given."""
    words = [word.strip() for word in text.strip("[] ").split(",") if word.strip()]
    return [int(word) if word.isdigit() else word for word in words] if text else None


def _workers(text: str) -> int:
    from pipeline.errors import UsageError

    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--workers: must be a whole number from 1 on, got {text}. Give the number of processes.")
    return int(text)


def _settings(rest: Sequence[str]) -> dict[str, Any]:
    """Return `--name value` and `--name=value` pairs; a value is JSON where it can be, else text."""
    from pipeline.errors import UsageError

    settings: dict[str, Any] = {}
    tokens = list(rest)
    while tokens:
        name, equals, value = tokens.pop(0).partition("=")
        if not name.startswith("--"):
            raise UsageError(f"{name}: must be --name value, got a word alone. Put -- before the name of a setting.")
        if not equals:
            if not tokens or tokens[0].startswith("--"):
                raise UsageError(f"{name}: must be followed by a value, got none. Write {name} VALUE.")
            value = tokens.pop(0)
        if name[2:] in settings:
            raise UsageError(f"{name}: must be given once, got it twice. Drop one.")
        try:
            settings[name[2:]] = json.loads(value)
        except json.JSONDecodeError:
            settings[name[2:]] = value
    return settings


if __name__ == "__main__":
    sys.exit(main())
