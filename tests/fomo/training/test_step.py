"""What a part may do in a step: look at other weights, change the gradient, ask for the whole loss elsewhere."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call

import fomo
from fomo.batch import Batch
from fomo.model.clip import train_mode
from fomo.results.layout import WEIGHTS
from fomo.training.methods import Methods
from fomo.training.step import Learner, encode
from tests import tiny
from tests.faults.compare import events

ROWS = 10
SIZE = 32


def batch_of(network: nn.Module) -> Batch:
    """Random data in double precision."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(ROWS, 3, SIZE, SIZE, generator=random, dtype=torch.double)
    tokens = torch.randint(1, 900, (ROWS, int(network.context_length)), generator=random)  # type: ignore[arg-type]
    return Batch(images, tokens, (4, 3, 3))


def learner_of(part: fomo.Method, *overrides: str, micro_batch: int | None = None, max_norm: float = 1e9) -> Learner:
    """In task 1, in double precision, adapters moved away from where they start."""
    prepared = tiny.prepared("model=pocket", *overrides)
    network = prepared.model.network.double()
    methods = Methods({**prepared.methods.parts, "guest": part})
    learner = Learner(
        network=network,
        methods=methods,
        make_optimizer=lambda named: torch.optim.SGD([parameter for _, parameter in named], lr=0.1),
        max_grad_norm=max_norm,
        max_logit_scale=None,
        autocast=prepared.resolved.config.runtime.autocast,
        micro_batch=micro_batch,
    )
    methods.begin_run(network, 0)
    methods.each("begin_task", network, learner.task(1, 2, 3, 0))
    network.double()
    random = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.requires_grad and not parameter.any():
            parameter.data.normal_(std=0.02, generator=random)
    train_mode(network)
    return learner


def stepped(part: fomo.Method, *overrides: str, **more: object) -> dict[str, Tensor]:
    """The parameters after one step of plain SGD."""
    learner = learner_of(part, *overrides, **more)  # type: ignore[arg-type]
    optimizer = learner.optimizer()
    assert optimizer and not learner.step(optimizer, batch_of(learner.network)).fault
    return {name: parameter.detach().clone() for name, parameter in learner.network.named_parameters()}


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


class Elsewhere(fomo.Method):
    """Looks, in ``loss``, at the features of the batch at weights that ``encode_there`` has moved."""

    def __init__(self, encode_there: Callable[[nn.Module, Batch], Tensor]) -> None:
        self.encode_there = encode_there
        self.seen = self.own = torch.empty(0)

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        assert batch.features
        self.own = batch.features.images.detach()
        self.seen = self.encode_there(network, batch)
        again = encode(network, batch).images
        torch.testing.assert_close(again, self.own)  # and back again
        return loss + (self.seen - batch.features.images).square().sum()


def moved_in_place(network: nn.Module, batch: Batch) -> Tensor:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in trained]
    for parameter in trained:
        parameter.data.add_(0.05)
    with torch.no_grad():
        seen = encode(network, batch).images
    for parameter, value in zip(trained, before, strict=True):
        parameter.data.copy_(value)
    return seen


def moved_by_exchange(network: nn.Module, batch: Batch) -> Tensor:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    before = [parameter.data for parameter in trained]
    for parameter in trained:
        parameter.data = parameter.data + 0.05
    with torch.no_grad():
        seen = encode(network, batch).images
    for parameter, value in zip(trained, before, strict=True):
        parameter.data = value
    return seen


def called_with_others(network: nn.Module, batch: Batch) -> Tensor:
    others = {name: p.detach() + 0.05 for name, p in network.named_parameters() if p.requires_grad}
    images: Tensor = functional_call(network, others, (batch.images, batch.tokens))[0]
    return images.detach()


@pytest.mark.parametrize("trainable", ["lora", "dora", "vera"])
@pytest.mark.parametrize("encode_there", [moved_in_place, moved_by_exchange, called_with_others])
def test_other_weights_give_their_own_features(trainable: str, encode_there: Callable[..., Tensor]) -> None:
    part = Elsewhere(encode_there)
    learner = learner_of(part, f"trainable={trainable}", "trainable.placement=all")
    there = copy.deepcopy(learner.network)
    optimizer = learner.optimizer()
    assert optimizer
    for parameter in there.parameters():
        parameter.data.add_(0.05 * parameter.requires_grad)
    with torch.no_grad():
        wanted = encode(there, batch_of(there)).images
    learner.step(optimizer, batch_of(learner.network))
    torch.testing.assert_close(part.seen, wanted)
    assert float((part.seen - part.own).abs().max()) > 1e-3


