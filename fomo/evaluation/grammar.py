"""A grammar of prompt templates: slots, each with a few words, that a search changes one or some at a time.

``ARTICLE ADJECTIVE KIND of ARTICLE {} TAIL END``, as "a bad photo of the {}, a kind of playing card."
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from fomo.data.card import DatasetCard
from fomo.evaluation.template_search import Failure, Tried

SLOTS = ("opening", "adjective", "kind", "article", "tail", "end")
OPENINGS = ("a", "", "the", "one of many:")
ADJECTIVES = (
    "",
    "good",
    "bad",
    "blurry",
    "cropped",
    "bright",
    "small",
    "close-up",
    "low resolution",
    "black and white",
)
KINDS = ("photo", "picture", "drawing", "image", "sketch", "rendering", "")
ARTICLES = ("a", "", "the", "one")
TAILS = ("", " on a plain background", " seen from above", " in the wild")
OF_DOMAIN = (", a kind of {domain}", ", as a {domain}", " ({domain})")
ENDS = (".", "")
Choice = tuple[int, ...]


@dataclass(frozen=True)
class Grammar:
    """What templates are made of.

    Args:
        options: the words of each slot, in the order of :data:`SLOTS`; the first ones make the template to start from.
    """

    options: Sequence[Sequence[str]]

    @cached_property
    def choices(self) -> Mapping[str, Choice]:
        """Every template, and the option of each slot that makes it: the first of those that make the same."""
        made: dict[str, Choice] = {}
        for choice in product(*(range(len(words)) for words in self.options)):
            made.setdefault(self._template(choice), choice)
        return made

    @property
    def start(self) -> str:
        """The template of the first options."""
        return next(iter(self.choices))

    def _template(self, choice: Choice) -> str:
        opening, adjective, kind, article, tail, end = (
            words[number] for words, number in zip(self.options, choice, strict=True)
        )
        lead = [opening, adjective, kind, "of", article] if kind else [article, adjective]
        words = [word for word in (*lead, "{}") if word]
        pairs = zip(words, [*words[1:], ""], strict=True)
        return (
            " ".join("an" if word == "a" and after[:1] in tuple("aeiou") else word for word, after in pairs)
            + tail
            + end
        )

    def __call__(
        self,
        template: str,
        failures: Sequence[Failure],
        history: Mapping[str, Tried],
        step_size: int,
        rng: np.random.Generator,
    ) -> list[str]:
        """The templates that differ from one in ``step_size`` slots at most and were not tried, in a drawn order.

        Those come first that change a slot whose last change has helped. From a template that is not of the grammar
        every one of it is a step away.
        """
        known = self.choices
        at = known.get(template)
        near = [
            each for each in known if each not in history and (at is None or _distance(at, known[each]) <= step_size)
        ]
        drawn = [near[number] for number in rng.permutation(len(near))]
        helped = self._helped(template, history)
        return sorted(drawn, key=lambda each: not (at and helped & _changed(at, known[each])))

    def _helped(self, template: str, history: Mapping[str, Tried]) -> set[int]:
        """The slots by which a template differs from the one that it was made of, if it is better than that."""
        own = history.get(template)
        before = history.get(own.parent) if own and own.parent else None
        if own is None or before is None or own.num_right <= before.num_right:
            return set()
        pair = [self.choices.get(each) for each in (own.template, before.template)]
        return _changed(*pair) if pair[0] and pair[1] else set()  # type: ignore[arg-type]  # both are there


def _changed(one: Choice, other: Choice) -> set[int]:
    return {slot for slot, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]}


def _distance(one: Choice, other: Choice) -> int:
    return len(_changed(one, other))


def grammar_of(card: DatasetCard) -> Grammar:
    """The grammar for a dataset: its domain, and what its own templates say around a class, are words of it."""
    domain = card.domain if card.domain.isprintable() and not set(card.domain) & set("{}$") else ""
    said = [template.removesuffix(".").split("{}") for template in card.templates]
    articles = dict.fromkeys([*ARTICLES, *(_article(before) for before, _ in said)])
    tails = dict.fromkeys(
        [*TAILS, *(tail.replace("{domain}", domain) for tail in OF_DOMAIN if domain), *(after for _, after in said)]
    )
    return Grammar((OPENINGS, ADJECTIVES, KINDS, list(articles), list(tails), ENDS))


def _article(before: str) -> str:
    """What stands before a class but for its kind of image: "the flag of" in "a photo of the flag of"."""
    kind, of, rest = before.partition(" of ")
    return (rest if of and kind.split(" ")[-1] in KINDS else before).strip()
