"""Every pocket drawing is a pure function of its key, and every set says what it shows."""

from itertools import chain

import numpy as np
import pytest
from PIL import Image

from fomo.rng import generator
from streams.pocket.drawings.adaptation import ADAPTATION
from streams.pocket.drawings.canvas import BIG, COLORS, SEEN_FONTS, font
from streams.pocket.drawings.captions import UNNAMED, caption
from streams.pocket.drawings.general import glyphs
from streams.pocket.drawings.general.paints import PAINTS
from streams.pocket.drawings.generator import Picture, PocketDataset, PoolFamily
from streams.pocket.drawings.pool import FAMILIES, GENERAL, HELD_OUT, SHARES, TO_LEARN, pool_sample
from streams.pocket.drawings.retention import RETENTION, digits_split
from streams.pocket.drawings.web import TREATMENTS, UNTOUCHED, treated

DATASETS: tuple[PocketDataset, ...] = (*RETENTION, *ADAPTATION)
DRAWN: tuple[PocketDataset | PoolFamily, ...] = (*DATASETS, *GENERAL, *HELD_OUT)

datasets = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
drawn = pytest.mark.parametrize("part", DRAWN, ids=lambda part: part.name)


def draw(part: PocketDataset | PoolFamily, label: int, index: int) -> Image.Image:
    found = part.draw(generator(part.name, "test", label, index), label)
    return found.image if isinstance(found, Picture) else found


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
    assert any(set(dataset.classes) <= set(family.classes) for family in HELD_OUT)


def test_general_concepts_are_those_of_no_dataset() -> None:
    used = set(chain.from_iterable(dataset.classes for dataset in DATASETS))
    assert not used & set(chain.from_iterable(family.classes for family in GENERAL))
    assert not PAINTS.keys() & COLORS.keys()


def test_a_class_name_that_stands_alone_means_one_thing_in_the_pool() -> None:
    names = list(chain.from_iterable(family.classes for family in (*GENERAL, *HELD_OUT)))
    assert len(set(names)) == len(names), "captions of the class name alone would be ambiguous"


def test_the_pool_is_half_general_and_a_little_of_each_held_out_family() -> None:
    assert SHARES.keys() == {family.name for family in FAMILIES} and sum(SHARES.values()) == pytest.approx(1)
    assert all(0.05 <= SHARES[family.name] <= 0.1 for family in HELD_OUT)
    assert sum(SHARES[family.name] for family in GENERAL) >= 0.5
    assert max(SHARES[family.name] for family in TO_LEARN) < min(SHARES[family.name] for family in HELD_OUT)


def test_pool_sample_is_pure() -> None:
    first = [pool_sample(index) for index in range(40)]
    again = [pool_sample(index) for index in reversed(range(40))][::-1]
    assert [(image.tobytes(), *rest) for image, *rest in first] == [(image.tobytes(), *rest) for image, *rest in again]
    assert len({image.tobytes() for image, *_ in first}) == len(first)


def test_the_pool_has_every_family_in_its_share_and_names_most_of_what_it_shows() -> None:
    samples = [pool_sample(index) for index in range(4000)]
    assert all(sample.image.mode == "RGB" and sample.image.size == (32, 32) for sample in samples)
    counts = np.bincount([sample.family for sample in samples], minlength=len(FAMILIES)) / len(samples)
    expected = np.array([SHARES[family.name] for family in FAMILIES])
    assert (counts > 0).all() and (abs(counts - expected) < 4 * np.sqrt(expected / len(samples))).all()
    first = len(GENERAL)
    seen = {(sample.family, sample.label) for sample in samples if first <= sample.family < first + len(HELD_OUT)}
    assert len(seen) == sum(len(family.classes) for family in HELD_OUT)
    named = [FAMILIES[sample.family].classes[sample.label] in sample.caption for sample in samples]
    assert 1 - UNNAMED - 0.02 < sum(named) / len(named) < 1 - UNNAMED + 0.02


def test_a_caption_says_some_of_what_is_seen_and_a_shared_name_never_alone() -> None:
    rng = generator("captions")
    said = [caption(rng, "house", ("a sketch of a {}",), False, ("teal", "tilted")) for _ in range(300)]
    assert all("a sketch of a house" in text for text in said if "house" in text)
    assert {tuple(word in text for word in ("teal", "tilted")) for text in said} == {
        (first, second) for first in (False, True) for second in (False, True)
    }
    alone = [caption(rng, "house", ("a sketch of a {}",), True, ()) for _ in range(300)]
    assert {"house", "a sketch of a house", "a photo of house", "untitled"} <= set(alone)


def test_a_treatment_is_named_and_changes_the_image() -> None:
    rng = generator("web")
    image = draw(ADAPTATION[0], 0, 0)
    found = [treated(rng, Picture(image, ("teal",))) for _ in range(400)]
    changed = [each for each in found if each.image.tobytes() != image.tobytes()]
    assert UNTOUCHED - 0.1 < 1 - len(changed) / len(found) < UNTOUCHED + 0.1
    assert {each.words[1] for each in changed} == TREATMENTS.keys() and all(each.words[0] == "teal" for each in found)
    assert all(each.words == ("teal",) for each in found if each.image.tobytes() == image.tobytes())


FONTS = {"signs": glyphs.SIGN_FONTS, "scripts": glyphs.SIGN_FONTS, "words": SEEN_FONTS}


@pytest.mark.parametrize("family", glyphs.FAMILIES, ids=lambda family: family.name)
def test_every_glyph_is_in_its_fonts(family: PoolFamily) -> None:
    texts = {"signs": glyphs.SIGNS.values(), "scripts": glyphs.SCRIPTS.values(), "words": glyphs.WORDS}[family.name]
    for name in FONTS[family.name]:
        missing = bytes(font(name, BIG).getmask("\uffff"))
        assert all(bytes(font(name, BIG).getmask(character)) != missing for text in texts for character in text), name


def test_digit_splits_are_fixed_and_disjoint() -> None:
    splits = {name: digits_split(name) for name in ("train", "validation", "test")}
    for name, per_class in (("validation", 30), ("test", 130)):
        assert [splits[name][1].count(digit) for digit in range(10)] == [per_class] * 10
    images = [image.tobytes() for members, _ in splits.values() for image in members]
    assert len(images) == 1797
    assert len(set(images)) == len(images)
    assert [image.tobytes() for image in digits_split("test")[0]] == [image.tobytes() for image in splits["test"][0]]


def test_an_unknown_digit_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'testing'.*train"):
        digits_split("testing")
