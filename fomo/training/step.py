"""One optimizer step: encode, loss, backward, clip, update. The same code runs in the rehearsal that plans it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomo import rng
from fomo.batch import Batch, Features
from fomo.budget.flops import Meter, unmetered
from fomo.errors import FomoError
from fomo.method import ListeningOptimizer, Task
from fomo.model.clip import train_mode
from fomo.model.fast import may_cut
from fomo.system.magnitude import largest
from fomo.system.parted import is_parted, whole
from fomo.system.ranks import check_same_named, world
from fomo.system.shared_rows import gathered
from fomo.training.finite import OWN_ROWS, Fetch, Scalars, bits_of, fetched, not_finite
from fomo.training.folding import folded_once_a_call
from fomo.training.methods import Methods
from fomo.training.micro_batches import MicroBatches
from fomo.training.spread import Spread

MakeOptimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]


class StepResult(NamedTuple):
    """What a step was.

    ``loss`` and the gradient's ``norm`` before it is clipped; ``fault`` says what was not finite, empty where all was.
    ``left_out`` are the phases that a fault has kept from being reached; ``has_spoilt`` says that weights are not
    finite, so that there is nothing to go on with. ``logged`` holds what parts have logged, by ``PART.NAME``.
    """

    loss: float
    norm: float
    fault: str = ""
    left_out: tuple[str, ...] = ()
    has_spoilt: bool = False
    logged: Mapping[str, float] = {}


UPDATE = ("optimizer", "after_step")
"""The phases of a step that change weights."""
NUM_LOGGED = "how many values parts have logged"
"""What processes of a run compare before they compare the values, so that a step without any takes no exchange more."""


@dataclass(frozen=True)
class Learner:
    """What takes the steps: the same code in a run and in the rehearsal that plans the run.

    Args:
        network: The model that is trained.
        methods: The parts whose hooks are called.
        make_optimizer: Makes a fresh optimizer over named parameters.
        max_grad_norm: The gradient is scaled down to this norm.
        max_logit_scale: exp(logit_scale) is kept at this at most; ``None`` leaves it free, as the reference does.
        autocast: Opens the precision that the forward pass is computed in.
        micro_batch: Rows that are encoded at once; ``None``: the whole batch.
        fetch: Reads scalars; on fake tensors, which have no values, something else has to stand in.
        spread: Shares a step among the ranks of a run.
    """

    network: nn.Module
    methods: Methods
    make_optimizer: MakeOptimizer
    max_grad_norm: float
    max_logit_scale: float | None
    autocast: Callable[[], AbstractContextManager[None]]
    micro_batch: int | None = None
    fetch: Fetch = fetched
    spread: Spread = field(default_factory=Spread)

    @property
    def stepped(self) -> nn.Module:
        """The network as steps have it, from :meth:`optimizer` to :meth:`close`; else the network."""
        return self.spread.stepped or self.network

    def close(self) -> None:
        """Bring what steps have made back into the network, once the last step of a task is taken."""
        self.spread.close(self.network)

    def train_mode(self) -> None:
        """Set the network to training."""
        train_mode(self.network)
        train_mode(self.stepped)

    def optimizer(self, meter: Meter = unmetered, order: Sequence[str] | None = None) -> torch.optim.Optimizer | None:
        """A fresh optimizer over what the method trains; ``None`` if that is nothing. Steps can be taken from here on.

        Args:
            meter: Hears what making it costs.
            order: The names of what is trained, as ordered when a state was kept; ``None``: as the network has them.

        Raises:
            FomoError: something else is trained than ``order`` names.
        """
        trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        if order is not None:
            _check_trained(trained, order)
        if not trained:
            return None
        self.spread.open(self.network)
        parameters = dict(self.stepped.named_parameters())
        with meter("optimizer"):
            optimizer = self.make_optimizer([(name, parameters[name]) for name in order or trained])
        if isinstance(optimizer, ListeningOptimizer):
            optimizer.listen(self.stepped)
        return optimizer

    def task(self, number: int, num_tasks: int, num_steps: int, seed: int, **data: Any) -> Task:
        """A task as its hooks see it.

        Args:
            number: From 1.
            num_tasks: Of the stream.
            num_steps: Of the task.
            seed: The run's.
            data: What :class:`fomo.Task` says of the data, by its names.
        """
        return Task(
            number=number,
            num_tasks=num_tasks,
            num_steps=num_steps,
            seed=seed,
            max_grad_norm=self.max_grad_norm,
            autocast=self.autocast,
            backward=self.backward,
            **data,
        )

    def step(self, optimizer: torch.optim.Optimizer, batch: Batch, meter: Meter = unmetered) -> StepResult:
        """Take a step. Where something is not finite it ends there: nothing that comes after it is done."""
        with self.spread.arithmetic():
            return self._step(optimizer, batch, meter)

    def _step(self, optimizer: torch.optim.Optimizer, batch: Batch, meter: Meter) -> StepResult:
        scalars = Scalars(self.fetch)
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        with meter("optimizer"):
            optimizer.zero_grad()
        loss = self._gradients(batch, meter, scalars)
        _check_reached(trained)
        if self.methods.any_overrides("after_backward"):  # which a gradient that is not finite would spoil
            scalars.note("the gradient norm", gradient_norm(trained))
            fault = scalars.fault()
            if fault:
                return self._result(scalars, fault, ("after_backward", *UPDATE))
            self._after_backward(trained, meter, scalars)
        scalars.note("the gradient norm", whole(nn.utils.clip_grad_norm_(trained, self.max_grad_norm)))
        fault = scalars.fault()
        if fault:
            return self._result(scalars, fault, UPDATE)
        if isinstance(optimizer, ListeningOptimizer):
            optimizer.hear(loss.detach())
        self._update(optimizer, trained, meter, scalars)
        if world().size > 1 and self.fetch is fetched:
            scalars.note(NUM_LOGGED, torch.tensor(float(self.methods.num_logged)))
        return self._result(scalars, scalars.fault())

    def _result(self, scalars: Scalars, fault: str = "", left_out: tuple[str, ...] = ()) -> StepResult:
        """The result of a step, from scalars that are read."""
        values = scalars.values
        losses = [value for name, value in values.items() if name.startswith("the loss")]
        spoilt = not_finite(self.stepped) if fault else ""
        if spoilt and left_out:
            fault = f"'{spoilt}' is not finite, whoever has written to it since the step before: {fault}"
        logged = self.logged(is_any=bool(values.get(NUM_LOGGED, True)))
        return StepResult(losses[-1], values["the gradient norm"], fault, left_out, bool(spoilt), logged)

    def logged(self, is_any: bool = True) -> dict[str, float]:
        """What parts have logged since this was asked last, the same on all ranks of a run.

        Args:
            is_any: Whether any rank may have something, which all ranks say alike.

        Raises:
            FomoError: a rank has logged something else.
        """
        noted = self.methods.logged()
        read = dict(zip(noted, self.fetch(list(noted.values())), strict=True)) if noted else {}
        if is_any and self.fetch is fetched:
            check_same_named({f"what is logged as {name}": value for name, value in read.items()}, OWN_ROWS)
        return read

    def _after_backward(self, trained: list[nn.Parameter], meter: Meter, scalars: Scalars) -> None:
        """Let every part change the gradient, and note who did what to it."""

        def note(part: str) -> None:
            scalars.note(f"the gradient norm after {part}", gradient_norm(trained))
            self._note_bits(scalars, f"the gradient after {part}", (p.grad for p in trained if p.grad is not None))

        self.methods.each("after_backward", self.stepped, meter=meter, after=note)

    def _update(
        self, optimizer: torch.optim.Optimizer, trained: list[nn.Parameter], meter: Meter, scalars: Scalars
    ) -> None:
        """Move the weights, and note what they are after whom; a part may have written to any of them."""

        def note(part: str) -> None:
            state = self.stepped.state_dict().values()
            scalars.note(f"the largest weight after {part}", largest(state))
            self._note_bits(scalars, f"the weights after {part}", state)

        with meter("optimizer"):
            optimizer.step()
        clamp_temperature(self.stepped, self.max_logit_scale)
        scalars.note("the largest weight after the optimizer's step", largest(trained))
        self.methods.each("after_step", self.stepped, meter=meter, after=note)

    def _note_bits(self, scalars: Scalars, name: str, tensors: Iterable[Tensor]) -> None:
        """Have processes of a run compare what a part has changed: a norm may be the same by chance, or by design."""
        if world().size > 1 and self.fetch is fetched:
            scalars.note(f"a digest of {name}", bits_of(tensors))

    def backward(self, batch: Batch) -> Tensor:
        """The whole loss of a batch at the weights at hand; its gradient is added to the parameters'.

        Raises:
            FomoError: it is asked for in a part's ``loss``, which it computes.
        """
        if self.methods.computing_loss:
            raise FomoError("task.backward: called in a part's loss, which it computes. Call it in after_backward.")
        return self._gradients(batch, unmetered, Scalars(self.fetch))

    def _gradients(self, batch: Batch, meter: Meter, scalars: Scalars) -> Tensor:
        """The loss of a batch, noted as every part makes it; its gradients are then at the parameters."""
        network = self.stepped
        with folded_once_a_call(network):
            with self.autocast():
                loss = self.spread.loss(network, self._loss, batch, meter, scalars)
            with meter("backward"):
                loss.backward()
        return loss

    def _loss(self, batch: Batch, meter: Meter, scalars: Scalars) -> Tensor:
        network = self.stepped
        with meter("forward"):
            features = of_all_rows(self._encoded(batch)(network, batch), batch)
            loss = symmetric_loss(features)
        scalars.note("the loss", loss)
        return self.methods.loss(network, replace(batch, features=features), loss, meter, partial(_note_loss, scalars))

    def _encoded(self, batch: Batch) -> Callable[[nn.Module, Batch], Features]:
        """What encodes a batch: in pieces where it is larger than ``micro_batch``."""
        size = self.micro_batch
        if size is None or self.spread.most_rows(batch) <= size:
            return encode_rows
        pieces = partial(self.spread.pieces, size) if self.spread.stepped else None
        return MicroBatches(size, encode_rows, self.autocast, pieces).features


def _check_reached(trained: Collection[nn.Parameter]) -> None:
    """Refuse a loss that no trained parameter is in: optimizers leave out what has no gradient, and nothing is learned.

    Raises:
        FomoError: none has a gradient.
    """
    if all(parameter.grad is None for parameter in trained):
        raise FomoError(
            "no trained parameter has a gradient: the loss that the parts return does not depend on the weights. Add "
            "to the loss that is given, and take features from batch.features or the network, not detached."
        )


def _note_loss(scalars: Scalars, part: str, loss: Tensor) -> None:
    scalars.note(f"the loss after {part}", loss)


def _check_trained(trained: Collection[str], kept: Collection[str]) -> None:
    """Refuse to give the state of one parameter's optimizer to another."""
    lines = [f"'{name}' was trained when the state was kept, and is not now" for name in kept if name not in trained]
    lines += [f"'{name}' is trained, and was not when the state was kept" for name in trained if name not in kept]
    if lines:
        raise FomoError(f"{lines[0]}: after load_state_dict that has to require a gradient which did then.")


