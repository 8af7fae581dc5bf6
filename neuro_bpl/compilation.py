"""Compile options of programs, by need, and the compiled programs that are kept on disk."""

import json
import logging
import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import platformdirs

Options = tuple[tuple[str, bool | int], ...]
# Most of the time of XLA goes into making code fast. A program that runs once does not need that; the loop of updates
# runs as fast with the first level of optimisation as with the third, for a part of the compiler's time.
ONCE: Options = (
    ("xla_backend_optimization_level", 0),
    ("xla_llvm_disable_expensive_passes", True),
    ("xla_cpu_use_fusion_emitters", False),
    ("xla_cpu_parallel_codegen_split_count", 1),
)
LOOP: Options = (("xla_backend_optimization_level", 1), ("xla_cpu_parallel_codegen_split_count", 1))
FOLDER = "JAX_COMPILATION_CACHE_DIR"


def known(options: Options) -> Options:
    """Return the options that this machine's compiler knows; none where JAX is set to optimise less."""
    if jax.default_backend() != "cpu" or jax.config.read("jax_disable_most_optimizations"):
        return ()
    said = os.environ.get("XLA_FLAGS", "")
    return tuple(option for option in options if option[0] not in said and _is_known(option))


@cache
def _is_known(option: tuple[str, bool | int]) -> bool:
    """Return whether the compiler accepts an option: XLA refuses a program with an unknown one."""
    try:
        jax.jit(lambda: 0, compiler_options=dict([option])).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        logging.getLogger(__name__).info("compiled without %s, which jaxlib does not know: %s", option[0], error)
        return False
    return True


@cache
def compiled(function: Callable, options: Options, static: tuple[str, ...] = ()) -> Any:
    """Return a function compiled with options, cached: the same arguments are compiled once."""
    return jax.jit(function, static_argnames=static, compiler_options=dict(options) or None)


def written(options: Options) -> str:
    """Return options as JSON text, for an attribute of a run."""
    return json.dumps(dict(options))


def read(text: str) -> Options:
    """Return the options of a stored run, less those the installed compiler does not know (`RuntimeWarning`)."""
    stored: Options = tuple(json.loads(text).items())
    if missing := [name for name, value in stored if not _is_known((name, value))]:
        warnings.warn(
            f"the run was compiled with {', '.join(missing)}, which this jaxlib does not know: it goes on without, and "
            "its numbers may differ from those of a run that was not stopped by rounding.",
            RuntimeWarning,
            stacklevel=2,
        )
    return tuple(option for option in stored if option[0] not in missing)


def keep_compiled(folder: str | os.PathLike | None = None) -> None:
    """Keep compiled programs on disk, so that a second start of the same circuit and sizes compiles nothing.

    Programs of other versions of JAX, other machines and other options are stored separately; a damaged one is compiled
    again.

    Parameters
    ----------
    folder : path, optional
        Where to keep them; by default the folder that the variable JAX_COMPILATION_CACHE_DIR names, else neuro_bpl's
        own in the user's cache folder. It can be removed at any time.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> nb.keep_compiled()  # doctest: +SKIP
    """
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(folder))
    elif not os.environ.get(FOLDER):
        jax.config.update("jax_compilation_cache_dir", str(platformdirs.user_cache_path("neuro_bpl") / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