def test_another_pass_in_the_loss_goes_with_layers_that_are_computed_again() -> None:
    class Again(fomo.Method):
        def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
            return loss + encode(network, batch).images[:, 0].square().sum()

    kept, again = (
        stepped(Again(), "trainable=lora", "trainable.placement=all", f"runtime.grad_checkpointing={word}")
        for word in ("false", "true")
    )
    assert furthest(kept, again) < 1e-12


class Times(fomo.Method):
    """Multiplies the gradient."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def after_backward(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(self.factor)


def test_the_gradient_that_a_part_made_is_clipped_and_logged() -> None:
    plain = stepped(fomo.Method(), max_norm=0.5)
    assert furthest(plain, stepped(Times(1e6), max_norm=0.5)) < 1e-6
    assert furthest(plain, stepped(Times(1e-6), max_norm=0.5)) > 1e-4
    learner = learner_of(Times(3.0), max_norm=0.5)
    unchanged = learner_of(fomo.Method(), max_norm=0.5)
    norms = []
    for each in (learner, unchanged):
        optimizer = each.optimizer()
        assert optimizer
        norms.append(each.step(optimizer, batch_of(each.network)).norm)
    assert norms[0] == pytest.approx(3 * norms[1])


class SAM(fomo.Method):
    """Sharpness-aware minimisation (Foret et al. 2020, arXiv 2010.01412): the gradient at the worst point nearby."""

    def __init__(self, radius: float) -> None:
        self.radius = radius

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.task = task

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        self.batch = batch
        return loss

    def after_backward(self, network: nn.Module) -> None:
        trained = [p for p in network.parameters() if p.grad is not None]
        grads = [p.grad for p in trained if p.grad is not None]
        norm = nn.utils.get_total_norm(grads)
        moves = [self.radius * grad / norm for grad in grads]
        with torch.no_grad():
            for parameter, move in zip(trained, moves, strict=True):
                parameter.add_(move)
        network.zero_grad()
        self.task.backward(self.batch)
        with torch.no_grad():
            for parameter, move in zip(trained, moves, strict=True):
                parameter.sub_(move)


def by_hand(radius: float) -> dict[str, Tensor]:
    """The step of SAM with L2's pull in the loss, from two gradients by autograd."""
    learner = learner_of(fomo.Method(), "regularizer=l2", "regularizer.strength=3")
    network = learner.network
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    start = {name: p.detach().clone() for name, p in trained.items()}

    def gradient() -> dict[str, Tensor]:
        loss = fomo.contrastive(network, batch_of(network))
        pull = 1.5 * sum((p - start[name]).square().sum() for name, p in trained.items())
        return dict(zip(trained, torch.autograd.grad(loss + pull, list(trained.values())), strict=True))

    first = gradient()
    norm = torch.sqrt(sum(g.square().sum() for g in first.values()))  # type: ignore[arg-type]
    for name, parameter in trained.items():
        parameter.data += radius * first[name] / norm
    second = gradient()
    return {name: start[name] - 0.1 * second[name] for name in trained}


def test_the_whole_loss_at_other_weights_has_every_parts_term() -> None:
    with_pull = ("regularizer=l2", "regularizer.strength=3")
    wanted = by_hand(0.5)
    found = stepped(SAM(0.5), *with_pull)
    assert furthest(wanted, found) < 1e-9
    assert furthest(wanted, stepped(SAM(0.0), *with_pull)) > 1e-4
    assert furthest(found, stepped(SAM(0.5), *with_pull, micro_batch=4)) < 1e-9


def test_a_radius_of_nothing_is_plain_training(tmp_path: Path) -> None:
    assert furthest(stepped(SAM(0.0), max_norm=0.5), stepped(fomo.Method(), max_norm=0.5)) == 0


