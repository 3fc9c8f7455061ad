"""Named random streams: every random choice is drawn from (seed, stream, epoch), so that it can be repeated."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Stream = Literal["init", "order", "dropout"]
"""The streams of a run: initial values, order of the data, and random numbers of training (dropout masks, router noise)."""
STREAMS: tuple[Stream, ...] = ("init", "order", "dropout")


def seed_of(seed: int, vary: str, stream: Stream) -> int:
    """Return the seed of one stream of a run; `vary` is the run's `train.vary`.

    Under `all`, the seed of each stream is a digit of the run's seed, in the order of `STREAMS`.
    """
    if vary == "all":
        return int(f"{seed:0{len(STREAMS)}}"[STREAMS.index(stream)])
    return seed if vary in ("together", stream) else 0


def seed_for(seed: int, *stream: str | int) -> int:
    """Return the 63-bit seed of a stream such as ("order", epoch): different streams are independent."""
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(seed: int, *stream: str | int) -> torch.Generator:
    """Return a CPU generator at the start of a stream."""
    return torch.Generator().manual_seed(seed_for(seed, *stream))


@contextmanager
def seeded(seed: int, *stream: str | int) -> Iterator[None]:
    """Run the body with torch's global generators at the start of a stream, and restore them afterwards.

    No other code seeds globally: initial values, dropout and router noise are drawn from the global generators.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed_for(seed, *stream))
        yield
