"""Compiles the CPU kernels: `.venv/bin/python -m scripts.kernels`, which `make setup` does, so that no study waits for it.

The results stay beside the sources, as long as those do not change.
"""

import torch

from models.classifier import LSTMConfig
from models.time_embeddings.kan_mammote import KANMAMMOTEConfig
from pipeline.console import say

HORIZON = 16


def main() -> None:
    """Make one update of a small model that needs every kernel, and one prediction."""
    say("set-up: compiling the kernels of the LSTM and of the scan")
    config = LSTMConfig(embedding=KANMAMMOTEConfig(), hidden_dim=8)
    model = config.build(horizon=HORIZON, feature_dim=0, classes=2)
    times, lengths = torch.arange(float(HORIZON)).repeat(2, 1), torch.tensor([HORIZON, HORIZON // 2])
    model(times, None, lengths).sum().backward()
    with torch.no_grad():
        model.eval()(times, None, lengths)


if __name__ == "__main__":
    main()
