"""Two and three processes learn what one does, for every built-in part: to rounding in fp64 after 20 steps."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import fomo
from fomo.config import factory
from fomo.config.compose import builtin_groups
from fomo.config.plugins import PARTS
from fomo.errors import FomoError
from fomo.method import Method
from fomo.model import weights
from fomo.system import ranks, shared_rows
from fomo.testing.checks import Kit
from fomo.testing.processes import on_ranks
from fomo.testing.require import unlike
from fomo.testing.trial import Trial
from fomo.testing.world import config_of, own_rows, world

TOGETHER = [
    "trainable=full regularizer=[ewc,lwf] regularizer.ewc.num_samples=24 model=pocket_resnet",
    "trainable=full regularizer=si merging=ema optimizer=sgd",
    "trainable=bitfit regularizer=l2 merging=zs optimizer=lamb",
    "trainable=lnfit regularizer=lwf merging=ft optimizer=lars model=pocket_resnet",
    "trainable=locked_image merging=offline optimizer=galore",
    "trainable=locked_text regularizer=zscl optimizer=timm",
    "trainable=lora regularizer=ewc regularizer.num_samples=13 regularizer.batch_size=4",
    "trainable=dora regularizer=si",
    "trainable=vera merging=ema merging.technique=ties",
    "trainable=nothing",
    "optimizer=mkor optimizer.name=momentum optimizer.lr=0.01 optimizer.update_every=2",
    "regularizer=[conadv,mclrec] optimizer=sgd modulation=agvm modulation.every=2 diagnostics=gradient_noise "
    "diagnostics.num_pieces=2 diagnostics.rows=2",
    "optimizer=adamw_fp8 optimizer.eps=1e-4 activations=fp8",
]
"""Parts beside one another, in as few trials as may be; an option that is in none of them gets one of its own."""
BESIDE = {
    "mt_adamw": "mixture.batches=unmixed",
    "curvature": "diagnostics.batch_size=4 diagnostics.num_sizes=2 diagnostics.num_products=3",
}
"""What an option needs that is tried alone, or what makes it quick."""
OF_STEPS = (*PARTS, "optimizer")
"""The groups of what takes part in steps; what is in no such group does the same on one process and on several."""


def options() -> set[tuple[str, str]]:
    """Every built-in option of these groups, with its group, but for what stands for no part."""
    found = {(group, option) for group in OF_STEPS for option in builtin_groups()[group]}
    return found - {(group, "none") for group in OF_STEPS} - {("optimizer", "own")}


def tried(overrides: str) -> set[tuple[str, str]]:
    """The options that overrides choose, with their groups."""
    pairs = (each.split("=", 1) for each in overrides.split())
    return {(group, option) for group, chosen in pairs for option in chosen.strip("[]").split(",")}


ALONE = [
    f"{group}={option} {BESIDE.get(option, '')}"
    for group, option in sorted(options() - set().union(*map(tried, TOGETHER)))
]


def kit(overrides: str, folder: Path) -> Kit:
    chosen = tuple(overrides.split())
    config = config_of(chosen)
    of_model = tuple(each for each in chosen if each.startswith("model"))
    made = Kit(lambda: None, config, of_model, lambda: factory.methods(config).parts, folder)
    made.num_steps = 10  # of each of two tasks
    return made


@pytest.mark.parametrize("overrides", [*TOGETHER, *ALONE])
def test_several_processes_end_where_one_does(overrides: str, tmp_path: Path) -> None:
    compared = kit(overrides, tmp_path)
    for compared.processes in (2, 3):
        compared.check_processes()


def last_places(one: torch.Tensor, other: torch.Tensor) -> float:
    """The norm of the difference of two tensors, over that of the units in the last place of the first."""
    units = torch.nextafter(one.abs(), torch.full_like(one, torch.inf)) - one.abs()
    return float((one - other).norm() / units.norm())


def test_in_single_precision_several_processes_end_where_one_does_to_rounding(tmp_path: Path) -> None:
    """By 1e-5 of its update, or, where the weights have no places for that, by what 20 steps round off by chance.

    With smooth activations: where one is at the kink of a ReLU, rounding decides to which side its gradient goes.
    """
    compared = kit("optimizer=sgd optimizer.lr=0.01", tmp_path)
    here = compared.world()
    base = weights.folded(here.model.network)
    alone = compared._together(here).state
    for processes in (2, 3):
        for found in on_ranks(processes, partial(compared._together, here)):
            off = unlike(alone, found.state, base, 1e-5)
            rounded = {name for name in off if last_places(alone[name], found.state[name]) < 20**0.5 / 2}
            assert set(off) == rounded


class Mean(Method):
    """Adds to the loss the mean brightness of the rows at hand, by a parameter of the network."""

    rows_of_all = False

    def loss(self, network, batch, loss):
        brightness = batch.images.mean(dim=(1, 2, 3))
        if self.rows_of_all:
            brightness = shared_rows.gathered(brightness)
        return loss + 0.1 * brightness.mean() * network.logit_scale


class Gathered(Mean):
    rows_of_all = True


class OnGradient(Method):
    """Scales the gradient by the brightness of the rows at hand."""

    def loss(self, network, batch, loss):
        self.brightness = batch.images.mean()
        return loss

    def after_backward(self, network):
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad *= 1 + self.brightness


class OnWeights(OnGradient):
    def after_backward(self, network):
        """Nothing."""

    def after_step(self, network):
        with torch.no_grad():
            network.get_parameter("visual.ln_post.bias").add_(self.brightness)


def steps_with(part: Method) -> list[float]:
    """Losses of a few steps with a guest's part."""
    here = world()
    parts = {"trainable": factory.methods(here.config).parts["trainable"], "regularizer": part}
    trial = Trial(here, lambda: parts, factory.make_optimizer(here.config), Path("unused"))
    trial.whole(1)
    return trial.losses


