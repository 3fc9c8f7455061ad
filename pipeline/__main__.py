"""The command line: `python -m pipeline VERB [--config FILE] [--models A,B] [--seeds 0,1] [--any.dotted.path VALUE]`."""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from math import inf, nan
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import RunError, TimeUpError, UsageError, disk_error, one_line, plain
from pipeline.interrupts import interrupt, keep_interrupts
from pipeline.launch import MODULES, ONE_THREAD, cores, prepare_workers
from pipeline.place import preset_or
from pipeline.registries import REGISTRIES

# Each verb imports its modules when it runs: importing torch and MLflow takes seconds, which `--help` should not take.
# ruff: noqa: PLC0415

os.environ.update(ONE_THREAD)
# oneDNN caches a compiled kernel for each shape, by default up to 1024: that would be gigabytes, as batches differ in length.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

OURS = ("analysis", "models", "pipeline")
"""The packages of the project: if one of them cannot be imported, that is a defect and not a missing dependency."""

TRAINED = (
    "config",
    "models",
    "seeds",
    "name",
    "until",
    "most_seeds",
    "vary",
    "workers",
    "launcher",
    "gpus_per_run",
    "memory_per_run",
    "device",
    "storage",
    "time_left",
    "plan",
)
"""Flags of the verbs that train a study."""

RESUMED = ("main", "train", "compare", "ablate", "predict", "import", "deliver", "rm", "clean")
"""Verbs that keep what they have done when they are interrupted."""
VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "main": (
        "train what is missing of a study, analyse it, print the verdicts",
        (*TRAINED, "output", "allow_missing"),
    ),
    "train": ("train one model with one seed", ("config", "models", "seeds", "device", "storage")),
    "compare": (
        "train what is missing of a study: models x seeds",
        TRAINED,
    ),
    "analyze": ("analyse a finished study: figures, tables, report", ("study", "output", "allow_missing")),
    "claim": (
        "say whether a published accuracy is what a model of a stored study would score",
        ("study", "model", "accuracy", "tests", "runs", "chosen_on"),
    ),
    "suite": (
        "compare the models of several studies over their data sets: mean ranks, critical-difference diagram",
        ("studies", "output", "allow_missing"),
    ),
    "ablate": (
        "vary settings: grids, searches, named changes",
        (
            "config",
            "models",
            "seeds",
            "name",
            "workers",
            "launcher",
            "gpus_per_run",
            "memory_per_run",
            "device",
            "output",
            "storage",
            "time_left",
            "plan",
        ),
    ),
    "predict": (
        "classify the sequences of a file with a stored model, in parts that fit into memory",
        ("model", "input", "output"),
    ),
    "drift": (
        "say what moved between the training data of a stored model and the sequences of a file",
        ("model", "input", "output"),
    ),
    "verify": (
        "check that what is stored of a study is as it was stored, follows from its runs, and can be repeated",
        ("all", "no_retrain", "choice", "key"),
    ),
    "promote": (
        "register the best model of a study as the champion, where its verdict against the present one allows it",
        ("name", "reason"),
    ),
    "export": ("write a study to a file that others can check without training or a store", ("weights", "sign")),
    "import": ("take a study from such a file into this store, where its runs are finished", ()),
    "deliver": (
        "send to the tracking server what was recorded while it was away",
        ("checkpoints", "storage"),
    ),
    "ls": (
        "list what there is, the presets, settings and studies; `ls embeddings NAME` and `ls data FILE` say more of one",
        (),
    ),
    "doctor": (
        "say what the event times of a file or a data set hold, and which encodings can work on them, before any training",
        ("config", "output"),
    ),
    "schema": ("print the JSON schema of study or of ablation files, for editors", ()),
    "complete": ("print the script by which a shell completes the command time-embeddings", ()),
    "rm": ("delete a study, and the runs that no other study uses", ("dry_run", "storage")),
    "clean": ("delete what no run needs: files of deleted runs, and left checkpoints", ("dry_run",)),
    "relocate": ("let a store in a folder that was moved or copied use the files beside it", ()),
    "new": ("write the file of a new embedding, backbone, dataset, metric, analysis or probe, and list it", ()),
    "bench": ("measure speed, memory and overheads on this machine", ("only", "quick", "output")),
}
"""What each verb does, and its options. A verb that reads settings from a file also takes settings as options."""
ARCHIVE = ".zip"
"""Ending of the files that `export` writes."""
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
"""Messages of argparse, as patterns, and the same messages in the form of all errors."""
MOST_WORKERS = 10_000
"""Most worker processes that a command accepts."""
MOST_SECONDS = 10**9
"""Longest time that a command accepts, in seconds: thirty years."""
MOST_GIGABYTES = 10**6
MOST_GPUS = 64
"""Most memory and most GPUs of one run that a command accepts."""
LAUNCHERS = ("local", "ray")
MOST_COUNTED = 10**12
"""Most sequences or runs that a claim accepts."""
LONGEST_REASON = 500
"""Longest reason of a promotion, in characters."""

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
"""Shells for which a completion script can be written."""
WAYS = ("init", "order", "dropout", "all")
"""Values of `--vary`: a random stream that varies alone, or all of them separately."""


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
        for name, place in PLACES.get(verb, {}).items():
            of_verb.add_argument(name, **place)
        if verb == "doctor":
            of_verb.usage = "%(prog)s [FILE or data set] [--config FILE] [--output FOLDER] [--dotted.path VALUE]"
    return parser


