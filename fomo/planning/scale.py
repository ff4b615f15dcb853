"""What a run takes on several devices, estimated by closed forms from what is counted; nothing here is measured.

Every formula, with its symbols, is in docs/scale.md. Bytes are those that each device sends.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from fomo.budget.cost import Sizes
from fomo.checkpoint.writer import KEPT
from fomo.results.ledger import GIGA

FP32 = 4
"""Bytes of a number in gradients and in gathered features, whatever precision is computed in."""
BUCKET = 25 * 2**20
"""Bytes of the gradients that DDP sends at once; torch's default."""
GIB = 2**30
HOUR = 3600.0


class Assumed(NamedTuple):
    """A number that an estimate rests on, and where it is from."""

    value: float
    source: str


class Rate(NamedTuple):
    """FLOP/s that a device reaches: ``mfu`` of its ``peak``; ``None``: what is reached is what was measured."""

    peak: Assumed
    mfu: Assumed | None = None

    @property
    def flops_per_second(self) -> float:
        """What is reached."""
        return self.peak.value * (self.mfu.value if self.mfu else 1.0)


@dataclass(frozen=True)
class Cluster:
    """Equal devices.

    Args:
        devices: How many.
        device: The name of one.
        bandwidth: Bytes that a device sends per second, while it receives as many.
        image_bytes: Of an image file, on average.
        weight_bytes: Of a number in the weights that FSDP2 gathers.
    """

    devices: int
    device: str
    bandwidth: Assumed
    image_bytes: Assumed
    weight_bytes: int = 2


class Scored(NamedTuple):
    """What an evaluation encodes: images and texts, and the FLOPs of one of each."""

    num_images: int
    num_texts: int
    image_flops: float
    text_flops: float
    absent: int = 0
    """Datasets that are not here, and not in these numbers."""
    num_evaluations: int | None = None
    """Of the run; ``None``: before the first and after each of the tasks, in full."""
    run_images: int | None = None
    """Of all evaluations of the run together; ``None``: all images each time."""

    def flops(self, num_tasks: int) -> float:
        """Of all evaluations of a run."""
        times = num_tasks + 1 if self.num_evaluations is None else self.num_evaluations
        images = times * self.num_images if self.run_images is None else self.run_images
        return images * self.image_flops + times * self.num_texts * self.text_flops


@dataclass(frozen=True)
class Work:
    """What a configuration asks for, as it is counted.

    Args:
        step_flops: Of an optimizer step on the whole batch.
        forward_flops: Of these, those of both towers' forward pass and the loss.
        backward_flops: Of these, those of the backward pass.
        run_flops: Of all tasks' steps and hooks; ``None``: the budget is in seconds.
        run_seconds: Of the training, where the budget is in seconds.
        num_steps: Of the run.
        num_tasks: Of the run.
        batch_size: Rows of a batch, the run's first.
        micro_batch: Rows that are encoded at once; ``None``: all.
        grad_checkpointing: Whether the forward pass is computed again in the backward pass.
        strategy: ``ddp`` or ``fsdp``.
        sizes: Of network, gradients and optimizer.
        blocks: Residual blocks of both towers.
        embed_dim: Width of features.
        state_bytes: Of network, optimizer and parts: a checkpoint.
        weights_bytes: Of the model's weights alone, as a file.
        keeps_experts: Whether a merge keeps every task's weights.
        keeps_weights: Whether the run keeps those that are deployed after every task.
        scored: What an evaluation encodes.
    """

    step_flops: float
    forward_flops: float
    backward_flops: float
    run_flops: float | None
    run_seconds: float | None
    num_steps: int
    num_tasks: int
    batch_size: int
    micro_batch: int | None
    grad_checkpointing: bool
    strategy: str
    sizes: Sizes
    blocks: int
    embed_dim: int
    state_bytes: int
    weights_bytes: int
    keeps_experts: bool
    scored: Scored
    keeps_weights: bool = False


class Exchange(NamedTuple):
    """What a device sends in a step, of which ``overlapped`` is the share that is hidden by computation."""

    bytes_per_step: float
    seconds: float
    overlapped: float

    @property
    def exposed(self) -> float:
        """Seconds that the step waits for it."""
        return self.seconds * (1 - self.overlapped)


NOTHING = Exchange(0.0, 0.0, 0.0)


class Step(NamedTuple):
    """A step: seconds of computation, and of the parts of it that hide what is exchanged."""

    compute: float
    backward: float
    ddp: Exchange
    fsdp: Exchange
    features: Exchange

    def seconds(self, strategy: str) -> float:
        """All of it."""
        return self.compute + self.waits(strategy)

    def waits(self, strategy: str) -> float:
        """Of these, what it waits for others."""
        return (self.fsdp if strategy == "fsdp" else self.ddp).exposed + self.features.exposed


