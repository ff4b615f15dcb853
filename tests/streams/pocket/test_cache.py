"""The pocket's cache: drawn once, the same however it is drawn, never half."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fomo.errors import FomoError
from streams.pocket import cache
from streams.pocket.cache import POOL, DrawingRequest, draw_missing, open_array
from tests.fomo.helpers import put
from tests.waiting import PATIENCE_SECONDS, until

WANTED = (
    DrawingRequest("pocket_flags", "test", 1100),
    DrawingRequest("pocket_digits", "test", 300),
    DrawingRequest(POOL, "train", 600),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def content(request: DrawingRequest) -> tuple[bytes, bytes, list[list[str]]]:
    samples = open_array(request)
    captions = [list(samples.captions(index)) for index in range(len(samples))]
    return np.stack([samples.image(i) for i in range(len(samples))]).tobytes(), samples.targets.tobytes(), captions


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw_missing(WANTED, num_workers=0) == 3
    alone = [content(request) for request in WANTED]
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "other"))
    assert draw_missing(WANTED, num_workers=2) == 3
    assert [content(request) for request in WANTED] == alone


def test_what_is_cached_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_missing(WANTED[:1])

    def refuse(*arguments: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(cache, "draw_block", refuse)
    assert draw_missing(WANTED[:1]) == 0 and len(open_array(WANTED[0])) == 1100


def test_an_interrupted_drawing_leaves_nothing_that_looks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            draw_missing(WANTED[:1], num_workers=0)
    assert not WANTED[0].folder.exists()
    assert draw_missing(WANTED[:1], num_workers=0) == 1 and len(open_array(WANTED[0])) == 1100


DRAW = """
from streams.pocket.cache import DrawingRequest, draw_missing
if __name__ == "__main__":
    draw_missing([DrawingRequest("pocket_flags", "test", 1100), DrawingRequest("pool", "train", 60000)], num_workers=2)
"""


def test_a_drawing_that_is_killed_leaves_no_process_and_goes_on(tmp_path: Path, own_cache: Path) -> None:
    """Workers that wait for work do not see by themselves that nobody will give them any."""
    script = put(tmp_path / "script.py", DRAW)
    environment = os.environ | {"PYTHONPATH": str(Path(cache.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
    until(WANTED[0].folder.exists, still=lambda: process.poll() is None)
    process.kill()
    process.wait()
    until(lambda: not group_lives(process.pid))
    left = put(own_cache / cache.cache_root().name / f".{WANTED[2].folder.name}.partial" / "images.npy", "half of it")
    assert draw_missing(WANTED[::2], num_workers=0) == 1 and not left.exists()
    assert not list(cache.cache_root().glob(".*.partial*"))


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_larger_pool_begins_like_a_smaller_one() -> None:
    small, large = (open_array(DrawingRequest(POOL, "train", size)) for size in (20, 600))
    assert all(small.image(i).tobytes() == large.image(i).tobytes() for i in range(20))
    assert [small.captions(i) for i in range(20)] == [large.captions(i) for i in range(20)]


def test_digits_are_scikit_learns_and_splits_are_disjoint() -> None:
    test, validation = (
        content(DrawingRequest("pocket_digits", split, size))[0]
        for split, size in (("test", 1300), ("validation", 300))
    )
    size = 32 * 32 * 3
    first = {test[i : i + size] for i in range(0, len(test), size)}
    assert len(first) == 1300 and not first & {validation[i : i + size] for i in range(0, len(validation), size)}


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "file"))
    with pytest.raises(FomoError, match="FOMO_CACHE"):
        draw_missing(WANTED[:1])


def test_a_script_without_a_guard_fails_instead_of_hanging(tmp_path: Path, own_cache: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from streams.pocket import datasets\ndatasets.draw_ahead([('pocket_flags', 'train')], 1000)\n")
    environment = os.environ | {"FOMO_CACHE": str(own_cache), "PYTHONPATH": str(Path(cache.__file__).parents[2])}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode != 0 and "__name__ == '__main__'" in done.stderr
