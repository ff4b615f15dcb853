"""A proposer of prompt templates: words in front that fit what goes wrong."""

from collections.abc import Mapping, Sequence

import numpy as np

from fomo.evaluation.template_search import Failure, Tried

WORDS = ("an emoji", "an icon", "a plain picture", "a clear picture")


def emoji(
    template: str,
    failures: Sequence[Failure],
    history: Mapping[str, Tried],
    step_size: int,
    rng: np.random.Generator,
) -> list[str]:
    """A language model would be asked here, with failures and history; this one draws ``step_size`` of its words."""
    drawn = [WORDS[number] for number in rng.permutation(len(WORDS))[:step_size]]
    confused = f", not a {failures[0].taken}" if failures and "{" not in failures[0].taken else ""
    made = [f"{words} of {{}}{end}" for words in drawn for end in (".", confused)]
    return [each for each in made if each not in history and each.isprintable()]
