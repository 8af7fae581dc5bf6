"""What a run can record: group, dims, unit, cadence and name of each quantity."""

from typing import NamedTuple

UPDATE, EVALUATION, SNAPSHOT = "every update", "every evaluation", "every snapshot"


class Quantity(NamedTuple):
    """A recordable quantity.

    Its group in the run, its dims beside `seed`, unit (`{loss}` stands for the unit of the loss), name in words and
    cadence; and what it needs of the rule's credit or trace.
    """

    group: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    cadence: str
    needs: tuple[str, ...] = ()


def _compared(long_name: str, units: str = "1", dims: tuple[str, ...] = ("observed", "weight_group")) -> Quantity:
    return Quantity("comparison", ("update", *dims), units, long_name, UPDATE, needs=("compare",))


QUANTITIES: dict[str, Quantity] = {
    "loss": Quantity("training", ("update",), "{loss}", "loss, mean over trials", UPDATE),
    "accuracy": Quantity("training", ("update",), "1", "fraction of targets answered right", UPDATE),
    "weight_change": Quantity("training", ("update", "part"), "1", "length of the change of all weights", UPDATE),
    "difficulty": Quantity(
        "training",
        ("update",),
        "1",
        "difficulty of the trials: what the curriculum says of its level, such as their steps",
        UPDATE,
        needs=("curriculum",),
    ),
    "gradient_alignment": Quantity(
        "gradients",
        ("update", "time"),
        "1",
        "cosine of the predicted with the true future gradient, mean over probe trials",
        EVALUATION,
        ("predicting",),
    ),
    "td_error_size": Quantity(
        "gradients",
        ("update", "time"),
        "{loss} per unit of state",
        "length of the TD error, root mean square over probe trials",
        EVALUATION,
        ("predicting", "discount"),
    ),
    "weight_alignment": Quantity(
        "gradients",
        ("update",),
        "1",
        "cosine of the rule's gradient of the cortical weights with BPTT's, on the probe batch",
        EVALUATION,
    ),
    "update_alignment": Quantity(
        "gradients",
        ("update",),
        "1",
        "cosine of the update of the predictor with that towards the true future gradient, on the probe batch",
        EVALUATION,
        ("predicting",),
    ),
    "update_bias": Quantity(
        "gradients",
        ("update",),
        "1",
        "squared bias of the update of the predictor, relative to that towards the true future gradient, squared",
        EVALUATION,
        ("predicting",),
    ),
    "update_variance": Quantity(
        "gradients",
        ("update",),
        "1",
        "variance of the update of the predictor over probe trials and draws, relative as its bias is",
        EVALUATION,
        ("predicting",),
    ),
    "rates": Quantity(
        "activity",
        ("snapshot", "trial", "time", "unit"),
        "1",
        "cortical firing rate",
        SNAPSHOT,
    ),
    "cortical_state": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "1",
        "cortical state, rates first",
        SNAPSHOT,
    ),
    "outputs": Quantity("activity", ("snapshot", "trial", "time", "output"), "1", "readout", SNAPSHOT),
    "granule_rates": Quantity(
        "activity", ("snapshot", "trial", "time", "granule"), "1", "granule cell activity", SNAPSHOT
    ),
    "predicted_gradient": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "synthetic gradient: Purkinje and nuclear output, of the mean loss of a training batch",
        SNAPSHOT,
        ("predicting",),
    ),
    "true_gradient": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "true future gradient of the mean loss of a training batch",
        SNAPSHOT,
    ),
    "lambda_target": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "what the predictor learns from: the λ-target",
        SNAPSHOT,
        ("predicting",),
    ),
    "td_error": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "TD error, carried by climbing fibres",
        SNAPSHOT,
        ("predicting", "discount"),
    ),
    "cortical_trace": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state", "gate", "presynaptic"),
        "1",
        "cortical eligibility trace of a unit's synapses from inputs, rates and bias",
        SNAPSHOT,
        ("eligibility",),
    ),
    "predictor_trace": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "1",
        "predictor's eligibility trace, length over all its weights",
        SNAPSHOT,
        ("predicting", "decay"),
    ),
    "cosine": _compared("cosine of the rule's gradient with BPTT's"),
    "relative_error": _compared("length of the difference from BPTT's gradient, relative to it"),
    "gradient_norm": _compared("length of the rule's gradient", "{loss} per unit of weight"),
    "bias_squared": _compared("squared bias over repeated draws, relative to BPTT's gradient squared"),
    "variance": _compared("variance over repeated draws, relative to BPTT's gradient squared"),
    "alignment": _compared(
        "cosine of one rule's gradient of all cortical weights with another's", dims=("observed", "with_rule")
    ),
    "weights": Quantity("weights", ("snapshot",), "1", "every weight under its own name", SNAPSHOT),
}
ALWAYS = ("loss", "accuracy", "weights")
