"""Words by which a command line names learning rules: bptt, tbptt:3, dni:5, bp_lambda:0.5."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from neuro_bpl.learning.algorithms import bp_lambda, bptt, dni, tbptt
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import nearest, refusal

NAMES = ("bp_lambda", "bptt", "tbptt", "dni")
HELP = "learning rules, separated by commas: bptt, tbptt:n, dni:n (windows of n steps), bp_lambda:λ"


def check_words(text: str, names: Iterable[str] = NAMES) -> None:
    """Refuse words that name no rule, or a number that a rule does not have (`ValueError`)."""
    for word in text.split(","):
        name, number = split(word)
        if name not in names:
            allowed, like = ", ".join(names), nearest(name, list(names))
            raise refusal("rule", word, allowed, "these are the rules of this model", f"--rule {like}")
        if number:
            rule_of(word, lambda_=1.0, discount=1.0, kappa=1.0, window=1)


def check_differ(words: Sequence[str], names: Mapping[str, str]) -> None:
    """Refuse two words whose rules have the same name (`ValueError`)."""
    for one, other in itertools.combinations(words, 2):
        if names[one] == names[other]:
            has_windows = names[one] == "BP(0)" and "dni" in (split(one)[0], split(other)[0])
            windows = "; with windows of one step synthetic gradients are BP(0)" if has_windows else ""
            once = ",".join(dict.fromkeys(word for word in words if word == one or names[word] != names[one]))
            why = f"{one} and {other} are the same experiment, {names[one]}{windows}"
            raise refusal("rule", ",".join(words), "rules that differ", why, f"--rule {once}")


def split(word: str) -> tuple[str, str]:
    """Split "tbptt:3" into name and number; the number is "" where there is none."""
    name, _, number = word.partition(":")
    return name, number


def rule_of(word: str, *, lambda_: float, discount: float, kappa: float, window: int) -> LearningRule:
    """Return the rule that a word names; a number in the word overrides `lambda_` or `window`.

    Parameters
    ----------
    word : str
        "bptt", "tbptt", "dni" or "bp_lambda", the last three perhaps with a colon and a number.
    lambda_, discount, kappa : float
        Trace decay λ of bp_lambda; discount γ and weight κ of dni and bp_lambda.
    window : int
        Steps of a window of tbptt and dni.

    Raises
    ------
    ValueError
        If the number is none, or not one that the rule can have.

    Examples
    --------
    >>> [rule_of(word, lambda_=1.0, discount=0.9, kappa=0.1, window=1).name for word in ("tbptt:3", "bp_lambda:0.5")]
    ['TBPTT(3)', 'BP(0.5)']
    """
    name, number = split(word)
    try:
        if name == "tbptt":
            return tbptt(int(number or window))
        if name == "dni":
            return dni(int(number or window), discount, kappa)
        if name == "bp_lambda":
            return bp_lambda(float(number or lambda_), discount, kappa)
    except ValueError as error:
        if "Allowed" in str(error):
            raise
        allowed = "a whole number of steps" if name != "bp_lambda" else "a number from 0 to 1"
        raise refusal("rule", word, f"{name}: and {allowed}", f"{number!r} is none", f"--rule {name}:1") from error
    if number:
        raise refusal("rule", word, name, f"{name} has no number", f"--rule {name}")
    return bptt()
