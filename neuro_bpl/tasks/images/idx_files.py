"""Reader of the IDX format of MNIST (LeCun, Cortes & Burges), gzip-compressed or not."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from neuro_bpl.refusals import refusal

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> np.ndarray:
    """Read the array in an IDX file of unsigned bytes.

    Raises
    ------
    ValueError
        If the file is not IDX, is damaged or is cut short.
    """
    try:
        raw = content(path)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    if len(raw) < 4 or raw[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise _damaged(path, f"it starts with {raw[:4].hex(' ')!r}, an IDX file of bytes with 00 00 08")
    n_dims = raw[3]
    if len(raw) < 4 + 4 * n_dims:
        raise _damaged(path, f"its header of {n_dims} dimensions is cut short")
    shape = struct.unpack(f">{n_dims}I", raw[4 : 4 + 4 * n_dims])
    data = np.frombuffer(raw, np.uint8, offset=4 + 4 * n_dims)
    if data.size != np.prod(shape, dtype=np.int64):
        raise _damaged(path, f"its header announces {shape}, but {data.size} bytes follow")
    return data.reshape(shape)


def content(path: Path) -> bytes:
    """Return the bytes of a file, decompressed if its name ends in .gz."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _damaged(path: Path, why: str) -> ValueError:
    return refusal("file", str(path), "a whole IDX file, gzip-compressed (.gz) or not", why, "fetch the file again")
