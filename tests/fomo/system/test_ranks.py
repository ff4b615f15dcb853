"""Several processes exchange rows, means and words as one would have them."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import fomo
from fomo.errors import FomoError
from fomo.running import same
from fomo.system import joining, ranks, shared_rows
from fomo.system.ranks import World
from fomo.testing.processes import on_ranks
from tests import tiny
from tests.fomo.helpers import put

ROWS = torch.arange(14.0, dtype=torch.float64).reshape(7, 2)
WEIGHTS = torch.linspace(1, 2, 14, dtype=torch.float64).reshape(7, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("counts", [(7, 0, 0), (3, 4, 0), (2, 1, 4), (0, 0, 5), (1, 1, 1)])
def test_ranks_share_every_row_of_every_pool_once(size: int, counts: tuple[int, int, int]) -> None:
    pool_of = [pool for pool, count in enumerate(counts) for _ in range(count)]
    for rank in range(size):
        own = pool_of[World(rank, size).rows(len(pool_of))]
        assert World(rank, size).share(counts) == tuple(own.count(pool) for pool in range(3))
    assert sorted(row for rank in range(size) for row in range(7)[World(rank, size).rows(7)]) == list(range(7))


def _gathered() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All rows, the first four of them, and the gradient of this rank's rows, with and without knowing how many."""
    here = ranks.world()
    own = ROWS[here.rows(7)].clone().requires_grad_()
    rows = shared_rows.gathered(own, 7)
    (rows * WEIGHTS).square().sum().backward()
    first = shared_rows.gathered(ROWS[:4][here.rows(4)])
    again = own.grad.clone()
    own.grad = None
    (shared_rows.gathered(own) * WEIGHTS).square().sum().backward()
    assert torch.equal(again, own.grad)
    return rows.detach(), first, again, ROWS[here.rows(7)] * WEIGHTS[here.rows(7)].square() * 2


@pytest.mark.parametrize("size", [2, 3])
def test_rows_come_in_the_order_of_the_batch_and_gradients_are_summed(size: int) -> None:
    for rows, first, gradient, by_hand in on_ranks(size, _gathered):
        assert torch.equal(rows, ROWS) and torch.equal(first, ROWS[:4])
        assert torch.allclose(gradient, size * by_hand, rtol=1e-15)  # whose mean over the ranks is that of the batch


def _rehearsed() -> tuple[list[int], list[int]]:
    """Shapes of what is gathered of fake rows, and of the gradient; nothing is exchanged."""
    here = ranks.world()
    counts = (3, 4, 0)
    own = here.share(counts)
    with FakeTensorMode() as fake, shared_rows.rehearsing(counts):
        rows = fake.from_tensor(torch.zeros(sum(own), 5)).requires_grad_()
        shared_rows.gathered(rows).sum().backward()
        found = [*shared_rows.gathered(rows).shape, *shared_rows.gathered(rows[: own[0]]).shape]
        return found, list(rows.grad.shape)


def test_a_rehearsal_knows_how_many_rows_there_are() -> None:
    (found, of_first), (again, of_second) = on_ranks(2, _rehearsed)
    assert found == again == [7, 5, 3, 5] and of_first == [4, 5] and of_second == [3, 5]


def _unsaid() -> str:
    """Of three rows of P and one of D, the second of two ranks has as many up to the end of either."""
    with FakeTensorMode() as fake, shared_rows.rehearsing((4, 1, 3)):
        rows = fake.from_tensor(torch.zeros(2, 5))
        assert shared_rows.gathered(rows, 4).shape == (4, 5)
        try:
            return f"{len(shared_rows.gathered(rows))} rows"
        except FomoError as error:
            return str(error)


def test_a_rehearsal_does_not_guess_how_many_rows_there_are() -> None:
    first, second = on_ranks(2, _unsaid)
    assert first == "4 rows" and "2 rows of this one do not say how many all have: give num_rows" in second


def _means() -> list[list[float]]:
    rank = ranks.world().rank
    spread = torch.tensor([1.0 + rank]).expand(3)
    return [each.tolist() for each in shared_rows.averaged([spread, torch.arange(6.0).reshape(2, 3).T * rank])]


def test_means_are_those_of_tensors_of_any_form() -> None:
    assert on_ranks(2, _means) == [[[1.5, 1.5, 1.5], [[0, 1.5], [0.5, 2], [1, 2.5]]]] * 2


