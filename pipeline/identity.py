"""What a run is: the config and everything else that decides its numbers. Equal cells have equal results."""

import ast
import hashlib
import inspect
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

import pipeline.data
import pipeline.seeding
import pipeline.trainer
from pipeline.config import RunConfig, config_hash, digest_of
from pipeline.data import Splits
from pipeline.trainer import resolve_device, resolve_precision

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cell:
    """One config with one seed, under the name of its variant."""

    model: str
    config: RunConfig

    @property
    def name(self) -> str:
        """Return the name of its run."""
        return f"{self.model}/seed-{self.config.seed}"


def identity(config: RunConfig, splits: Splits, device: str) -> dict[str, str]:
    """Return what decides the numbers of a run, and as `cell` the hash of it all."""
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
    return {**parts, "cell": digest_of(parts)[:16]}


def code_digest(config: RunConfig) -> str:
    """Return the SHA-256 of the code behind a run: trainer, seeding, data, and the files of the model that it builds.

    Comments, docstrings and layout do not count. Adding a time embedding changes no other model's digest.
    """
    with torch.random.fork_rng(devices=[]):
        model = config.model.build(horizon=2, feature_dim=0, classes=2)
    names = {kind.__module__ for module in model.modules() for kind in type(module).__mro__}
    modules = _project_modules({name for name in names if name.startswith("models.")})
    data = [sys.modules[name] for name in sorted(sys.modules) if name.startswith("pipeline.data")]
    files = {Path(inspect.getfile(module)) for module in [*modules, *data, pipeline.trainer, pipeline.seeding]}
    lines = [f"{file.relative_to(ROOT)} {_code_hash(file)}" for file in sorted(files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _project_modules(names: set[str]) -> list[ModuleType]:
    """Return the named modules of `models` and those that they take anything from; the registry itself is left out."""
    found: dict[str, ModuleType] = {}
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found[name] = sys.modules[name]
        owners = {
            value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            for value in vars(found[name]).values()
        }
        waiting |= {owner for owner in owners if isinstance(owner, str) and owner.startswith("models.")} - found.keys()
        waiting.discard("models.time_embeddings")
    return list(found.values())


@cache
def _code_hash(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
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
