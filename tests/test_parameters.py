"""Parameters declared once, and two small functions that many results rest on: wiring masks and the cosine."""

import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro_bpl as nb
from neuro_bpl.circuit.synapses import fan_in_mask
from neuro_bpl.learning.gradient_measures import cosine
from neuro_bpl.parameters import check, documented, field, flatten, to_dict
from neuro_bpl.refusals import nearest, refusal

FEW = settings(max_examples=25, deadline=None)


@dataclass(frozen=True)
class Inner:
    gain: float = field(0.5, "gain", unit="V", symbol="g", source="Somebody 1999", low=0, high=1)
    size: int = field(3, "size", low=1)


@dataclass(frozen=True)
class Outer:
    inner: Inner
    tau: float = field(0.02, "time constant", unit="s", above=0)
    kind: str = field("red", "kind", choices=("red", "green"))
    limit: float | None = field(None, "limit", above=0)
    table: dict = dataclasses.field(default_factory=dict)


def refused(instance, *words):
    with pytest.raises(ValueError, match="is not possible") as caught:
        check(instance)
    message = str(caught.value)
    for word in ("Allowed: ", "Why: ", "Type: ", *words):
        assert word in message
    return message


# ------------------------------------------------------------------------------------------------------- ranges


@FEW
@given(st.floats(0, 1), st.integers(1, 10**9), st.floats(1e-300, 1e300), st.sampled_from(("red", "green")))
def test_values_inside_the_range_pass(gain, size, tau, kind):
    check(Inner(gain, size))
    check(Outer(Inner(), tau, kind, tau))


@FEW
@given(st.floats(allow_nan=True, allow_infinity=True).filter(lambda gain: not 0 <= gain <= 1))
def test_numbers_outside_the_range_are_refused(gain):
    message = refused(Inner(gain), "Inner.gain", "0 <= gain <= 1", "(in V)", "gain=0.5")
    assert repr(gain) in message


@FEW
@given(st.one_of(st.integers(max_value=0), st.floats(1.5, 9), st.just("3"), st.just(True), st.just([3])))
def test_whole_numbers_are_asked_for_where_a_field_is_whole(size):
    refused(Inner(size=size), "Inner.size", "a whole number, 1 <= size", "size=3")


@FEW
@given(st.floats(max_value=0, allow_nan=False))
def test_an_open_bound_is_not_in_the_range(tau):
    refused(Outer(Inner(), tau), "0 < tau", "(in s)")


def test_a_wrong_name_is_answered_with_the_nearest_right_one():
    refused(Outer(Inner(), kind="gren"), "Outer.kind", "one of red, green", 'kind="green"')


def test_none_passes_where_it_is_the_default_and_numpy_numbers_pass():
    check(Outer(Inner(np.float32(0.25), np.int64(4)), limit=None))


def test_numbers_that_jax_traces_or_batches_pass():
    def checked(gain):
        check(Inner(gain))
        return gain

    assert jax.jit(checked)(5.0) == 5.0
    assert jax.vmap(checked)(jnp.array([-1.0, 5.0])).tolist() == [-1.0, 5.0]
    assert jax.grad(checked)(5.0) == 1.0


def test_a_refusal_says_what_was_got_what_is_allowed_why_and_what_to_type():
    assert str(refusal("x", 3, "1 or 2", "there are two", "x=1")) == (
        "x = 3 is not possible.\n  Allowed: 1 or 2.\n  Why: there are two.\n  Type: x=1."
    )


@pytest.mark.parametrize(("typed", "meant"), [("rate", "rates"), ("ACCURACY", "accuracy"), ("los", "loss")])
def test_nearest_finds_the_name_that_was_meant(typed, meant):
    assert nearest(typed, ["loss", "accuracy", "rates", "true_gradient"]) == meant


# ------------------------------------------------------------------------------------------ descriptions of a run


def test_flatten_lists_every_number_and_name_with_its_metadata():
    leaves = flatten(Outer(Inner(0.25, 7), limit=2.0), "o.")
    assert {name: value for name, (value, _) in leaves.items()} == {
        "o.inner.type": "Inner",
        "o.inner.gain": 0.25,
        "o.inner.size": 7,
        "o.tau": 0.02,
        "o.kind": "red",
        "o.limit": 2.0,
    }
    metadata = leaves["o.inner.gain"][1]
    assert (metadata["unit"], metadata["symbol"], metadata["source"]) == ("V", "g", "Somebody 1999")


def test_to_dict_gives_json_that_names_every_class():
    value = Outer(Inner(), limit=None, table={"a": (1, jnp.array([1.0, 2.0])), "b": len})
    plain = json.loads(json.dumps(to_dict(value)))
    assert plain["type"] == "Outer"
    assert plain["inner"] == {"type": "Inner", "gain": 0.5, "size": 3}
    assert plain["limit"] is None
    assert plain["table"]["a"] == [1, [1.0, 2.0]]
    assert "given in code" in plain["table"]["b"]