def _archive(text: str) -> Path:
    if not text.endswith(ARCHIVE):
        raise argparse.ArgumentTypeError(f"must end in {ARCHIVE}, got {text or 'nothing'}")
    return Path(text)


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _config(text: str) -> Path | None:
    return preset_or(Path(text)) if text else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _seeds(text: str) -> list[Any] | None:
    words = [word.strip() for word in text.strip("[] ").split(",") if word.strip()]
    return [_whole(word) if _is_whole(word) else word for word in words] if text else None


def _is_whole(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _whole(word: str) -> int:
    """Return a whole number, from its first 20 digits only: a longer one exceeds every limit, and Python refuses 4300 digits."""
    return int(word.lstrip("0")[:20] or 0)


def _workers(text: str) -> int:
    if not text:
        return cores()
    if not _is_whole(text) or not 1 <= _whole(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_WORKERS}, got {text}")
    return _whole(text)


def _launcher(text: str) -> str:
    if text and text not in LAUNCHERS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(LAUNCHERS)}, got {text}")
    return text or LAUNCHERS[0]


def _amount(text: str, most: int) -> float | None:
    """Return a number above 0 and up to `most`; None for an empty text."""
    try:
        number = float(text) if text.isascii() else nan
    except ValueError:
        number = nan
    if text and not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and up to {most}, got {text}")
    return number if text else None


def _gpus(text: str) -> float | None:
    number = _amount(text, MOST_GPUS)
    if number and number > 1 and number % 1:
        raise argparse.ArgumentTypeError(f"must be a part of one GPU or a whole number of them, got {text}")
    return number


def _until(text: str) -> bool:
    if text not in ("", "decided"):
        raise argparse.ArgumentTypeError(f"must be decided, got {text}")
    return bool(text)


def _most_seeds(text: str) -> int | None:
    if text and not _is_whole(text):
        raise argparse.ArgumentTypeError(f"must be a whole number of seeds, got {text}")
    return _whole(text) if text else None


def _vary(text: str) -> str:
    if text and text not in WAYS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(WAYS)}, got {text}")
    return text


def _device(text: str) -> str:
    return text or "auto"