def test_the_whole_loss_is_not_asked_for_inside_of_it() -> None:
    class Endless(fomo.Method):
        def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
            self.task = task

        def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
            return loss + self.task.backward(batch)

    learner = learner_of(Endless())
    optimizer = learner.optimizer()
    assert optimizer
    with pytest.raises(fomo.FomoError, match=r"task.backward: called in a part's loss, which it computes"):
        learner.step(optimizer, batch_of(learner.network))


class AGEM(fomo.Method):
    """A-GEM (Chaudhry et al. 2018, arXiv 1812.00420), its reference gradient taken through the batch's features."""

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        assert batch.features
        self.trained = [p for p in network.parameters() if p.requires_grad]
        images, texts, scale = batch.features
        old = (scale * images[7:] @ texts[7:].T).logsumexp(1).mean()
        self.wanted = torch.autograd.grad(
            old, self.trained, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return (scale * images[:7] @ texts[:7].T).logsumexp(1).mean()

    def after_backward(self, network: nn.Module) -> None:
        grads = [p.grad for p in self.trained if p.grad is not None]
        dot = sum((g * w).sum() for g, w in zip(grads, self.wanted, strict=True))
        size = sum(w.square().sum() for w in self.wanted)
        for grad, wanted in zip(grads, self.wanted, strict=True):
            grad.sub_(dot / size * wanted)


@pytest.mark.parametrize("trainable", ["full", "dora"])
def test_gradients_through_features_are_the_same_in_pieces(trainable: str) -> None:
    whole, small = (stepped(AGEM(), f"trainable={trainable}", micro_batch=size) for size in (None, 4))
    plain = stepped(fomo.Method(), f"trainable={trainable}")
    assert furthest(whole, small) < 1e-10 < furthest(whole, plain)


class ClipValue(fomo.Method):
    """Clips each entry of the gradient, by a hook of ``kind``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        if self.kind == "tensor":
            network.get_parameter("ln_final.weight").register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
        else:
            network.get_submodule("ln_final").register_full_backward_hook(lambda module, inputs, outputs: inputs)


@pytest.mark.parametrize("kind", ["tensor", "module"])
def test_hooks_on_gradients_are_refused_in_pieces(kind: str) -> None:
    stepped(ClipValue(kind))
    with pytest.raises(fomo.FomoError, match=r"micro_batch=4: the .*ln_final.*after_backward.*micro_batch=null"):
        stepped(ClipValue(kind), micro_batch=4)


class Listens(fomo.Method):
    """Takes a term from the output of a layer, which pieces of a batch have no gradient for."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        network.get_submodule("transformer").register_forward_hook(self._take)

    def _take(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.taken = output

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        return loss + self.taken.square().mean()


class Shifts(Listens):
    """Gives another output, a row at a time, as prompts do."""

    def _take(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:  # type: ignore[override]
        return output * 1.5

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        return loss


def test_a_hook_that_listens_to_a_layer_is_refused_in_pieces_and_one_that_changes_rows_is_not() -> None:
    stepped(Listens())
    with pytest.raises(fomo.FomoError, match=r"micro_batch=4: a forward hook listens to 'transformer'.*batch.features"):
        stepped(Listens(), micro_batch=4)
    assert furthest(stepped(Shifts()), stepped(Shifts(), micro_batch=4)) < 1e-10


def test_a_run_with_a_part_that_changes_no_gradient_is_the_run_without(tmp_path: Path) -> None:
    """To the bit, gradient norms and weights."""
    module = f"regularizer._target_={__name__}.Times", "+regularizer.factor=1.0", "runtime.allow_targets=[tests]"
    plain, other = tiny.run(tmp_path / "plain"), tiny.run(tmp_path / "other", *module)
    norms = [[each["grad_norm"] for each in events(run) if each["event"] == "step"] for run in (plain, other)]
    assert norms[0] == norms[1]
    assert not tiny.changed(load_file(plain / WEIGHTS), load_file(other / WEIGHTS))


class Aside(fomo.Method):
    """A loss that has a gradient, and nothing to do with the network."""

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        return loss.detach() * nn.Parameter(torch.ones(()))


def test_a_loss_that_trains_nothing_is_refused() -> None:
    """Optimizers leave out parameters without a gradient: the run would end where it began."""
    with pytest.raises(fomo.FomoError, match="no trained parameter has a gradient"):
        stepped(Aside())
