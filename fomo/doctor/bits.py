"""Work that is repeated and has to give the same bits each time: a core or a memory that fails may say nothing else."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fomo.batch import Batch
from fomo.doctor.facts import Repeated
from fomo.model.shipped import pocket
from fomo.system.determinism import deterministic
from fomo.system.runtime import PRECISIONS, Runtime
from fomo.training.step import contrastive

LEAST_TIMES = 3
"""Whatever the seconds."""
MODEL = "pocket"
ROWS = 32
SIDE = {"cpu": 512, "cuda": 4096}
"""Of the matrices, by kind of device."""
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers by size in bytes."""
Work = Callable[[], Sequence[Tensor]]


def repeated_work(runtime: Runtime, seconds: float) -> tuple[Repeated, ...]:
    """Repeat a matrix product, and a training step of a shipped model, for half of the ``seconds`` each."""
    works = {"matrix product": _product, "training step": _training_step}
    with deterministic(True):
        return tuple(repeated(what, make, runtime, seconds / len(works)) for what, make in works.items())


def repeated(what: str, make: Callable[[Runtime], Work], runtime: Runtime, seconds: float) -> Repeated:
    """Do the work for so many ``seconds`` and compare all bits with those of the first time."""
    times = 0
    differing = 0
    end = time.monotonic() + seconds
    try:
        work = make(runtime)
        first = [tensor.clone() for tensor in work()]
        while times < LEAST_TIMES or time.monotonic() < end:
            differing += any(not same_bits(*pair) for pair in zip(first, work(), strict=True))
            times += 1
    except (RuntimeError, torch.OutOfMemoryError) as error:
        return Repeated(what, times, differing, str(error).splitlines()[0])
    return Repeated(what, times, differing)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of floating-point numbers have the same bits: NaNs can, zeros of two signs do not."""
    kind = BITS[one.element_size()]
    return torch.equal(one.view(kind), other.view(kind))


def _product(runtime: Runtime) -> Work:
    """A square matrix product in the job's precision."""
    side = SIDE.get(torch.device(runtime.device).type, SIDE["cpu"])
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(side, side, generator=generator).to(runtime.device, PRECISIONS[runtime.precision]) for _ in range(2)
    )
    return lambda: [torch.matmul(left, right)]


def _training_step(runtime: Runtime) -> Work:
    """A step of AdamW from the same weights on the same batch; its loss and the weights after it."""
    model = pocket(MODEL)
    network = model.network.to(runtime.device)
    begin = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    side = model.image_size
    images = torch.randint(256, (ROWS, 3, side, side), generator=generator, dtype=torch.uint8)
    tokens = torch.randint(1, 400, (ROWS, network.context_length), generator=generator)
    batch = Batch(model.normalize(images.to(runtime.device)), tokens.to(runtime.device), (ROWS, 0, 0))

    def step() -> list[Tensor]:
        network.load_state_dict(begin)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        with runtime.autocast():
            loss = contrastive(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return [loss.detach(), *(parameter.detach() for parameter in network.parameters())]

    return step
