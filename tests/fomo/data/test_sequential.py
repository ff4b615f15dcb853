"""P read in sequence: what stands at a position depends on seed and position alone."""

import json
import pickle
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fomo.data.drawn import Skipped
from fomo.data.sequential import SequentialPool, list_shards
from fomo.errors import FomoError
from tests.fomo import tars
from tests.fomo.data.test_tar_samples import Content
from tests.fomo.helpers import encoded, picture, put

COUNTS = (5, 1, 7, 0, 4)
TOTAL = sum(COUNTS)


def number_of(caption: str) -> int:
    """The number in the text of a sample."""
    return int(caption.split()[1])


def shard(path: Path, first: int, count: int, *more: Content) -> Path:
    """A tar of ``count`` samples whose texts are their numbers from ``first``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members: list[Content] = list(more)
    for number in range(first, first + count):
        members += [(f"{number:04d}.png", encoded(picture(number))), (f"{number:04d}.txt", b"number %d" % number)]
    return tars.tar(path, members)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five tars with 17 samples in all."""
    made = tmp_path_factory.mktemp("shards")
    for number, count in enumerate(COUNTS):
        shard(made / f"{number:02d}.tar", sum(COUNTS[:number]), count)
    return made


def pool(folder: Path, window: int = 4, seed: int = 0, pattern: str = "{00..04}.tar") -> SequentialPool:
    return SequentialPool(list_shards([f"{folder}/{pattern}"], window), seed)


def numbers(pool: SequentialPool, start: int, stop: int) -> list[int]:
    return [number_of(pool.draw(position).captions[0]) for position in range(start, stop)]


@settings(max_examples=40)
@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 60), st.integers(0, 20))
def test_draws_are_a_slice_of_the_draws_from_the_start(
    folder: Path, seed: int, window: int, start: int, count: int
) -> None:
    whole = numbers(pool(folder, window, seed), 0, start + count)
    assert numbers(pool(folder, window, seed), start, start + count) == whole[start:]


@settings(max_examples=20)
@given(st.sampled_from([0, 1, 2, 4]), st.integers(0, 30), st.integers(1, 7), st.integers(1, 12))
def test_workers_that_share_the_steps_draw_what_one_draws(
    folder: Path, num_workers: int, first_step: int, batch_size: int, window: int
) -> None:
    """Each worker has a copy of the pool and makes the batches of its own steps."""
    sent = pickle.dumps(pool(folder, window))
    workers = [pickle.loads(sent) for _ in range(max(num_workers, 1))]
    steps = range(first_step, first_step + 6)
    shared = [numbers(workers[step % len(workers)], step * batch_size, (step + 1) * batch_size) for step in steps]
    alone = numbers(pool(folder, window), steps[0] * batch_size, (steps[-1] + 1) * batch_size)
    assert [each for batch in shared for each in batch] == alone


@given(st.integers(0, 3), st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=20)
def test_every_pass_shows_every_sample_once(folder: Path, seed: int, window: int, epoch: int) -> None:
    drawn = numbers(pool(folder, window, seed), epoch * TOTAL, (epoch + 1) * TOTAL)
    assert sorted(drawn) == list(range(TOTAL))


def test_picture_and_text_belong_together(folder: Path) -> None:
    for position in range(TOTAL):
        drawn = pool(folder).draw(position)
        assert drawn.image.tobytes() == picture(number_of(drawn.captions[0])).tobytes()


def test_seeds_passes_and_windows_give_other_orders(folder: Path) -> None:
    made = pool(folder, window=TOTAL)
    orders = [numbers(made, 0, TOTAL), numbers(made, TOTAL, 2 * TOTAL)]
    orders += [numbers(pool(folder, TOTAL, seed=1), 0, TOTAL), numbers(pool(folder, 2), 0, TOTAL)]
    assert len({tuple(order) for order in orders}) == 4


def test_a_window_of_one_keeps_the_order_within_a_file(folder: Path) -> None:
    drawn = numbers(pool(folder, window=1), 0, TOTAL)
    for number, count in enumerate(COUNTS):
        own = range(sum(COUNTS[:number]), sum(COUNTS[:number]) + count)
        assert [each for each in drawn if each in own] == list(own)


def test_a_sample_moves_no_further_than_its_window(folder: Path) -> None:
    plain, shuffled = numbers(pool(folder, 1), 0, TOTAL), numbers(pool(folder, 4), 0, TOTAL)
    for start in range(0, TOTAL, 4):
        assert sorted(plain[start : start + 4]) == sorted(shuffled[start : start + 4])
    assert plain != shuffled


