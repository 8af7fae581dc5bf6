"""Training: one experiment, in memory or stored."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.experiments import recording
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Experiment, Schedule, Seeds
from neuro_bpl.experiments.observers import check_observers
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.runs import contents, run_writer, store
from neuro_bpl.runs.contents import Sink
from neuro_bpl.tasks.protocol import Task
from neuro_bpl.training.arguments import another_experiment, as_seeds, attributes, check_arguments, check_same
from neuro_bpl.training.progress import Bars
from neuro_bpl.training.trainer import train_part


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
        recorded.

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
    part = Cohort((experiment,), ({},))
    if output is None:
        memory = contents.Memory(attributes([part], {}, model))
        _train(part, memory, progress)
        return memory.contents.tree()
    path = store.as_path(output)
    with run_writer.writing(path, attributes([part], {}, model), resume, overwrite) as sink:
        if sink.contents.grid:
            raise another_experiment(path, [f"it is a sweep over {', '.join(sink.contents.grid)}"])
        stored = sink.contents.parts.get("0")
        if stored is not None:
            check_same(path, stored.descriptions[0], experiment)
        if stored is not None and stored.attrs["status"] == contents.DIVERGED:
            raise FloatingPointError(f"the run at {path} diverged. Type: --overwrite with a lower learning rate.")
        _train(part, sink, progress)
    return store.open_run(path)


def _train(part: Cohort, sink: Sink, progress: bool) -> None:
    with Bars(progress) as bars:
        train_part(part, "0", sink, bars.expect("0", part), raising=True)
