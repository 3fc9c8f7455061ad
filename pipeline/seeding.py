"""Named random streams: every random choice is drawn from (seed, stream, epoch), so that it can be drawn again."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Stream = Literal["init", "order", "dropout"]
"""The streams of a run: initial values, order of the data, and what training draws (masks of dropout, noise of a router)."""
STREAMS: tuple[Stream, ...] = ("init", "order", "dropout")


def seed_of(seed: int, vary: str, stream: Stream) -> int:
    """Return what a stream is drawn from in a run with this seed, where `vary` is its `train.vary`."""
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

    The one place that seeds globally: initial values, dropout and router noise draw from the global generators.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed_for(seed, *stream))
        yield
