"""The pretraining pool of a stream, from datasets and from tar files."""

from pathlib import Path

import pytest

from fomo.data.joined import Joined
from fomo.data.sequential import Shards
from fomo.errors import FomoError
from streams import open_named
from tests.streams.helpers import built, imported


def test_p_is_the_training_samples_of_the_datasets_named(tmp_path: Path) -> None:
    imported(tmp_path, "one")
    imported(tmp_path, "two")
    pool = built(tmp_path, pool=["one", "two"], pool_size=500).pool
    sizes = [open_named(name, tmp_path / "data").card.num_samples["train"] for name in ("one", "two")]
    assert isinstance(pool, Joined) and len(pool) == sum(sizes)
    assert pool.captions(0) and pool.image(len(pool) - 1).size == (8, 8)


def test_p_is_read_in_sequence_from_tar_files(tmp_path: Path) -> None:
    imported(tmp_path, "one")
    pool = built(tmp_path, pool=[f"{tmp_path}/data/one/train-{{000000..000000}}.tar"], pool_window=5).pool
    assert isinstance(pool, Shards) and pool.window == 5 and [path.name for path in pool.paths] == ["train-000000.tar"]


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (["pocket_flgs"], r"dataset 'pocket_flgs'. Did you mean 'pocket_flags'.*stream\.root"),
        (["pocket_flags", "a.tar"], "names datasets and tar files"),
        ([], "stream.pool is empty.*stream.pool=null"),
        ("pocket_flags", r"stream\.pool=pocket_flags: a list of names is expected"),
        ([123], r"with quotes around a name that reads as a number.*stream\.pool=\[\"123\"\]"),
        (["pocket_counting"], "'pocket_counting' is both held out and in stream.pool"),
        (["pipe:cat x.tar"], "is no path"),
    ],
)
def test_a_bad_pool_is_refused(pool: object, text: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=text):
        built(tmp_path, pool=pool)
