"""Multiply–adds of a program: one for each product of two numbers; sums alone are not counted.

A division, a power, a root and a value of a transcendental function count as one product each. Comparisons, moves, and
arithmetic on whole numbers (random bits, indices) count nothing.
"""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp

from neuro_bpl.program import Operation, Program, words

PRODUCTS = words(
    """
    mul div integer_pow pow square sqrt rsqrt cbrt exp exp2 expm1 log log1p logistic tanh tan sin cos asin
    acos atan atan2 sinh cosh asinh acosh atanh erf erfc erf_inv lgamma digamma igamma reduce_prod cumprod
    """
)
FACTORISATIONS = words(
    """
    qr geqrf householder_product lu cholesky cholesky_update triangular_solve eigh eig svd schur
    tridiagonal_solve
    """
)


def multiply_adds(program: Program, iterations: float) -> float:
    """Products of a whole program.

    Parameters
    ----------
    program : Program
        What is counted.
    iterations : float
        Times that a loop goes round whose number of iterations is known only when it runs.
    """
    return sum((_of(operation, iterations) for operation in program.operations), 0.0)


def _of(operation: Operation, iterations: float) -> float:
    inside = [multiply_adds(program, iterations) for program in operation.inside]
    match operation.name:
        case "scan":
            return operation.params["length"] * sum(inside)
        case "while":
            return iterations * sum(inside)
        case "cond":
            return max(inside)
    return COUNTS[operation.name](operation) if operation.name in COUNTS else sum(inside)


def _elementwise(operation: Operation) -> float:
    """One for each number read, of those of the largest operand."""
    if not jnp.issubdtype(operation.makes[0].dtype, jnp.inexact):
        return 0.0
    return float(max(value.size for value in (*operation.reads, *operation.makes)))


def _dot(operation: Operation) -> float:
    """Batch × rows × contracted × columns."""
    (contracted, _), _ = operation.params["dimension_numbers"]
    left = operation.reads[0].shape
    return float(operation.makes[0].size * math.prod(left[axis] for axis in contracted))


def _convolution(operation: Operation) -> float:
    """Every output, times the weights of one output channel."""
    kernel = operation.reads[1]
    channels = kernel.shape[operation.params["dimension_numbers"].rhs_spec[0]]
    return float(operation.makes[0].size * kernel.size / channels)


def _factorisation(operation: Operation) -> float:
    """Numbers of the matrix, times its shorter side: the order of the count, not the count."""
    matrix = operation.reads[0]
    return float(matrix.size * min(matrix.shape[-2:]))


COUNTS: Mapping[str, Callable[[Operation], float]] = {
    **dict.fromkeys(PRODUCTS, _elementwise),
    **dict.fromkeys(FACTORISATIONS, _factorisation),
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
}