def package_dataclasses():
    found = {}
    for info in pkgutil.walk_packages(nb.__path__, "neuro_bpl."):
        module = importlib.import_module(info.name)
        for name, item in vars(module).items():
            if inspect.isclass(item) and dataclasses.is_dataclass(item) and item.__module__.startswith("neuro_bpl"):
                found[f"{item.__module__}.{name}"] = item
    return found


def test_every_declared_parameter_of_the_package_is_documented_and_its_default_allowed():
    declared = [
        (f"{owner}.{spec.name}", spec)
        for owner, item in package_dataclasses().items()
        for spec in dataclasses.fields(item)
        if "doc" in spec.metadata
    ]
    assert len(declared) > 25
    assert [name for name, spec in declared if not spec.metadata["doc"].strip()] == []
    assert [name for name, spec in declared if not spec.metadata["unit"]] == []
    for name, spec in declared:
        if spec.metadata["choices"] is not None and spec.default is not dataclasses.MISSING:
            assert spec.default in spec.metadata["choices"], name


def test_times_are_declared_in_seconds():
    fields = {spec.name: spec.metadata["unit"] for spec in dataclasses.fields(nb.RateCortex)}
    assert (fields["tau"], fields["dt"]) == ("s", "s")


# ---------------------------------------------------------------------------------------------- wiring and cosine


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_every_granule_cell_reads_exactly_fan_in_fibres(n_cells, n_fibres, data):
    fan_in = data.draw(st.integers(1, n_fibres))
    seed = data.draw(st.integers(0, 2**31 - 1))
    mask = np.asarray(fan_in_mask(jax.random.key(seed), n_cells, n_fibres, fan_in, jnp.dtype("float32")))
    assert mask.shape == (n_cells, n_fibres)
    assert mask.dtype == np.float32
    assert np.isin(mask, (0, 1)).all()
    assert (mask.sum(1) == fan_in).all()


def test_fibres_are_equally_likely():
    mask = np.asarray(fan_in_mask(jax.random.key(0), 4000, 5, 2, jnp.dtype("float32")))
    assert np.abs(mask.mean(0) - 0.4).max() < 4 * math.sqrt(0.4 * 0.6 / 4000)


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [((1, 0), (1, 1), 0.5**0.5), ((1, 2), (-2, 1), 0), ((1, 2), (-3, -6), -1), ((3, 4), (3, 4), 1)],
)
def test_cosine_of_known_vectors(a, b, wanted):
    a, b = (jnp.array(x, jnp.float32) for x in (a, b))
    assert float(cosine(a, b)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-35, 1e30])
def test_cosine_does_not_depend_on_scale_in_float32(scale):
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4))
    wanted = (a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))
    got = cosine(jnp.array(a * scale, jnp.float32), jnp.array(b, jnp.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_cosine_with_a_zero_vector_is_nan_there_only():
    a = jnp.array([[0.0, 1.0], [0.0, 1.0]])
    got = np.asarray(cosine(a, jnp.ones((2, 2))))
    assert np.isnan(got[0])
    assert got[1] == pytest.approx(1)


@pytest.mark.parametrize("cls", [nb.RateCortex, nb.GranularPredictor, nb.Predicted, nb.tasks.Add, nb.Schedule])
def test_help_lists_every_parameter_with_default_range_and_unit(cls):
    told = inspect.getdoc(cls)
    assert told.count("Parameters\n----------") == 1
    for spec in dataclasses.fields(cls):
        entry = re.search(rf"^{spec.name} : (.*)\n((?:    .*\n?)+)", told, re.M)
        assert entry, spec.name
        kind, words = entry[1], " ".join(entry[2].split())
        if spec.default is not dataclasses.MISSING and "optional" not in kind:
            assert kind.endswith(f"default {spec.default!r}")
        if spec.metadata["low"] is not None:
            assert f"{spec.metadata['low']} <= {spec.name}" in words
        if spec.metadata["unit"] != "1":
            assert f"(in {spec.metadata['unit']})" in words
        if spec.metadata["symbol"]:
            assert f"Symbol {spec.metadata['symbol']}." in words


def test_parameters_that_are_described_already_are_completed_and_not_listed_twice():
    @documented
    @dataclasses.dataclass(frozen=True)
    class Cell:
        """A cell.

        Parameters
        ----------
        tau : float
            How slow it is.

        Raises
        ------
        ValueError
            Never.
        """

        tau: float = field(0.02, "time constant", unit="s", above=0)
        n: int = field(3, "units", low=1, symbol="n")

    assert Cell.__doc__.splitlines()[2:] == [
        *("Parameters", "----------"),
        *("tau : float, default 0.02", "    How slow it is. Allowed: a finite number, `0 < tau` (in s)."),
        *("n : int, default 3", "    Units. Allowed: a whole number, `1 <= n`. Symbol n.", ""),
        *("Raises", "------", "ValueError", "    Never."),
    ]
