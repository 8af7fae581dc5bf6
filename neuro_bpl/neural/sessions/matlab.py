"""Compressed MATLAB files (save -v7), read whole or refused: their variables, as `scipy.io` gives them."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neuro_bpl.refusals import nearest, refusal

SIGNATURE = b"MATLAB 5.0 MAT-file"
HEADER = 128  # bytes before the first element
COMPRESSED = 15  # type of an element that holds another one, compressed


def variables(path: Path) -> list[str]:
    """Return names of a file's variables.

    Raises
    ------
    ValueError
        If the file is damaged or cut short.
    """
    from scipy.io import whosmat

    check_integrity(path)
    try:
        return [name for name, *_ in whosmat(path)]
    # scipy raises whatever the damage leads to: TypeError, KeyError, MatReadError, MemoryError, ….
    except Exception as error:
        raise damage(path, error) from error


def read_variable(path: Path, name: str, as_objects: bool = False) -> Any:
    """Return one variable of a file: an array; of a struct array, a structured one.

    With `as_objects` dims of length one are gone, and a struct is an object whose fields are attributes.

    Raises
    ------
    ValueError
        If the file is damaged or cut short, or has no such variable.
    """
    from scipy.io import loadmat

    known = variables(path)
    if name not in known:
        fix = f"one of them, such as {nearest(name, known)}" if known else "another file"
        raise refusal("variable", name, ", ".join(known) or "none: the file is empty", f"{path} has these", fix)
    try:
        layout = {"squeeze_me": as_objects, "struct_as_record": not as_objects}
        return loadmat(path, variable_names=[name], spmatrix=False, **layout)[name]
    except Exception as error:  # see above
        raise damage(path, error) from error


def check_integrity(path: Path) -> None:
    """Refuse a file that is cut short, or whose variables do not have their checksums (`ValueError`).

    Damage of variables that are not compressed cannot be told, and could end the process that reads them.
    """
    try:
        for kind, data in _elements(path.read_bytes()):
            if kind != COMPRESSED:
                raise ValueError(f"an element of type {kind} is not compressed, so that it has no checksum")
            zlib.decompress(data)
    except (ValueError, zlib.error, struct.error) as error:
        raise damage(path, error) from error


def damage(path: Path, error: Exception) -> ValueError:
    """Return the refusal of a file that cannot be read as MATLAB's."""
    why = f"it is damaged, cut short or of another version ({type(error).__name__}: {error})"
    fix = "fetch it again, or save it again: save -v7 in MATLAB, scipy.io.savemat(…, do_compression=True)"
    return refusal("file", str(path), "a whole, compressed MATLAB file (save -v7)", why, fix)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of each top-level element."""
    if not content.startswith(SIGNATURE) or content[126:HEADER] not in (b"IM", b"MI"):
        raise ValueError("its header is not that of MATLAB 5")
    order = "<" if content[126:HEADER] == b"IM" else ">"
    at = HEADER
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if at + 8 + size > len(content):
            raise ValueError(f"an element of {size} bytes begins at byte {at} of {len(content)}")
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size
