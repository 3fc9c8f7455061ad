"""Compilation of Python functions for the CPU, and elementary functions for compiled code.

Source: the exponential and the hyperbolic tangent in float32 are Cephes' `expf` and `tanhf` (Moshier 1992).
Differs from it: arguments of the exponential are clamped instead of overflowing, and there are no branches, so that loops
over these functions vectorise. In float64 the functions of the C library are used.
"""

import hashlib
import math
from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.core.caching import IndexDataCacheFile, ZipCacheLocator
from numba.extending import intrinsic, overload

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
Number = Any
"""A float32 or a float64 number."""

# Reductions may be reordered to vectorise; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz", "arcp"}
# The argument reduction subtracts a large and then a small part: reordering would lose the small part.
IN_ORDER = {"contract", "nsz"}
NO_CACHE = "no locator available"
"""Numba's message if neither the folder of the source nor the user's cache can be written."""
SOURCES = ("compilation.py", "scan_kernels.py", "lstm")
"""Files and folders of this package with compiled code."""
UNPACKED = "time-embedding-comparison"
"""Folder of the user's cache for code that is compiled from a stored model."""


def compiled(kernel: Kernel) -> Kernel:
    """Compile a function at its first call; the result is cached on disk, or only in this process if no folder can be written."""
    compile_it = partial(njit, nogil=True, error_model="numpy", fastmath=FAST)
    try:
        cached: Any = compile_it(kernel, cache=True)
    except RuntimeError as error:
        if NO_CACHE not in str(error):
            raise
        return cast("Kernel", compile_it(kernel))
    # numba compiles again if the file of a function has changed, but not if the file of a function that it calls has.
    place, digest = cached._cache, _digest_of_sources()  # noqa: SLF001 - there is no public interface for this
    locator = place._impl.locator  # noqa: SLF001
    stamp: object = locator.get_source_stamp()
    if isinstance(locator, ZipCacheLocator):
        # A stored model is loaded from another place each time, so the cache is identified by the source.
        folder, stamp = Path(place.cache_path).with_name(UNPACKED), digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return cast("Kernel", compile_it(kernel))
        locator._cache_path = place._cache_path = str(folder)  # noqa: SLF001
    name = f"{place._impl.filename_base}.{digest[:16]}"  # noqa: SLF001
    place._cache_file = IndexDataCacheFile(place.cache_path, name, stamp)  # noqa: SLF001
    return cast("Kernel", cached)


@cache
def _digest_of_sources() -> str:
    package = resources.files(__package__ or "models")
    files: list[Traversable] = []
    for name in SOURCES:
        place = package / name
        found = sorted(place.iterdir(), key=lambda file: file.name) if place.is_dir() else [place]
        files += [file for file in found if file.name.endswith(".py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


# ------------------------------------------------------------------------------------------------ elementary functions

ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
LOG2_E = np.float32(1.44269504088896341)
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(-2.12194440e-4)
EXP_LIMIT = np.float32(87)
EXP_0 = np.float32(1.9875691500e-4)
EXP_1 = np.float32(1.3981999507e-3)
EXP_2 = np.float32(8.3334519073e-3)
EXP_3 = np.float32(4.1665795894e-2)
EXP_4 = np.float32(1.6666665459e-1)
EXP_5 = np.float32(5.0000001201e-1)
TANH_SMALL = np.float32(0.625)
TANH_0 = np.float32(-5.70498872745e-3)
TANH_1 = np.float32(2.06390887954e-2)
TANH_2 = np.float32(-5.37397155531e-2)
TANH_3 = np.float32(1.33314422036e-1)
TANH_4 = np.float32(-3.33332819422e-1)


def _bitcast(to: Any, of: Any) -> Callable[..., Any]:  # noqa: ANN401 - types of numba
    """Return a function for compiled code that reinterprets the bits of one type as another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    def cast_bits(typing_context: Any, bits: Any) -> Any:  # noqa: ANN401, ARG001 - numba's protocol
        return to(of), generate

    return cast("Callable[..., Any]", intrinsic(cast_bits))


float_of_bits = _bitcast(types.float32, types.uint32)
bits_of_float = _bitcast(types.uint32, types.float32)


def _by_precision(single: Callable[[Number], Number], double: Callable[[Number], Number]) -> Callable[[Number], Number]:
    """Return a function for compiled code that calls `single` for float32 and `double` for float64."""

    def function(x: Number) -> Number:
        return double(x)

    def choose(x: Number) -> Callable[[Number], Number]:
        return single if x == types.float32 else double

    overload(function, jit_options={"fastmath": IN_ORDER, "error_model": "numpy"})(choose)
    return function


def _exponential_32(x: Number) -> Number:
    x = min(max(x, -EXP_LIMIT), EXP_LIMIT)
    power = np.floor(x * LOG2_E + HALF)
    r = x - power * LN2_HIGH - power * LN2_LOW
    series = ((((EXP_0 * r + EXP_1) * r + EXP_2) * r + EXP_3) * r + EXP_4) * r + EXP_5
    return (series * r * r + r + ONE) * float_of_bits(np.uint32((np.int32(power) + np.int32(127)) << np.int32(23)))


def _exponential_64(x: Number) -> Number:
    return math.exp(x)


exponential = _by_precision(_exponential_32, _exponential_64)
"""exp(x) for compiled code; in float32 with a relative error of 1.2e-7, clamped between exp(-87) and exp(87)."""


def _hyperbolic_tangent_32(x: Number) -> Number:
    square = x * x
    series = (((TANH_0 * square + TANH_1) * square + TANH_2) * square + TANH_3) * square + TANH_4
    small = x + x * square * series
    large = ONE - TWO / (exponential(TWO * x) + ONE)
    return small if abs(x) < TANH_SMALL else large


def _hyperbolic_tangent_64(x: Number) -> Number:
    return math.tanh(x)


hyperbolic_tangent = _by_precision(_hyperbolic_tangent_32, _hyperbolic_tangent_64)
"""tanh(x) for compiled code; in float32 with a relative error of 3e-7."""


@compiled
def sigmoid(x: Number) -> Number:
    """Return 1 / (1 + exp(-x)), for compiled code."""
    return ONE / (ONE + exponential(-x))
