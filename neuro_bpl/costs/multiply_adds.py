"""Multiply–adds of a program: one for each product of two numbers; sums alone are not counted.

A division, a power, a root and a value of a transcendental function count as one product each. Comparisons, moves, and
arithmetic on whole numbers (random bits, indices) count nothing.
"""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp

from neuro_bpl.costs.traced_program import Operation, Program, UnknownProgramError, words

PRODUCTS = words(
    """
    mul div rem integer_pow pow square one_minus_square polynomial sqrt rsqrt cbrt exp exp2 expm1 log log2 log1p
    logistic tanh tan sin cos asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc erf_inv lgamma digamma
    polygamma zeta igamma igammac igamma_grad_a bessel_i0e bessel_i1e regularized_incomplete_beta random_gamma
    reduce_prod cumprod
    """
)
FREE = words(
    """
    add add_any sub neg abs sign max min round floor ceil nextafter is_finite conj real imag complex clamp
    eq ne lt le gt ge eq_to lt_to le_to and or not xor shift_left shift_right_logical shift_right_arithmetic
    population_count clz select_n convert_element_type reduce_precision bitcast_convert_type
    reshape squeeze expand_dims transpose broadcast_in_dim slice rev copy copy_p iota concatenate pad split stack
    unstack tile gather dynamic_slice dynamic_update_slice scatter scatter-add scatter-min scatter-max
    reduce_sum reduce_max reduce_min reduce_and reduce_or reduce_xor argmax argmin cumsum cummax cummin
    cumlogsumexp reduce_window_sum reduce_window_max reduce_window_min sort top_k approx_top_k
    random_bits random_wrap random_unwrap random_seed random_fold_in random_split random_clone threefry2x32
    rng_bit_generator rng_uniform stop_gradient optimization_barrier device_put sharding_constraint name
    platform_index empty empty2 create_token after_all
    """
)
FACTORISATIONS = words(
    """
    qr geqrf householder_product lu cholesky cholesky_update triangular_solve eigh eig svd schur
    tridiagonal_solve
    """
)


def multiply_adds(program: Program, iterations: float) -> float:
    """Count the multiply–adds of a whole program.

    Parameters
    ----------
    program : Program
        What is counted.
    iterations : float
        Times that a loop goes round whose number of iterations is known only when it runs.

    Raises
    ------
    UnknownProgramError
        If it has an operation of which it is not known what it counts.
    """
    return sum((_of(operation, iterations) for operation in program.operations), 0.0)


def _of(operation: Operation, iterations: float) -> float:
    inside = [multiply_adds(program, iterations) for program in operation.inside]
    match operation.name:
        case "scan":
            return operation.length * sum(inside)
        case "while":
            return iterations * sum(inside)
        case "cond":
            return max(inside)
    if operation.name not in COUNTS and operation.name not in FREE:
        raise UnknownProgramError(f"an operation called {operation.name}")
    return COUNTS[operation.name](operation) if operation.name in COUNTS else 0.0


def _elementwise(operation: Operation) -> float:
    """Return the size of the largest operand or result; 0 for whole numbers."""
    if not jnp.issubdtype(operation.makes[0].dtype, jnp.inexact):
        return 0.0
    return float(max(value.size for value in (*operation.reads, *operation.makes)))


def _dot(operation: Operation) -> float:
    """Return batch × rows × contracted × columns."""
    summed = operation.axes.summed[0] if operation.axes else ()
    left = operation.reads[0].shape
    return float(operation.makes[0].size * math.prod(left[axis] for axis in summed))


def _convolution(operation: Operation) -> float:
    """Return the number of outputs times the weights of one output channel."""
    kernel = operation.reads[1]
    channels = kernel.shape[operation.out_axis]
    return float(operation.makes[0].size * kernel.size / channels)


def _factorisation(operation: Operation) -> float:
    """Return the size of the matrix times its shorter side: the order of the count, not the count."""
    matrix = operation.reads[0]
    return float(matrix.size * min(matrix.shape[-2:]))


COUNTS: Mapping[str, Callable[[Operation], float]] = {
    **dict.fromkeys(PRODUCTS, _elementwise),
    **dict.fromkeys(FACTORISATIONS, _factorisation),
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
}
