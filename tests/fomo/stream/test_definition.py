"""Streams: chunks, checks, and a hash that follows the definition."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.definition import Concept, Stream, chunk, chunk_by_dataset
from tests.fomo.helpers import dataset

ANIMALS = ("cat", "dog", "emu")
COLORS = ("red", "blue")
Tasks = tuple[tuple[Concept, ...], ...]


def animals(*names: str) -> tuple[Concept, ...]:
    return tuple(Concept("animals", name) for name in names)


def stream(tasks: Tasks, retention: str = "held", name: str = "test") -> Stream:
    adaptation = {"animals": dataset("animals", ANIMALS), "colors": dataset("colors", COLORS)}
    return Stream(name, tasks, adaptation, {retention: dataset(retention, ["x"])}, None)


@given(st.integers(1, 60), st.data())
def test_chunks_are_equal_and_the_first_ones_larger(count: int, data: st.DataObject) -> None:
    num_tasks = data.draw(st.integers(1, count))
    concepts = [Concept("d", str(number)) for number in range(count)]
    chunks = chunk(concepts, num_tasks)
    sizes = [len(part) for part in chunks]
    assert [concept for part in chunks for concept in part] == concepts
    assert sizes == [count // num_tasks + 1] * (count % num_tasks) + [count // num_tasks] * (
        num_tasks - count % num_tasks
    )


@pytest.mark.parametrize("num_tasks", [0, -1, 4, 100])
def test_a_number_of_tasks_that_does_not_fit_is_refused(num_tasks: int) -> None:
    with pytest.raises(FomoError, match=rf"num_tasks={num_tasks}: allowed are 1 to 3"):
        chunk(animals(*ANIMALS), num_tasks)


def test_one_dataset_per_task_ends_a_task_where_the_dataset_changes() -> None:
    concepts = [*animals("cat", "emu"), Concept("colors", "red"), *animals("dog")]
    assert chunk_by_dataset(concepts, 3) == (animals("cat", "emu"), (Concept("colors", "red"),), animals("dog"))
    with pytest.raises(FomoError, match=r"num_tasks=2: one dataset per task makes 3. Write num_tasks=3"):
        chunk_by_dataset(concepts, 2)


def test_a_concept_that_stands_twice_is_named() -> None:
    with pytest.raises(FomoError, match=r"animals\+\+\+dog.*twice"):
        stream((animals("cat", "dog"), animals("dog")))


def test_an_unknown_class_is_named_with_its_nearest() -> None:
    with pytest.raises(FomoError, match=r"class of dataset 'animals' 'dgo'.*Did you mean 'dog'.*cat, dog, emu"):
        stream((animals("cat", "dgo"),))


def test_an_unknown_dataset_is_named_with_its_nearest() -> None:
    with pytest.raises(FomoError, match=r"dataset 'animal'.*Did you mean 'animals'.*colors"):
        stream(((Concept("animal", "cat"),),))


def test_a_dataset_is_not_both_adapted_to_and_held_out() -> None:
    with pytest.raises(FomoError, match="'animals' is both"):
        stream((animals("cat"),), retention="animals")


def test_class_tasks_number_from_one_and_zero_is_unused() -> None:
    made = stream(((Concept("animals", "emu"), Concept("colors", "blue")), animals("cat")))
    assert made.class_tasks["animals"].tolist() == [2, 0, 1]
    assert made.class_tasks["colors"].tolist() == [0, 1]


def test_concepts_come_in_the_order_of_the_stream() -> None:
    made = stream((animals("emu", "cat"), (Concept("colors", "red"),)))
    assert [str(concept) for concept in made.concepts] == ["animals+++emu", "animals+++cat", "colors+++red"]
    assert list(made.datasets) == ["animals", "colors", "held"]


def test_the_hash_changes_with_order_chunks_retention_and_name() -> None:
    made = [
        stream((animals("cat", "dog"), animals("emu"))),
        stream((animals("dog", "cat"), animals("emu"))),
        stream((animals("cat"), animals("dog", "emu"))),
        stream((animals("cat", "dog", "emu"),)),
        stream((animals("cat", "dog"), animals("emu")), retention="other"),
        stream((animals("cat", "dog"), animals("emu")), name="renamed"),
    ]
    assert len({each.sha256 for each in made}) == len(made)
    assert made[0].sha256 == stream((animals("cat", "dog"), animals("emu"))).sha256


def test_the_definition_is_plain_json() -> None:
    definition = stream((animals("cat", "dog"), animals("emu"))).definition()
    assert (
        json.loads(json.dumps(definition))
        == definition
        == {
            "schema": "fomo.stream/1",
            "name": "test",
            "tasks": [["animals+++cat", "animals+++dog"], ["animals+++emu"]],
            "retention": ["held"],
        }
    )
