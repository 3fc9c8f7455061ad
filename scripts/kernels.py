"""Compiles the CPU kernels: `.venv/bin/python -m scripts.kernels`. `make setup` runs it, so that no study waits for compilation.

The compiled kernels are cached beside the sources until these change.
"""

import torch

from models.classifier import LSTMConfig
from models.time_embeddings.kan_mammote import KANMAMMOTEConfig
from pipeline.console import say

HORIZON = 16


def main() -> None:
    """Run one update and one prediction of a small model that uses every kernel."""
    say("set-up: compiling the kernels of the LSTM and of the scan")
    config = LSTMConfig(embedding=KANMAMMOTEConfig(), hidden_dim=8)
    model = config.build(horizon=HORIZON, feature_dim=0, classes=2)
    times, lengths = torch.arange(float(HORIZON)).repeat(2, 1), torch.tensor([HORIZON, HORIZON // 2])
    model(times, None, lengths).sum().backward()
    with torch.no_grad():
        model.eval()(times, None, lengths)


if __name__ == "__main__":
    main()
