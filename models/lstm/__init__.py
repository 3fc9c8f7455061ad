"""The LSTM, compiled for CPUs: the results of `nn.LSTM` on packed sequences, in about half of the time."""
