"""A matrix product for compiled CPU code, whose right factor is packed once and used many times.

Source: the blocking of Goto and van de Geijn 2008, doi 10.1145/1356052.1356053: a tile of the result stays in registers
during the loop over the shared dimension.
Differs from it: an LSTM multiplies a few dozen rows at a time by the same weights. The weights are therefore packed once per
batch, and the left factor, which fits into the first-level cache, is read in place.

- bf16 factors are paired along the shared dimension, and their products are added in float32.
- Every result is one chain of fused multiply-adds in the order of the shared dimension, for any number of rows: the bits of an
  event do not depend on the other events, on threads, or on the width of the registers.

Letters: M rows of the result, N its columns, K shared dimension, W width of a panel of columns.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.compilation import ZERO, compiled
from models.lstm.numbers import put_beside

Array = NDArray[Any]

WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether the processor has 32 registers of 16 float32 numbers, instead of 16 registers of 8."""
MULTIPLIES_PAIRS = WIDE and bool(binding.get_host_cpu_features().get("avx512bf16"))
"""Whether the processor multiplies two pairs of bf16 numbers and adds both products in one instruction."""
LANES = 16 if WIDE else 8
"""float32 numbers per register."""
TILE_ROWS = 12 if WIDE else 6
"""Rows of a tile: each takes two registers, and some registers must be left for the factors."""
PANEL = 2 * LANES
"""Width W of a panel."""
ROWS_AT_ONCE = 16 * TILE_ROWS
"""Rows that are multiplied by all panels before the next rows: as many as fit into the cache together with a panel."""


PAIR = ir.IntType(32)
"""Two bf16 numbers, the first in the lower half."""


def padded(width: int) -> int:
    """Return the width of whole panels for `width` columns."""
    return -(-width // PANEL) * PANEL


@compiled
def pack(  # noqa: PLR0917 - a kernel's buffers
    source: Array, row_stride: int, column_stride: int, depth: int, width: int, panels: Array
) -> None:
    """Fill panels (N / W, K, W) from a flat matrix (K, N) with the given strides; columns beyond the last one are zero.

    Panels of pairs are (N / W, K / 2, W), with the matrix in bf16.
    """
    for panel in range(panels.shape[0]):
        for k in range(depth):
            for j in range(PANEL):
                column = panel * PANEL + j
                inside = column < width
                number = source[k * row_stride + column * column_stride] if inside else ZERO
                put_beside(panels[panel], k, j, number)


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite has no types
    """LLVM's bf16 type, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


class _Tile:
    """The code of one tile: sums for `rows` rows and one panel, kept in registers during the loop over the shared dimension."""

    def __init__(self, builder: Any, scalar: Any, factor: Any, rows: int) -> None:  # noqa: ANN401 - of llvmlite
        self.builder, self.rows, self.scalar = builder, rows, scalar
        self.vector, self.factors, self.index = (
            ir.VectorType(scalar, LANES),
            ir.VectorType(factor, LANES),
            ir.IntType(64),
        )
        zero = ir.Constant(self.vector, [0.0] * LANES)
        self.sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(2)] for _ in range(rows)]
        self.added = self.added_pairs if factor == PAIR else self.added_numbers

    def at(self, pointer: Any, *terms: tuple[Any, Any]) -> Any:  # noqa: ANN401
        """Return the pointer, advanced by the sum of the products of `terms`."""
        for one, other in terms:
            pointer = self.builder.gep(pointer, [self.builder.mul(one, other)])
        return pointer

    def vectors(self, pointer: Any, vector: Any) -> list[Any]:  # noqa: ANN401
        """Return pointers to the two vectors of a panel's row."""
        return [
            self.builder.bitcast(self.builder.gep(pointer, [self.index(k * LANES)]), vector.as_pointer())
            for k in range(2)
        ]

    def spread(self, value: Any) -> Any:  # noqa: ANN401
        """Return a register with all elements equal to a number."""
        undefined = ir.Constant(self.factors, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))

    def load(self, pointer: Any) -> Any:  # noqa: ANN401
        """Return the vector at a pointer, which need not be aligned."""
        return self.builder.load(pointer, align=4)

    def sum(self, left: Any, row_stride: Any, column_stride: Any, panel: Any, depth: Any) -> None:  # noqa: ANN401
        """Add the products of the rows at `left` and a packed panel."""
        lefts = [self.at(left, (self.index(row), row_stride)) for row in range(self.rows)]
        with cgutils.for_range(self.builder, depth) as loop:
            columns = [
                self.load(part) for part in self.vectors(self.at(panel, (loop.index, self.index(PANEL))), self.factors)
            ]
            along = self.builder.mul(loop.index, column_stride)
            for begin, sums in zip(lefts, self.sums, strict=True):
                factor = self.spread(self.builder.load(self.builder.gep(begin, [along])))
                for column, total in zip(columns, sums, strict=True):
                    self.builder.store(self.added(factor, column, self.builder.load(total)), total)

    def added_numbers(self, factor: Any, column: Any, total: Any) -> Any:  # noqa: ANN401
        """Return the total plus the products of two registers of numbers."""
        kind = {"float": "f32", "double": "f64"}[str(self.scalar)]
        return self.call(f"fma.v{LANES}{kind}", factor, column, total)

    def added_pairs(self, factor: Any, column: Any, total: Any) -> Any:  # noqa: ANN401
        """Return the total plus the products of two registers of pairs; without the instruction, first and second numbers in turn."""
        if MULTIPLIES_PAIRS:
            numbers = ir.VectorType(_BFloat(), 2 * LANES)
            both = [self.builder.bitcast(pair, numbers) for pair in (factor, column)]
            return self.call(f"x86.avx512bf16.dpbf16ps.{32 * LANES}", total, *both)
        sixteen, above = (ir.Constant(self.factors, [number] * LANES) for number in (16, 0xFFFF0000))
        for split, by in ((self.builder.shl, sixteen), (self.builder.and_, above)):
            one, other = (self.builder.bitcast(split(pair, by), self.vector) for pair in (factor, column))
            total = self.added_numbers(one, other, total)
        return total

    def call(self, intrinsic_name: str, *operands: Any) -> Any:  # noqa: ANN401
        """Call an LLVM intrinsic that returns a register of sums."""
        kind = ir.FunctionType(self.vector, [operand.type for operand in operands])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{intrinsic_name}")
        return self.builder.call(function, operands)

    def write(self, result: Any, stride: Any, adds: Any) -> None:  # noqa: ANN401
        """Write the sums to rows of the result, or add them to the result."""
        for row, sums in enumerate(self.sums):
            for place, total in zip(
                self.vectors(self.at(result, (self.index(row), stride)), self.vector), sums, strict=True
            ):
                before = self.builder.select(adds, self.load(place), ir.Constant(self.vector, [0.0] * LANES))
                self.builder.store(self.builder.fadd(before, self.builder.load(total)), place, align=4)


