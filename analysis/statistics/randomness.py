"""Named random streams for resampling: the same name gives the same draws, so that a report can be reproduced."""

import hashlib

import numpy as np


def stream(*name: str | int) -> np.random.Generator:
    """Return a generator at the start of the stream `name`."""
    text = "/".join(map(str, name))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
