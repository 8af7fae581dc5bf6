"""Training: one experiment, in memory or stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neuro_bpl import contents, recording, results, store, writer
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.experiment import Experiment, Schedule, Seeds
from neuro_bpl.observers import check_observers
from neuro_bpl.optimizers import OptaxOptimizer, Optimizers
from neuro_bpl.parameters import expect, refusal
from neuro_bpl.progress import Bars
from neuro_bpl.provenance import describe, differences, origin
from neuro_bpl.results import Part
from neuro_bpl.rules import LearningRule
from neuro_bpl.tasks.protocol import Task
from neuro_bpl.trainer import Sink, train_part


def train(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    *,
    n_updates: int,
    batch_size: int = 50,
    seeds: int | Seeds = 1,
    optimizers: Optimizers | None = None,
    weights: Weights | None = None,
    record: Sequence[str] = (),
    compare: Sequence[LearningRule] = (),
    compare_draws: int = 1,
    n_evaluations: int = 20,
    n_snapshots: int = 1,
    precision: str = "float32",
    output: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    model: str = "",
    progress: bool = True,
) -> xr.DataTree:
    """Train a circuit on a task with a rule, from several seeds at once.

    Parameters
    ----------
    circuit : Circuit
        What learns.
    task : Task
        Where trials come from.
    rule : LearningRule
        How it learns.
    n_updates, batch_size : int
        Number of updates (batches of trials), and trials of a batch.
    seeds : int or Seeds
        Number of networks, or their seeds of weights, data and noise. Same seed, same numbers.
    optimizers : Optimizers, optional
        Optimisers of cortex, readout and predictor; Adam with learning rate 0.001 each by default.
    weights : Weights, optional
        Weights to start from, one network each along a leading axis; drawn from the seeds by default.
    record : sequence of str
        What to record besides loss, accuracy and weights: names of docs/schema.md.
    compare : sequence of LearningRule
        Rules that watch: at every update their gradients are computed on the same trials and weights, compared with
        BPTT's and with one another, and not applied. Predictors and feedback weights of their own learn along.
    compare_draws : int
        Gradients drawn of each rule that is random, for its bias and variance.
    n_evaluations, n_snapshots : int
        Held-out evaluations, and snapshots of weights and activity, after the first one before training. Snapshots are
        taken at evaluations.
    precision : "float32" or "float64"
        Floating-point format.
    output : path, optional
        Folder to store the run in while it trains; in memory only by default.
    resume : bool
        Go on with the run at `output` where its last commit left it; begin it where there is none.
    overwrite : bool
        Replace the run at `output`.
    model : str
        Name of the model, kept in the attributes of the run.
    progress : bool
        Show a progress bar with loss and time left on stderr.

    Returns
    -------
    xarray.DataTree
        Groups `parameters`, `training`, `evaluation`, `weights`, and `gradients`, `activity` and `comparison` where
        asked for.

    Raises
    ------
    ValueError
        If an argument is not possible, or `output` holds another experiment.
    FileExistsError
        If there is something at `output` that may not be replaced or resumed.
    OSError
        If `output` cannot be written, or the run would not fit on the disk.
    FloatingPointError
        If the loss of every seed stops being finite; it names the update, the rule and the largest weight. A single
        seed that diverges is frozen, warned of, and marked in `training.diverged_at`.
    """
    check_arguments(circuit, task, rule, optimizers, weights, output, resume, overwrite)
    check_observers(circuit, rule, compare, compare_draws)
    experiment = Experiment(
        circuit,
        task,
        rule,
        optimizers or Optimizers(),
        Schedule(n_updates, batch_size, n_evaluations, n_snapshots, precision),
        as_seeds(seeds),
        recording.check_names(record, circuit, rule),
        weights,
        tuple(compare),
        compare_draws,
    )
    part = Part((experiment,), ({},))
    if output is None:
        memory = contents.Memory(attributes([part], {}, model))
        _train(part, memory, progress)
        return memory.contents.tree()
    path = store.as_path(output)
    with writer.writing(path, attributes([part], {}, model), resume, overwrite) as sink:
        if sink.contents.grid:
            raise another_experiment(path, [f"it is a sweep over {', '.join(sink.contents.grid)}"])
        stored = sink.contents.parts.get("0")
        if stored is not None:
            check_same(path, stored.descriptions[0], experiment)
        if stored is not None and stored.attrs["status"] == contents.DIVERGED:
            raise FloatingPointError(f"the run at {path} diverged. Type: --overwrite with a lower learning rate.")
        _train(part, sink, progress)
    return store.open_run(path)


def _train(part: Part, sink: Sink, progress: bool) -> None:
    with Bars(progress) as bars:
        train_part(part, "0", sink, bars.expect("0", part), raising=True)


def attributes(parts: Sequence[Part], grid: Mapping[str, Sequence], model: str) -> dict[str, str]:
    """Root attributes of a run: what it is, and where it comes from."""
    return {"model": model, **results.attributes(parts, grid), **origin()}


def check_same(path: Path, stored: Mapping[str, Any], experiment: Experiment) -> None:
    """Refuse to go on with a run that is, or may be, another experiment (`ValueError`)."""
    if found := differences(stored, describe(experiment)):
        raise another_experiment(path, found)
    parts = (experiment.optimizers.cortex, experiment.optimizers.readout, experiment.optimizers.predictor)
    if any(isinstance(part, OptaxOptimizer) for part in parts):
        raise refusal(
            "resume",
            str(path),
            "runs whose optimisers are Optimizer(name, numbers)",
            "a raw Optax transformation is code: it cannot be compared with that of the stored run",
            "overwrite=True, or another output",
        )


def another_experiment(path: Path, found: Sequence[str]) -> ValueError:
    """The refusal to go on with a run that is another experiment."""
    shown = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
    return refusal(
        "resume",
        str(path),
        "a run of the same experiment",
        f"this one differs: {shown}",
        "--output with another name, --overwrite to replace it, or the stored values",
    )


def as_seeds(seeds: int | Seeds) -> Seeds:
    """Seeds of so many networks."""
    return seeds if isinstance(seeds, Seeds) else Seeds.count(seeds)


def check_arguments(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    optimizers: Optimizers | None,
    weights: Weights | None,
    output: Path | str | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Refuse what is of another kind than `train` and `sweep` ask for (`ValueError`)."""
    expect("circuit", circuit, Circuit, "a Circuit", "it is what learns", "Circuit(cortex, readout, cerebellum)")
    why = "it needs sample, held_out and probe"
    expect("task", task, Task, "an instance of a task", why, "tasks.TargetReaching(n_steps=10)")
    expect("rule", rule, LearningRule, "a LearningRule", "it is how the circuit learns", "bp_lambda(), with brackets")
    if optimizers is not None:
        why = "each part has an optimiser of its own"
        expect("optimizers", optimizers, Optimizers, "Optimizers", why, "Optimizers(cortex=Optimizer('adam', 1e-3))")
    if weights is not None:
        expect("weights", weights, Weights, "Weights", "training starts from them", "weights=load(run).weights")
    for name, value in (("resume", resume), ("overwrite", overwrite)):
        expect(name, value, bool, "True or False", "it decides about a stored run", f"{name}=True")
        if value and output is None:
            why = "there is no stored run without it"
            raise refusal(name, value, f"{name}=True with output=…", why, 'output="data/runs/x"')
