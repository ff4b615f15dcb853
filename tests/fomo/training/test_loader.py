"""Batches are a pure function of (seed, task, step)."""

import json
import pickle
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from fomo.batch import Batch
from fomo.cli import main
from fomo.running.prepared import Prepared
from fomo.running.run import execute
from fomo.stream.batches import BatchMaker
from fomo.stream.pools import POOLS, Pool
from fomo.system.runtime import Runtime
from fomo.training.loader import Batches
from tests import tiny
from tests.fomo import tars
from tests.fomo.data.test_tar_samples import Content
from tests.fomo.helpers import encoded, picture, put
from tests.fomo.stream.test_pools import texts


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mine``, a dataset in indexed shards, and ``a.tar`` and ``b.tar`` made elsewhere, with one broken picture."""
    root = tmp_path_factory.mktemp("data")
    for number in range(40):
        put(root / "tree" / f"kind {number % 4}" / f"{number}.png", picture(number, (40, 36)))
    main(["data", "import", "folder", str(root / "tree"), "--name", "mine", "--out", str(root), "--workers=1"])
    pairs: dict[str, list[Content]] = {"a": [], "b": [("bad.png", b"x"), ("bad.txt", b"x")]}
    for number in range(30):
        pairs["ab"[number % 2]] += [(f"{number}.png", encoded(picture(number))), (f"{number}.txt", b"text %d" % number)]
    for name, members in pairs.items():
        tars.tar(root / f"{name}.tar", members)
    return root


KINDS_OF_RUN = {
    "mixed": [],
    "unmixed": ["mixture.batches=unmixed"],
    "indexed": ["stream.root={data}", "stream.adaptation=[mine,pocket_solids]", "stream.pool=[mine]"],
    "sequential": ["stream.pool=['{data}/[a,b].tar']", "stream.pool_window=7"],
    "capped": ["buffer.capacity=20", "buffer.policy=class_balanced", "mixture.batches=unmixed"],
}


def prepared_as(kind: str, data: Path) -> Prepared:
    texts = [text.replace("{data}", str(data)).replace("[a,b]", "{a,b}") for text in KINDS_OF_RUN[kind]]
    return tiny.prepared(*texts)


def all_batches(prepared: Prepared, num_workers: int, device: str = "cpu") -> list[Batch]:
    batches = Batches(prepared.maker, prepared.model, Runtime(device, num_workers=num_workers))
    return [batch for task in (1, 2) for batch in batches.of_task(task, 3)]


@pytest.mark.parametrize("kind", KINDS_OF_RUN)
def test_workers_change_nothing(kind: str, data: Path) -> None:
    prepared = prepared_as(kind, data)
    alone = all_batches(prepared, 0)
    for num_workers in (1, 4):
        for one, other in zip(alone, all_batches(prepared, num_workers), strict=True):
            assert torch.equal(one.images, other.images) and torch.equal(one.tokens, other.tokens)
            assert torch.equal(one.sources, other.sources) and one.counts == other.counts


@pytest.mark.gpu
def test_copies_from_pinned_memory_change_nothing(data: Path) -> None:
    prepared = prepared_as("mixed", data)
    alone, copied = (all_batches(prepared, num_workers, "cuda") for num_workers in (0, 2))
    for one, other in zip(alone, copied, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.sources, other.sources) and one.images.device.type == "cuda"


@pytest.mark.parametrize("kind", KINDS_OF_RUN)
def test_a_batch_is_the_same_whatever_was_made_before_it(kind: str, data: Path) -> None:
    prepared = prepared_as(kind, data)
    used = prepared.maker
    keys = [(task, step) for task in (2, 1) for step in (2, 0, 1)]
    made = {key: used[key] for key in keys}
    fresh = replace(used, pools=pickle.loads(pickle.dumps(used.pools)))
    for key in reversed(keys):
        again = fresh[key]
        assert torch.equal(again.images, made[key].images) and torch.equal(again.tokens, made[key].tokens)


def test_unmixed_batches_come_from_one_pool_each(data: Path) -> None:
    prepared = prepared_as("unmixed", data)
    batches = Batches(prepared.maker, prepared.model, Runtime("cpu"))
    counts = [batch.counts for task in (1, 2) for batch in batches.of_task(task, 3)]
    assert all(sorted(each) == [0, 0, 24] for each in counts)
    assert tuple(map(sum, zip(*counts[3:], strict=True))) == prepared.maker.mixture.totals(2)


def test_what_is_left_out_is_logged_once(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepared_as("sequential", data)
    batches = Batches(prepared.maker, prepared.model, Runtime("cpu", num_workers=2))
    for task in (1, 2):
        list(batches.of_task(task, 3))
    assert [each.reason for each in batches.skipped] == ["broken"]
    (line,) = caplog.messages
    assert "1 × broken" in line and "b.tar: bad" in line


def test_what_is_made_ahead_of_a_task_is_not_counted_before_it(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepared_as("sequential", data)
    alone = Batches(prepared.maker, prepared.model, Runtime("cpu"))
    ahead = Batches(prepared.maker, prepared.model, Runtime("cpu", num_workers=2))
    with ahead.announced([(task, step) for task in (1, 2) for step in range(3)]):
        for task in (1, 2):
            for one, other in zip(alone.of_task(task, 3), ahead.of_task(task, 3), strict=True):
                assert torch.equal(one.images, other.images) and torch.equal(one.sources, other.sources)
                assert alone.state_dict() == ahead.state_dict()
            assert caplog.messages[::2] == caplog.messages[1::2]
    assert ahead.left_out == {"broken": 1} and caplog.messages


def test_workers_are_started_once_a_run() -> None:
    prepared = tiny.prepared()
    batches = Batches(prepared.maker, prepared.model, Runtime("cpu", num_workers=1))
    before = set(active_children())
    seen = []
    with batches.announced([(task, step) for task in (1, 2) for step in range(3)]):
        of_steps = set(active_children()) - before
        for task in (1, 2):
            list(batches.of_task(task, 3))
            list(batches.once(task, 50))
            seen.append(set(active_children()) - before)
        passes = [batches.once(2, 50) for _ in range(2)]
        for one, other in zip(*passes, strict=True):  # two at a time
            assert torch.equal(one.images, other.images)
        left = batches.once(2, 50)
        next(left)
    assert len(of_steps) == 1 and len(seen[0]) == 2 and seen[0] == seen[1] > of_steps
    assert set(active_children()) == before


def test_the_results_count_what_was_left_out(data: Path, tmp_path: Path) -> None:
    execute(prepared_as("sequential", data), tmp_path / "run", tiny.Silent())
    assert json.loads((tmp_path / "run" / "card.json").read_text())["left_out"] == {"broken": 1}


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
    assert first["buffer"].size == 0 and second["buffer"].size == first["update"].size
    assert list(first) == list(POOLS)
    assert texts(second["buffer"]) == texts(first["update"])


def test_update_pools_hold_the_training_samples_of_their_concepts_alone() -> None:
    prepared = tiny.prepared()
    for number, concepts in enumerate(prepared.stream.tasks, start=1):
        pool = prepared.maker.pools.of_task(number)["update"]
        assert isinstance(pool, Pool)
        assert len(pool) == 60 * len(concepts)
        names = {concept.name for concept in concepts}
        for index in range(0, len(pool), 17):
            assert any(name in pool.draw(index).captions[0] for name in names)


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
            for text in pools.updates[1].draw(i).captions}  # fmt: skip
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


@pytest.mark.parametrize("kind", KINDS_OF_RUN)
def test_a_batch_says_where_its_rows_are_from(kind: str, data: Path) -> None:
    prepared = prepared_as(kind, data)
    names = prepared.maker.pools.names
    for task, batch in zip((1, 1, 1, 2, 2, 2), all_batches(prepared, 0), strict=True):
        p, d, _ = batch.counts
        assert batch.sources.dtype == torch.int64 and (batch.sources[:p, :2] == -1).all()
        assert (batch.tasks[p : p + d] == task).all() and (batch.tasks[p + d :] == 1).all()
        for label, of_task, dataset, sample in batch.sources[p:].tolist():
            concept = names.until(task)[label]
            split = prepared.stream.adaptation[concept.dataset].split("train")
            assert names.datasets[dataset] == concept.dataset and concept in prepared.stream.tasks[of_task - 1]
            assert prepared.stream.adaptation[concept.dataset].card.classes[split.targets[sample]] == concept.name


def test_a_sample_of_the_pool_has_one_name_wherever_it_comes_again(data: Path) -> None:
    shards = prepared_as("sequential", data).maker.pools
    seen: dict[bytes, tuple[int, ...]] = {}
    for position in range(70):  # more than two passes
        drawn = shards.pretraining.draw(position)
        assert seen.setdefault(drawn.image.tobytes(), drawn.source) == drawn.source
    assert len(seen) == len(set(seen.values())) == 30
    assert shards.names.datasets[drawn.source.dataset] == "pretraining"
    indexed = prepared_as("indexed", data).maker.pools
    source = indexed.pretraining.draw(7).source
    assert indexed.names.datasets[source.dataset] == "mine" and source == (-1, -1, source.dataset, 7)


def test_a_pass_over_the_new_data_names_every_sample_once() -> None:
    made = torch.cat([batch.sources for batch in once(0, 50)])
    assert len(made[:, 2:].unique(dim=0)) == len(made) and (made[:, 1] == 2).all() and (made[:, 0] >= 0).all()
