"""The search for templates against exhaustive search, and points worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np
import pytest

from fomo.data.card import DatasetCard
from fomo.errors import FomoError
from fomo.evaluation.grammar import Grammar, grammar_of
from fomo.evaluation.template_search import Failure, SearchSettings, Tried, ensemble, search

WORDS = (("a", "the"), ("", "bad", "good"), ("photo", "drawing", ""), ("a", "the"), ("", " in the wild"), (".",))
SMALL = Grammar(WORDS)
WIDE = SearchSettings(rounds=20, beam=100, tries=1000, confirm=1000, errors=3)


@dataclass
class Drawn:
    """A judge for which each template takes each image for a class that is drawn from the template's name."""

    seed: int = 0
    targets: np.ndarray = field(default_factory=lambda: np.arange(12) % 3)
    classes: Sequence[str] = ("cat", "dog", "owl")
    asked: list[str] = field(default_factory=list)
    batches: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def taken(self, templates: Sequence[str]) -> list[np.ndarray]:
        self.asked += templates
        return [np.random.default_rng([self.seed, *each.encode()]).integers(0, 3, 12) for each in templates]

    def tried(self, templates: Sequence[str], images: np.ndarray, classes: np.ndarray) -> list[int]:
        self.batches.append((images.tolist(), classes.tolist()))
        found = [np.random.default_rng([self.seed, *each.encode()]).integers(0, 3, 12) for each in templates]
        return [int((each == self.targets)[images].sum()) for each in found]

    def usable(self, templates: Sequence[str]) -> list[str]:
        return [each for each in templates if "good" not in each]


def right(judge: Drawn, template: str) -> int:
    return int((judge.taken([template])[0] == judge.targets).sum())


def found(judge: Drawn, settings: SearchSettings, seed: int = 0) -> list[Tried]:
    return search(judge, [SMALL.start], SMALL, settings, np.random.default_rng(seed))


def test_a_grammar_writes_these() -> None:
    written = {
        " ".join(f"{opening} {bad} {kind} of {article} {{}}".split()) + f"{tail}."
        for opening, bad, kind, article, tail in product(
            ("a", "the"), ("", "bad", "good"), ("photo", "drawing"), ("a", "the"), ("", " in the wild")
        )
    } | {
        " ".join(f"{article} {bad} {{}}".split()) + f"{tail}."
        for article, bad, tail in product(("a", "the"), ("", "bad", "good"), ("", " in the wild"))
    }
    assert set(SMALL.choices) == written and len(written) == 48 + 12
    assert SMALL.start == "a photo of a {}."


def test_an_article_goes_with_its_word_and_a_card_says_its_own() -> None:
    card = DatasetCard("FLAGS", ("japan",), ("a photo of the flag of {}", "an icon {}, waving."), {}, domain="cloth")
    made = grammar_of(card).choices
    for template in (*card.templates, "an image of a {}.", "a good drawing of the {}, a kind of cloth.", "{}"):
        assert template in made, template
    assert not [template for template in made if "a image" in template]
    unknown = DatasetCard("X", ("a",), ("{}",), {}, domain="curly {} $")
    assert not [template for template in grammar_of(unknown).choices if "curly" in template]


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_misses_nothing_of_the_grammar(seed: int) -> None:
    judge = Drawn(seed)
    tried = found(judge, WIDE)
    usable = [each for each in SMALL.choices if "good" not in each]
    assert {each.template for each in tried} == set(usable) and len(judge.asked) == len(usable)
    assert tried[0].num_right == max(right(judge, each) for each in usable)
    assert [each.num_right for each in tried] == sorted((each.num_right for each in tried), reverse=True)
    assert all(each.num_right == right(judge, each.template) for each in tried)