def test_a_resume_opens_no_file_before_its_position_where_counts_are_declared(tmp_path: Path) -> None:
    for number in range(6):
        shard(tmp_path / f"{number}.tar", 10 * number, 10)
    put(tmp_path / "sizes.json", json.dumps({f"{number}.tar": 10 for number in range(6)}))
    whole = numbers(pool(tmp_path, 5, pattern="{0..5}.tar"), 0, 60)
    for number in {each // 10 for each in whole[:40]}:
        (tmp_path / f"{number}.tar").write_bytes(b"nobody reads this")
    assert numbers(pool(tmp_path, 5, pattern="{0..5}.tar"), 40, 60) == whole[40:]
    with pytest.raises(FomoError, match=r"holds 0 usable samples.*sizes\.json.*says 10"):
        pool(tmp_path, 5, pattern="{0..5}.tar").draw(0)


def test_declared_counts_change_no_order(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*.tar"):
        put(tmp_path / path.name, path.read_bytes())
    put(tmp_path / "sizes.json", json.dumps({f"{n:02d}.tar": count for n, count in enumerate(COUNTS) if n != 2}))
    assert numbers(pool(tmp_path), 0, 40) == numbers(pool(folder), 0, 40)


def test_what_cannot_be_used_gives_way_to_the_next_position_and_is_named(tmp_path: Path) -> None:
    bomb = bytearray(encoded(picture(0)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    bad: list[Content] = [
        ("bad.png", b"no picture"),
        ("bad.txt", b"number -1"),
        ("bomb.png", bytes(bomb)),
        ("bomb.txt", b"number -1"),
        ("mute.png", encoded(picture(0))),
        ("mute.txt", b" "),
        ("../out.png", b"x"),
    ]
    shard(tmp_path / "0.tar", 0, 6, *bad)
    made = pool(tmp_path, 3, pattern="0.tar")
    drawn = [made.draw(position) for position in range(9)]
    found = [number_of(each.captions[0]) for each in drawn]
    assert set(found) == set(range(6)) and found == numbers(pool(tmp_path, 3, pattern="0.tar"), 0, 9)
    skipped = {note for each in drawn for note in each.skipped}
    path = tmp_path / "0.tar"
    assert skipped == {
        Skipped(str(path), "path out of the root", 1),
        Skipped(f"{path}: bad", "broken", 1),
        Skipped(f"{path}: bomb", "too many pixels", 1),
        Skipped(f"{path}: mute", "empty text", 1),
    }
    # The sample of a position that is skipped is the one of the next position.
    for position in range(8):
        if any("bad" in note.where for note in drawn[position].skipped):
            assert found[position] == found[position + 1]


def test_a_truncated_file_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = shard(tmp_path / "0.tar", 0, 4)
    path.write_bytes(path.read_bytes()[: 2 * 2048 + 700])
    shard(tmp_path / "1.tar", 4, 2)
    made = pool(tmp_path, 8, pattern="{0,1}.tar")
    assert sorted(numbers(made, 0, 4)) == [0, 1, 4, 5]
    assert {note.reason for note in made.draw(0).skipped} >= {"truncated tar member"}


def test_files_without_a_usable_sample_are_refused_with_the_reasons(tmp_path: Path) -> None:
    tars.tar(tmp_path / "0.tar", [("a.png", b"x"), ("b.png", b"x")])
    put(tmp_path / "1.tar", b"")
    with pytest.raises(FomoError, match=r"no usable sample in the 2.*2 × image without a text.*cut off"):
        pool(tmp_path, pattern="{0,1}.tar").draw(0)


def test_a_thousand_bad_samples_in_a_row_are_refused(tmp_path: Path) -> None:
    tars.tar(tmp_path / "0.tar", [("a.png", b"x"), ("a.txt", b"x")])
    with pytest.raises(FomoError, match=r"1000 samples in a row.*0\.tar: a: broken"):
        pool(tmp_path, pattern="0.tar").draw(0)


def test_a_kind_of_caption_is_taken(tmp_path: Path) -> None:
    about = {"captions": ["one"], "caption_kinds": {"synthetic": ["made"]}}
    tars.tar(tmp_path / "0.tar", [("a.png", encoded(picture(0))), ("a.json", json.dumps(about).encode())])
    shards = list_shards([str(tmp_path / "0.tar")], 1)
    assert SequentialPool(shards, 0, "synthetic").draw(0).captions == ["made"]


@pytest.mark.parametrize(
    ("patterns", "window", "text"),
    [
        (["pipe:cat x.tar"], 1, "pipe:cat x.tar.*is no path"),
        (["https://x.org/a.tar"], 1, "is no path.*download"),
        (["{0,1.tar"], 1, "braces"),
        (["{0..3}.tar"], 1, r"4 of 4 tar files are not there.*0\.tar"),
        (["there.tar", "there.tar"], 1, r"there\.tar' twice"),
        (["there.tar"], 0, "stream.pool_window=0: allowed are 1"),
        (["there.tar"], -3, "stream.pool_window=-3"),
    ],
)
def test_bad_lists_are_refused(
    patterns: list[str], window: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "there.tar", b"")
    with pytest.raises(FomoError, match=text):
        list_shards(patterns, window)


@pytest.mark.parametrize("content", ["{", "[1]", '{"a.tar": "ten"}', '{"a.tar": -1}', '{"a.tar": true}', b"\xff"])
def test_a_bad_file_of_sizes_is_named(content: str | bytes, tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", 0, 1)
    put(tmp_path / "sizes.json", content)
    with pytest.raises(FomoError, match=r"sizes\.json"):
        list_shards([str(tmp_path / "a.tar")], 1)


def test_a_file_that_goes_away_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", 0, 3)
    made = pool(tmp_path, pattern="a.tar")
    made.draw(0)
    path.unlink()
    with pytest.raises(FomoError, match=r"a\.tar: cannot be read"):
        made.draw(1)
