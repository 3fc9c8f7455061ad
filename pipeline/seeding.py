"""Named random streams: every random choice is drawn from (seed, stream, epoch), so that it can be drawn again."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
