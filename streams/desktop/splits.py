"""Which pictures are trained on, and which are tested on: by designer, without copies between the two.

A picture of the test is by none of the designers of the training pictures, where a dataset has designers. What looks
nearly the same on both sides all the same, because designers copy each other, is dropped from the training side: of
all datasets and of the pool, so that nothing held out is ever trained on.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fomo.data.inspect.duplicates import Signature, near_duplicates
from fomo.data.sources import LeftOut
from streams.desktop.declared import DesktopSet
from streams.desktop.icon_names import share
from streams.desktop.pictures import Picture, Rendered

TEST_SHARE = 0.20
HELD_OUT_SHARE = 0.30
"""Of designers, or of pictures where there are none: test and validation together."""
SALT = "split 17"
"""The first of "split", "split 1", … by which every dataset of icons has 15 % of its pictures in the test, 6 % in the
validation, and all together 69 % or more to train on: designers are few and of unequal size. No score was looked at."""
RADIUS = 4
"""Bits of the perceptual hash by which copies may differ: that of ``fomo stream verify --perceptual``."""
LEAST_TRAIN = 5
POOL_SHARE = 0.08
"""Of the training pictures of what is to keep, how many the pool holds too."""
REPEATED = "exact duplicate"
AMBIGUOUS = "one image under two classes"
COPY_OF_TEST = "nearly the same as an image of the test"
COPY_OF_HELD_OUT = "nearly the same as an image of the validation or test"
COPY_OF_OTHERS = "nearly the same as an image that another dataset trains on"
FEW = f"class of fewer than {LEAST_TRAIN} training images, or of no test image"
AFTER_RENDERING = (REPEATED, AMBIGUOUS, COPY_OF_TEST, COPY_OF_HELD_OUT, COPY_OF_OTHERS, FEW)
"""Why pictures are left out that could be rendered."""


@dataclass(frozen=True)
class Row:
    """A rendered picture and where it goes.

    Attributes:
        dataset: the dataset's name.
        number: of the picture in its dataset.
        path: of the picture.
        class_name: what it shows; ``None`` in the pool.
        split: where it goes.
        signature: what it is compared by.
        digest: SHA-256 of its pixels.
        reason: why it is left out; empty where it is not.
    """

    dataset: str
    number: int
    path: str
    class_name: str | None
    split: str
    signature: Signature
    digest: str
    reason: str = ""


def split_of(one: DesktopSet, picture: Picture, digest: str) -> str:
    """Where a picture goes: as its vendor is listed, else by a hash of its designer, or of its pixels."""
    if one.role == "pool":
        return "train"
    if one.vendors:
        listed = (split for split in ("validation", "test") if picture.vendor in one.vendors.get(split, ()))
        return next(listed, "train")
    drawn = share(SALT, picture.designer if one.by_designer else digest)
    return "test" if drawn < TEST_SHARE else "validation" if drawn < HELD_OUT_SHARE else "train"


def rows_of(one: DesktopSet, pictures: Sequence[Picture], rendered: Sequence[Rendered]) -> list[Row]:
    """A row for each picture, those that could not be rendered included."""
    return [
        Row(
            one.name,
            number,
            picture.path,
            picture.class_name,
            split_of(one, picture, each.digest) if not each.reason else "train",
            each.signature,
            each.digest,
            each.reason,
        )
        for number, (picture, each) in enumerate(zip(pictures, rendered, strict=True))
    ]


def decide(rows: Mapping[str, Sequence[Row]], beside: Sequence[Row] = ()) -> dict[str, list[Row]]:
    """The rows of every dataset, now with the reason why some are left out.

    Args:
        rows: of each dataset, by its name.
        beside: rows of other datasets, which stay as they are: what is like their training images is not held out here,
            and what is like their held-out images is not trained on here.
    """
    own = {name: _without_repetition(each) for name, each in rows.items()}
    every = [row for each in own.values() for row in each]
    every = _without_copies(every, ("validation", "test"), ("train",), beside, COPY_OF_OTHERS)
    every = _without_copies(every, ("validation",), ("test",), [*every, *beside], COPY_OF_TEST)
    every = _without_copies(every, ("train",), ("validation", "test"), [*every, *beside], COPY_OF_HELD_OUT)
    by_name: dict[str, list[Row]] = {name: [] for name in rows}
    for row in every:
        by_name[row.dataset].append(row)
    return {name: _without_small(each) for name, each in by_name.items()}


def _without_repetition(rows: Sequence[Row]) -> list[Row]:
    """Equal pictures once in a dataset, in the strictest split; those that stand under two classes not at all."""
    classes = defaultdict(set)
    for row in rows:
        classes[row.digest].add(row.class_name)
    seen: set[str] = set()
    found = dict[int, str]()
    for row in sorted(rows, key=lambda row: (("test", "validation", "train").index(row.split), row.number)):
        if not row.reason:
            repeated = REPEATED if row.digest in seen else ""
            found[row.number] = AMBIGUOUS if len(classes[row.digest]) > 1 else repeated
            seen.add(row.digest)
    return [replace(row, reason=row.reason or found[row.number]) for row in rows]


def _without_copies(
    rows: Sequence[Row], dropped: Sequence[str], kept: Sequence[str], among: Sequence[Row], why: str
) -> list[Row]:
    """Leave out, of the splits ``dropped``, what is the same or nearly the same as something else.

    Args:
        rows: what is looked through.
        dropped: splits of these.
        kept: splits of what they are compared with.
        among: what they are compared with.
        why: the reason that they are left out for.
    """
    held = [row for row in among if not row.reason and row.split in kept]
    others = [row for row in rows if not row.reason and row.split in dropped]
    same = {row.digest for row in held}
    gone = {(row.dataset, row.number) for row in others if row.digest in same} | _near(held, others)
    return [replace(row, reason=why) if (row.dataset, row.number) in gone else row for row in rows]


def _near(held: Sequence[Row], others: Sequence[Row]) -> set[tuple[str, int]]:
    told = [row for row in held if row.signature.perceptual is not None]
    tried = [row for row in others if row.signature.perceptual is not None]
    if not told or not tried:
        return set()
    pairs = near_duplicates([row.signature for row in told], [row.signature for row in tried], RADIUS)
    return {(tried[j].dataset, tried[j].number) for j in set(pairs[:, 1].tolist())}


def _without_small(rows: Sequence[Row]) -> list[Row]:
    """Leave out classes that cannot be learnt or cannot be tested."""
    counts = Counter((row.class_name, row.split) for row in rows if not row.reason)
    names = {row.class_name for row in rows if row.class_name is not None}
    small = {name for name in names if counts[name, "train"] < LEAST_TRAIN or not counts[name, "test"]}
    return [replace(row, reason=row.reason or FEW) if row.class_name in small else row for row in rows]


def for_the_pool(rows: Sequence[Row]) -> list[Row]:
    """The training pictures of a dataset to keep that the pool holds too."""
    return [row for row in rows if not row.reason and row.split == "train" and share("pool", row.digest) < POOL_SHARE]


def left_out(rows: Sequence[Row]) -> list[LeftOut]:
    """What is left out, and why."""
    return [LeftOut(row.path, row.reason) for row in rows if row.reason]