def gradient_norm(parameters: list[nn.Parameter]) -> Tensor:
    """The norm of the gradient of all parameters, a tensor without dimensions."""
    return whole(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))


def seed_layers(*keys: rng.Key) -> None:
    """Dropout and stochastic depth draw from torch's own generator: each step and hook has a stream of its own."""
    seed = rng.fold("layers", *keys) % 2**63
    if torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)  # without looking for devices, which takes longer than to seed


def encode(network: nn.Module, batch: Batch) -> Features:
    """The unit features of all of a batch's images and texts, with gradient, and exp(logit_scale).

    They are taken in the precision and mode that the network is in. Where several processes take the steps of a run,
    each encodes its own rows, and has the features of all.
    """
    return of_all_rows(encode_rows(network, batch), batch)


def encode_rows(network: nn.Module, batch: Batch) -> Features:
    """The features of the rows that this process has of a batch; the scale is never rounded to what blocks are in."""
    if not len(batch.images):
        return _of_no_row(network, batch)
    images, texts, scale = network(batch.images, batch.short_tokens if may_cut(network) else batch.tokens)[:3]
    temperature = network.get_parameter("logit_scale")
    return Features(images, texts, (whole(temperature.exp()) if is_parted(temperature) else scale).reshape(()))


def _of_no_row(network: nn.Module, batch: Batch) -> Features:
    """What a process has that has no row of a small batch: none of a blank one's, since towers may not take none."""
    blank = batch.images.new_zeros((1, *batch.images.shape[1:]))
    images, texts, scale = network(blank, batch.tokens.new_zeros((1, batch.tokens.shape[1])))[:3]
    return Features(images[:0], texts[:0], scale)


