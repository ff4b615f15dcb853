"""Regularisers against closed forms, explicit gradients and NumPy."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fomo
from fomo.config.factory import build
from fomo.model import weights
from fomo.training.methods import Methods
from fomo.training.step import encode
from methods.lora import LoRA
from methods.regularizers import EWC, L2, SI, ZSCL, LwF
from methods.regularizers.distillation import both_ways
from methods.regularizers.ewc import fisher
from methods.regularizers.quadratic import copies, quadratic
from methods.regularizers.zscl import WeightAverage
from methods.trainable import Trainable
from tests import tiny
from tests.methods.steps import step

NETWORK = tiny.prepared("model=pocket").model.network


def base(what: str = "full") -> nn.Module:
    """The shipped vision transformer, switched to what is trained."""
    network: nn.Module = copy.deepcopy(NETWORK)
    Trainable(what).begin_run(network, 0)
    return network


def batch(size: int, seed: int, pool: int = 0) -> fomo.Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 32, 32, generator=generator)
    tokens = torch.randint(1, 1000, (size, 16), generator=generator)
    return fomo.Batch(images, tokens, (pool, size - pool, 0))


def task(number: int = 1, sizes: tuple[int, ...] = (), num_steps: int = 3) -> fomo.Task:
    def batches(size: int, max_samples: int | None = None) -> Iterator[fomo.Batch]:
        left = sum(sizes) if max_samples is None else max_samples
        for n in sizes:
            whole, taken = batch(n, 100 * number + n), min(n, left)
            if taken:
                yield fomo.Batch(whole.images[:taken], whole.tokens[:taken], (0, taken, 0))
            left -= taken

    return fomo.Task(number, 3, num_steps, 0, sum(sizes), batches)


def move(network: nn.Module, seed: int, by: float = 0.01) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += by * torch.randn(parameter.shape, generator=generator)


def term(method: fomo.Method, network: nn.Module, of: fomo.Batch | None = None) -> Tensor:
    """What a method adds to the loss."""
    return method.loss(network, of or batch(2, 0), torch.zeros(()))


# --- quadratic penalties


def test_the_quadratic_form_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    shapes = {"w": (3, 4), "b": (4,), "scale": ()}
    now, then, weight = ({k: rng.standard_normal(s) for k, s in shapes.items()} for _ in range(3))
    tensors = [{k: torch.from_numpy(np.asarray(v)) for k, v in each.items()} for each in (now, then, weight)]
    assert float(quadratic(*tensors)) == pytest.approx(sum(np.sum(weight[k] * (now[k] - then[k]) ** 2) for k in now))
    assert float(quadratic(*tensors[:2])) == pytest.approx(sum(np.sum((now[k] - then[k]) ** 2) for k in now))


@pytest.mark.parametrize(("anchor", "held_to"), [("run", 0), ("task", 1)])
def test_l2_is_half_lambda_of_the_squared_distance_to_its_start(anchor: str, held_to: int) -> None:
    network, method = base("lnfit"), L2(strength=3.0, anchor=anchor)
    method.begin_run(network, 0)
    starts = []
    for number in (1, 2):
        starts.append(copies(network))
        method.begin_task(network, task(number))
        assert number == 1 + held_to or term(method, network) == 0 or anchor == "run"
        move(network, number)
        method.end_task(network, task(number))
    added = term(method, network)
    added.backward()
    distance = {name: p.detach() - starts[held_to][name] for name, p in network.named_parameters() if p.requires_grad}
    assert added.item() == pytest.approx(1.5 * sum(float(d.double().square().sum()) for d in distance.values()))
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:  # and its gradient is λ(θ − θ*)
            torch.testing.assert_close(parameter.grad, 3 * distance[name])
        else:
            assert parameter.grad is None


# --- EWC


def explicit(network: nn.Module, batches: list[fomo.Batch]) -> dict[str, np.ndarray]:
    """Mean of squared gradients by plain backward passes, with the loss spelled out."""
    total: dict[str, np.ndarray] = {}
    for each in batches:
        network.zero_grad()
        images = functional.normalize(network.encode_image(each.images), dim=1)  # type: ignore[operator]
        texts = functional.normalize(network.encode_text(each.tokens), dim=1)  # type: ignore[operator]
        logits = network.logit_scale.exp() * images @ texts.T  # type: ignore[operator, union-attr]
        image_to_text = -logits.log_softmax(1).diagonal().mean()
        text_to_image = -logits.log_softmax(0).diagonal().mean()
        ((image_to_text + text_to_image) / 2).backward()
        for name, p in network.named_parameters():
            if p.grad is not None:
                total[name] = total.get(name, 0) + p.grad.numpy().astype(np.float64) ** 2 / len(batches)
    network.zero_grad()
    return total


@pytest.mark.parametrize("what", ["full", "bitfit", "locked_text"])
def test_the_fisher_is_the_mean_square_of_each_batches_gradient(what: str) -> None:
    network = base(what)
    batches = [batch(6, 1), batch(6, 2), batch(3, 3)]
    expected, found = explicit(network, batches), fisher(network, batches)
    assert set(found) == {name for name, p in network.named_parameters() if p.requires_grad}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected.get(name, np.zeros(1)), rtol=2e-3, atol=1e-9, err_msg=name)
    assert all(p.grad is None for p in network.parameters())


def test_the_fisher_is_taken_in_the_precision_of_the_run() -> None:
    network, batches = base("bitfit"), [batch(6, 1)]
    name = "transformer.resblocks.0.mlp.c_fc.bias"
    exact = fisher(network, batches)[name]
    rounded = fisher(network, batches, lambda: torch.autocast("cpu", dtype=torch.bfloat16))[name]
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded.sum(), exact.sum(), rtol=0.1, atol=0)


def test_ewc_is_online_and_holds_to_the_last_weights() -> None:
    network, method = base("bitfit"), EWC(strength=4.0, decay=0.5, num_samples=7)
    method.begin_run(network, 0)
    expected: dict[str, np.ndarray] = {}
    for number in (1, 2):
        method.begin_task(network, task(number))
        if number == 1:
            assert term(method, network) == 0
        move(network, number)
        first, second = batch(4, 100 * number + 4), batch(5, 100 * number + 5)
        cut = fomo.Batch(second.images[:3], second.tokens[:3], (0, 3, 0))
        of_task = explicit(network, [first, cut])
        expected = {name: of_task[name] + 0.5 * expected.get(name, 0) for name in of_task}
        method.end_task(network, task(number, (4, 5)))
    anchor = copies(network)
    move(network, 3)
    parameters = dict(network.named_parameters())
    distance = {name: (parameters[name].detach() - value).double().numpy() for name, value in anchor.items()}
    by_hand = sum(2.0 * (expected[name] * distance[name] ** 2).sum() for name in expected)
    assert term(method, network).item() == pytest.approx(by_hand, rel=2e-3)


def test_a_task_without_samples_is_refused() -> None:
    network, method = base("bitfit"), EWC()
    with pytest.raises(fomo.FomoError, match="no new sample"):
        method.end_task(network, task())


# --- SI


def test_si_is_the_path_integral_of_clipped_gradients_and_real_steps() -> None:
    network, method = base("lnfit"), SI(strength=0.7, damping=0.01)
    method.begin_run(network, 0)
    names = list(copies(network))
    omega_total = {name: np.zeros(1) for name in names}
    for number in (1, 2):
        method.begin_task(network, replace(task(number), max_grad_norm=1.0))
        recorder = Recorder()
        optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.2)
        for seed in range(3):
            step(network, Methods({"method": method, "recorder": recorder}), optimizer, batch(8, 10 * number + seed))
        method.end_task(network, task(number))
        for name in names:
            path = np.stack([*(p[name] for p in recorder.places), copies(network)[name].double().numpy()])
            gradients = np.stack([g[name] / norm for g, norm in zip(recorder.gradients, recorder.norms, strict=True)])
            omega = -(gradients * np.diff(path, axis=0)).sum(0)
            omega_total[name] = omega_total[name] + omega / ((path[-1] - path[0]) ** 2 + 0.01)
        assert min(recorder.norms) > 1  # so that the loop clips them
    for name in names:
        np.testing.assert_allclose(method.kept["importance"][name], omega_total[name], rtol=1e-3, atol=1e-7)
    anchor = copies(network)
    move(network, 5)
    now = copies(network)
    by_hand = sum(0.7 * (omega_total[n] * (now[n] - anchor[n]).double().numpy() ** 2).sum() for n in names)
    assert term(method, network).item() == pytest.approx(by_hand, rel=1e-3, abs=1e-8)


class Recorder(fomo.Method):
    """Writes down gradients before they are clipped, their norms, and the places that the optimizer starts from."""

    def __init__(self) -> None:
        self.places: list[dict[str, np.ndarray]] = []
        self.gradients: list[dict[str, np.ndarray]] = []

    @property
    def norms(self) -> list[float]:
        return [float(np.sqrt(sum((g**2).sum() for g in gradients.values()))) for gradients in self.gradients]

    def after_backward(self, network: nn.Module) -> None:
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.places.append({name: p.detach().double().numpy().copy() for name, p in trained.items()})
        self.gradients.append({name: p.grad.double().numpy().copy() for name, p in trained.items()
                               if p.grad is not None})  # fmt: skip


def test_si_notes_the_gradient_before_an_optimizer_changes_it() -> None:
    network, method = base("lnfit"), SI()
    method.begin_task(network, task())
    parameter = network.get_parameter("ln_final.weight")
    for p in network.parameters():
        p.grad = torch.full_like(p, 2.0) if p.requires_grad else None
    method.after_backward(network)
    parameter.data -= 0.5
    parameter.grad = None
    method.after_step(network)
    torch.testing.assert_close(method.kept["path"]["ln_final.weight"], torch.full_like(parameter, 1.0))


# --- distillation


def kl_by_hand(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    """Sum over both directions of T² · mean over rows of Σ p log(p/q)."""
    total = 0.0
    for t, s in ((teacher, student), (teacher.T, student.T)):
        for row in range(len(t)):
            p, q = np.exp(t[row] / temperature), np.exp(s[row] / temperature)
            p, q = p / p.sum(), q / q.sum()
            total += temperature**2 * float((p * np.log(p / q)).sum()) / len(t)
    return total


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_divergence_is_the_kl_written_by_hand(temperature: float) -> None:
    rng = np.random.default_rng(0)
    teacher, student = rng.standard_normal((4, 4)) * 3, rng.standard_normal((4, 4)) * 3
    found = both_ways(torch.from_numpy(teacher), torch.from_numpy(student), temperature)
    assert found.item() == pytest.approx(kl_by_hand(teacher, student, temperature))
    assert both_ways(torch.from_numpy(teacher), torch.from_numpy(teacher), temperature).item() == pytest.approx(0)


def unit_features(network: nn.Module, of: fomo.Batch) -> tuple[np.ndarray, np.ndarray, float]:
    with torch.no_grad():
        images, texts, scale = (value.double().numpy() for value in encode(network, of))
    return images, texts, float(scale)


def test_lwf_compares_with_the_base_model_on_the_whole_batch() -> None:
    network, method, of = base(), LwF(strength=0.3, temperature=2.0), batch(5, 1, pool=2)
    method.begin_run(network, 0)
    assert term(method, network, of).item() == pytest.approx(0, abs=1e-5)
    move(network, 1)
    images, texts, scale = unit_features(base(), of)
    moved_images, moved_texts, moved_scale = unit_features(network, of)
    expected = kl_by_hand(scale * images @ texts.T, moved_scale * moved_images @ moved_texts.T, 2.0)
    assert expected > 1e-3
    assert term(method, network, of).item() == pytest.approx(0.3 * expected, rel=1e-3)


def test_lwf_takes_the_features_of_the_step_instead_of_making_them_again() -> None:
    network, method, of = base(), LwF(), batch(5, 1)
    method.begin_run(network, 0)
    move(network, 1)
    given = fomo.Batch(of.images, of.tokens, of.counts, encode(network, of))
    forward = term(method, network, of).item()
    network.visual = nn.Identity()  # a second forward pass would fail
    assert term(method, network, given).item() == forward


def test_zscl_compares_pool_rows_and_holds_the_image_tower_alone() -> None:
    network, method = base(), ZSCL(strength=0.5, temperature=2.0, l2=0, average_every=0)
    of = batch(6, 1, pool=4)
    method.begin_run(network, 0)
    move(network, 1)
    method.begin_task(network, task())
    pool = fomo.Batch(of.images[:4], of.tokens[:4], (4, 0, 0))
    images, texts, scale = unit_features(base(), pool)
    moved_images, _, _ = unit_features(network, pool)
    expected = 0.5 * kl_by_hand(scale * images @ texts.T, scale * moved_images @ texts.T, 2.0)
    added = term(method, network, of)
    assert added.item() == pytest.approx(expected, rel=1e-3) and expected > 1e-3
    added.backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached and all(name.startswith("visual.") for name in reached)


def test_zscl_also_penalises_the_squared_distance_to_where_the_task_starts() -> None:
    network, method, of = base("lnfit"), ZSCL(strength=0, l2=0.25), batch(4, 1, pool=4)
    method.begin_run(network, 0)
    move(network, 1)
    method.begin_task(network, task())
    start = copies(network)
    move(network, 2)
    distance = sum(float((value - start[name]).double().square().sum()) for name, value in copies(network).items())
    assert term(method, network, of).item() == pytest.approx(0.25 * distance, rel=1e-5)


def test_zscl_goes_on_from_the_mean_of_its_weights() -> None:
    network, method = base("lnfit"), WeightAverage(every=0.25)
    for number in (1, 2):
        method.begin_task(network, task(number, num_steps=8))  # every 2 steps
        places = [copies(network)]
        for seed in range(8):
            move(network, 10 * number + seed)
            method.after_step(network)
            places += [copies(network)] if seed % 2 else []
        method.end_task(network, task(number))
        assert len(places) == 5
        for name, value in copies(network).items():
            expected = np.mean([place[name].double().numpy() for place in places], axis=0)
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)


def test_zscl_without_an_average_leaves_the_weights() -> None:
    network, method = base("lnfit"), WeightAverage(every=0)
    method.begin_task(network, task())
    move(network, 1)
    before = copies(network)
    method.after_step(network)
    method.end_task(network, task())
    assert not tiny.changed(before, copies(network)) and not method.kept["average"]


# --- what is refused


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
@pytest.mark.parametrize(
    "key",
    [
        *("ewc strength", "ewc decay", "si strength", "si damping", "l2 strength", "lwf strength", "lwf temperature"),
        *("zscl strength", "zscl temperature", "zscl l2", "zscl average_every"),
    ],
)
def test_settings_that_are_no_finite_numbers_in_range_are_refused(key: str, value: str) -> None:
    name, setting = key.split()
    with pytest.raises(fomo.FomoError, match=rf"regularizer\.{setting}=.*allowed are"):
        tiny.prepared(f"regularizer={name}", f"regularizer.{setting}={value}")


@pytest.mark.parametrize("name", ["ewc", "si", "l2", "lwf", "zscl", "mclrec"])
def test_regularising_what_is_not_trained_is_refused_before_training(name: str) -> None:
    with pytest.raises(fomo.FomoError, match=r"nothing is trained.*regularizer=none"):
        tiny.prepared("trainable=nothing", f"regularizer={name}")


@pytest.mark.parametrize("name", ["ewc", "si", "l2", "lwf", "zscl"])
@pytest.mark.parametrize("trainable", ["locked_text", "lnfit", "vera"])
def test_regularisers_stand_on_any_trainable(name: str, trainable: str) -> None:
    network, methods = (
        (prepared := tiny.prepared(f"method={name}", f"trainable={trainable}")).model.network,
        (prepared.methods),
    )
    methods.each("begin_task", network, task())
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    move(network, 1)
    step(network, methods, torch.optim.SGD([p for p in network.parameters() if p.requires_grad]), batch(6, 1, pool=3))
    methods.each("end_task", network, task(1, (4, 4)))
    kept = {key.split("/", 1)[1] for key in methods.state_dict() if "/" in key}
    assert kept <= trained  # nothing is kept of what is frozen


def test_zscl_without_pool_rows_or_without_a_trained_image_tower_is_refused() -> None:
    network, method = base(), ZSCL()
    method.begin_run(network, 0)
    with pytest.raises(fomo.FomoError, match=r"1 of the batch's rows.*mixture.pretraining"):
        term(method, network, batch(6, 1, pool=1))
    with pytest.raises(fomo.FomoError, match="image tower alone, and that is frozen"):
        tiny.prepared("method=zscl", "trainable=locked_image")


def ema_merge() -> fomo.Method:
    method: fomo.Method = build("merging", tiny.resolved("merging=ema").config.merging)
    return method


@pytest.mark.parametrize("method", [EWC(), SI(), L2()])
def test_an_anchor_in_adapters_that_start_anew_is_refused_before_training(method: fomo.Method) -> None:
    with pytest.raises(fomo.FomoError, match=r"the merge folds the adapters.*anchor=task"):
        Methods({"trainable": LoRA(), "method": method, "merging": ema_merge()}).begin_run(base(), 0)
    Methods({"trainable": Trainable("full"), "method": method, "merging": ema_merge()}).begin_run(base(), 0)
    Methods({"trainable": LoRA(), "method": method, "merging": fomo.Method()}).begin_run(base(), 0)


class Folding(fomo.Method):
    """A merge that does not say so."""

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        weights.fold(network)


@pytest.mark.parametrize("method", [EWC(), SI(), L2()])
def test_an_anchor_in_adapters_that_somebody_folded_is_refused(method: fomo.Method) -> None:
    network = base()
    methods = Methods({"trainable": LoRA(), "method": method, "merging": Folding()})
    methods.begin_run(network, 0)
    methods.each("begin_task", network, task(1))
    methods.each("end_task", network, task(1, (4,)))
    with pytest.raises(fomo.FomoError, match="the merge folds the adapters"):
        methods.each("begin_task", network, task(2))


def test_l2_to_the_tasks_start_goes_with_adapters_that_start_anew() -> None:
    network = base()
    methods = Methods({"lora": LoRA(), "l2": L2(anchor="task"), "merging": ema_merge()})
    methods.begin_run(network, 0)
    for number in (1, 2):
        methods.each("begin_task", network, task(number))
        methods.each("end_task", network, task(number))
        assert network.get_parameter("ln_final.weight") is not None


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("method=ewc regularizer.strength=-1", "strength=-1"),
        ("method=ewc regularizer.decay=1.5", "decay=1.5: allowed are 0 to 1"),
        ("method=ewc regularizer.num_samples=1", "num_samples=1: allowed are finite numbers from 2"),
        ("method=ewc regularizer.batch_size=1", "batch_size=1"),
        ("method=si regularizer.damping=0", "damping=0"),
        ("method=si regularizer.strength=nan", "strength=nan"),
        ("method=l2 regularizer.anchor=tasks", "Did you mean 'task'"),
        ("method=lwf regularizer.temperature=0", "temperature=0"),
        ("method=zscl regularizer.l2=-1", "l2=-1"),
        ("method=zscl regularizer.average_every=2", "average_every=2: allowed are 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(override: str, text: str) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        tiny.prepared(*override.split())
