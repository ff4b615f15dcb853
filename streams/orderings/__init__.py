"""In which order a stream goes through its concepts: rows of data over a few pure functions.

After Roth et al. 2024, arXiv 2408.14471, section 4.4 (data-centric orderings). ``reverse_NAME`` is the exact reverse of
``NAME`` under the same seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fomo.config.plugins import Plugin, named
from fomo.errors import FomoError, unknown
from fomo.stream.definition import Concept
from streams.catalogue import load
from streams.orderings.groups import by_dataset, by_time, shuffled
from streams.orderings.path import short_path
from streams.orderings.values import by_value

Lookup = Callable[[Sequence[Concept]], np.ndarray]
"""Returns a value or a row for each concept."""


def declared_time_groups() -> dict[str, int]:
    """Time group of each dataset of the catalogue that has one."""
    return {name: each.time_group for name, each in load().items() if each.time_group is not None}


@dataclass(frozen=True)
class Facts:
    """What orderings ask about concepts, worked out when it is asked for; ``None``: not at hand.

    Attributes:
        time_groups: returns the time group of each dataset by its name.
        accuracy: returns the base model's zero-shot accuracy on each concept, [n].
        alignment: returns the mean cosine of each concept's images with its prompt, [n].
        occurrences: returns in how many captions each concept occurs, [n].
        features: returns unit text embeddings of the concepts, [n, d].
        on_stage: called with the name of each stage of a search.
        on_lengths: called with the length of the similarity path after each stage.
    """

    time_groups: Callable[[], Mapping[str, int]] = declared_time_groups
    accuracy: Lookup | None = None
    alignment: Lookup | None = None
    occurrences: Lookup | None = None
    features: Lookup | None = None
    on_stage: Callable[[str], None] = lambda stage: None
    on_lengths: Callable[[Mapping[str, float]], None] = lambda lengths: None


OrderingRule = Callable[[Sequence[Concept], int, Facts], list[Concept]]
"""``rule(concepts, seed, facts)`` returns the concepts in another order."""


def _performance(concepts: Sequence[Concept], seed: int, facts: Facts) -> list[Concept]:
    """Easy to hard."""
    assert facts.accuracy is not None
    return by_value(concepts, seed, -facts.accuracy(concepts))


def _alignment(concepts: Sequence[Concept], seed: int, facts: Facts) -> list[Concept]:
    """Nearest to their prompts first: what the reference's performance file looks like, as far as it can be told."""
    assert facts.alignment is not None
    return by_value(concepts, seed, -facts.alignment(concepts))


def _frequency(concepts: Sequence[Concept], seed: int, facts: Facts) -> list[Concept]:
    """Rare to frequent."""
    assert facts.occurrences is not None
    return by_value(concepts, seed, facts.occurrences(concepts))


def _similarity(concepts: Sequence[Concept], seed: int, facts: Facts) -> list[Concept]:
    assert facts.features is not None
    path = short_path(facts.features(concepts), seed, facts.on_stage)
    facts.on_lengths(path.lengths)
    return [concepts[index] for index in path.order]


def _reversed(rule: OrderingRule) -> OrderingRule:
    return lambda concepts, seed, facts: rule(concepts, seed, facts)[::-1]


FORWARD: dict[str, OrderingRule] = {
    "random": lambda concepts, seed, facts: shuffled(concepts, seed),
    "given": lambda concepts, seed, facts: list(concepts),
    "performance": _performance,
    "alignment": _alignment,
    "frequency": _frequency,
    "similarity": _similarity,
    "dataset_incremental": lambda concepts, seed, facts: by_dataset(concepts, seed),
    "time_incremental": lambda concepts, seed, facts: by_time(concepts, seed, facts.time_groups(), False),
    "time_incremental_datasets": lambda concepts, seed, facts: by_time(concepts, seed, facts.time_groups(), True),
}
ORDERINGS: dict[str, OrderingRule] = FORWARD | {f"reverse_{name}": _reversed(rule) for name, rule in FORWARD.items()}
NEEDS = {
    "performance": ("accuracy", "a model and the images"),
    "alignment": ("alignment", "a model and the images"),
    "frequency": ("occurrences", "captions (--captions SOURCE)"),
    "similarity": ("features", "a model"),
}
WAY_OUT = "Build it with `fomo stream build … ordering={} --out FILE`, then run `stream=file stream.path=FILE`."


def rule_of(name: str) -> OrderingRule:
    """The rule of an ordering, a plug-in's among them; an unknown name is refused."""
    if name in ORDERINGS:
        return ORDERINGS[name]
    plugged = named("orderings", ORDERINGS)
    forward = name.removeprefix("reverse_")
    if forward not in plugged:
        reversible = [f"{prefix}{each}" for each in plugged for prefix in ("", "reverse_")]
        raise unknown("value of stream.ordering", name, [*ORDERINGS, *reversible])
    rule = _permuting(plugged[forward])
    return rule if forward == name else _reversed(rule)


def _permuting(plugin: Plugin) -> OrderingRule:
    """A plug-in's rule that is refused unless it returns every concept that it gets once."""
    rule: OrderingRule = plugin.load()

    def checked(concepts: Sequence[Concept], seed: int, facts: Facts) -> list[Concept]:
        found = list(rule(concepts, seed, facts))
        if len(found) != len(concepts) or set(found) != set(concepts):
            raise FomoError(f"{plugin} returned {len(found)} concepts for {len(concepts)}: each one is expected once.")
        return found

    return checked


def check_ordering(name: str, facts: Facts) -> None:
    """Refuse an unknown ordering, and one that asks for what ``facts`` do not have."""
    rule_of(name)
    fact, what = NEEDS.get(name.removeprefix("reverse_"), ("", ""))
    if fact and getattr(facts, fact) is None:
        raise FomoError(f"stream.ordering={name} needs {what}. {WAY_OUT.format(name)}")


def order(name: str, concepts: Sequence[Concept], seed: int, facts: Facts) -> list[Concept]:
    """The concepts in another order; equal arguments return equal orders.

    Args:
        name: of the ordering, ours or a plug-in's.
        concepts: what is ordered.
        seed: of what an ordering draws.
        facts: what an ordering may ask.

    Raises:
        FomoError: an unknown ordering, or one that asks for what is not at hand.
    """
    check_ordering(name, facts)
    return rule_of(name)(concepts, seed, facts)
