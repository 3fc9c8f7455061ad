import subprocess
import sys

import pytest
import torch

from pipeline.identity import ROOT
from pipeline.settings import build_run
from pipeline.training.optimizers import OPTIMIZERS

TORCHS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_does_what_that_of_torch_does_bit_for_bit(name):
    config = build_run({"train.optimizer": name, "train.weight_decay": 0.1}).train
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(5, 3, generator=generator), torch.randn(6, 5, 3, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = OPTIMIZERS[name]([{"params": [ours]}], config)
    reference = TORCHS[name](
        [{"params": [theirs]}], lr=config.learning_rate, weight_decay=config.weight_decay, fused=True, **momentum
    )
    for number, gradient in enumerate(gradients):
        if number == 3:  # resumed
            states = mine.state_dict(), reference.state_dict()
            assert states[0]["param_groups"] == states[1]["param_groups"]
            mine = OPTIMIZERS[name]([{"params": [ours]}], config)
            mine.load_state_dict(states[0])
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        reference.step()
        mine.zero_grad()
        assert ours.grad is None
        assert torch.equal(ours, theirs)
    assert ours.requires_grad


def test_a_training_does_not_import_the_compiler_of_torch(tmp_path):
    program = """
import sys
from pathlib import Path
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking import MemoryTracker
from pipeline.train import run_cell

small = {"data.name": "mnist_sample", "data.max_events": 4, "model.hidden_dim": 2, "train.epochs": 1}
run_cell(Cell("a", build_run(small)), MemoryTracker(Path("out")), device="cpu", report=lambda *_: None)
assert "torch._dynamo" not in sys.modules
"""
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
