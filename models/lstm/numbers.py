"""bf16 numbers in compiled code: the upper 16 bits of a float32, as uint16; two neighbours form a pair, as uint32.

Products read pairs along their shared dimension. Code for float32, float64 and bf16 reads and writes its arrays through the
functions below; the type of the first array selects the implementation at compilation.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from models.compilation import FAST, bits_of_float, compiled, float_of_bits

Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

BITS = np.uint32(16)
BELOW_HALF, LAST_BIT = np.uint32(0x7FFF), np.uint32(1)
LOW = np.uint32(0xFFFF)


@compiled
def rounded(x: np.float32) -> np.uint32:
    """Return the 16 bits of the bf16 number nearest to a float32; ties are rounded to even."""
    bits = bits_of_float(x)
    # numba widens operations on 32-bit numbers to 64 bits: without the casts, a loop does not vectorise.
    odd = np.uint32(np.uint32(bits >> BITS) & LAST_BIT)
    return np.uint32(np.uint32(np.uint32(bits + BELOW_HALF) + odd) >> BITS)


def variant_for(number: type[np.generic], special: Callable[..., Any]) -> Callable[[Function], Function]:
    """Make a function usable in compiled code; `special` replaces it if its first array has the type `number`."""

    def decorate(generic: Function) -> Function:
        def choose(array: Any, *others: Any) -> Callable[..., Any]:  # noqa: ANN401, ARG001 - types of numba
            return special if str(array.dtype) == number.__name__ else generic

        overload(generic, jit_options={"fastmath": FAST, "error_model": "numpy"}, strict=False)(choose)
        return generic

    return decorate


def _get_16(source: Array, place: int) -> Any:  # noqa: ANN401
    return float_of_bits(np.uint32(np.uint32(source[place]) << BITS))


@variant_for(np.uint16, _get_16)
def get(source: Array, place: int) -> Any:  # noqa: ANN401
    """Return a number of a row; a bf16 number as float32."""
    return source[place]


def _put_16(target: Array, place: int, x: Any) -> None:  # noqa: ANN401
    target[place] = np.uint16(rounded(x))


@variant_for(np.uint16, _put_16)
def put(target: Array, place: int, x: Any) -> None:  # noqa: ANN401
    """Write a number to a row, rounded if the row is in bf16."""
    target[place] = x


def _pairs_16(array: Array) -> Array:
    return array.view(np.uint32)


@variant_for(np.uint16, _pairs_16)
def factor(array: Array) -> Array:
    """Return an array in the form that products read: numbers, or pairs of bf16 numbers."""
    return array


def _put_beside_32(target: Array, slot: int, place: int, x: Any) -> None:  # noqa: ANN401
    if slot % 2:
        target[slot // 2, place] = np.uint32(np.uint32(target[slot // 2, place] & LOW) | np.uint32(rounded(x) << BITS))
    else:
        target[slot // 2, place] = rounded(x)


@variant_for(np.uint32, _put_beside_32)
def put_beside(target: Array, slot: int, place: int, x: Any) -> None:  # noqa: ANN401
    """Write a number to a row of a factor; with pairs, rows 2 k and 2 k + 1 share memory, and row 2 k must be written first."""
    target[slot, place] = x


def _two(array: Array) -> int:  # noqa: ARG001
    return 2


@variant_for(np.uint32, _two)
def numbers_in(array: Array) -> int:  # noqa: ARG001
    """Return the number of numbers in an element of a factor."""
    return 1
