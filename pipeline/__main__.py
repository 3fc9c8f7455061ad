"""The command line: `python -m pipeline VERB [--config FILE] [--models A,B] [--seeds 0,1] [--any.dotted.path VALUE]`."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import RunError, UsageError, disk_error, one_line, plain

# Each verb imports its stage when it runs: torch and MLflow cost seconds that `--help` need not pay.
# ruff: noqa: PLC0415

# One thread a process, whichever verb starts it: cells must be comparable, and processes share the cores.
# Torch reads it when it is imported, so it is set before.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# oneDNN keeps a compiled kernel for each shape it met, 1024 by default: gigabytes, since batches differ in length.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "main": (
        "train what is missing of a study, analyse it, print the verdicts",
        ("config", "models", "seeds", "until", "most_seeds", "workers", "device", "storage", "output", "allow_missing"),
    ),
    "train": ("train one model with one seed", ("config", "models", "seeds", "device", "storage")),
    "compare": (
        "train what is missing of a study: models x seeds",
        ("config", "models", "seeds", "until", "most_seeds", "workers", "device", "storage"),
    ),
    "analyze": ("analyse a finished study: figures, tables, report", ("study", "output", "allow_missing")),
    "ablate": (
        "vary settings: grids, searches, named changes",
        ("config", "models", "seeds", "workers", "device", "study", "output", "storage"),
    ),
    "verify": (
        "check that what is stored of a study is as it was stored, follows from its runs, and can be repeated",
        ("all", "no_retrain", "choice"),
    ),
    "deliver": (
        "send to the tracking server what was recorded while it was away",
        ("checkpoints", "storage"),
    ),
    "ls": (
        "list embeddings, models, datasets, metrics, analyses, presets and settings; `ls data FILE`: what a file holds",
        (),
    ),
    "bench": ("measure speed, memory and overheads on this machine", ("only", "quick", "output")),
}
"""What each verb does, and its options. One that reads settings from a file takes them as options, too."""
EPILOG = (
    "Any setting can be given as --dotted.path VALUE, for instance --model.embedding.name lete --train.epochs 5, "
    "or by its last word where that is unique, for instance --threshold 0.5. "
    "`python -m pipeline ls settings` lists them all."
)


REWORDED = {
    r"the following arguments are required: (.*)": r"\1: must be given, got none",
    r"(\S+): invalid choice: (.*) \(choose from (.*)\)": r"\1: must be one of \3, got \2",
    r"(\S+): expected .*argument": r"\1: must be followed by a value, got none",
}
"""What argparse says, and the same in the form of all errors."""
MOST_WORKERS = 10_000
"""Most processes that can be asked for."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        said = message.removeprefix("argument ").removesuffix(".")
        for pattern, form in REWORDED.items():
            said = re.sub(rf"{pattern}\Z", form, said, flags=re.DOTALL)
        print(plain(f"error: {said}. `{self.prog} --help` shows what can be given."), file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m pipeline",
        allow_abbrev=False,
        description="Which way of encoding time makes a sequence model better, and is the difference real?",
        epilog="`python -m pipeline VERB --help` shows what a verb takes.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (what, names) in VERBS.items():
        of_verb = verbs.add_parser(
            verb, help=what, description=what, epilog=EPILOG if "config" in names else None, allow_abbrev=False
        )
        of_verb.set_defaults(parser=of_verb)
        for name in names:
            flags = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
            of_verb.add_argument(*flags, default="", **{**OPTIONS[name], **OWN_MEANING.get((verb, name), {})})
        if verb == "verify":
            of_verb.add_argument(
                "study", nargs="?", default="", help="id of a study or of its run (default: the newest)"
            )
        if verb == "ls":
            of_verb.add_argument("topic", nargs="?", default="", help="one of the lists, or data")
            of_verb.add_argument("place", nargs="?", default="", metavar="FILE", help="file of events, after data")
    return parser


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _seeds(text: str) -> list[Any] | None:
    words = [word.strip() for word in text.strip("[] ").split(",") if word.strip()]
    return [_whole(word) if _is_whole(word) else word for word in words] if text else None


def _is_whole(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _whole(word: str) -> int:
    """Return a whole number; Python reads 4300 digits at once, and one of more than 20 is too large for all that takes one."""
    return int(word.lstrip("0")[:20] or 0)


def _workers(text: str) -> int:
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not _is_whole(text) or not 1 <= _whole(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_WORKERS}, got {text}")
    return _whole(text)


def _until(text: str) -> bool:
    if text not in ("", "decided"):
        raise argparse.ArgumentTypeError(f"must be decided, got {text}")
    return bool(text)


def _most_seeds(text: str) -> int | None:
    if text and not _is_whole(text):
        raise argparse.ArgumentTypeError(f"must be a whole number of seeds, got {text}")
    return _whole(text) if text else None


def _device(text: str) -> str:
    return text or "auto"


def _choice(text: str) -> int | None:
    if text and not _is_whole(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 on, got {text}")
    return _whole(text) if text else None


def _truth(text: str) -> bool:
    if text not in ("", "true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text}")
    return text == "true"


# An empty value means that the option is not given: so the commands of MLproject pass what nobody set. The default is an
# empty text, which argparse hands to `type`, too.
OPTIONS: dict[str, dict[str, Any]] = {
    "config": {"type": _path, "metavar": "FILE", "help": "a JSON file of settings; config/ holds presets"},
    "models": {"type": _words, "metavar": "A,B", "help": "variants of the study, or embeddings"},
    "seeds": {"type": _seeds, "metavar": "0,1,2", "help": "seeds of the study"},
    "until": {
        "type": _until,
        "metavar": "decided",
        "help": "add seeds only to undecided pairs: looks at 5, 10 and 20 seeds, which the plan declares",
    },
    "most_seeds": {
        "type": _most_seeds,
        "metavar": "N",
        "help": "with --until decided: four looks, the last at N seeds, such as 4, 6, 8 and 10",
    },
    "workers": {"type": _workers, "metavar": "N", "help": "processes that train at once (default: one a core)"},
    "device": {"type": _device, "metavar": "auto|cpu|cuda", "help": "where to train (default: auto)"},
    "study": {"metavar": "ID", "help": "study to analyse (default: the newest)"},
    "storage": {
        "metavar": "URL",
        "help": "PostgreSQL database that keeps machines apart which share a tracking server (default: OPTUNA_STORAGE)",
    },
    "checkpoints": {"type": _path, "metavar": "FOLDER", "help": "where it waits (default: checkpoints)"},
    "output": {"type": _path, "metavar": "FOLDER", "help": "folder of the results (default: results/STUDY)"},
    "allow_missing": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "analyse a study in which runs are missing",
    },
    "only": {"type": _words, "metavar": "A,B", "help": "benchmarks to run, such as training,growth (default: all)"},
    "quick": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "fewer rounds and smaller sizes, in a minute; what cannot be quick is left out",
    },
    "all": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "dest": "every",
        "metavar": "true|false",
        "help": "check every study of the store",
    },
    "no_retrain": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "train no run again",
    },
    "choice": {"type": _choice, "metavar": "N", "help": "number by which the run is drawn that is trained again"},
}
OWN_MEANING: dict[tuple[str, str], dict[str, str]] = {
    ("train", "models"): {"metavar": "A", "help": "a variant of the file, or an embedding"},
    ("train", "seeds"): {"metavar": "0", "help": "seed of the run"},
    ("ablate", "models"): {"help": "rows of the study"},
    ("ablate", "storage"): {"help": "database of the study (default: OPTUNA_STORAGE, or else sqlite:///optuna.db)"},
    ("bench", "output"): {"help": "folder of benchmarks.md and .json (default: docs; with --quick, none)"},
    ("ablate", "study"): {"metavar": "NAME", "help": "name of the study (default: that of its file)"},
}
"""What an option means to one verb, where it is something else than to the others."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return a verb and its options; `overrides` are the settings among them, as they were written."""
    options, rest = _parser().parse_known_args(arguments)
    options.overrides = _overrides(rest, options.verb, options.parser)
    del options.parser
    return options


