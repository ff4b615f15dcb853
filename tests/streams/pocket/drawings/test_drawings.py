"""Every pocket drawing is a pure function of its key, and every set says what it shows."""

from itertools import chain

import pytest
from PIL import Image

from fomo.rng import generator
from streams.pocket.drawings.adaptation import ADAPTATION
from streams.pocket.drawings.generator import PocketDataset, PoolFamily
from streams.pocket.drawings.pool import CLASS_ONLY, FAMILIES, pool_sample
from streams.pocket.drawings.retention import RETENTION, digits_split

DATASETS: tuple[PocketDataset, ...] = (*RETENTION, *ADAPTATION)
DRAWN: tuple[PocketDataset | PoolFamily, ...] = (*DATASETS, *FAMILIES)

datasets = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
drawn = pytest.mark.parametrize("part", DRAWN, ids=lambda part: part.name)


def draw(part: PocketDataset | PoolFamily, label: int, index: int) -> Image.Image:
    return part.draw(generator(part.name, "test", label, index), label)


@drawn
def test_same_key_same_bytes(part: PocketDataset | PoolFamily) -> None:
    for label in range(len(part.classes)):
        assert draw(part, label, 0).tobytes() == draw(part, label, 0).tobytes()


@drawn
def test_indices_differ(part: PocketDataset | PoolFamily) -> None:
    for label in range(len(part.classes)):
        assert len({draw(part, label, index).tobytes() for index in range(4)}) > 1


@drawn
def test_images_are_small_and_rgb(part: PocketDataset | PoolFamily) -> None:
    for label in range(len(part.classes)):
        image = draw(part, label, 0)
        assert (image.mode, image.size) == ("RGB", (32, 32))


@drawn
def test_words(part: PocketDataset | PoolFamily) -> None:
    assert len(set(part.classes)) == len(part.classes)
    assert all(template.count("{}") == 1 for template in part.templates)
    assert len(set(part.templates)) == len(part.templates) >= 2


def test_dataset_names_are_unique() -> None:
    names = [dataset.name for dataset in DATASETS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("pocket_") and name == name.lower() for name in names)


@datasets
def test_role(dataset: PocketDataset) -> None:
    assert dataset.role == ("retention" if dataset in RETENTION else "adaptation")


@pytest.mark.parametrize("dataset", RETENTION, ids=lambda dataset: dataset.name)
def test_the_pool_knows_the_retention_classes(dataset: PocketDataset) -> None:
    assert any(set(dataset.classes) <= set(family.classes) for family in FAMILIES)


def test_a_class_name_means_one_thing_in_the_pool() -> None:
    names = list(chain.from_iterable(family.classes for family in FAMILIES))
    assert len(set(names)) == len(names), "captions of the class name alone would be ambiguous"


def test_pool_sample_is_pure() -> None:
    first = [pool_sample(index) for index in range(40)]
    again = [pool_sample(index) for index in reversed(range(40))][::-1]
    assert [(image.tobytes(), *rest) for image, *rest in first] == [(image.tobytes(), *rest) for image, *rest in again]
    assert len({image.tobytes() for image, *_ in first}) == len(first)


def test_pool_covers_every_class_with_both_kinds_of_caption() -> None:
    samples = [pool_sample(index)[1:] for index in range(3000)]
    seen = {(family, label) for _, family, label in samples}
    assert seen == {(number, label) for number, family in enumerate(FAMILIES) for label in range(len(family.classes))}
    assert all(FAMILIES[family].classes[label] in words for words, family, label in samples)
    alone = sum(words == FAMILIES[family].classes[label] for words, family, label in samples) / len(samples)
    assert CLASS_ONLY - 0.05 < alone < CLASS_ONLY + 0.1


def test_digit_splits_are_fixed_and_disjoint() -> None:
    splits = {name: digits_split(name) for name in ("train", "validation", "test")}
    for name, per_class in (("validation", 15), ("test", 30)):
        assert [splits[name][1].count(digit) for digit in range(10)] == [per_class] * 10
    images = [image.tobytes() for members, _ in splits.values() for image in members]
    assert len(images) == 1797
    assert len(set(images)) == len(images)
    assert [image.tobytes() for image in digits_split("test")[0]] == [image.tobytes() for image in splits["test"][0]]


def test_an_unknown_digit_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'testing'.*train"):
        digits_split("testing")
