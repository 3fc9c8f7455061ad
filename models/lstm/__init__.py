"""The LSTM, compiled for CPUs: the numbers of `nn.LSTM` on packed sequences, in about half of the time."""