def _exchanges() -> tuple[object, ...]:
    here = ranks.world()
    mean = shared_rows.averaged([torch.full((3,), float(here.rank)).T, torch.full((2, 2), 2.0 * here.rank)])
    turns = [each.tolist() for each in shared_rows.in_turn(4, lambda number: torch.full((number + 1,), 10 * number))]
    with ranks.alone():
        alone = ranks.world()
    return (
        ranks.exchanged(f"rank {here.rank}"),
        ranks.from_first(lambda: here.rank),
        ranks.largest_of([here.rank, -here.rank]),
        [each.tolist() for each in mean],
        turns,
        alone,
    )


def test_what_is_exchanged_is_the_same_everywhere() -> None:
    expected = (
        ["rank 0", "rank 1", "rank 2"],
        0,
        [2, 0],
        [[1, 1, 1], [[2, 2], [2, 2]]],
        [[0], [10, 10], [20, 20, 20], [30, 30, 30, 30]],
        World(),
    )
    assert on_ranks(3, _exchanges) == [expected] * 3


def test_a_process_of_its_own_exchanges_with_nobody() -> None:
    assert shared_rows.gathered(ROWS) is ROWS and ranks.exchanged("a") == ["a"]
    assert ranks.from_first(lambda: 5) == 5 and ranks.is_first() and ranks.world() == (0, 1)
    ranks.check_same({"the loss": 1.0}, "")


def _fails_on_the_second() -> None:
    with ranks.together("it prepares"):
        if ranks.world().rank == 1:
            raise FomoError("birds: no such file.")
        ranks.exchanged("what the others wait for")


def test_an_error_of_one_ends_all_and_is_the_one_that_is_told() -> None:
    with pytest.raises(FomoError, match=r"^birds: no such file\.$"):
        on_ranks(3, _fails_on_the_second)


def _writes_alone(folder: Path) -> None:
    if ranks.is_first():
        with fomo.file_beside(folder / "kept.txt") as scratch:
            scratch.write_text("kept")
    ranks.exchanged({"bias": 1})


def test_what_one_rank_does_alone_is_said(tmp_path: Path) -> None:
    said = r"ranks 0 and 1 do not do the same: one of them is where it writes .*kept\.txt\. Whatever a part"
    with pytest.raises(FomoError, match=said):
        on_ranks(2, partial(_writes_alone, tmp_path))


def _dies() -> list[int]:
    if ranks.world().rank == 1:
        raise RuntimeError("the process ends")
    return ranks.exchanged(1)


def test_a_rank_that_goes_is_not_waited_for() -> None:
    with pytest.raises(FomoError, match="the process ends"):
        on_ranks(2, _dies)


def _differs() -> None:
    ranks.check_same({"the loss": 2.0, "the loss after part": 1.0 + ranks.world().rank}, "who computes so?")


def test_numbers_that_differ_are_named() -> None:
    with pytest.raises(FomoError, match=r"the loss after part is 1\.0 on rank 0 and 2\.0 on rank 1: who computes so\?"):
        on_ranks(2, _differs)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "5", "LOCAL_RANK": "2", "WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert re.search("number 2 on .*, which has 2 GPUs: give --nproc-per-node=2", joining._take_gpu())


@pytest.mark.parametrize(("visible", "taken"), [(None, "1"), ("4,7", "7"), ("GPU-a,GPU-b", "GPU-b")])
def test_each_process_has_the_gpu_of_its_number(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, taken: str
) -> None:
    import os

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert joining._take_gpu() == ""
    assert os.environ["CUDA_VISIBLE_DEVICES"] == taken


def test_a_rank_without_a_gpu_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(FomoError, match=r"this is number 2 on .*, which has 2 GPUs"):
        on_ranks(3, ranks.world)


def _shares_a_gpu() -> None:
    torch.cuda.is_available = lambda: True
    torch.cuda.get_device_properties = lambda device: SimpleNamespace(uuid="GPU-1")  # type: ignore[assignment]
    joining._check_gpus()


def test_two_ranks_on_one_gpu_are_refused() -> None:
    with pytest.raises(FomoError, match=r"ranks 0 and 1 have the same GPU of .*: give --nproc-per-node no more"):
        on_ranks(2, _shares_a_gpu)


def test_ranks_with_other_code_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "fomo" / "version.py", "")
    resolved = tiny.resolved()

    def compare() -> None:
        if ranks.world().rank == 1:
            same.version = SimpleNamespace(__file__=str(tmp_path / "fomo" / "version.py"))  # type: ignore[assignment]
        same.check_same_jobs([resolved])

    with pytest.raises(FomoError, match=r"^rank 1 is not about to run what rank 0 is .sources: "):
        on_ranks(2, compare)
