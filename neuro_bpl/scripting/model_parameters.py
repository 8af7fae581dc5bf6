"""Parameters that models share: a model takes them over, and says what is different."""

from dataclasses import dataclass

from neuro_bpl.parameters import field


@dataclass(frozen=True)
class Storage:
    """Where a model stores its runs, in which format numbers are, and who trains."""

    precision: str = field("float32", "floating-point format", choices=("float32", "float64"))
    sweep: tuple[str, ...] = field((), "parameters to vary, each with its values: lambda_=0,0.5,1")
    output: str = field("data/runs", "folder of the runs")
    resume: bool = field(False, "go on with the runs that are there")
    overwrite: bool = field(False, "replace the runs that are there")
    workers: int = field(1, "processes that train points: this one alone, or so many on this machine", low=1)
    scheduler: str = field("", "address of a Dask scheduler whose workers train the points (docs/clusters.md)")


@dataclass(frozen=True)
class RuleNumbers:
    """Numbers of the rules that `rule_words` names."""

    lambda_: float = field(1.0, "trace decay of bp_lambda", symbol="λ", low=0, high=1)
    discount: float = field(1.0, "discount of bp_lambda and dni", symbol="γ", low=0, high=1)
    kappa: float = field(1.0, "weight of the synthetic gradient of bp_lambda and dni", symbol="κ", low=0)
    window: int = field(1, "steps of a window of tbptt and dni", symbol="n", low=1)
