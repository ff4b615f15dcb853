"""What the kit's experiments share: the pocket model, two tasks of drawn images, and their batches."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import torch
from torch import nn
from torch.backends import cudnn

from fomo.batch import Batch
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Config, resolve
from fomo.model.clip import ClipModel
from fomo.stream.definition import StreamNames
from fomo.system import ranks
from fomo.system.determinism import deterministic
from fomo.training.loader import Batches

NUM_TASKS = 2
NUM_STEPS = 3
BATCH_SIZE = 12
LENT = ("images", "tokens", "sources")
"""The tensors of a batch."""
SETTING = (
    "stream.adaptation=[pocket_flags,pocket_solids]",
    "stream.retention=[pocket_counting]",
    "stream.pool_size=500",
    f"num_tasks={NUM_TASKS}",
    f"batch_size={BATCH_SIZE}",
    "budget=gflops",
    "budget.total_gflops=1",
    "runtime.precision=fp32",
)


def config_of(overrides: tuple[str, ...], device: str = "cpu") -> Config:
    """The kit's configuration with overrides, on a device.

    Raises:
        FomoError: torch cannot use the device, or something else is not allowed.
    """
    return resolve(compose([*SETTING, f"runtime.device={device}", *overrides])).config


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """While open, a GPU gives the same bits again, and products in fp32 that are as exact as a CPU's."""
    if torch.device(device).type == "cpu":
        yield
        return
    with deterministic(True), cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


@dataclass(frozen=True)
class World:
    """Model and data of one seed, made once; a trial gets copies."""

    config: Config
    model: ClipModel
    batches: Batches
    num_samples: tuple[int, ...]
    names: StreamNames
    apart: bool = False
    """Whether each batch has the rows of one pool alone."""
    dtype: torch.dtype = torch.float32
    """Of the images and of the model's weights."""
    _passes: dict[tuple[int, int, int | None], list[Batch]] = field(default_factory=dict)

    @cached_property
    def of_task(self) -> tuple[list[Batch], ...]:
        """The batches of the two tasks."""
        made = [list(self.batches.of_task(number, NUM_STEPS)) for number in range(1, NUM_TASKS + 1)]
        apart = [[one_pool(each, step) for step, each in enumerate(of)] if self.apart else of for of in made]
        return tuple([self._typed(each) for each in of] for of in apart)

    def _typed(self, batch: Batch) -> Batch:
        return replace(batch, images=batch.images.to(self.dtype))

    def in_double(self) -> "World":
        """The same in fp64, where rounding is no excuse."""
        network = copy.deepcopy(self.model.network).double()
        return replace(self, model=replace(self.model, network=network), dtype=torch.float64, _passes={})

    def once(self, task: int, size: int, max_samples: int | None = None) -> list[Batch]:
        """D_t once."""
        key = (task, size, max_samples)
        if key not in self._passes:
            self._passes[key] = list(map(self._typed, self.batches.once(*key)))
        return self._passes[key]


def one_pool(batch: Batch, pool: int) -> Batch:
    """The rows of P (0), D_t (1) or B (2) alone; those of D_t where the pool has none."""
    pool = pool if batch.counts[pool] else 1
    start = sum(batch.counts[:pool])
    rows = slice(start, start + batch.counts[pool])
    p, d, b = (count if number == pool else 0 for number, count in enumerate(batch.counts))
    cut = {name: getattr(batch, name)[rows] for name in LENT}
    return replace(batch, counts=(p, d, b), whole=(p, d, b), **cut)


def own_rows(batch: Batch) -> Batch:
    """Those that this process has of a whole batch, where it is a rank of several."""
    here = ranks.world()
    if here.size == 1:
        return batch
    p, d, b = here.share(batch.counts)
    cut = {name: getattr(batch, name)[here.rows(batch.num_rows)] for name in LENT}
    return replace(batch, counts=(p, d, b), whole=batch.counts, cut=None, **cut)


@cache
def world(overrides: tuple[str, ...] = (), seed: int = 0, device: str = "cpu") -> World:
    """The world of a model, which ``overrides`` choose, and of a seed, on a device."""
    config = config_of((*overrides, f"seed={seed}"), device)
    model = factory.model(config)
    pools = factory.pools(config, factory.stream(config))
    maker = factory.batch_maker(config, model, pools, (NUM_STEPS,) * NUM_TASKS)
    return World(config, model, Batches(maker, model, config.runtime), tuple(pools.update_sizes), pools.names)


class Lender:
    """Lends copies of batches, and tells whether one of them was altered."""

    def __init__(self) -> None:
        self._lent: list[tuple[Batch, Batch]] = []

    def lend(self, batch: Batch) -> Batch:
        """A copy."""
        copy = replace(batch, **{name: getattr(batch, name).clone() for name in LENT})
        self._lent.append((batch, copy))
        return copy

    def altered(self) -> list[str]:
        """Which tensors of what was lent are not as they were; all is taken back."""
        pairs, self._lent = self._lent, []
        return [
            name
            for name in LENT
            if any(not torch.equal(getattr(one, name), getattr(other, name)) for one, other in pairs)
        ]


def trained_names(network: nn.Module) -> set[str]:
    """Plain names of the tensors that training moves; with adapters, of the tensors that they adapt."""
    names = (name for name, parameter in network.named_parameters() if parameter.requires_grad)
    return {plain_name(name) for name in names}


def plain_name(name: str) -> str:
    """``a.parametrizations.weight.0.b`` is part of ``a.weight``."""
    before, mark, after = name.partition("parametrizations.")
    return before + after.split(".")[0] if mark else name
