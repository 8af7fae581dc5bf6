"""Messages with which bad input is refused."""

import pytest


def refusal(make, value):
    """The message with which `make()` refuses; it has every part and names the value."""
    with pytest.raises(ValueError, match="Allowed: ") as error:
        make()
    message = str(error.value)
    for part in ("Allowed: ", "Why: ", "Type: "):
        assert message.partition(part)[2].strip(), part
    assert repr(value) in message.partition("Allowed: ")[0]
    return message
