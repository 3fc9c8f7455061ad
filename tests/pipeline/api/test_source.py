"""The source of a class of one's own: it stands alone, and is refused where it cannot."""

import ast
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.config import ModelError
from models.time_embeddings import own as own_module
from pipeline.api.given import study_from
from pipeline.api.source import source_of
from pipeline.errors import UsageError
from pipeline.identity import identity
from pipeline.training.start import build


@pytest.fixture(scope="module")
def own():
    """The module, of which the path of imports knows nothing."""
    spec = importlib.util.spec_from_file_location("users_own", Path(__file__).with_name("own.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def config_of(embedding, **settings):
    settings = {"train_size": 32, "validation_size": 16, "test_size": 16, "dim": 4, "hidden_dim": 4} | settings
    study = study_from("test", {"mine": embedding}, "synthetic", seeds=[0], plan={}, settings=settings)
    return study.variants["mine"]


def codes(embedding, times=(1.0, 3.0)):
    return embedding(torch.tensor([times]), torch.tensor([len(times)]))[0].detach()


def test_a_class_takes_along_all_that_is_the_users_own(own):
    source = source_of(own.Waves, "models.mine")
    names = {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert names == {"Base", "Waves", "wave"}
    assert f"SCALE = {2 * torch.pi!r}" in source
    assert "import torch.nn.functional as functional" in source
    assert "settings = {'kind': 'waves'}" in source
    assert "TABLE" not in source  # what is not used stays behind
    script = f"{source}\nprint(Waves(dim=2)(torch.tensor([16.0])).tolist())"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == [pytest.approx([1.0, 1.0], abs=1e-5)]  # sin(2 pi 16 / 64)


def test_the_version_of_a_package_is_part_of_the_source(own):
    import numpy as np  # noqa: PLC0415

    assert source_of(own.WithArray, "models.mine").startswith(f'"""WithArray, with numpy {np.__version__}."""')


def test_classes_of_each_kind_are_built_from_their_source(own):
    assert codes(config_of(own.Waves).model.embedding.build(horizon=64)).shape == (2, 4)
    assert codes(config_of(own.Pointwise).model.embedding.build(horizon=64), (16.0, 32.0))[:, 0].tolist() == [0.25, 0.5]
    assert codes(config_of(own.Rank).model.embedding.build(horizon=64))[:, 0].tolist() == [1, 2]
    assert codes(config_of(own.local()).model.embedding.build(horizon=64))[1, 0] == 9.0 / 64
    built = config_of(own.MORE_WAVES).model.embedding.build(horizon=64)
    assert built.module.frequencies[-1] == 4 / 64
    assert built.raw_frequencies() == [built.module.frequencies]  # which have a learning rate of their own


def test_settings_reach_it_as_they_reach_a_listed_one(own):
    gap = config_of({"embedding": own.Waves, "time_input": "gap", "time_scale": "unit", "model.num_layers": 1})
    assert gap.model.num_layers == 1
    assert gap.model.embedding.dim == 4
    module = gap.model.embedding.build(horizon=64)
    assert module.time_input == "gap"
    assert torch.equal(codes(module)[1], module.module(torch.tensor([2.0 / 64]))[0])
    with pytest.raises(UsageError, match=r"time_input: must belong to the model\.embedding chosen"):
        config_of({"embedding": own.Rank, "time_input": "gap"})
    with pytest.raises(ModelError, match="time_scale: must be auto or raw for a class that sees whole sequences"):
        config_of(own.Rank, time_scale="unit").model.embedding.build(horizon=64)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WithTable", "must use modules, functions, classes, and constants such as numbers and text, got TABLE, which is a Tensor"),
        ("WithoutDim", r"models.mine: must have a constructor that takes dim, the width of the code, got WithoutDim\(\*args"),
        ("Unfinished", "models.mine: must find what Unfinished uses, got nothing called not_there. Define it first."),
        ("wave", "models.mine: must be a name, a dict of settings, or a class that derives from torch.nn.Module, got <function"),
    ],
)  # fmt: skip
def test_what_has_no_source_that_stands_alone_is_refused_in_one_line(own, name, said):
    with pytest.raises(UsageError, match=said) as raised:
        config_of(getattr(own, name))
    assert "\n" not in str(raised.value)


def test_a_class_that_was_typed_without_a_file_says_what_to_do():
    scope = {"__name__": "__main__"}
    exec("from torch import nn\nclass Typed(nn.Module):\n    def __init__(self, dim): super().__init__()", scope)  # noqa: S102
    with pytest.raises(UsageError, match=r"must have a source that can be read, got Typed without one\. Define it"):
        config_of(scope["Typed"])


def test_arguments_that_are_no_values_and_constructors_that_fail_are_one_line(own):
    from functools import partial  # noqa: PLC0415

    with pytest.raises(UsageError, match=r"must be given numbers, text and lists of them by functools\.partial"):
        config_of(partial(own.Waves, waves=torch.ones(1)))
    with pytest.raises(ModelError, match=r"must be built by Waves\(dim=4, teeth=2\), got TypeError"):
        config_of(partial(own.Waves, teeth=2)).model.embedding.build(horizon=64)


def test_the_source_is_part_of_what_a_run_is_and_its_comments_are_not(own):
    config = config_of(own.Waves)
    splits = config.data.load()

    def cell(edit):
        embedding = config.model.embedding.model_copy(update={"source": edit(config.model.embedding.source)})
        embedding.trust()
        changed = config.model_copy(update={"model": config.model.model_copy(update={"embedding": embedding})})
        return identity(changed, splits, "cpu")["cell"]

    same = cell(lambda source: source)
    assert cell(lambda source: source.replace("# (U,) -> (U, D)", "# another remark")) == same
    assert cell(lambda source: source.replace("torch.sin", "torch.cos")) != same
    assert cell(lambda source: source.replace("SCALE = 6", "SCALE = 7")) != same
    assert identity(config_of(own.MORE_WAVES), splits, "cpu")["cell"] != same


def test_what_the_source_takes_from_this_project_is_followed(own):
    assert ("models.time_embeddings.base", "valid_events") in config_of(own.Rank).model.embedding.project_names()


def test_a_source_from_a_store_is_not_run_and_one_from_the_launcher_is(own, monkeypatch):
    config = config_of(own.Waves)
    stored = config.model_validate_json(config.model_dump_json())
    task = pickle.dumps(config)
    monkeypatch.setattr(own_module, "_handed_over", set())
    with pytest.raises(ModelError, match="got Waves as source from a store or a file, which is not run"):
        build(stored, config.data.load())
    build(pickle.loads(task), config.data.load())
    build(stored, config.data.load())  # the same source
    monkeypatch.setattr(own_module, "_handed_over", set())
    monkeypatch.setenv("RUN_STORED_CODE", "true")
    build(stored, config.data.load())


def test_no_file_and_no_option_can_hold_a_source():
    from pipeline.settings import known_paths, resolve_all  # noqa: PLC0415

    assert "model.embedding.source" not in known_paths()
    with pytest.raises(UsageError, match="must be a known name"):
        resolve_all({"model.embedding.name": "own"})