def _choice(text: str) -> int | None:
    if text and not _is_whole(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 on, got {text}")
    return _whole(text) if text else None


def _rate(text: str) -> float | None:
    """Return a percentage as a rate in [0, 1]; None for an empty text."""
    try:
        percent = float(text) if text.isascii() else nan
    except ValueError:
        percent = nan
    if text and not 0 <= percent <= 100:  # noqa: PLR2004 - percent
        raise argparse.ArgumentTypeError(f"must be percent from 0 to 100, got {text}")
    return percent / 100 if text else None


def _count(text: str) -> int | None:
    if text and not (_is_whole(text) and 1 <= _whole(text) <= MOST_COUNTED):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_COUNTED}, got {text}")
    return _whole(text) if text else None


def _split(text: str) -> str:
    if text not in ("", "test", "validation"):
        raise argparse.ArgumentTypeError(f"must be test or validation, got {text}")
    return text


def _reason(text: str) -> str:
    if text and not (text.strip() and text.isprintable() and len(text) <= LONGEST_REASON):
        raise argparse.ArgumentTypeError(f"must be a line of 1 to {LONGEST_REASON} letters, got {text!r}")
    return text.strip()


def _truth(text: str) -> bool:
    if text not in ("", "true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text}")
    return text == "true"


# An empty value means that the option is not given: the commands of MLproject pass options that nobody set in this way. The
# default is an empty text, too, which argparse also passes to `type`.
OPTIONS: dict[str, dict[str, Any]] = {
    "config": {"type": _config, "metavar": "FILE", "help": "a JSON file of settings; config/ holds presets"},
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
    "vary": {
        "type": _vary,
        "metavar": "|".join(WAYS),
        "help": "let one random stream alone vary over the seeds, or all apart, and say which randomness it is",
    },
    "workers": {"type": _workers, "metavar": "N", "help": "processes that train at once (default: one a core)"},
    "launcher": {
        "type": _launcher,
        "metavar": "|".join(LAUNCHERS),
        "help": "local processes, or the Ray cluster that RAY_ADDRESS names (default: local)",
    },
    "gpus_per_run": {
        "type": _gpus,
        "metavar": "N",
        "help": "with --launcher ray: GPUs of a run, such as 0.25 (default: none; 1 with --device cuda)",
    },
    "memory_per_run": {
        "type": lambda text: _amount(text, MOST_GIGABYTES),
        "metavar": "GB",
        "help": "with --launcher ray: memory that a run is given room for (default: 1)",
    },
    "time_left": {
        "type": lambda text: _amount(text, MOST_SECONDS),
        "metavar": "SECONDS",
        "help": "begin no run that would not end within this time; the same command goes on (exit code 75)",
    },
    "plan": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "say what would run where and how long it takes, and start nothing",
    },
    "device": {"type": _device, "metavar": "auto|cpu|cuda", "help": "where to train (default: auto)"},
    "study": {"metavar": "NAME", "help": "name or id of the study to analyse (default: the newest)"},
    "name": {"metavar": "NAME", "help": "name of the study and of its folder of results (default: that of its file)"},
    "reason": {
        "type": _reason,
        "metavar": "TEXT",
        "help": "promote it whatever the verdict, and record why with the version",
    },
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
    "input": {
        "type": _path,
        "dest": "source",
        "metavar": "FILE",
        "help": "file of events, of the kinds that training reads",
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
    "weights": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "with the best weights of each run",
    },
    "sign": {"type": _path, "metavar": "KEY", "help": "private Ed25519 key by which the file is signed"},
    "key": {"type": _path, "metavar": "KEY", "help": "of a file: public Ed25519 key of who must have signed it"},
    "dry_run": {
        "type": _truth,
        "nargs": "?",
        "const": True,
        "metavar": "true|false",
        "help": "say what would be deleted, and delete nothing",
    },
    "choice": {"type": _choice, "metavar": "N", "help": "number by which the run is drawn that is trained again"},
    "studies": {
        "type": _words,
        "metavar": "ID,ID",
        "help": "two studies or more of the same variants, each on other data",
    },
    "model": {"metavar": "A", "help": "variant of the study that the number is held against"},
    "accuracy": {"type": _rate, "metavar": "PERCENT", "help": "the published accuracy"},
    "tests": {"type": _count, "metavar": "N", "help": "sequences it was measured on (default: as many as the study's)"},
    "runs": {"type": _count, "metavar": "N", "help": "trainings it is the mean of (default: 1)"},
    "chosen_on": {
        "type": _split,
        "metavar": "test|validation",
        "help": "split by which its epoch was chosen; validation also where none was chosen",
    },
}
FILE: dict[str, Any] = {"type": _archive, "metavar": "FILE.zip", "help": "file of the study"}
PLACES: dict[str, dict[str, dict[str, Any]]] = {
    "verify": {
        "study": {
            "nargs": "?",
            "default": "",
            "help": "name or id of a study (default: the newest), or a file of export",
        }
    },
    "promote": {"study": {"help": "name or id of a study"}},
    "export": {"study": {"help": "name or id of a study"}, "file": FILE},
    "import": {"file": FILE},
    "rm": {"study": {"nargs": "?", "default": "", "help": "name or id of a study"}},
    "schema": {"kind": {"choices": ("study", "ablation"), "metavar": "KIND", "help": "study or ablation"}},
    "complete": {"shell": {"choices": SHELLS, "metavar": "SHELL", "help": ", ".join(SHELLS)}},
    "new": {
        "kind": {"choices": tuple(REGISTRIES), "metavar": "KIND", "help": ", ".join(REGISTRIES)},
        "name": {"help": "its name: letters, digits and _"},
    },
    "ls": {
        "topic": {"nargs": "?", "default": "", "help": "one of the lists, or data"},
        "place": {
            "nargs": "?",
            "default": "",
            "metavar": "NAME",
            "help": "an embedding, or after data a file of events",
        },
    },
}
"""Positional arguments of verbs."""
STORED_MODEL = {"metavar": "URI", "help": "a stored model: models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/NAME"}
OWN_MEANING: dict[tuple[str, str], dict[str, str]] = {
    ("claim", "study"): {"help": "study that has the model (default: the newest)"},
    ("suite", "output"): {"help": "folder of the results (default: results/suite)"},
    ("train", "models"): {"metavar": "A", "help": "a variant of the file, or an embedding"},
    ("train", "seeds"): {"metavar": "0", "help": "seed of the run"},
    ("ablate", "models"): {"help": "rows of the study"},
    ("ablate", "storage"): {"help": "database of the study (default: OPTUNA_STORAGE, or else sqlite:///optuna.db)"},
    ("bench", "output"): {"help": "folder of benchmarks.md and .json (default: docs; with --quick, none)"},
    ("predict", "model"): STORED_MODEL,
    ("drift", "model"): STORED_MODEL,
    ("predict", "output"): {"metavar": "FILE.parquet", "help": "file of the answers, a row for each sequence"},
    ("drift", "output"): {"metavar": "FILE.html", "help": "file of the page (default: none)"},
    ("doctor", "output"): {"help": "folder of the page (default: results/doctor)"},
    ("promote", "name"): {"help": "name of the registered model (default: event-classifier)"},
}
"""Help texts of options that mean something else for one verb than for the others."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return a verb and its options; `overrides` are the settings among them, as text."""
    options, rest = _parser().parse_known_args(arguments)
    if options.verb == "doctor":  # its positional argument could take the value of a setting that comes before it
        options.place = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    options.overrides = _overrides(rest, options.verb, options.parser)
    del options.parser
    return options


