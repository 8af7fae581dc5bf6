"""Spikes drawn from what a simulation knows: rates of cortical units, and TD errors that climbing fibres carry."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.neural import arguments
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal

Stream = tuple[int, ...]
SPIKES, FIBRES = 0, 1  # of one seed, each has noise of its own


@documented
@dataclass(frozen=True)
class PoissonSpikes:
    """Spikes of cortical units: in a step of length dt, Poisson(max_rate · rₜ · dt) of them, uniform in the step.

    A rate has no unit in a simulation; `max_rate` says how many spikes a second a rate of 1 stands for.

    Raises
    ------
    ValueError
        If `max_rate` or the seed is not possible.

    Examples
    --------
    >>> rates = xr.DataArray(np.ones((1, 1000, 1)), dims=("trial", "time", "unit"))
    >>> (times,) = PoissonSpikes(max_rate=20.0).draw(rates, starts=np.zeros(1), lengths=np.array([1000]), dt=0.01)
    >>> len(times), bool(0 <= times.min() <= times.max() <= 10)
    (220, True)
    """

    max_rate: float = field(doc="spikes a second that a rate of 1 stands for", unit="Hz", above=0)
    seed: int = field(0, "seed of the spikes", low=0)

    def __post_init__(self) -> None:
        check(self)
        arguments.number(
            "max_rate", self.max_rate, "spikes a second that a rate of 1 stands for", "max_rate=50.0", above=0
        )
        arguments.whole("seed", self.seed, "spikes are drawn with it", "seed=0")

    def draw(
        self, rates: xr.DataArray, starts: np.ndarray, lengths: np.ndarray, dt: float, stream: Stream = ()
    ) -> list[Float[np.ndarray, " spike"]]:
        """Return spike times (s) of each unit of rates `(trial, time, unit)`, in trials that begin at `starts`.

        Each `stream`, such as (seed of the network, snapshot), has noise of its own.

        Raises
        ------
        ValueError
            If a rate is negative or not a number.
        """
        values = np.asarray(rates.values, float)
        if not (values >= 0).all():
            got = f"rates from {values.min():g} to {values.max():g}"
            fix = 'a circuit with nonlinearity="relu", "softplus" or "sigmoid", or spikes=None'
            raise refusal("rates", got, "rates of 0 or above", "no spike train has a rate below 0", fix)
        return poisson(self.max_rate * values, starts, lengths, dt, (self.seed, SPIKES, *stream))


@documented
@dataclass(frozen=True)
class ClimbingFibres:
    """Signed read-out of the TD error by climbing fibres, one for each component of the cortical state.

        rate = max(0, baseline + gain · δₜ / √⟨δ²⟩)

    with the mean over all trials, steps and components. δₜ is known once step t + 1 is there: its events are drawn, as
    in `PoissonSpikes`, within step t + 1 (the error of a trial's last transition within its last step). A fibre that
    fires at a low baseline can show little of an error that lowers its rate.

    Raises
    ------
    ValueError
        If a number is not possible.
    """

    baseline: float = field(doc="rate at δ = 0", unit="Hz", low=0)
    gain: float = field(doc="change of the rate at δ of the root mean square", unit="Hz", above=0)
    seed: int = field(0, "seed of the events", low=0)

    def __post_init__(self) -> None:
        check(self)
        arguments.number("baseline", self.baseline, "it is the rate at δ = 0, in Hz", "baseline=1.0", low=0)
        arguments.number("gain", self.gain, "it is the change of the rate, in Hz", "gain=1.0", above=0)
        arguments.whole("seed", self.seed, "events are drawn with it", "seed=0")

    def rates(self, td_error: xr.DataArray) -> Float[np.ndarray, "trial time state"]:
        """Return rates (Hz) at each step, of the TD error of the step before; the baseline at the first one.

        Raises
        ------
        ValueError
            If there is no error at all, or it is not finite.
        """
        values = np.asarray(td_error.values, float)
        size = np.sqrt(np.mean(values**2))
        if not (np.isfinite(size) and size > 0):
            fix = "a run of which δ is recorded and finite, or climbing_fibres=None"
            raise refusal("td_error", f"of size {size}", "finite errors, not all of them 0", "δ is scaled by it", fix)
        known = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
        return np.maximum(0, self.baseline + self.gain * known / size)

    def draw(
        self, td_error: xr.DataArray, starts: np.ndarray, lengths: np.ndarray, dt: float, stream: Stream = ()
    ) -> list[Float[np.ndarray, " spike"]]:
        """Times (s) of each fibre's events; each `stream` has noise of its own, and none is that of `PoissonSpikes`."""
        return poisson(self.rates(td_error), starts, lengths, dt, (self.seed, FIBRES, *stream))


def poisson(
    rates: Float[np.ndarray, "trial time unit"], starts: np.ndarray, lengths: np.ndarray, dt: float, seed: Stream
) -> list[Float[np.ndarray, " spike"]]:
    """Return times (s) of spikes at given rates (Hz), within each trial's own steps, sorted; one array a unit."""
    rng = np.random.default_rng(seed)
    lasts = np.arange(rates.shape[1]) < np.asarray(lengths)[:, None]
    counts = rng.poisson(np.where(lasts[..., None], rates, 0) * dt)
    trial, step, unit = (np.repeat(at, counts.ravel()) for at in np.indices(counts.shape).reshape(3, -1))
    times = np.asarray(starts)[trial] + dt * (step + rng.random(len(trial)))
    return [np.sort(times[unit == one]) for one in range(rates.shape[2])]
