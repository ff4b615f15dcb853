"""Pickled arrays are read as data: nothing in a pickle runs, and anything but an array of integers is refused."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomo.errors import FomoError
from streams.desktop.pickled import pickled_array


def pickled(values: Any) -> bytes:
    """A pickle as numpy 1 wrote it: numpy 2 calls one module by another name, which is longer by a byte."""
    return pickle.dumps(values, protocol=4).replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")


class Calls:
    """Runs a function when it is unpickled."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> Any:
        return self._call[0], self._call[1:]


@pytest.mark.parametrize("shape", [(0,), (1,), (256,), (70_000,), (2, 3), (5, 28, 28)])
@pytest.mark.parametrize("kind", ["u1", "<i8"])
def test_the_array_is_the_one_that_was_pickled(shape: tuple[int, ...], kind: str) -> None:
    values = np.random.default_rng(0).integers(200, size=shape).astype(kind)
    found = pickled_array(pickled(values), "any")
    assert found.dtype == values.dtype and np.array_equal(found, values)


def hostile(folder: Path) -> dict[str, bytes]:
    """Pickles that are no arrays of integers; some would make a file."""
    array = pickled(np.arange(6, dtype="u1"))
    made = Calls(os.mkdir, str(folder / "made"))
    inside = np.empty(1, dtype=object)
    inside[0] = made
    tail = array.index(b"C\x06")
    return {
        "a call": pickle.dumps(made, protocol=4),
        "an array of objects that call": pickled(inside),
        "an array and a call after it": array[:-1] + pickle.dumps(made, protocol=4)[2:],
        "a call in place of the bytes": array[:tail] + pickle.dumps(made, protocol=4)[2:-1] + array[tail + 8 :],
        "another module": array.replace(b"numpy.core.multiarray", b"numpy.core.multiarrax"),
        "another name": array.replace(b"_reconstruct", b"_reconstrucu"),
        "numbers of another kind": pickled(np.arange(6, dtype="f8")),
        "columns first": pickled(np.asfortranarray(np.arange(6, dtype="u1").reshape(2, 3))),
        "no array": pickle.dumps([1, 2], protocol=4),
        "too few bytes": array.replace(b"C\x06\x00", b"C\x05"),
        "a shape without end": array.replace(b"K\x01K\x06\x85", b"K\x01J\xff\xff\xff\x7f\x85"),
        "a negative shape": array.replace(b"K\x01K\x06\x85", b"K\x01J\xff\xff\xff\xff\x85"),
        "four dimensions": pickled(np.zeros((1, 1, 1, 1), "u1")),
        "nothing": b"",
        "no pickle": b"\x93NUMPY\x01\x00",
        "endless instructions": b"\x80\x04" + b"N" * 10_000,
        "protocol 2": pickle.dumps(np.arange(6, dtype="u1"), protocol=2),
    }


@pytest.mark.parametrize("what", hostile(Path()))
def test_any_other_pickle_is_refused_and_does_nothing(what: str, tmp_path: Path) -> None:
    data = hostile(tmp_path)[what]
    with pytest.raises(FomoError, match="any: "):
        pickled_array(data, "any")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", range(0, 150, 7))
def test_a_pickle_that_is_cut_off_is_refused(length: int) -> None:
    data = pickled(np.arange(64, dtype="u1"))
    assert length < len(data)
    with pytest.raises(FomoError, match="any: "):
        pickled_array(data[:length], "any")


def test_the_hostile_pickles_would_do_something(tmp_path: Path) -> None:
    pickle.loads(hostile(tmp_path)["a call"])
    assert (tmp_path / "made").is_dir()
