"""What NWB has no place for, such as the dims of arrays: kept as JSON in the scratch space of a file."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

NAME = "neuro_bpl"
RUN, RECORDING = "run", "recording"
DESCRIPTION = "JSON: units of columns, dims and coordinates of arrays, and attributes, as neuro_bpl had them"
Layout = dict[str, Any]


def keep(nwb: Any, layout: Mapping[str, Any]) -> None:
    """Put a layout into a file that is to be written."""
    nwb.add_scratch(json.dumps(layout), name=NAME, description=DESCRIPTION)


def of_file(nwb: Any) -> Layout:
    """Return the layout that a file holds; {} where neuro_bpl did not write it."""
    if nwb.scratch is None or NAME not in nwb.scratch:
        return {}
    return json.loads(str(nwb.scratch[NAME].data))


def described(values: xr.DataArray, without: tuple[str, ...] = ()) -> Layout:
    """Dims, attributes and coordinates of an array as JSON; coordinates named in `without` are kept elsewhere."""
    kept = {str(name): at for name, at in values.coords.items() if str(name) not in without}
    coords = {
        name: {"dims": list(at.dims), "values": at.values.tolist(), "dtype": str(at.dtype), "attrs": plain(at.attrs)}
        for name, at in kept.items()
    }
    return {"dims": list(values.dims), "shape": list(values.shape), "attrs": plain(values.attrs), "coords": coords}


def rebuilt(values: np.ndarray, layout: Mapping[str, Any]) -> xr.DataArray:
    """Return the array that `described` described."""
    coords = {
        name: (tuple(at["dims"]), np.asarray(at["values"], at["dtype"]), at["attrs"])
        for name, at in layout["coords"].items()
    }
    return xr.DataArray(values.reshape(layout["shape"]), coords, tuple(layout["dims"]), attrs=layout["attrs"])


def plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as JSON has them."""
    return {str(key): value.item() if isinstance(value, np.generic) else value for key, value in attrs.items()}
