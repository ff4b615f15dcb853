"""A search for prompt templates on images that are no test images: PE2's loop, with or without a language model.

After `Prompt Engineering a Prompt Engineer <https://arxiv.org/abs/2311.05661>`_ (Ye et al. 2023, INK-USC/PE2): keep the
best templates (*beam*); of each take a *batch of errors*, have new templates proposed (*step size*: how many words may
change at once; the history of what was tried is the *momentum*), try them, go on from the best of all. What differs:

- who proposes is a function; by default a grammar draws (:mod:`fomo.evaluation.grammar`), no language model writes;
- proposals are tried on the batch of errors, with as many images that were right, among the classes that meet there:
  only the prompts of those are encoded. The best of them are confirmed on all images and all classes;
- a template's score is the number of images that it gets right; of equal ones the first that was tried stands first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np

from fomo.errors import check_allowed


class Failure(NamedTuple):
    """An image that a template gets wrong: the name of its class, and of the class that it was taken for."""

    truth: str
    taken: str


class Tried(NamedTuple):
    """A template that was confirmed: how many images it gets right, and the template that it was proposed for."""

    template: str
    num_right: int
    parent: str | None


Propose = Callable[[str, Sequence[Failure], Mapping[str, Tried], int, np.random.Generator], Iterable[str]]
"""From a template, failures of it, all templates that were confirmed, the step size and a generator: new templates."""


@dataclass(frozen=True)
class SearchSettings:
    """How long and how widely to search.

    Args:
        rounds: how often the best templates are gone on from.
        beam: how many templates are.
        tries: proposals that are tried on a batch of errors, for each of these.
        confirm: the best of them, which are confirmed on all images.
        errors: images of a batch that the template gets wrong; as many that it gets right are added.
        step_size: slots that a proposal changes at most.
        ensemble: how many templates may be used together.
        seed: what is drawn from.
    """

    rounds: int = 4
    beam: int = 4
    tries: int = 24
    confirm: int = 4
    errors: int = 32
    step_size: int = 1
    ensemble: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            least = 0 if each.name == "seed" else 1
            value = getattr(self, each.name)
            check_allowed(value >= least, f"--{each.name.replace('_', '-')} {value}", f"{least} and above")


class Judge(Protocol):
    """What knows the images, and what the model sees in them.

    Attributes:
        targets: the class of each image, int64 [n].
        classes: the name of each class.
    """

    targets: np.ndarray
    classes: Sequence[str]

    def taken(self, templates: Sequence[str]) -> list[np.ndarray]:
        """The class that each image is taken for, int64 [n], by each template."""

    def tried(self, templates: Sequence[str], images: np.ndarray, classes: np.ndarray) -> list[int]:
        """How many of some images each template gets right, where there are only some classes."""

    def usable(self, templates: Sequence[str]) -> list[str]:
        """Those templates that can be used for the classes at all."""


def search(
    judge: Judge, starts: Sequence[str], propose: Propose, settings: SearchSettings, rng: np.random.Generator
) -> list[Tried]:
    """Every template that was confirmed, the best first.

    Args:
        judge: scores templates.
        starts: where to start; they are confirmed first.
        propose: proposes templates.
        settings: how long and how widely.
        rng: what is drawn from.
    """
    history: dict[str, Tried] = {}
    taken: dict[str, np.ndarray] = {}

    def confirm(templates: Sequence[str], parent: str | None) -> None:
        taken.update(zip(templates, judge.taken(templates), strict=True))
        for template in templates:
            history[template] = Tried(template, int((taken[template] == judge.targets).sum()), parent)

    confirm(list(dict.fromkeys(starts)), None)
    for _ in range(settings.rounds):
        before = len(history)
        for template in [each.template for each in best(history)[: settings.beam]]:
            batch = _batch(judge.targets, taken[template], settings.errors, rng)
            failures = _failures(judge, taken[template], batch)
            proposed = propose(template, failures, dict(history), settings.step_size, rng)
            confirm(_chosen(judge, proposed, history, taken[template], batch, settings), template)
        if len(history) == before:
            break
    return best(history)


def best(history: Mapping[str, Tried]) -> list[Tried]:
    """What was tried, most right answers first, in the order of trying."""
    return sorted(history.values(), key=lambda each: -each.num_right)


def _batch(targets: np.ndarray, taken: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of images that are taken for another class, and of as many others: int64 [≤ 2 · size]."""
    wrong = np.flatnonzero(taken != targets)
    right = np.flatnonzero(taken == targets)
    return np.sort(np.concatenate([rng.permutation(wrong)[:size], rng.permutation(right)[:size]]))


def _failures(judge: Judge, taken: np.ndarray, batch: np.ndarray) -> list[Failure]:
    wrong = [row for row in batch if taken[row] != judge.targets[row]]
    return [Failure(judge.classes[judge.targets[row]], judge.classes[taken[row]]) for row in wrong]


def _chosen(
    judge: Judge,
    proposed: Iterable[str],
    history: Mapping[str, Tried],
    taken: np.ndarray,
    batch: np.ndarray,
    settings: SearchSettings,
) -> list[str]:
    """The proposals that do best on a batch, among the classes that meet there."""
    new = [each for each in dict.fromkeys(proposed) if each not in history]
    usable = judge.usable(new[: settings.tries])
    if len(usable) <= settings.confirm:
        return usable
    classes = np.union1d(judge.targets[batch], taken[batch])
    right = judge.tried(usable, batch, classes)
    order = sorted(range(len(usable)), key=lambda number: -right[number])
    return [usable[number] for number in order[: settings.confirm]]


def ensemble(candidates: Sequence[str], num_right: Callable[[Sequence[str]], int], most: int) -> list[str]:
    """Templates to use together, chosen greedily: the first, then whichever helps most, while one does.

    Args:
        candidates: templates, the best first.
        num_right: how many images some templates get right together.
        most: how many templates at most.
    """
    chosen = list(candidates[:1])
    reached = num_right(chosen)
    while len(chosen) < most:
        right = {each: num_right([*chosen, each]) for each in candidates if each not in chosen}
        added = max(right, key=lambda each: right[each], default=None)
        if added is None or right[added] <= reached:
            break
        chosen.append(added)
        reached = right[added]
    return chosen
