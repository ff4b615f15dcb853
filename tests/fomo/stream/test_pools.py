"""P, D_t and B by reference: what stands in them, and what putting them together touches."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.joined import Joined, SplitPart, part_of
from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import SequentialPool, list_shards
from fomo.errors import FomoError
from fomo.stream.buffer import Buffer
from fomo.stream.definition import Concept, Stream, chunk
from fomo.stream.pools import Captions, Pool, StreamPools
from tests.fomo import tars
from tests.fomo.helpers import encoded, picture

EVERYTHING, TRAINING_TEXTS = Buffer(), Captions()


@dataclass(frozen=True)
class Numbered:
    """Samples whose texts say dataset and row."""

    name: str
    targets: np.ndarray
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> Image.Image:
        return picture(index)

    def captions(self, index: int, kind: str | None = None) -> list[str]:
        if kind is None:
            return [f"{self.name} {index}"]
        return [f"{self.name} {index} {self.kinds[kind]}"] if kind in self.kinds else []


def dataset(name: str, targets: list[int], num_classes: int, kinds: Mapping[str, str] | None = None) -> Dataset:
    """Classes ``c0``, ``c1``, …; ``kinds``: caption kinds and the word that marks them."""
    samples = Numbered(name, np.array(targets, dtype=np.int64), kinds or {})
    classes = tuple(f"c{number}" for number in range(num_classes))
    card = DatasetCard(name, classes, ("a {}",), {"train": len(targets)}, caption_kinds=tuple(kinds or ()))
    return Dataset(card, lambda split: samples)


def stream_of(
    datasets: list[Dataset], num_tasks: int, pool: Samples | None = None, order: list[str] | None = None
) -> Stream:
    concepts = [Concept(data.name, name) for data in datasets for name in data.card.classes]
    if order:
        concepts = [Concept(*each.split("+++")) for each in order]
    held = dataset("held", [0], 1)
    return Stream("s", chunk(concepts, num_tasks), {data.name: data for data in datasets}, {"held": held}, pool)


def pools_of(
    stream: Stream, buffer: Buffer = EVERYTHING, captions: Captions = TRAINING_TEXTS, seed: int = 0
) -> StreamPools:
    return StreamPools.of(stream, seed, buffer, captions)


def texts(pool: Pool | SequentialPool) -> list[str]:
    assert isinstance(pool, Pool)
    return [pool.draw(index).captions[0] for index in range(len(pool))]


@given(st.integers(1, 6), st.lists(st.integers(0, 5), min_size=12, max_size=40), st.data())
def test_d_holds_the_samples_of_its_concepts_and_b_all_earlier_d(
    num_tasks: int, targets: list[int], data: st.DataObject
) -> None:
    targets = [*range(6), *targets]  # every class has a sample
    names = data.draw(st.permutations([f"{d}+++c{c}" for d in "ab" for c in range(6)]))
    stream = stream_of([dataset("a", targets, 6), dataset("b", targets[::-1], 6)], num_tasks, order=names)
    made, earlier = pools_of(stream), list[str]()
    for task, concepts in enumerate(stream.tasks, 1):
        of_task = made.of_task(task)
        expected = {
            f"{c.dataset} {row}"
            for c in concepts
            for row, target in enumerate(targets if c.dataset == "a" else targets[::-1])
            if f"c{target}" == c.name
        }
        assert sorted(texts(of_task["update"])) == sorted(expected)
        assert texts(of_task["buffer"]) == earlier
        earlier += texts(of_task["update"])


def test_a_task_costs_the_same_whatever_stands_before_it() -> None:
    """B and D_t are ranges over one line of parts: nothing is joined, copied or walked at the start of a task."""
    classes = 1000
    stream = stream_of([dataset("a", list(range(classes)) * 2, classes)], 200)
    made = pools_of(stream)
    for task in (1, 2, 150, 200):
        of_task = made.of_task(task)
        for name in ("update", "buffer"):
            pool = of_task[name]
            assert isinstance(pool, Pool) and pool.samples is made.line and isinstance(pool.rows, range)
        assert len(texts(of_task["update"])) == 10
    assert len(made.line.parts) == 200


def test_a_lookup_touches_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []

    class Watched(Numbered):
        def captions(self, index: int, kind: str | None = None) -> list[str]:
            touched.append(self.name)
            return super().captions(index, kind)

    parts = tuple(SplitPart(Watched(str(number), np.zeros(3, dtype=int)), np.arange(3)) for number in range(500))
    assert Joined(parts).captions(3 * 321 + 2) == ["321 2"] and touched == ["321"]


def test_joined_splits_are_samples() -> None:
    joined = Joined(
        (part_of(dataset("a", [0, 1], 2), "train"), SplitPart(Numbered("b", np.array([1, -1])), range(2), (), 2))
    )
    assert len(joined) == 4 and joined.targets.tolist() == [0, 1, 3, -1]
    assert [joined.captions(index)[0] for index in range(4)] == ["a 0", "a 1", "b 0", "b 1"]
    assert joined.image(3).tobytes() == picture(1).tobytes()
    assert joined.captions(1, "primer") == ("a c1",) and joined.captions(3, "primer") == ()


def test_samples_without_a_class_are_in_no_task() -> None:
    stream = stream_of([dataset("a", [0, -1, 1, -1], 2)], 2)
    made = pools_of(stream)
    assert [texts(made.of_task(task)["update"]) for task in (1, 2)] == [["a 0"], ["a 2"]]


@pytest.mark.parametrize("policy", ["reservoir", "class_balanced", "ring"])
def test_a_bounded_buffer_holds_references_to_earlier_d(policy: str) -> None:
    stream = stream_of([dataset("a", list(range(12)) * 5, 12)], 6)
    everything, bounded = pools_of(stream), pools_of(stream, Buffer(14, policy))
    assert bounded.of_task(1)["buffer"].size == 0
    for task in range(2, 7):
        kept = texts(bounded.of_task(task)["buffer"])
        assert len(set(kept)) == len(kept) == min(14, 10 * (task - 1))
        assert set(kept) <= set(texts(everything.of_task(task)["buffer"]))
        assert kept == texts(pools_of(stream, Buffer(14, policy)).of_task(task)["buffer"])
    if policy == "class_balanced":
        counts = np.bincount([int(text.split()[1]) % 12 for text in kept], minlength=10)
        assert sorted(counts) == [1] * 6 + [2] * 4
    if policy == "ring":
        assert kept == texts(everything.of_task(6)["buffer"])[-14:]


def test_seeds_choose_what_a_reservoir_keeps() -> None:
    stream = stream_of([dataset("a", list(range(4)) * 20, 4)], 2)
    kept = [texts(pools_of(stream, Buffer(10), seed=seed).of_task(2)["buffer"]) for seed in (0, 1)]
    assert kept[0] != kept[1]


def test_classes_of_two_datasets_are_balanced_apart() -> None:
    stream = stream_of([dataset("a", [0] * 30, 1), dataset("b", [0] * 30, 1), dataset("c", [0], 1)], 3)
    kept = texts(pools_of(stream, Buffer(10, "class_balanced")).of_task(3)["buffer"])
    assert sorted(text[0] for text in kept) == ["a"] * 5 + ["b"] * 5


KINDS = {"default": "d", "synthetic": "s"}


def test_a_kind_of_caption_is_taken_by_d_and_b_and_another_by_p() -> None:
    stream = stream_of([dataset("a", [0, 1], 2, KINDS)], 2, pool=Numbered("p", np.zeros(3, dtype=int), KINDS))
    made = pools_of(stream, captions=Captions(pretraining="default", update="synthetic")).of_task(2)
    assert texts(made["pretraining"]) == ["p 0 d", "p 1 d", "p 2 d"]
    assert texts(made["update"]) == ["a 1 s"] and texts(made["buffer"]) == ["a 0 s"]


def test_primer_texts_are_the_class_prompts_where_none_are_stored() -> None:
    made = pools_of(stream_of([dataset("a", [0, 1], 2)], 2), captions=Captions(update="primer"))
    assert texts(made.of_task(1)["update"]) == ["a c0"]


@pytest.mark.parametrize(
    ("captions", "text"),
    [
        ({"update": "syntetic"}, r"captions\.update 'syntetic'. Did you mean 'synthetic'.*null"),
        ({"pretraining": "x"}, r"captions\.pretraining 'x'"),
        ({"update": "synthetic_merged"}, r"dataset 'a' 'synthetic_merged'.*Allowed: default, primer, synthetic\."),
        ({"pretraining": "primer"}, r"captions\.pretraining=primer: the first sample"),
    ],
)
def test_kinds_that_are_not_there_are_refused(captions: dict[str, str], text: str) -> None:
    stream = stream_of([dataset("a", [0, 1], 2, KINDS)], 2, pool=Numbered("p", np.zeros(3, dtype=int), KINDS))
    with pytest.raises(FomoError, match=text):
        pools_of(stream, captions=Captions(**captions))


def test_class_prompts_do_not_stand_in_for_a_kind_that_a_whole_pool_lacks() -> None:
    stream = stream_of([dataset("a", [0, 1], 2)], 2, pool=Joined((part_of(dataset("b", [0], 1), "train"),)))
    assert texts(pools_of(stream, captions=Captions(pretraining="primer")).pretraining) == ["a c0"]
    with pytest.raises(FomoError, match=r"dataset 'b' 'synthetic'.*Allowed: default, primer.*captions\.pretraining"):
        pools_of(stream, captions=Captions(pretraining="synthetic"))


def test_a_sample_without_any_text_is_named() -> None:
    pool = Pool(Joined((SplitPart(Numbered("p", np.array([-1])), range(1)),)), range(1), "synthetic")
    with pytest.raises(FomoError, match="sample 0 has no synthetic caption"):
        pool.draw(0)


def test_a_task_without_training_samples_is_refused() -> None:
    with pytest.raises(FomoError, match=r"task 2 has no training sample.*a\+\+\+c1"):
        pools_of(stream_of([dataset("a", [0], 2)], 2))


def test_pools_read_in_sequence_travel_small(tmp_path: Path) -> None:
    about = json.dumps({"captions": ["one"]}).encode()
    tars.tar(tmp_path / "0.tar", [("a.png", encoded(picture(0))), ("a.json", about)])
    stream = stream_of([dataset("a", [0, 1], 2)], 2)
    made = pools_of(Stream("s", stream.tasks, stream.adaptation, {}, list_shards([str(tmp_path / "0.tar")], 5)))
    pool = made.pretraining
    assert isinstance(pool, SequentialPool) and pool.size is None
    pool.draw(3)
    sent = pickle.dumps(pool)
    assert len(sent) < 1000 and pickle.loads(sent).draw(7).captions == ["one"]
