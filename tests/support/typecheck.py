"""The runtime type checker of the test suite: beartype with PEP 484's numeric tower (an int may stand for a float)."""

from beartype import BeartypeConf, beartype


def check(function):
    """Check the annotations of every function of the package but constructors.

    Constructors refuse bad values themselves, with a message, and JAX calls them with tracers and placeholders.
    """
    if function.__name__ == "__init__":
        return function
    return beartype(function, conf=BeartypeConf(is_pep484_tower=True))