def _overrides(rest: Sequence[str], verb: str, parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return what the parser of a verb does not know as pairs of `--name value` or `--name=value`."""
    overrides: dict[str, str] = {}
    tokens = list(rest)
    while tokens:
        flag, equals, value = tokens.pop(0).partition("=")
        name = flag.removeprefix("--")
        if (verb != "ls" and "config" not in VERBS[verb][1]) or (flag != name and name.replace("-", "_") in OPTIONS):
            parser.error(f"{flag}: must be left out of {verb}, which has no use for it, got one. Drop it.")
        if flag == name:
            parser.error(f"{flag}: must be --name value, got a word alone. Put -- before the name of a setting.")
        if not name:
            parser.error("--: must be the name of a setting, got none. Write for instance --train.epochs 5.")
        if not equals:
            if not tokens or tokens[0].startswith("--"):
                parser.error(f"{flag}: must be followed by a value, got none. Write {flag} VALUE.")
            value = tokens.pop(0)
        if name in overrides:
            parser.error(f"{flag}: must be given once, got it twice. Drop one.")
        overrides[name] = value
    return overrides


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code: 0 done, 1 a run failed, 2 the input was wrong, 130 interrupted."""
    options = vars(parse(arguments))
    from pipeline.launch import interrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        _run(options.pop("verb"), options)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except _wrong_input() as error:
        print(plain(f"error: {error}"), file=sys.stderr)
        return 2
    except (RunError, FloatingPointError) as error:
        print(plain(f"failed: {error}"), file=sys.stderr)
        return 1
    except Exception as error:
        if said := disk_error(error):
            print(plain(f"error: {said}"), file=sys.stderr)
            return 2
        if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and "allocate" in str(error)):
            raise
        got = one_line(error)
        print(
            plain(f"failed: memory: must hold the work, got {got}. Make the model or the data smaller."),
            file=sys.stderr,
        )
        return 1
    return 0


def _wrong_input() -> tuple[type[Exception], ...]:
    """Return the errors that tell a user what to correct. Python asks only when something was raised."""
    from analysis.results import ResultsError
    from models.config import ModelError

    return UsageError, ModelError, ResultsError


def _run(verb: str, options: Mapping[str, Any]) -> None:
    if verb == "ls":
        from pipeline.ls import ls
        from pipeline.settings import read_values

        return ls(options["topic"], options["place"], read_values(options["overrides"]))
    if verb == "bench":
        from pipeline.bench.command import bench

        return bench(**{name: options[name] for name in VERBS["bench"][1]})
    from pipeline import verbs
    from pipeline.settings import read_values

    call = verbs.Call(**{**options, "overrides": read_values(options["overrides"])})
    return getattr(verbs, verb)(call)  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main())