def rows_per_device(work: Work, cluster: Cluster) -> int:
    """Of a batch, on the device that has most."""
    return -(-work.batch_size // cluster.devices)


def step(work: Work, cluster: Cluster, rate: Rate) -> Step:
    """A step on a cluster."""
    rows = rows_per_device(work, cluster)
    share = rows / work.batch_size / rate.flops_per_second
    again = _times_again(work, rows) * work.forward_flops
    compute = (work.step_flops + again) * share
    backward = (work.backward_flops + work.grad_checkpointing * work.forward_flops) * share
    return Step(
        compute,
        backward,
        ddp_exchange(work, cluster, 0.0 if _is_in_pieces(work, rows) else backward),
        fsdp_exchange(work, cluster, compute),
        features_exchange(work, cluster),
    )


def _is_in_pieces(work: Work, rows: int) -> bool:
    return work.micro_batch is not None and work.micro_batch < rows


def _times_again(work: Work, rows: int) -> int:
    """How often the forward pass is computed beyond the first time."""
    return work.grad_checkpointing + _is_in_pieces(work, rows)


def ddp_exchange(work: Work, cluster: Cluster, hiding: float) -> Exchange:
    """The ring all-reduce of the gradients of what is trained, beside ``hiding`` seconds of the backward pass."""
    ring = 2 * (cluster.devices - 1) / cluster.devices
    gradients = FP32 * work.sizes.trained
    return _exchange(ring * gradients, ring * min(gradients, BUCKET), hiding, cluster)


def fsdp_exchange(work: Work, cluster: Cluster, hiding: float) -> Exchange:
    """All-gathers of weights, and one reduce-scatter of gradients, block by block, beside ``hiding`` seconds."""
    if not work.step_flops:
        return NOTHING
    others = (cluster.devices - 1) / cluster.devices
    rows = rows_per_device(work, cluster)
    pieces = -(-rows // work.micro_batch) if work.micro_batch and _is_in_pieces(work, rows) else 1
    weights = cluster.weight_bytes * work.sizes.parameters
    gathers = 2 if pieces == 1 else 3 * pieces
    gradients = FP32 * work.sizes.trained
    edges = (weights + gradients) / (work.blocks + 1)
    return _exchange(others * (gathers * weights + gradients), others * edges, hiding, cluster)


def features_exchange(work: Work, cluster: Cluster) -> Exchange:
    """The features of the others' rows, and the ring all-reduce of the gradients of all: nothing hides them."""
    if not work.step_flops:
        return NOTHING
    row = 2 * work.embed_dim * FP32
    others = cluster.devices - 1
    there = others * rows_per_device(work, cluster) * row
    back = 2 * others / cluster.devices * work.batch_size * row
    return _exchange(there + back, there + back, 0.0, cluster)


def _exchange(num_bytes: float, last: float, hiding: float, cluster: Cluster) -> Exchange:
    """An exchange of which ``last`` bytes come when nothing is left to hide them."""
    seconds = num_bytes / cluster.bandwidth.value
    exposed = min(seconds, max(seconds - hiding, last / cluster.bandwidth.value))
    return Exchange(num_bytes, seconds, 1 - exposed / seconds if seconds else 0.0)


def training_seconds(work: Work, cluster: Cluster, rate: Rate) -> float:
    """Of all tasks, hooks included."""
    if work.run_flops is None:
        return work.run_seconds or 0.0
    rows = rows_per_device(work, cluster)
    again = work.num_steps * _times_again(work, rows) * work.forward_flops
    computed = (work.run_flops + again) * rows / work.batch_size / rate.flops_per_second
    return computed + work.num_steps * step(work, cluster, rate).waits(work.strategy)


def estimates(work: Work, cluster: Cluster, rate: Rate) -> dict[str, Any]:
    """Everything about a configuration, as plain values with their units in their names."""
    of_step = step(work, cluster, rate)
    seconds = of_step.seconds(work.strategy) if work.step_flops else None
    training = training_seconds(work, cluster, rate)
    evaluation = work.scored.flops(work.num_tasks) / rate.flops_per_second / cluster.devices
    images = work.batch_size / seconds if seconds else 0.0
    return {
        "devices": cluster.devices,
        "device": cluster.device,
        "assumed": {
            "peak_teraflops": _sourced(rate.peak, 1e12),
            **({"mfu": _sourced(rate.mfu)} if rate.mfu else {}),
            "bandwidth_gb_per_second": _sourced(cluster.bandwidth, GIGA),
            "image_kb": _sourced(cluster.image_bytes, 1000),
        },
        "flops_per_second": rate.flops_per_second,
        "rows_per_device": rows_per_device(work, cluster),
        "strategy": work.strategy,
        "seconds_per_step": seconds,
        "compute_seconds": of_step.compute,
        "waiting_seconds": of_step.waits(work.strategy),
        "exchanged": {
            name: each._asdict() for name, each in zip(("ddp", "fsdp", "features"), of_step[2:], strict=True)
        },
        "images_per_second": images,
        "mb_per_second": images * cluster.image_bytes.value / 1e6,
        **_storage(work),
        "training_hours": training / HOUR,
        "evaluation_hours": evaluation / HOUR,
        "run_hours": (training + evaluation) / HOUR,
        "scored": work.scored._asdict(),
    }


def _sourced(assumed: Assumed, unit: float = 1.0) -> dict[str, Any]:
    return {"value": assumed.value / unit, "source": assumed.source}


def _storage(work: Work) -> dict[str, float]:
    """GiB on the disk of the run: those kept, the one that is written, and what is there at the end."""
    experts = work.num_tasks * work.weights_bytes if work.keeps_experts else 0
    checkpoints = (KEPT + 1) * work.state_bytes
    deployed = (work.num_tasks if work.keeps_weights else 1) * work.weights_bytes
    return {
        "checkpoint_gib": work.state_bytes / GIB,
        "checkpoints_gib": checkpoints / GIB,
        "experts_gib": experts / GIB,
        "storage_gib": (checkpoints + experts + deployed) / GIB,
    }