def _tile_function(module: ir.Module, scalar: ir.Type, factor: ir.Type) -> ir.Function:
    """Return the module's function that multiplies a tile, with a switch between the code for each number of rows."""
    name, place, pointer = f"multiply_tile.{factor}.{LANES}", ir.IntType(64), factor.as_pointer()
    if name in module.globals:
        return module.globals[name]
    kinds = [place, pointer, place, place, pointer, place, scalar.as_pointer(), place, ir.IntType(1)]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")  # it is long, and would be compiled again at each use
    rows, left, row_stride, column_stride, panel, depth, result, stride, adds = function.args
    builder, end = ir.IRBuilder(function.append_basic_block("entry")), function.append_basic_block("end")
    switch = builder.switch(rows, end)
    for count in range(1, TILE_ROWS + 1):
        block = function.append_basic_block(f"rows{count}")
        switch.add_case(place(count), block)
        builder.position_at_end(block)
        tile = _Tile(builder, scalar, factor, count)
        tile.sum(left, row_stride, column_stride, panel, depth)
        tile.write(result, stride, adds)
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def _call_tile(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's protocol
    """Generate a call of that function, with pointers in place of arrays and offsets."""
    kinds = signature.args
    rows, left, left_at, row_stride, column_stride, panels, panel_at, depth, result, result_at, stride, adds = arguments

    def pointer(position: int, array: Any, at: Any) -> Any:  # noqa: ANN401
        return builder.gep(context.make_array(kinds[position])(context, builder, array).data, [at])

    function = _tile_function(builder.module, *(context.get_value_type(kinds[k].dtype) for k in (8, 1)))
    left, panel = pointer(1, left, left_at), pointer(5, panels, panel_at)
    result = pointer(8, result, result_at)
    builder.call(function, [rows, left, row_stride, column_stride, panel, depth, result, stride, adds])
    return context.get_dummy_value()


@intrinsic
def _multiply_tile(  # noqa: PLR0917 - numba's protocol
    typing_context: Any,  # noqa: ANN401, ARG001
    rows: Any,  # noqa: ANN401, ARG001
    left: Any,  # noqa: ANN401
    left_at: Any,  # noqa: ANN401, ARG001
    row_stride: Any,  # noqa: ANN401, ARG001
    column_stride: Any,  # noqa: ANN401, ARG001
    panels: Any,  # noqa: ANN401
    panel_at: Any,  # noqa: ANN401, ARG001
    depth: Any,  # noqa: ANN401, ARG001
    result: Any,  # noqa: ANN401
    result_at: Any,  # noqa: ANN401, ARG001
    stride: Any,  # noqa: ANN401, ARG001
    adds: Any,  # noqa: ANN401, ARG001
) -> Any:  # noqa: ANN401
    """Multiply up to `TILE_ROWS` rows by one panel; the arguments `_at` are offsets into contiguous arrays."""
    place, flag = types.intp, types.boolean
    left_terms, panel_terms = (left, place, place, place), (panels, place, place)
    return types.void(place, *left_terms, *panel_terms, result, place, place, flag), _call_tile


multiply_tile = cast("Callable[..., None]", _multiply_tile)


@compiled
def multiply(  # noqa: PLR0917 - a kernel's buffers
    rows: int, left: Array, left_at: int, left_stride: int, panels: Array, result: Array, result_at: int, adds: bool
) -> None:
    """Write `rows` rows of left (M, K) times packed panels (N / W, K, W) to result (M, N), or add them to it.

    Left and result must be contiguous, and begin at the offsets `_at`; a row of the result is as wide as all panels together.
    """
    count, depth = panels.shape[0], panels.shape[1]
    stride = count * PANEL
    for first in range(0, rows, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, rows)
        tiles = -(-(last - first) // TILE_ROWS)
        for panel in range(count):
            row = first
            for tile in range(tiles):
                # Remaining rows are distributed evenly, because a tile of one row would leave most of the processor idle.
                size = -(-(last - row) // (tiles - tile))
                multiply_tile(
                    size, left, left_at + row * left_stride, left_stride, 1,
                    panels, panel * depth * PANEL, depth,
                    result, result_at + row * stride + panel * PANEL, stride, adds,
                )  # fmt: skip
                row += size
