"""From images that were found to a plan: duplicates, disagreeing labels, splits.

Train, validation and test are those that were made beforehand, else made here by the hash of the decoded pixels, so
that equal pixels, however encoded, can never stand on two sides.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.importing.found_image import FoundImage
from fomo.data.importing.job import NO_IMAGE, ImportPlan, Listed, listed, shown
from fomo.data.sources import LeftOut
from fomo.errors import FomoError, check_choice

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
GIVEN = "given"
STRATIFIED = "stratified"
HASH = "hash"
IGNORE = "ignore"
DROP = "drop"
FIRST = "first"
REFUSE = "refuse"


@dataclass(frozen=True)
class Rules:
    """How splits are made and what is done with an image of two classes."""

    splits: str = GIVEN
    conflicts: str = DROP

    def __post_init__(self) -> None:
        check_choice("value of --splits", self.splits, (GIVEN, STRATIFIED, HASH, IGNORE))
        check_choice("value of --conflicts", self.conflicts, (DROP, FIRST, REFUSE))


def planned(
    card: DatasetCard,
    images: Sequence[FoundImage],
    looks: Sequence[Sequence[str]],
    left_out: Sequence[LeftOut],
    rules: Rules,
) -> ImportPlan:
    """What comes in and where.

    Args:
        card: name, templates and source; classes are those that have a usable image.
        images: in the order in which they are written.
        looks: of each image what :func:`fomo.data.importing.found_image.look` says.
        left_out: what was left out before.
        rules: see :class:`Rules`.

    Raises:
        FomoError: no image is usable; two labels disagree and :data:`REFUSE` is asked for.
    """
    reasons = _reasons(images, looks, rules)
    seen = [replace(image, digest=each[0]) for image, each in zip(images, looks, strict=True)]
    kept = [image for image, reason in zip(seen, reasons, strict=True) if not reason]
    if not kept:
        raise FomoError(f"no usable image in '{images[0].root}': {shown([*left_out, *filter(None, reasons)])}.")
    places = _splits(kept, rules)
    splits: dict[str, list[Listed]] = {split: [] for split in SPLITS}
    for image, reason in zip(seen, reasons, strict=True):
        splits["train" if reason else places[image.file]].append(reason or image)
    texts = [LeftOut(_text_path(i), each[3]) for i, each in zip(images, looks, strict=True) if each[3] and not each[2]]
    used = {image.class_name for image in kept if image.class_name is not None}
    bare = {name: image for image in reversed(images) if (name := image.class_name) is not None and name not in used}
    gone = [LeftOut(Path(image.path).parent.as_posix(), NO_IMAGE) for image in reversed(bare.values())]
    entries = {split: partial(listed, images_in) for split, images_in in splits.items()}
    return ImportPlan(_described(card, used, set(places.values())), entries, [*left_out, *gone, *texts])


def _described(card: DatasetCard, classes: set[str], splits: set[str]) -> DatasetCard:
    """The card with its classes; without any it is a retrieval set if there is a part to score, else a pool."""
    if classes:
        return replace(card, classes=tuple(sorted(classes)))
    if splits == {"train"}:
        return replace(card, templates=(), kind="pairs", role="pool")
    return replace(card, templates=(), kind="retrieval")


def _text_path(image: FoundImage) -> str:
    return image.text.relative_to(image.root).as_posix() if image.text is not None else image.path


def _reasons(images: Sequence[FoundImage], looks: Sequence[Sequence[str]], rules: Rules) -> list[LeftOut | None]:
    """Why each image is left out, if it is."""
    reasons = [LeftOut(i.path, each[2]) if each[2] else None for i, each in zip(images, looks, strict=True)]
    alike: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(looks):
        if not each[2]:
            alike[each[1]].append(number)
    for group in alike.values():
        for number, reason in _left_out_of([images[number] for number in group], rules):
            reasons[group[number]] = reason
    return reasons


def _left_out_of(group: list[FoundImage], rules: Rules) -> Iterable[tuple[int, LeftOut]]:
    """Of images of one content those that are left out, by their place: all but one, or all where classes disagree."""
    if len(group) < 2:
        return
    other = next((image for image in group if image.class_name != group[0].class_name), None)
    if other is not None and rules.conflicts == REFUSE:
        raise FomoError(
            f"'{group[0].path}' and '{other.path}' are one image under two classes: remove one of them; with "
            f"`--conflicts drop` neither comes in, with `first` the first one does."
        )
    kept = _kept_of(group, rules)
    for number, image in enumerate(group):
        if other is not None and (rules.conflicts == DROP or image.class_name != group[kept].class_name):
            twin = next(each for each in group if each.class_name != image.class_name)
            yield number, LeftOut(f"{image.path} and {twin.path}", "one image under two classes")
        elif number != kept:
            across = rules.splits == GIVEN and image.split != group[kept].split
            reason = "exact duplicate of an image in another split" if across else "exact duplicate"
            yield number, LeftOut(image.path, reason)


def _kept_of(group: list[FoundImage], rules: Rules) -> int:
    """The one that stays: of a given split what is tested on, so that no test image is trained on; else the first."""
    if rules.splits != GIVEN:
        return 0
    alike = [number for number, image in enumerate(group) if image.class_name == group[0].class_name]
    return max(alike, key=lambda number: (SPLITS.index(group[number].split or "train"), -number))


def _splits(images: Sequence[FoundImage], rules: Rules) -> dict[Path, str]:
    """The split of each image by its file."""
    pairs = not any(image.class_name for image in images)
    if rules.splits == GIVEN and (pairs or any(image.split for image in images)):
        return {image.file: image.split or "train" for image in images}
    made = splits_made(((image.class_name, image.digest) for image in images), rules.splits)
    return {image.file: made[image.class_name, image.digest] for image in images}


def splits_made(images: Iterable[tuple[str | None, str]], rule: str) -> dict[tuple[str | None, str], str]:
    """The split of images given by class and digest: by :data:`HASH` or, under any other rule, stratified."""
    by_class: dict[str | None, set[str]] = defaultdict(set)
    for class_name, digest in images:
        by_class[class_name].add(digest)
    split = _by_hash if rule == HASH else stratified
    return {(name, digest): place for name, each in by_class.items() for digest, place in split(each).items()}


def _by_hash(digests: Iterable[str]) -> dict[str, str]:
    return {digest: split_of(digest) for digest in digests}


def split_of(digest: str) -> str:
    """Train, validation or test, by the hash of the image alone: 70 %, 10 %, 20 %."""
    place = int(digest[:8], 16) / 2**32
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"


def stratified(digests: Iterable[str]) -> dict[str, str]:
    """A split of the images of one class in the same shares, in the order of their hashes; two have a test image."""
    ordered = sorted(digests)
    num_test = max(1, round(TEST_SHARE * len(ordered))) if len(ordered) > 1 else 0
    num_validation = round(VALIDATION_SHARE * len(ordered))
    names = ["test"] * num_test + ["validation"] * num_validation
    return dict(zip(ordered, names + ["train"] * (len(ordered) - len(names)), strict=True))
