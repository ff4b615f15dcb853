"""The pretraining pool P from names: datasets in shards, or tar files too many to index."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fomo.data.joined import Joined, part_of
from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards, list_shards
from fomo.errors import FomoError


def named_pool(
    entries: Sequence[str],
    window: int,
    opened: Callable[[Iterable[str]], Mapping[str, Dataset]],
    retention: Collection[str],
) -> Samples | Shards:
    """The training samples of the named datasets, end to end; or the named tar files, to be read in sequence.

    Args:
        entries: names of datasets; or paths that end in ``.tar``, braces in them standing for many, as in
            ``laion/{00000..00099}.tar``.
        window: samples of tar files that are shuffled together.
        opened: returns datasets by name.
        retention: names of the held-out datasets.

    Raises:
        FomoError: names and paths side by side, none at all, a held-out dataset.
    """
    paths = [entry for entry in entries if entry.endswith(".tar")]
    if paths and len(paths) < len(entries):
        raise FomoError("stream.pool names datasets and tar files: give either the one or the other.")
    if not entries:
        raise FomoError(
            "stream.pool is empty: name a dataset, or write stream.pool=null stream.pool_size=0 for no pool."
        )
    if paths:
        return list_shards(paths, window)
    leaked = sorted(set(entries) & set(retention))
    if leaked:
        raise FomoError(f"dataset '{leaked[0]}' is both held out and in stream.pool: take it out of one of the two.")
    return Joined(tuple(part_of(dataset, "train") for dataset in opened(entries).values()))
