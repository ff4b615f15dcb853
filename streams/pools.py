"""The pretraining pool P from names: datasets in shards, or tar files too many to index."""

from collections.abc import Callable, Collection, Sequence

from fomo.data.joined import Joined, part_of
from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards, list_shards
from fomo.errors import FomoError


def named_pool(
    entries: Sequence[str], window: int, open_named: Callable[[str], Dataset], retention: Collection[str]
) -> Samples | Shards:
    """The training samples of the datasets named in ``entries``, end to end; or the tar files that they list.

    Entries that end in ``.tar`` are paths, braces in them standing for many: ``laion/{00000..00099}.tar``. They are
    read in sequence, ``window`` samples being shuffled together.

    Raises:
        FomoError: names and paths side by side, none at all, a held-out dataset.
    """
    if isinstance(entries, str) or not all(isinstance(entry, str) for entry in entries):
        raise FomoError(f"stream.pool={entries}: give a list: stream.pool=[NAME].")
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
    return Joined(tuple(part_of(open_named(name), "train") for name in dict.fromkeys(entries)))
