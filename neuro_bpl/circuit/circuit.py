"""The circuit: cortex, readout and cerebellum as one frozen description; its weights are a separate tree."""

from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights, Trajectory
from neuro_bpl.circuit.feedback_pathway import FeedbackPathway
from neuro_bpl.circuit.initial_state import InitialState
from neuro_bpl.circuit.olivary_pathway import OlivaryPathway
from neuro_bpl.circuit.outcome import Outcome, accuracy
from neuro_bpl.circuit.predictors.protocol import Predictor
from neuro_bpl.circuit.readout import LinearReadout, ReadoutWeights
from neuro_bpl.circuit.regularization import Regularization
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.trials import Trials, check_trials

INITIAL_STATE = 1 << 16  # folded into the key of the cortex: an arbitrary number that no other weights use
FEEDBACK = 1 << 17  # folded into the key of the readout
OLIVE = 1 << 18  # folded into the key of the cortex


class Weights(NamedTuple):
    """All weights of a circuit, or a gradient of the same structure; None for a part that the circuit lacks."""

    cortex: CorticalWeights
    readout: ReadoutWeights
    cerebellum: PyTree
    feedback: PyTree = None
    olive: PyTree = None


@documented
@dataclass(frozen=True)
class Circuit:
    """A closed cortico-cerebellar loop.

    Parameters
    ----------
    cortex : RateCortex, LSTMCortex or GRUCortex
        The recurrent network.
    readout : LinearReadout
        Outputs and loss.
    cerebellum : LinearPredictor, GranularPredictor or DeepPredictor, optional
        The predictor of the cortex's future gradient; None for a cortex alone.
    regularization : Regularization, optional
        Cost of large rates and weights, part of the loss; none by default.
    initial_state : InitialState, optional
        Where trials start, and whether that is learnt; zero by default.
    feedback : FeedbackPathway, optional
        Random weights from output errors to the cortex, for rules with `Feedback`; none by default.
    olive : OlivaryPathway, optional
        Weights through which climbing fibres learn of errors, for rules with a local TD error; none by default.

    Examples
    --------
    >>> import jax, neuro_bpl as nb
    >>> circuit = nb.Circuit(nb.RateCortex(n_inputs=3, n_units=5), nb.LinearReadout(2), nb.LinearPredictor())
    >>> circuit.init(jax.random.key(0)).cortex.w_rec.shape
    (5, 5)
    """

    cortex: Cell = field(doc="the recurrent network", kind=Cell, example="RateCortex(n_inputs=10, n_units=30)")
    readout: LinearReadout = field(doc="outputs and loss", kind=LinearReadout, example="LinearReadout(n_outputs=2)")
    cerebellum: Predictor | None = field(
        None, "predictor of the future gradient", kind=Predictor, example="LinearPredictor()"
    )
    regularization: Regularization = field(
        Regularization(), "cost of large rates and weights", kind=Regularization, example="Regularization(rates=1e-4)"
    )
    initial_state: InitialState = field(
        InitialState(), "where trials start", kind=InitialState, example="InitialState(learned=True)"
    )
    feedback: FeedbackPathway | None = field(
        None, "random weights from output errors to the cortex", kind=FeedbackPathway, example="FeedbackPathway()"
    )
    olive: OlivaryPathway | None = field(
        None, "weights through which climbing fibres learn of errors", kind=OlivaryPathway, example="OlivaryPathway()"
    )

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], dtype: jnp.dtype | None = None) -> Weights:
        """Return weights at birth, drawn from one key, in JAX's default format (float32 unless it runs in 64 bit).

        Raises
        ------
        ValueError
            If `dtype` is wider than JAX is set to compute with, or the circuit's anatomy is not possible.
        """
        default = jnp.zeros(0).dtype
        dtype = default if dtype is None else jnp.dtype(dtype)
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            raise refusal(
                "dtype",
                str(dtype),
                f"{default} or narrower",
                "JAX computes in 32 bit unless told otherwise",
                'with jax.enable_x64(True): circuit.init(key), or train(..., precision="float64")',
            )
        k_cortex, k_readout, k_cerebellum = jax.random.split(key, 3)
        s_0 = self.initial_state.init(self.cortex, jax.random.fold_in(k_cortex, INITIAL_STATE), dtype)
        return Weights(
            cortex=cortical.init(self.cortex, k_cortex, dtype)._replace(s_0=s_0),
            readout=self.readout.init(k_readout, self.cortex.n_units, dtype),
            cerebellum=self.cerebellum and self._init_predictor(self.cerebellum, k_cerebellum, dtype),
            feedback=self.feedback and self._init_feedback(self.feedback, k_readout, dtype),
            olive=self.olive and self.olive.init(jax.random.fold_in(k_cortex, OLIVE), self.cortex, dtype),
        )

    def _init_feedback(self, pathway: FeedbackPathway, k_readout: Key[Array, ""], dtype: jnp.dtype) -> Array:
        key = jax.random.fold_in(k_readout, FEEDBACK)
        return pathway.init(key, self.cortex.n_units, self.readout.n_outputs, dtype)

    def _init_predictor(self, predictor: Predictor, key: Key[Array, ""], dtype: jnp.dtype) -> PyTree:
        return predictor.init(key, self.n_fibres(), cortical.n_state(self.cortex), dtype)

    def project(self, weights: Weights) -> Weights:
        """Return weights with absent synapses at exactly zero; applied after every update, whatever the optimiser."""
        if self.cerebellum is None:
            return weights
        return weights._replace(cerebellum=self.cerebellum.project(weights.cerebellum))

    def plastic(self, weights: Weights) -> PyTree:
        """A tree of bools: which weights learn. An initial state that is not learnt is held, whatever its gradient."""
        learns = jax.tree.map(lambda _: True, weights)
        s_0 = jax.tree.map(lambda _: self.initial_state.learned, weights.cortex.s_0)
        learns = learns._replace(cortex=learns.cortex._replace(s_0=s_0))
        if self.cerebellum is None:
            return learns
        return learns._replace(cerebellum=self.cerebellum.plastic(weights.cerebellum))

    def predictor(self) -> Predictor:
        """Return the cerebellum; refuses a circuit without one (`ValueError`)."""
        if self.cerebellum is None:
            raise refusal(
                "Circuit.cerebellum",
                None,
                "LinearPredictor(), GranularPredictor(...) or DeepPredictor(...)",
                "this rule learns from a prediction of the future gradient",
                "Circuit(cortex, readout, LinearPredictor())",
            )
        return self.cerebellum

    def check_feedback(self) -> None:
        """Refuse a circuit without a feedback pathway (`ValueError`)."""
        if self.feedback is None:
            raise refusal(
                "Circuit.feedback",
                None,
                "FeedbackPathway()",
                "this rule sends output errors to the cortex through weights of their own",
                "Circuit(cortex, readout, feedback=FeedbackPathway())",
            )

    def check_olive(self) -> None:
        """Refuse a circuit without an olivary pathway (`ValueError`)."""
        if self.olive is None:
            raise refusal(
                "Circuit.olive",
                None,
                "OlivaryPathway()",
                "this rule's TD errors come through weights of the olive's own",
                "Circuit(cortex, readout, LinearPredictor(), olive=OlivaryPathway())",
            )

    def n_fibres(self) -> int:
        """Return mossy fibres: one for each state variable and, where the predictor reads them, for each input."""
        return cortical.n_state(self.cortex) + (self.cortex.n_inputs if self.predictor().reads_input else 0)

    def mossy_fibres(self, s: State, x: Float[Array, "inputs *batch"]) -> Float[Array, "fibres *batch"]:
        """[s; x]: all of the state and, where the predictor reads it, the input of the same step."""
        return jnp.concatenate((*s, x) if self.predictor().reads_input else s)

    def predict(self, theta: PyTree, s: State, x: Float[Array, "inputs *batch"]) -> State:
        """ĝ = g(s; θ) or g(s, x; θ), by state component."""
        prediction = self.predictor().predict(theta, self.mossy_fibres(s, x))
        return tuple(jnp.split(prediction, self.cortex.n_components))

    def check(self, trials: Trials) -> None:
        """Refuse trials that do not fit this circuit (`ValueError`)."""
        check_trials(trials, self.cortex.n_inputs, self.readout.n_outputs, self.readout.has_classes)

    def check_weights(self, weights: Weights) -> None:
        """Refuse weights that are not those of one network of this circuit (`ValueError`)."""
        wanted, got = shapes(self), jax.tree.map(np.shape, weights)
        if got != wanted:
            raise refusal(
                "weights",
                got,
                str(wanted),
                "the weights must be those of one network of this circuit",
                "circuit.init(key), or circuit, weights = load(run, seed=0)",
            )

    def run(self, weights: Weights, trials: Trials) -> tuple[Trajectory, Float[Array, "outputs target batch"]]:
        """Return trajectory of the cortex, and the outputs at the steps that have targets."""
        trajectory = cortical.run(self.cortex, weights.cortex, jnp.moveaxis(trials.inputs, 0, -1))
        return trajectory, self.readout.outputs(weights.readout, target_rates(trajectory, trials))

    def loss(self, weights: Weights, trials: Trials) -> Float[Array, ""]:
        """Σ over targets of mask · ℓ, mean over trials, with the cost of rates and weights."""
        return self.outcome(weights, trials).loss

    def outcome(self, weights: Weights, trials: Trials) -> Outcome:
        """Return loss (with the cost of rates and weights) and accuracy of trials."""
        trajectory, outputs = self.run(weights, trials)
        loss = self.regularized(self.mean_loss(outputs, trials), weights, trajectory.s_t[0], trials.steps_left())
        return Outcome(loss, accuracy(self.readout, outputs, trials))

    def mean_loss(self, outputs: Float[Array, "outputs target batch"], trials: Trials) -> Float[Array, ""]:
        """Return the task's loss of outputs already computed, without the cost of rates and weights."""
        losses = self.readout.loss_value(outputs, trials.targets_first())
        return (losses * trials.weights()).sum() / trials.n_trials

    def regularized(
        self,
        loss: Float[Array, ""],
        weights: Weights,
        h_t: Float[Array, "*time units batch"],
        left_t: Int[Array, "*time batch"],
    ) -> Float[Array, ""]:
        """A loss of one step or of whole trials with the cost of their rates, and of the weights at each step."""
        synapses = (weights.cortex.w_in, weights.cortex.w_rec, weights.readout.w)
        return self.regularization.add_loss(loss, h_t, synapses, left_t)

    def regularized_gradient(self, gradient: Weights, weights: Weights, left_t: Int[Array, "*time batch"]) -> Weights:
        """A gradient of one step or of whole trials with the pull of W_in, W_rec, W_out and both B towards zero."""
        add = partial(self.regularization.add_gradient, left_t=left_t)
        cortex, readout, to_cortex, to_readout = weights.cortex, weights.readout, gradient.cortex, gradient.readout
        return gradient._replace(
            cortex=to_cortex._replace(w_in=add(to_cortex.w_in, cortex.w_in), w_rec=add(to_cortex.w_rec, cortex.w_rec)),
            readout=to_readout._replace(w=add(to_readout.w, readout.w)),
            feedback=None if gradient.feedback is None else add(gradient.feedback, weights.feedback),
            olive=None if gradient.olive is None else add(gradient.olive, weights.olive),
        )


@cache
def shapes(circuit: Circuit) -> Weights:
    """Return shape of every weight of a circuit, in the structure of its weights."""
    return jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(circuit.init, jax.random.key(0)))


def target_rates(trajectory: Trajectory, trials: Trials) -> Float[Array, "units target batch"]:
    """Return cortical rates at the steps that have targets."""
    rates = trajectory.s_t[0]
    if not trials.at_last_step:
        return jnp.moveaxis(rates, 1, 0)
    if trials.lengths is None:
        return rates[-1][:, None]
    at_end = jnp.take_along_axis(rates, (trials.last_step() - 1)[None, None], axis=0)
    return jnp.moveaxis(at_end, 1, 0)
