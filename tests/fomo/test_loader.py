"""Batches are a pure function of (seed, task, step)."""

import pytest
import torch
from torch import Tensor

from fomo.data.pools import POOLS
from fomo.loader import Batches, BatchMaker
from fomo.method import Batch
from fomo.runtime import Runtime
from tests import tiny


def all_batches(num_workers: int) -> list[tuple[Tensor, Tensor]]:
    prepared = tiny.prepared()
    batches = Batches(prepared.maker, prepared.model, Runtime("cpu", num_workers=num_workers))
    return [(b.images, b.tokens) for task in (1, 2) for b in batches.of_task(task, 3)]


@pytest.mark.parametrize("num_workers", [1, 4])
def test_workers_change_nothing(num_workers: int) -> None:
    for alone, worked in zip(all_batches(0), all_batches(num_workers), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone, worked, strict=True))


def test_a_batch_does_not_depend_on_what_was_made_before() -> None:
    fresh, used = tiny.prepared().maker, tiny.prepared().maker
    for key in ((1, 0), (2, 1), (1, 2)):
        used[key]
    assert torch.equal(fresh[2, 2].images, used[2, 2].images)
    assert torch.equal(fresh[2, 2].tokens, used[2, 2].tokens)


def test_batches_differ_by_task_step_and_seed() -> None:
    maker, other = tiny.prepared("seed=0").maker, tiny.prepared("seed=1").maker
    images = [made[key].images for made, key in ((maker, (1, 0)), (maker, (1, 1)), (maker, (2, 0)), (other, (1, 0)))]
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[i + 1 :])


def test_rows_come_from_their_pools_in_exact_counts() -> None:
    maker = tiny.prepared("batch_size=10").maker
    assert maker[1, 0].counts == (5, 5, 0) and maker[2, 0].counts == (4, 3, 3)
    assert maker[2, 0].images.shape == (10, 3, 32, 32) and maker[2, 0].images.dtype == torch.uint8


def test_the_buffer_is_what_earlier_tasks_learned_from() -> None:
    pools = tiny.prepared().maker.pools
    first, second = pools.of_task(1), pools.of_task(2)
    assert len(first["buffer"]) == 0 and len(second["buffer"]) == len(first["update"])
    assert list(first) == list(POOLS)
    texts = {second["buffer"].captions(i)[0] for i in range(len(second["buffer"]))}
    assert texts == {first["update"].captions(i)[0] for i in range(len(first["update"]))}


def test_update_pools_hold_the_training_samples_of_their_concepts_alone() -> None:
    prepared = tiny.prepared()
    for number, concepts in enumerate(prepared.stream.tasks, start=1):
        pool = prepared.maker.pools.of_task(number)["update"]
        assert len(pool) == 60 * len(concepts)
        names = {concept.name for concept in concepts}
        for index in range(0, len(pool), 17):
            assert any(name in pool.captions(index)[0] for name in names)


def test_maker_refuses_nothing_silently() -> None:
    maker = tiny.prepared().maker
    assert isinstance(maker, BatchMaker)
    with pytest.raises(IndexError):
        maker[3, 0]


def once(num_workers: int, size: int, task: int = 2) -> list[Batch]:
    prepared = tiny.prepared()
    batches = Batches(prepared.maker, prepared.model, Runtime("cpu", num_workers=num_workers))
    made = list(batches.once(task, size))
    assert sum(len(batch.images) for batch in made) == batches.num_update_samples(task)
    return made


def test_a_pass_over_the_new_data_has_each_sample_once() -> None:
    pools = tiny.prepared().maker.pools
    size = len(pools.updates[1]) // 3 - 1
    made = once(0, size)
    assert [len(batch.images) for batch in made] == [size] * 3 + [len(pools.updates[1]) - 3 * size]
    assert all(batch.counts == (0, len(batch.images), 0) for batch in made)
    tokenize = tiny.prepared().model.tokenize
    rows = {tuple(tokenize([text])[0].tolist()) for i in range(len(pools.updates[1]))
            for text in pools.updates[1].captions(i)}  # fmt: skip
    assert {tuple(row.tolist()) for batch in made for row in batch.tokens} <= rows
    # no two samples of the pocket are drawn alike, so equal pictures would be one sample seen twice
    pictures = torch.cat([batch.images for batch in made]).flatten(1)
    assert len(pictures.unique(dim=0)) == len(pictures)


@pytest.mark.parametrize("limit", [1, 50, 70, 10**9])
def test_a_pass_over_some_of_the_new_data_is_the_start_of_the_whole(limit: int) -> None:
    prepared = tiny.prepared()
    batches = Batches(prepared.maker, prepared.model, Runtime("cpu"))
    whole, some = (torch.cat([b.images for b in batches.once(2, 50, cap)]) for cap in (None, limit))
    assert torch.equal(some, whole[:limit])


def test_a_pass_over_the_new_data_is_shuffled_and_the_same_for_any_worker() -> None:
    for alone, worked in zip(once(0, 50), once(2, 50), strict=True):
        assert torch.equal(alone.images, worked.images) and torch.equal(alone.tokens, worked.tokens)
    assert not torch.equal(once(0, 50, task=1)[0].images, once(0, 50)[0].images)
    first = once(0, 50)[0].tokens
    assert len(first.unique(dim=0)) > 2  # in the pool, the samples of a class stand side by side
