"""The command line of a script, derived from its parameters."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro


def parse(parameters: type, description: str, arguments: Sequence[str] | None = None) -> Any:
    """Read a frozen dataclass of parameters from the command line; `--help` shows unit, symbol and source of each.

    Parameters
    ----------
    parameters : type
        A dataclass whose fields are declared with `neuro_bpl.parameters.field`.
    description : str
        What the script does.
    arguments : sequence of str, optional
        The words after the script's name; `sys.argv[1:]` by default.
    """
    hints = [
        (spec.name, Annotated[spec.type, tyro.conf.arg(help=_help(spec))], dataclasses.field(default=spec.default))
        for spec in dataclasses.fields(parameters)
    ]
    form = dataclasses.make_dataclass(parameters.__name__, hints)
    answers: Any = tyro.cli(
        form, description=description, args=arguments, config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    )
    return parameters(**{spec.name: getattr(answers, spec.name) for spec in dataclasses.fields(parameters)})


def main(parameters: type, description: str, run: Callable[[Any], Any]) -> None:
    """Parse, run, and turn a refusal into its message and exit status 2."""
    try:
        run(parse(parameters, description))
    except (ValueError, FileNotFoundError, FileExistsError, PermissionError, FloatingPointError) as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; nothing was written"))


def _fail(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 2


def _help(spec: dataclasses.Field) -> str:
    metadata = spec.metadata
    notes = [metadata["symbol"], "" if metadata["unit"] == "1" else f"in {metadata['unit']}", metadata["source"]]
    extra = ", ".join(note for note in notes if note)
    choices = metadata["choices"]
    text = metadata["doc"] + (f" [{extra}]" if extra else "")
    return text + (": " + ", ".join(choices) if choices else "")
