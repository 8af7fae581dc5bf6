"""Equations of one population or pathway, and of a whole circuit: to read, to print, to edit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from textwrap import indent

from neuro_bpl.refusals import refusal

INDENT = "    "


@dataclass(frozen=True)
class Equations:
    """What a population or a pathway does.

    Parameters
    ----------
    model : str
        Brian2 equations, with units.
    reset : str
        Code at the first step of every trial, before anything else.
    remember : str
        Code at the beginning of every step.
    learn : str
        Code at the end of every step: what weights and biases learn.
    """

    model: str
    reset: str = ""
    remember: str = ""
    learn: str = ""

    def swap(self, old: str, new: str) -> "Equations":
        """Return the same with other words in the place of some, wherever they stand.

        Raises
        ------
        ValueError
            If the words are not there: an edit that changes nothing is a mistake.
        """
        if not any(old in text for text in (self.model, self.reset, self.remember, self.learn)):
            raise refusal("old", old, "words of these equations", "an edit must change something", f"\n{self}")
        return replace(
            self, **{part: getattr(self, part).replace(old, new) for part in ("model", "reset", "remember", "learn")}
        )

    def add(self, model: str = "", *, reset: str = "", remember: str = "", learn: str = "") -> "Equations":
        """Return the same with further lines."""
        return Equations(
            _lines(self.model, model),
            _lines(self.reset, reset),
            _lines(self.remember, remember),
            _lines(self.learn, learn),
        )

    def __str__(self) -> str:
        moments = {
            "at the first step of a trial": self.reset,
            "at the beginning of a step": self.remember,
            "at the end of a step": self.learn,
        }
        said = [f"{when}\n{indent(code, INDENT)}" for when, code in moments.items() if code]
        return indent("\n".join([_aligned(self.model), *said]), INDENT)


class Script(dict[str, Equations]):
    """Equations by the name of their population or pathway; printed as a whole."""

    def __str__(self) -> str:
        return "\n\n".join(f"{_headline(name)}\n{one}" for name, one in self.items())


POPULATIONS = ("inputs", "cortex", "readout", "granule", "nuclei", "olive")
PATHWAYS: Mapping[str, tuple[str, str]] = {
    "feedforward": ("inputs", "cortex"),
    "recurrent": ("cortex", "cortex"),
    "output": ("cortex", "readout"),
    "mossy": ("cortex", "granule"),
    "parallel": ("granule", "nuclei"),
    "corticonuclear": ("cortex", "nuclei"),
    "nucleocortical": ("nuclei", "cortex"),
    "corticoolivary": ("cortex", "olive"),
    "nucleoolivary": ("nuclei", "olive"),
    "climbing": ("olive", "nuclei"),
}
ONE_TO_ONE = ("corticonuclear", "nucleocortical", "corticoolivary", "nucleoolivary", "climbing")


def _headline(name: str) -> str:
    """Return a name, and from where to where a pathway leads."""
    return f"{name}: {' → '.join(PATHWAYS[name])}" if name in PATHWAYS else name


def _aligned(model: str) -> str:
    """Return equations with their comments below one another."""
    lines = [line.partition("#") for line in model.splitlines()]
    width = max((len(code.rstrip()) for code, mark, _ in lines if mark), default=0)
    return "\n".join(f"{code.rstrip():{width}}  # {said.strip()}" if mark else code for code, mark, said in lines)


def _lines(*texts: str) -> str:
    return "\n".join(line.strip() for text in texts for line in text.splitlines() if line.strip())


def written(model: str, *, reset: str = "", remember: str = "", learn: str = "") -> Equations:
    """Return equations from text that is laid out as the source is."""
    return Equations("").add(model, reset=reset, remember=remember, learn=learn)
