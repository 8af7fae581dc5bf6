"""A circuit in continuous time: the same populations, weights and rule as in the array engine, run by Brian2."""

import itertools
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import brian2
import xarray as xr
from brian2.equations.equations import EquationError

from neuro_bpl.brian import compile_targets, expressible, labelling, network, sweep_numbers, trials_in_time
from neuro_bpl.brian.circuit_equations import equations as equations_of
from neuro_bpl.brian.constants import Constants, constants
from neuro_bpl.brian.labelling import Plan, Played, Point
from neuro_bpl.brian.script import Equations, Script
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.optimizers import Optimizer, Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import expect
from neuro_bpl.trials import Trials, check_trials

SWEEP = "before a sweep"
SGD = Optimizers(Optimizer("sgd", 1e-2), Optimizer("sgd", 1e-2), Optimizer("sgd", 1e-2))


class BrianCircuit:
    """A circuit and its weights as a Brian2 network.

    The equations (docs/theory.md, section on continuous time) take Euler steps of the cortex's dt, and give the numbers
    of the array engine to rounding. One trial runs at a time, and weights change at every step.

    Parameters
    ----------
    circuit : Circuit
        With a `RateCortex` and, where the rule has a prediction, a `GranularPredictor`.
    weights : Weights
        Of one network.
    rule : LearningRule, optional
        A step-wise rule with local traces; None: nothing learns.
    optimizers : Optimizers, optional
        Plain gradient descent ("sgd") for cortex, readout and predictor, with learning rates of a step; 0.01 each by
        default.
    n_steps : int
        Steps of a trial.
    equations : mapping, optional
        Equations of your own: what `neuro_bpl.brian.circuit_equations` returns, changed.
    namespace : mapping, optional
        Constants with their units, and functions, that equations of your own name: `{"tau_a": 0.2 * brian2.second}`.
        Numbers of circuit, rule and optimisers need no entry.
    target : "auto", "numpy", "cython" or "cpp_standalone"
        Where they are computed; "auto": Cython where there is a compiler. In C++ a circuit is a program of its own: it
        runs once (or once for each point of a sweep), and no other circuit can be made until `close()`.

    Attributes
    ----------
    equations : Script
        The equations, to print.
    groups : dict
        Populations and pathways by name, as Brian2 objects.
    network : brian2.Network
        All of them; `network.add(monitor)`, `network.store()`, `network.restore()`.

    Raises
    ------
    ValueError
        If circuit, rule, optimisers or equations are not possible.

    Examples
    --------
    >>> import jax, neuro_bpl as nb
    >>> task = nb.tasks.TargetReaching(n_steps=5)
    >>> circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 4, tau=0.05, dt=0.01), nb.LinearReadout(2))
    >>> loop = nb.brian.BrianCircuit(circuit, circuit.init(jax.random.key(0)), n_steps=5, target="numpy")
    >>> loop.run(task.probe(), record=["rates"])["activity"]["rates"].dims
    ('seed', 'snapshot', 'trial', 'time', 'unit')
    """

    def __init__(
        self,
        circuit: Circuit,
        weights: Weights,
        rule: LearningRule | None = None,
        optimizers: Optimizers | None = None,
        *,
        n_steps: int,
        equations: Mapping[str, Equations] | None = None,
        namespace: Mapping[str, Any] | None = None,
        target: str = "auto",
    ) -> None:
        wanted = equations_of(circuit, rule)
        circuit.check_weights(weights)
        self.circuit, self.rule = circuit, rule
        self.optimizers = SGD if optimizers is None else optimizers
        expressible.check_optimizers(self.optimizers)
        expressible.check_n_steps(n_steps)
        expressible.check_equations(wanted if equations is None else equations, wanted)
        self.n_steps, self.target = n_steps, compile_targets.resolve(target)
        compile_targets.check_device(self.target)
        self.equations = Script(wanted if equations is None else equations)
        self._namespace = trials_in_time.check_namespace(namespace)
        self._born = self._ended = weights
        self._program = compile_targets.Program() if self.target == "cpp_standalone" else None
        try:
            with compile_targets.computing(self.target), expressible.explained(EquationError, SyntaxError, ValueError):
                self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        self._clocks = clocks = network.clocks(self.circuit.cortex.dt, self.n_steps)  # type: ignore[attr-defined]
        populations = network.populations(self.circuit, self.equations, clocks)
        pathways = network.pathways(populations, self.equations, network.existing(self._born), clocks)
        self.groups: dict[str, Any] = {**populations, **pathways}
        for name, group in self.groups.items():
            network.moments(group, name, self.equations[name], clocks)
        self.network = brian2.Network(*self.groups.values())
        network.put(self.groups, self._born)
        network.set_constants(self.groups, constants(self.circuit, self.rule, self.optimizers))

    @property
    def weights(self) -> Weights:
        """The present weights, in NumPy arrays of doubles; those of a C++ program also after `close()`."""
        return self._ended if self._program is not None else network.get(self.groups, self._born)

    def run(
        self,
        trials: Trials,
        record: Sequence[str] = (),
        *,
        n_snapshots: int = 1,
        n_recorded: int | None = None,
        probe: Trials | None = None,
    ) -> xr.DataTree:
        """Play trials one after another, learning where there is a rule; a further call goes on from there.

        Parameters
        ----------
        trials : Trials
            Played in order, one at a time.
        record : sequence of str
            What to record of every step, besides the loss of each trial and the weights: "rates", "outputs",
            "granule_rates", "predicted_gradient", "td_error"; and, with `probe`, what docs/schema.md has "every
            evaluation", computed by the array engine from the weights of the snapshots.
        n_snapshots : int
            Snapshots of the weights after the first one, evenly spread over the trials.
        n_recorded : int, optional
            Keep what was recorded of so many trials, the last ones; None: of all.
        probe : Trials, optional
            Held-out trials: their loss (and what `record` says) at every snapshot.

        Returns
        -------
        xarray.DataTree
            In the schema of `neuro_bpl.train`: an update is a trial.

        Raises
        ------
        ValueError
            If trials do not fit, a name is unknown, an equation has wrong units, or the network cannot run as it is.
        """
        point = self.play(self.plan(trials, record, n_snapshots, n_recorded, probe))
        return labelling.tree([(point, {})], {}, self.equations)

    def play(self, plan: Plan) -> Point:
        """What `run` does, before it is a run: to be joined with others by `recording.across_seeds` and `tree`."""
        point = self._point(plan, self.rule, self.optimizers)
        self._ended = point.ended
        return point

    def sweep(
        self,
        values: Mapping[str, Sequence[float]],
        trials: Trials,
        record: Sequence[str] = (),
        *,
        n_recorded: int | None = None,
        probe: Trials | None = None,
    ) -> xr.DataTree:
        """Play the same trials for every combination of numbers, each time from the present weights.

        Nothing is compiled anew: the numbers are constants of the equations. The circuit itself stays as it is.

        Parameters
        ----------
        values : mapping
            Lists of numbers for `lambda_`, `discount`, `kappa`, `learning_rate` (of the cortex),
            `readout_learning_rate` or `predictor_learning_rate`.
        trials, record, n_recorded, probe
            As in `run`.

        Returns
        -------
        xarray.DataTree
            As from `run`, with a dim for each name.

        Raises
        ------
        ValueError
            As in `run`, and if a name or value is not possible.
        """
        grid = sweep_numbers.check_grid(values, self.rule, self.optimizers)
        plan = self.plan(trials, record, 1, n_recorded, probe)
        labels = [dict(zip(grid, point, strict=True)) for point in itertools.product(*grid.values())]
        settings = [sweep_numbers.changed(label, self.rule, self.optimizers) for label in labels]  # type: ignore[arg-type]
        points = [self._tried(plan, *numbers) for numbers in settings]
        return labelling.tree(list(zip(points, labels, strict=True)), grid, self.equations)

    def close(self) -> None:
        """Let go of a program in C++, so that other circuits can be made; nothing for other targets."""
        if self._program is not None:
            self._program.close()

    def __enter__(self) -> "BrianCircuit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        rule = "no rule" if self.rule is None else self.rule.name
        sizes = ", ".join(f"{name} {len(group)}" for name, group in self.groups.items())
        return f"BrianCircuit({rule}; {self.target}; {sizes}; {self.n_steps} steps of {self._clocks.step.dt})"

    def plan(
        self, trials: Trials, record: Sequence[str], n_snapshots: int, n_recorded: int | None, probe: Trials | None
    ) -> Plan:
        """Return what `run` is to do, checked (`ValueError` as there)."""
        for name, given in {"trials": trials, **({} if probe is None else {"probe": probe})}.items():
            expect(name, given, Trials, "Trials", "a network plays them", "task.held_out('test')")
            check_trials(given, self.circuit.cortex.n_inputs, self.circuit.readout.n_outputs, False)
        trials_in_time.check_steps(trials, self.n_steps)
        if self._program is not None:
            self._program.check_ready()
        expressible.check_network(self.network, self._program is not None)
        names = labelling.check_names(record, self.circuit, self.rule, probe)
        blocks = expressible.blocks(trials.n_trials, n_snapshots, self._program is not None)
        kept = expressible.check_recorded(n_recorded, trials.n_trials)
        return Plan(trials, names, blocks, kept, probe)

    def _tried(self, plan: Plan, rule: LearningRule | None, optimizers: Optimizers) -> Point:
        """Play all trials with these numbers, and leave the circuit as it was."""
        if self._program is not None:
            return self._point(plan, rule, optimizers)
        self.network.store(SWEEP)
        try:
            return self._point(plan, rule, optimizers)
        finally:
            self.network.restore(SWEEP)

    def _point(self, plan: Plan, rule: LearningRule | None, optimizers: Optimizers) -> Point:
        """Play all trials with these numbers."""
        born = self.weights
        made = labelling.experiment(self.circuit, rule, optimizers, plan, born)
        numbers = constants(self.circuit, rule, optimizers)
        functions = trials_in_time.of(plan.trials).namespace(self._clocks.step.dt)
        with compile_targets.computing(self.target), expressible.explained():
            if self._program is None:
                network.set_constants(self.groups, numbers)
                played = self._play(plan, functions)
            else:
                played = self._run_program(self._program, plan, functions, numbers)
        return Point(made, labelling.piece(made, played, plan), played.weights[plan.trials.n_trials])

    def _duration(self, n_trials: int) -> brian2.Quantity:
        return n_trials * self.n_steps * self._clocks.step.dt

    def _play(self, plan: Plan, functions: Mapping[str, Any]) -> Played:
        """Return blocks of trials, with a snapshot behind each."""
        monitors = labelling.monitors(self.groups, plan.names, self._clocks)
        network.begin(self.groups, self.network.t)
        self.network.add(*monitors.values())
        snapshots, done = {0: self.weights}, 0
        try:
            for n_trials in plan.blocks:
                self.network.run(self._duration(n_trials), namespace={**self._namespace, **functions})
                done += n_trials
                snapshots[done] = self.weights
        finally:
            self.network.remove(*monitors.values())
        return labelling.played(monitors, plan, snapshots, self.circuit)

    def _run_program(
        self, program: compile_targets.Program, plan: Plan, functions: Mapping[str, Any], numbers: Constants
    ) -> Played:
        """Return all trials in one run of the program, which is written and compiled the first time."""
        if not program.built:
            monitors = labelling.monitors(self.groups, plan.names, self._clocks)
            self.network.add(*monitors.values())
            namespace = {**self._namespace, **functions}
            program.build(self.network, self._duration(plan.trials.n_trials), namespace, monitors)
        views = {getattr(self.groups[name], variable): value for (name, variable), value in numbers.items()}
        program.run({view: brian2.Quantity(value, dim=view.dim) for view, value in views.items()})
        snapshots = {0: self._born, plan.trials.n_trials: network.get(self.groups, self._born)}
        return labelling.played(program.monitors, plan, snapshots, self.circuit)