class Flipped(OnGradient):
    """Changes what no norm shows, and not the largest weight."""

    def after_backward(self, network):
        network.get_parameter("logit_scale").grad *= -1 if ranks.is_first() else 1


class OnOneWeight(OnGradient):
    def after_backward(self, network):
        """Nothing."""

    @torch.no_grad()
    def after_step(self, network):
        network.get_parameter("visual.ln_post.bias")[0] = 1e-3 * self.brightness


class Clock(Method):
    def loss(self, network, batch, loss):
        return loss * (1 + time.perf_counter_ns() % 1000 / 1e4)


GUESTS = [
    (Mean, "the loss after regularizer.loss"),
    (Clock, "the loss after regularizer.loss"),
    (OnGradient, "after_backward"),
    (Flipped, "a digest of the gradient after regularizer.after_backward"),
    (OnWeights, "after_step"),
    (OnOneWeight, "a digest of the weights after regularizer.after_step"),
]


@pytest.mark.parametrize(("part", "named"), GUESTS)
def test_who_computes_with_his_own_rows_alone_is_stopped_and_named(part: type[Method], named: str) -> None:
    world().of_task  # noqa: B018 - made before the fork
    with pytest.raises(FomoError, match=rf"{named} \({part.__name__}\) is .* on rank 0 and .* on rank 1: a part"):
        on_ranks(2, partial(steps_with, part()))


class Logs(OnGradient):
    """Changes nothing, and logs how bright its own rows are."""

    def after_backward(self, network):
        self.log("brightness", self.brightness)


class LogsAtTimes(Logs):
    def after_backward(self, network):
        if ranks.is_first():
            super().after_backward(network)


class LogsOtherNames(Logs):
    def after_step(self, network):
        self.log(f"of rank {ranks.world().rank}", 0.0)

    def after_backward(self, network):
        """Nothing."""


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Logs, r"what is logged as regularizer\.brightness is 0\.\d+ on rank 0 and 0\.\d+ on rank 1: a part"),
        (LogsAtTimes, r"how many values parts have logged is 1\.0 on rank 0 and 0\.0 on rank 1: a part"),
        (LogsOtherNames, r"what is logged as regularizer\.of rank 0 is 0\.0 on rank 0 and not there on rank 1: a part"),
    ],
)
def test_what_processes_log_otherwise_is_not_written(part: type[Method], said: str) -> None:
    world().of_task  # noqa: B018 - made before the fork
    with pytest.raises(FomoError, match=said):
        on_ranks(2, partial(steps_with, part()))


class Smooth(Method):
    """Adds the norm of a gradient, whose own gradient goes back through the features of all rows."""

    def loss(self, network, batch, loss):
        reached = [network.visual.proj, network.text_projection]
        unreached = torch.zeros(1, requires_grad=True)
        found = torch.autograd.grad(loss, [*reached, unreached], create_graph=True, allow_unused=True)
        weights, texts, nothing = fomo.averaged(found)
        assert nothing is None
        return loss + 10 * (weights.square().sum() + texts.square().sum())


