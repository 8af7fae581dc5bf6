"""Sphinx configuration: `sphinx-build -W -b html docs OUT`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "neuro_bpl"
author = "the neuro_bpl developers"
language = "en_GB"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "alabaster"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autosummary_generate = False  # numpydoc loads autosummary; nothing here uses its stubs
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
python_display_short_literal_types = True
numpydoc_show_class_members = False


def skip_field_numbers(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, whose only docstring is their position."""
    del app, what, name, options
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else skip


def shorten_array(app, what, name, obj, options, signature, returns):
    """Write `Float[Array, "units"]` as the source does, not with the path of JAX's array class."""
    del app, what, name, obj, options
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))


def setup(app):
    """Connect the handlers above."""
    app.connect("autodoc-skip-member", skip_field_numbers)
    app.connect("autodoc-process-signature", shorten_array)