def test_a_search_is_repeated_by_its_seed_and_another_one_differs() -> None:
    narrow = SearchSettings(rounds=3, beam=2, tries=6, confirm=2, errors=3)
    one, again, other = (found(Drawn(), narrow, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert 1 < len(one) <= 1 + 3 * 2 * 2


def test_a_step_changes_so_many_slots_and_begins_with_what_helped() -> None:
    history = {
        "a photo of a {}.": Tried("a photo of a {}.", 3, None),
        "a bad photo of a {}.": Tried("a bad photo of a {}.", 5, "a photo of a {}."),
    }
    near = SMALL("a bad photo of a {}.", [], history, 1, np.random.default_rng(0))
    assert near[0] == "a good photo of a {}."
    assert set(near) == {
        "a good photo of a {}.",
        "the bad photo of a {}.",
        "a bad drawing of a {}.",
        "a bad {}.",
        "a bad photo of the {}.",
        "a bad photo of a {} in the wild.",
    }
    worse = {**history, "a bad photo of a {}.": Tried("a bad photo of a {}.", 2, "a photo of a {}.")}
    firsts = {SMALL("a bad photo of a {}.", [], worse, 1, np.random.default_rng(seed))[0] for seed in range(20)}
    assert len(firsts) > 1, "what has not helped is not preferred"
    further = SMALL("a bad photo of a {}.", [], history, 2, np.random.default_rng(0))
    assert set(near) < set(further) and "the good photo of a {}." in further and "the good {}." not in further
    assert len(SMALL("elsewhere {}", [], history, 1, np.random.default_rng(0))) == len(SMALL.choices) - 2


def test_a_batch_has_errors_right_ones_and_the_classes_that_meet() -> None:
    """By hand: image 0 (an emu) and 2 (a cat) are right, 1 (a dog) is taken for an owl: all four classes meet."""

    class Three(Drawn):
        def taken(self, templates: Sequence[str]) -> list[np.ndarray]:
            return [np.array([3, 2, 0]) if each == "a {}" else np.array([3, 1, 0]) for each in templates]

        def tried(self, templates: Sequence[str], images: np.ndarray, classes: np.ndarray) -> list[int]:
            self.batches.append((images.tolist(), classes.tolist()))
            return [len(each) for each in templates]

    judge = Three(targets=np.array([3, 1, 0]), classes=("cat", "dog", "owl", "emu"))
    heard: list[object] = []

    def propose(
        template: str, failures: Sequence[Failure], history: Mapping[str, Tried], step: int, rng: np.random.Generator
    ) -> list[str]:
        heard.append((template, list(failures), step))
        return ["b {}", "longest {}", "a {}"] if len(history) == 1 else []

    settings = SearchSettings(rounds=2, beam=1, tries=5, confirm=1, errors=2, step_size=3)
    tried = search(judge, ["a {}"], propose, settings, np.random.default_rng(0))
    assert judge.batches == [([0, 1, 2], [0, 1, 2, 3])]
    assert heard[0] == ("a {}", [Failure("dog", "owl")], 3)
    assert heard[1] == ("longest {}", [], 3), "it goes on from the best"
    assert tried == [Tried("longest {}", 3, "a {}"), Tried("a {}", 2, None)]


def test_an_ensemble_grows_while_a_template_helps() -> None:
    """By hand: b is right 4 times; with c 6, with a 5; b, c and a together 6, which is no more: b and c."""
    table = {"b": 4, "ab": 5, "bc": 6, "abc": 6}
    asked: list[str] = []

    def num_right(templates: Sequence[str]) -> int:
        asked.append("".join(sorted(templates)))
        return table[asked[-1]]

    assert ensemble(["b", "a", "c"], num_right, 3) == ["b", "c"]
    assert asked == ["b", "ab", "bc", "abc"]
    assert ensemble(["b", "a", "c"], num_right, 1) == ["b"]
    assert ensemble(["b", "a", "c"], lambda some: len(some), 9) == ["b", "a", "c"]


@pytest.mark.parametrize("seed", range(4))
def test_each_step_of_an_ensemble_is_the_best_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    worth = {frozenset(some): int(rng.integers(50)) for size in range(1, 5) for some in combinations("abcd", size)}
    chosen = ensemble("abcd", lambda some: worth[frozenset(some)], 4)  # type: ignore[arg-type]
    for size in range(1, len(chosen)):
        options = {each: worth[frozenset(chosen[:size]) | {each}] for each in set("abcd") - set(chosen[:size])}
        assert options[chosen[size]] == max(options.values()) > worth[frozenset(chosen[:size])]
    rest = set("abcd") - set(chosen)
    assert all(worth[frozenset(chosen) | {each}] <= worth[frozenset(chosen)] for each in rest)


@pytest.mark.parametrize("name", ["rounds", "beam", "tries", "confirm", "errors", "step_size", "ensemble"])
def test_settings_without_meaning_are_refused(name: str) -> None:
    with pytest.raises(FomoError, match=f"--{name.replace('_', '-')} 0.*1 and above"):
        SearchSettings(**{name: 0})
