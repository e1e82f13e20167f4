"""Rows that are asked for before they are needed, so that memory works while the kernel does.

Kernels that go through tiles wait for memory more than they compute. What will be read soon is
known: the next older tile, the next entity. Asking changes no value, and a row is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from tidemill_tiles.kernels.compiling import helper, types

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_BYTES: Final = 64
_READ: Final = 0
_ALL_CACHES: Final = 3
_DATA: Final = 1


def _asking(typing: Any, array: Any, row: Any, byte: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the cache line at a byte of a row of an array."""
    del typing, row, byte  # their types are below

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        found = context.make_array(kind)(context, builder, arguments[0])
        stride = builder.extract_value(found.strides, 0)
        offset = builder.add(builder.mul(arguments[1], stride), arguments[2])
        data = builder.bitcast(found.data, cgutils.voidptr_t)
        address = builder.gep(data, [offset])
        number = ir.IntType(32)
        function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], function)
        builder.call(ask, [address, number(_READ), number(_ALL_CACHES), number(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


_ask: Final[Any] = intrinsic(_asking)


@helper
def prefetch(array: Any, row: Any) -> None:
    """Ask for a row of an array, however long it is."""
    for byte in range(0, array.shape[1] * array.itemsize, LINE_BYTES):
        _ask(array, row, byte)


@helper
def prefetch_item(array: Any, place: Any) -> None:
    """Ask for one item of an array."""
    _ask(array, place, 0)
