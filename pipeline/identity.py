"""What a run is: the config and everything else that decides its numbers. Equal cells have equal results."""

import ast
import hashlib
import subprocess
from collections.abc import Set as AbstractSet
from copy import deepcopy
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from models.registry import AnyModel
from pipeline.config import RunConfig, config_hash, digest_of
from pipeline.data import Splits
from pipeline.machine import resolve_device, resolve_precision

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = "models.time_embeddings"
ANY_HORIZON = 64
"""Horizon of a model that is built to see which code it is made of: long enough for every setting."""
LIBRARIES = {"numba": "numba", "kan": "pykan", "mamba_ssm": "mamba-ssm"}
"""Packages beside torch that a model may compute with, by the name they are imported under."""


def identity(config: RunConfig, splits: Splits, device: str) -> dict[str, str]:
    """Return what decides the numbers of a run, as `cell` the hash of it all, and the digest of what all models share."""
    resolved = resolve_device(device)
    parts = {
        "config_hash": config_hash(config),
        "seed": str(config.seed),
        "data_digest": splits.digest,
        "code_digest": code_digest(config),
        "torch_version": torch.__version__,
        "precision": resolve_precision(config.train.precision, resolved),
        "device": resolved.type,
    }
    return {**parts, "cell": digest_of(parts)[:16], "shared_code_digest": shared_code_digest()}


def code_digest(config: RunConfig) -> str:
    """Return the SHA-256 of the code behind a run: trainer, seeding, data, and the files of the model that it builds.

    With it go the versions of the libraries that those files compute with. Comments, docstrings and layout do not
    count. Adding a time embedding changes no other model's digest.
    """
    files, libraries = _code_of(config.model)
    lines = _code_lines(files | _training_files())
    lines += [f"{LIBRARIES[name]} {_version(LIBRARIES[name])}" for name in sorted(libraries & LIBRARIES.keys())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def _code_of(model_config: AnyModel) -> tuple[frozenset[Path], frozenset[str]]:
    """Return the files of the model that is built, and what they import beside the project's own."""
    with torch.random.fork_rng(devices=[]):
        model = model_config.build(horizon=ANY_HORIZON, feature_dim=0, classes=2)
    names = {kind.__module__ for module in model.modules() for kind in type(module).__mro__}
    files, libraries = _imported({name for name in names if name.startswith("models.")})
    return frozenset(files), frozenset(libraries)


def shared_code_digest() -> str:
    """Return the SHA-256 of the code that the runs of all models share, whatever their time embedding.

    Runs of different models always differ in `code_digest`; in this one they must not.
    """
    lines = _code_lines({*_training_files(), ROOT / "models" / "classifier.py"})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _training_files() -> set[Path]:
    """Return the code of training and data, less what fetches and verifies files: their content has a digest."""
    pipeline = ROOT / "pipeline"
    data = {file for file in (pipeline / "data").glob("*.py") if file.name not in ("sources.py", "__main__.py")}
    return {pipeline / "trainer.py", pipeline / "seeding.py", *data}


def _code_lines(files: AbstractSet[Path]) -> list[str]:
    return [f"{file.relative_to(ROOT).as_posix()} {_code_hash(file)}" for file in sorted(files)]


def _imported(names: set[str]) -> tuple[set[Path], set[str]]:
    """Return the files of the named modules of `models` and of all that they import of it, and the other imports.

    The registry of embeddings is left out: it imports every embedding, and computes nothing.
    """
    files: set[Path] = set()
    others: set[str] = set()
    waiting = set(names)
    while waiting:
        file = ROOT.joinpath(*waiting.pop().split(".")).with_suffix(".py")
        files.add(file)
        for node in ast.walk(_tree(file)):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in imported:
                others.add(name.split(".")[0])
                if (
                    name.startswith("models.")
                    and name != REGISTRY
                    and ROOT.joinpath(*name.split(".")).with_suffix(".py") not in files
                ):
                    waiting.add(name)
    return files, others


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _code_hash(file: Path) -> str:
    tree = deepcopy(_tree(file))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_docstring(part)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def commit() -> dict[str, str]:
    """Return the git commit and whether the tree differs from it; empty outside a checkout."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        status = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"mlflow.source.git.commit": head.stdout.strip(), "dirty": str(bool(status.stdout.strip())).lower()}