def of_all_rows(own: Features, batch: Batch) -> Features:
    """The features of all rows of a batch, from those of each process's rows: one exchange each way."""
    if world().size == 1:
        return own
    both = torch.cat([own.images, own.texts], dim=1)
    is_shared = world().share(batch.whole) == batch.counts  # else each process has made a batch of its own
    found = gathered(both, batch.num_rows if is_shared else None)
    images, texts = found.split([own.images.shape[1], own.texts.shape[1]], dim=1)
    return Features(images, texts, own.scale)


def contrastive(network: nn.Module, batch: Batch) -> Tensor:
    """The contrastive loss of a batch, a tensor without dimensions: CLIP's (Radford et al. 2021, arXiv 2103.00020).

    It is the mean of two cross-entropies over the batch: of each image to all texts, and of each text to all images.
    """
    return symmetric_loss(encode(network, batch))


def symmetric_loss(features: Features) -> Tensor:
    """The contrastive loss from unit features: cross-entropy of image to text and of text to image, halved.

    The two directions share one product of features, and the logits are scaled, not the features, so that the gradient
    of the temperature takes no product: as in the published FLOPs.
    """
    logits = features.scale * (features.images @ features.texts.T)
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@torch.no_grad()
def clamp_temperature(network: nn.Module, largest: float | None) -> None:
    """Keep exp(logit_scale) at ``largest`` at most; ``None`` leaves it free, as the reference does."""
    if largest is not None:
        network.get_parameter("logit_scale").clamp_(max=float(torch.tensor(largest).log()))