def _overrides(rest: Sequence[str], verb: str, parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the arguments that a verb's parser does not know, given as `--name value` or `--name=value`, by name."""
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
    """Run one verb; return the exit code.

    Exit codes: 0 done, 1 a run failed, 2 the input was wrong, 75 the time is over and runs are left, 130 interrupted.
    """
    _open_streams()
    options = vars(parse(arguments))
    verb = options.pop("verb")
    signal.signal(signal.SIGTERM, interrupt)
    try:
        with keep_interrupts(interrupt):
            _run(verb, options)
    except KeyboardInterrupt:
        next_time = "continues where this one stopped" if verb in RESUMED else "begins anew"
        print(f"interrupted: the same command {next_time}.", file=sys.stderr)
        return 130
    except _wrong_input() as error:
        print(plain(f"error: {error}"), file=sys.stderr)
        return 2
    except (RunError, FloatingPointError) as error:
        over = isinstance(error, TimeUpError)
        print(plain(f"{'stopped' if over else 'failed'}: {error}"), file=sys.stderr)
        return os.EX_TEMPFAIL if over else 1
    except Exception as error:
        if said := disk_error(error) or _lacking(error):
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


def _open_streams() -> None:
    """Open standard streams that were closed, as by `>&-`: otherwise the next opened file would receive the printed output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open for the life of the process


def _wrong_input() -> tuple[type[Exception], ...]:
    """Return the types of errors that tell a user what to correct. Modules that are not imported cannot have raised theirs."""
    further = {"analysis.results": "ResultsError", "models.config": "ModelError"}
    return UsageError, *(getattr(sys.modules[name], error) for name, error in further.items() if name in sys.modules)


def _lacking(error: Exception) -> str:
    """Return a message if the error is that a required package is missing, otherwise ""."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or error.name.partition(".")[0] in OURS:
        return ""
    return (
        f"environment: must have the packages of this project, got {sys.executable} without {error.name}. Run `make setup`, "
        "then `. .venv/bin/activate`; `mlflow run` with --env-manager local takes the environment that is active."
    )


def _verify_file(options: Mapping[str, Any]) -> None:
    from pipeline.exchange.recount import verify_file
    from pipeline.exchange.signature import public_key

    if options["every"] or options["choice"] is not None:
        flag = "--all" if options["every"] else "--choice"
        raise UsageError(f"{flag}: must stand without a file, of which nothing is trained, got one. Drop it.")
    verify_file(Path(options["study"]), public_key(options["key"]) if options["key"] else None)


def _text(verb: str, options: Mapping[str, Any]) -> str:
    if verb == "schema":
        from pipeline.schema import text

        return text(options["kind"])
    from pipeline.completion import script

    return script(_parser(), options["shell"])


def _run(verb: str, options: dict[str, Any]) -> None:
    if verb == "ls":
        from pipeline.ls import ls

        return ls(options["topic"], options["place"], options["overrides"])
    if verb in ("schema", "complete"):
        return print(_text(verb, options))
    if verb == "new":
        from pipeline.new import new

        return new(options["kind"], options["name"])
    if verb == "bench":
        from pipeline.bench.command import bench

        return bench(**{name: options[name] for name in VERBS["bench"][1]})
    if verb == "verify" and options["study"].endswith(ARCHIVE):
        return _verify_file(options)
    # A path that is too long, or has characters that no path has, is an error for pathlib and no file for os.path.
    if verb == "verify" and os.path.isfile(options["study"]):  # noqa: PTH113
        raise UsageError(
            f"{options['study']}: must be a study of the store or a file of export, which ends in {ARCHIVE}, got another file. "
            "Name one of these."
        )
    if options.pop("key", None):
        raise UsageError("--key: must stand with a file of export, got one without. Name the file, or drop it.")
    if "time_left" in options:
        options["ends"] = inf if options["time_left"] is None else time.monotonic() + options["time_left"]
    if options.get("workers", 1) > 1 and options.get("launcher") != "ray" and not options.get("plan"):
        # The fork server imports the modules while this process does the same; `prepare_workers` says what that saves.
        prepare_workers(*MODULES)
    from pipeline import verbs
    from pipeline.settings import read_values

    call = verbs.Call(**{**options, "overrides": read_values(options["overrides"])})
    return getattr(verbs, f"{verb}_" if iskeyword(verb) else verb)(call)  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main())
