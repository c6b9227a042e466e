"""Triton's interpreter, made to compute bfloat16 by value: it keeps bfloat16 as bit patterns and multiplies those.

For tests. The interpreter has no bfloat16 (numpy has none): products come out wrong by ten orders of magnitude and
stores truncate, both without a word. Here an operation on bfloat16 is done in float32 and its result rounded to
nearest even. ``install`` may be called again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle


def widen(bits: Any) -> Any:
    """float32 of bfloat16 patterns."""
    return (np.asarray(bits, dtype=np.uint16).astype(np.uint32) << 16).view(np.float32)


def narrow(values: Any) -> Any:
    """bfloat16 patterns of float32, rounded to nearest even; a NaN stays one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), ((bits >> 16) | 0x40).astype(np.uint16), rounded)


def _is(handle: Any) -> bool:
    return bool(handle.dtype.scalar == tl.bfloat16)


def _wide(handle: Any) -> Any:
    return TensorHandle(widen(handle.data), tl.float32) if _is(handle) else handle


def install() -> None:
    """Replace the interpreter's operations by ones that know bfloat16."""
    builder: Any = InterpreterBuilder
    if getattr(builder, "knows_bf16", False):
        return
    dot, binary, unary, cast = builder.create_dot, builder.binary_op, builder.unary_op, builder.cast_impl
    fp_to_fp = builder.create_fp_to_fp

    def create_dot(self: Any, a: Any, b: Any, d: Any, *rest: Any) -> Any:
        return dot(self, _wide(a), _wide(b), d, *rest)

    def binary_op(self: Any, lhs: Any, rhs: Any, op: Any) -> Any:
        if not (_is(lhs) and _is(rhs)):
            return binary(self, lhs, rhs, op)
        out = op(widen(lhs.data), widen(rhs.data))
        if out.dtype == np.bool_:
            return TensorHandle(out, lhs.dtype.scalar)
        return TensorHandle(narrow(out), tl.bfloat16)

    def unary_op(self: Any, arg: Any, op: Any) -> Any:
        return TensorHandle(narrow(op(widen(arg.data))), tl.bfloat16) if _is(arg) else unary(self, arg, op)

    def cast_impl(self: Any, src: Any, dst_type: Any) -> Any:
        source, target = src.dtype.scalar, dst_type.scalar
        if source == tl.bfloat16 and target != tl.bfloat16 and not target.is_ptr():
            return _wide(src) if target == tl.float32 else cast(self, _wide(src), dst_type)
        if target == tl.bfloat16 and source != tl.bfloat16:
            wide = src if source == tl.float32 else cast(self, src, tl.float32)
            return TensorHandle(narrow(wide.data), tl.bfloat16)
        return cast(self, src, dst_type)

    def create_fp_to_fp(self: Any, src: Any, dst_type: Any, rounding_mode: Any) -> Any:
        if src.dtype.scalar == tl.float32 and dst_type.scalar == tl.bfloat16:
            return TensorHandle(narrow(src.data), tl.bfloat16)
        if _is(src) and dst_type.scalar == tl.float32:
            return _wide(src)
        return fp_to_fp(self, src, dst_type, rounding_mode)

    builder.create_dot, builder.binary_op, builder.unary_op = create_dot, binary_op, unary_op
    builder.cast_impl, builder.create_fp_to_fp = cast_impl, create_fp_to_fp
    builder.get_bf16 = lambda self, value: TensorHandle(narrow(np.array([value], np.float32)), tl.bfloat16)
    _reductions()
    builder.knows_bf16 = True


def _reductions() -> None:
    """tl.sum, tl.max and tl.min over bfloat16."""
    reduce: Any = interpreter.ReduceOps
    for name in ("sum", "min_max"):
        stock = getattr(reduce, name)

        def through_fp32(self: Any, operand: Any, *rest: Any, stock: Any = stock, **options: Any) -> Any:
            if operand.dtype.scalar != tl.bfloat16:
                return stock(self, operand, *rest, **options)
            out = stock(self, self.to_tensor(widen(operand.handle.data), tl.float32), *rest, **options)
            return out if isinstance(out, tuple) else self.to_tensor(narrow(out.handle.data), tl.bfloat16)

        setattr(reduce, name, through_fp32)
