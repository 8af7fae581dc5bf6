"""The command line of a script, derived from its parameters."""

import dataclasses
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import tyro

from neuro_bpl.compilation import keep_compiled
from neuro_bpl.experiments.experiment import Experiment
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.scripting import dry_run, rule_words
from neuro_bpl.training.grid import Point, check_different

NOT_SWEPT = ("rule", "record", "output", "data_dir", "precision", "seeds", "workers", "scheduler")
STORAGE = ("output", "resume", "overwrite", "workers", "scheduler")
DRY_RUN = (
    "dry_run",
    Annotated[bool, tyro.conf.arg(help="say what every point would cost, and stop: nothing is trained or written")],
    dataclasses.field(default=False),
)


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
    return _given(parameters, _answers(parameters, description, (), arguments))


def main(
    parameters: type,
    description: str,
    run: Callable[[Any], Any],
    plan: Callable[[Any], Iterable[Point]] | None = None,
) -> None:
    """Parse, run, and turn a refusal into its message and exit status 2. Compiled programs are kept on disk.

    With a `plan`, all points that `run` would train, there is a flag --dry-run: it says what they cost, and stops.
    """
    keep_compiled()
    try:
        answers = _answers(parameters, description, () if plan is None else (DRY_RUN,), None)
        given = _given(parameters, answers)
        if plan is not None and answers.dry_run:
            sys.stdout.write(dry_run.report(_planned(plan, given)))
        else:
            run(given)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; the updates committed so far are kept. Type: the same command with --resume"))


def points(
    p: Any, experiment: Callable[[Any], Experiment], rule_names: bool = True
) -> tuple[list[Point], dict[str, list]]:
    """Return the points of the grid that `--rule a,b` and `--sweep name=value,value` span, and the labels of its dims.

    Parameters
    ----------
    p : dataclass
        Parameters of a model with fields `rule` (names separated by commas) and `sweep`.
    experiment : callable
        The experiment of parameters with one rule.
    rule_names : bool
        Whether rules are labelled by their own names, or by the words that were typed.

    Raises
    ------
    ValueError
        If a sweep names no parameter of the model, two words are one rule, or no point is possible. One that is not
        possible among others is kept, with its error.
    """
    axes: dict[str, list] = {"rule": p.rule.split(",")} | dict(_axis(p, text) for text in p.sweep)
    grid = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    found = [_attempt(p, label, experiment) for label in grid]
    errors = [made for made in found if isinstance(made, ValueError)]
    if len(errors) == len(found):
        raise errors[0]
    shown = _shown(axes["rule"], grid, found) if rule_names else {word: word for word in axes["rule"]}
    rule_words.check_differ(axes["rule"], shown)
    if len(shown) == 1 and len(axes) > 1:
        del axes["rule"]
    else:
        axes["rule"] = [shown[key] for key in axes["rule"]]
    labels = [{dim: shown[at[dim]] if dim == "rule" else at[dim] for dim in axes} for at in grid]
    return [_point(label, made) for label, made in zip(labels, found, strict=True)], axes


def storage(p: Any) -> dict[str, Any]:
    """Return a model's parameters of storage and workers, as arguments of `run`."""
    return {name: getattr(p, name) for name in STORAGE}


def _planned(plan: Callable[[Any], Iterable[Point]], given: Any) -> list[Point]:
    """Return all points of a dry run, which downloads nothing."""
    fetches = getattr(given, "download", False)
    try:
        found = list(plan(dataclasses.replace(given, download=False) if fetches else given))
    except FileNotFoundError as error:
        if not fetches:
            raise
        why = "a dry run writes nothing, and the data set is not there yet"
        raise refusal("dry_run", True, "data that are there", why, "the same without --dry-run") from error
    check_different(found)
    return found


def _attempt(p: Any, label: dict[str, Any], experiment: Callable[[Any], Experiment]) -> Experiment | ValueError:
    """Return the experiment of a point, or the error that makes it impossible."""
    try:
        return experiment(dataclasses.replace(p, **label, sweep=()))
    except ValueError as error:
        return error


def _point(label: dict[str, Any], made: Experiment | ValueError) -> Point:
    if isinstance(made, ValueError):
        return Point(label, None, f"{type(made).__name__}: {made}")
    return Point(label, made)


def _shown(words: Sequence[str], grid: Sequence[dict], found: Sequence[Experiment | ValueError]) -> dict[str, str]:
    """Return the label of each word: the name of its rule where that is the same at all points, else the word."""
    names: dict[str, set[str]] = {word: set() for word in words}
    for label, made in zip(grid, found, strict=True):
        if isinstance(made, Experiment):
            names[label["rule"]].add(made.rule.name)
    return {word: next(iter(known)) if len(known) == 1 else word for word, known in names.items()}


def _answers(parameters: type, description: str, flags: Sequence[tuple], arguments: Sequence[str] | None) -> Any:
    """Parse the command line into a form with the fields of the parameters and some flags."""
    hints = [
        (spec.name, Annotated[spec.type, tyro.conf.arg(help=_help(spec))], dataclasses.field(default=spec.default))
        for spec in _in_order(parameters)
    ]
    form = dataclasses.make_dataclass(parameters.__name__, [*hints, *flags])
    style = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    return tyro.cli(form, prog=sys.argv[0], description=description, args=arguments, config=style)


def _in_order(parameters: type) -> list[dataclasses.Field]:
    """Return the parameters of a model: those that it declares itself, then those that it takes over."""
    declared = dict.fromkeys(name for cls in parameters.__mro__ for name in inspect.get_annotations(cls))
    specs = {spec.name: spec for spec in dataclasses.fields(parameters)}
    return [specs[name] for name in declared if name in specs]


def _given(parameters: type, answers: Any) -> Any:
    return parameters(**{spec.name: getattr(answers, spec.name) for spec in dataclasses.fields(parameters)})


def _axis(p: Any, text: str) -> tuple[str, list]:
    """Parse "lambda_=0,0.5,1" into a name and values, in the type of that parameter."""
    name, _, values = text.partition("=")
    kinds = {spec.name: type(getattr(p, spec.name)) for spec in dataclasses.fields(p)}
    usable = [known for known, kind in kinds.items() if kind in (int, float, str) and known not in NOT_SWEPT]
    if name == "rule":
        fix = f"--rule {values or 'bptt,bp_lambda'}"
        raise refusal("sweep", text, ", ".join(usable), "rules are compared by --rule", fix)
    if name not in usable or not values:
        raise refusal(
            "sweep",
            text,
            ", ".join(usable),
            "it names a parameter and its values",
            f"--sweep {nearest(name, usable)}=…,…",
        )
    try:
        return name, [kinds[name](value) for value in values.split(",")]
    except ValueError as error:
        raise refusal(
            "sweep", text, f"{kinds[name].__name__} values", str(error), f"--sweep {name}={getattr(p, name)},…"
        ) from error


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
