"""Numbers of bf16 in compiled code: the upper 16 bits of a float32, as uint16; two neighbours make a pair, as uint32.

Products read pairs along their shared dimension. Code that serves float32, float64 and bf16 alike reads and writes its arrays
through the functions below, of which the type of the first array chooses one at compilation.
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
    """Return the 16 bits of the bf16 nearest to a number, of two equally near ones the even one."""
    bits = bits_of_float(x)
    # Of two 32-bit numbers numba makes one of 64: without the casts a loop does not vectorise.
    odd = np.uint32(np.uint32(bits >> BITS) & LAST_BIT)
    return np.uint32(np.uint32(np.uint32(bits + BELOW_HALF) + odd) >> BITS)


def variant_for(number: type[np.generic], special: Callable[..., Any]) -> Callable[[Function], Function]:
    """Make a function usable in compiled code, where `special` takes its place if its first array is of this type."""

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
    """Return a number of a row; one of bf16 as float32."""
    return source[place]


def _put_16(target: Array, place: int, x: Any) -> None:  # noqa: ANN401
    target[place] = np.uint16(rounded(x))


@variant_for(np.uint16, _put_16)
def put(target: Array, place: int, x: Any) -> None:  # noqa: ANN401
    """Write a number to a row, rounded where that is of bf16."""
    target[place] = x


def _pairs_16(array: Array) -> Array:
    return array.view(np.uint32)


@variant_for(np.uint16, _pairs_16)
def factor(array: Array) -> Array:
    """Return the memory of an array as products read it: numbers, or pairs of numbers of bf16."""
    return array


def _put_beside_32(target: Array, slot: int, place: int, x: Any) -> None:  # noqa: ANN401
    if slot % 2:
        target[slot // 2, place] = np.uint32(np.uint32(target[slot // 2, place] & LOW) | np.uint32(rounded(x) << BITS))
    else:
        target[slot // 2, place] = rounded(x)


@variant_for(np.uint32, _put_beside_32)
def put_beside(target: Array, slot: int, place: int, x: Any) -> None:  # noqa: ANN401
    """Write a number to a row of a factor; rows 2 k and 2 k + 1 of pairs are one, and the first of them must come first."""
    target[slot, place] = x


def _two(array: Array) -> int:  # noqa: ARG001
    return 2


@variant_for(np.uint32, _two)
def numbers_in(array: Array) -> int:  # noqa: ARG001
    """Return how many numbers an element of a factor holds."""
    return 1