class InPieces(Method):
    """Adds the loss of each half of the batch, and how far its images are from its features."""

    def loss(self, network, batch, loss):
        for piece in batch.split(6):
            apart = piece.features.images - fomo.encode(network, replace(piece, features=None)).images
            loss = loss + fomo.contrastive(network, piece) + 1e3 * apart.square().sum()
        return loss


class InOddPieces(Method):
    def loss(self, network, batch, loss):
        return loss + sum(fomo.contrastive(network, piece) for piece in batch.split(5))


class SomeRows(Method):
    def loss(self, network, batch, loss):
        return loss + fomo.encode(network, replace(batch, images=batch.images[:4], tokens=batch.tokens[:4])).scale


@pytest.mark.parametrize("part", [Gathered, Smooth, InPieces])
def test_rows_of_all_processes_are_right(part: type[Method]) -> None:
    alone = steps_with(part())
    for found in on_ranks(2, partial(steps_with, part())):
        assert found == pytest.approx(alone, rel=1e-4)
    assert steps_with(Method()) != pytest.approx(alone, rel=1e-4)  # it does something


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            InOddPieces,
            r"batch\.split\(5\): each of 2 processes has as many rows of a piece: give a multiple of 2",
        ),
        (SomeRows, r"fomo\.gathered: of 12 rows rank 0 of 2 has 6, given are 4"),
    ],
)
def test_rows_that_would_be_others_than_in_one_process_are_refused(part: type[Method], said: str) -> None:
    assert steps_with(part())
    with pytest.raises(FomoError, match=said):
        on_ranks(2, partial(steps_with, part()))


class Alone(Method):
    one_process = "It counts rows in the order of one process."


def test_a_part_that_needs_one_process_says_why() -> None:
    with pytest.raises(FomoError, match=r"regularizer \(Alone\) computes in one process alone: It counts"):
        on_ranks(2, partial(steps_with, Alone()))
    assert steps_with(Alone())


def _unlike_weights() -> None:
    from fomo.training.finite import check_weights

    network = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(network.weight, 1.0)
    torch.nn.init.constant_(network.bias, 1.0 + 1e-7 * ranks.world().rank)
    check_weights(network, 2, "part.end_task (Part)")


def test_weights_that_differ_in_a_bit_are_found() -> None:
    with pytest.raises(FomoError, match=r"task 2, after part\.end_task \(Part\): 'bias' is not the same on ranks 0"):
        on_ranks(2, _unlike_weights)


def _small_rows() -> list[tuple[int, ...]]:
    batch = own_rows(world().of_task[0][0])
    return [batch.counts, batch.whole, tuple(batch.images.shape[:1]), (batch.num_rows,), tuple(batch.rows)]


def test_each_process_has_its_share_of_every_pool() -> None:
    world().of_task  # noqa: B018 - made before the fork
    found = on_ranks(5, _small_rows)
    whole = found[0][1]
    assert [sum(each[0][pool] for each in found) for pool in range(3)] == list(whole)
    assert [each[2] for each in found] == [(3,), (3,), (2,), (2,), (2,)] and found[0][3] == (sum(whole),)
    assert [each[4] for each in found] == [(0, 5, 10), (1, 6, 11), (2, 7), (3, 8), (4, 9)]


class OwnMean(Method):
    """Holds the weights to the mean of its own rows; loss and gradient look alike, the state does not."""

    def end_task(self, network, task):
        for batch in task.update_batches(12):
            self.mean = batch.images.mean().reshape(1)

    def state_dict(self):
        return {"mean": self.mean} if hasattr(self, "mean") else {}


class LogsRows(OnGradient):
    """Logs how many rows it has: the same on both of two processes, and half as many as on one."""

    def after_backward(self, network):
        self.log("rows", self.num_rows)

    def loss(self, network, batch, loss):
        self.num_rows = len(batch.images)
        return loss


VERDICTS = [
    (Gathered, ""),
    (Mean, "on rank 0 and"),
    (OwnMean, "mean"),
    (LogsRows, "rank 0 of 2 logs something else than one process does: regularizer.rows"),
    (Alone, ""),
]


@pytest.mark.parametrize(("part", "verdict"), VERDICTS)
def test_the_kit_tells_who_is_right_in_several_processes(part: type[Method], verdict: str, tmp_path: Path) -> None:
    checked = kit("", tmp_path)
    checked.make_parts = lambda: {**factory.methods(checked.config).parts, "regularizer": part()}
    checked.num_steps = 2
    checked.processes = 2
    finding = checked.run("processes")
    assert (finding.status == "ok") is not bool(verdict) and verdict in finding.why, finding
