"""Temporal merging: what is deployed and what training goes on from, along the axes; swapping; state; refusals."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize

import fomo
from fomo.model import weights
from fomo.model.weights import Weights
from methods.merging.merge import merge
from methods.merging.temporal import DEPLOYS, INITS, TemporalMerge
from methods.trainable import Trainable
from tests import tiny

AXES = [(init, deploy) for init in INITS for deploy in DEPLOYS if (init, deploy) != ("merged", "latest")]
ADAPTED = "transformer.resblocks.0.mlp.c_proj"


def small(device: str = "cpu") -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)).to(device)


def on_host(network: nn.Module) -> Weights:
    """Copies in the host's memory, where merging computes on any device."""
    return {name: value.cpu() for name, value in tiny.snapshot(network).items()}


def train(network: nn.Module, task: int) -> Weights:
    """Move every parameter, as if a task had been trained; the weights it ends at."""
    generator = torch.Generator().manual_seed(task)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter.device) * 0.1)
    return on_host(network)


def held(network: nn.Module, method: fomo.Method) -> Weights:
    with method.deployed(network):
        return on_host(network)


def equal(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("technique", ["interpolate", "dare_ties", "model_stock"])
@pytest.mark.parametrize(("init", "deploy"), AXES)
def test_the_axes_are_what_they_say(init: str, deploy: str, technique: str, device: str, tmp_path: Path) -> None:
    network, seed = small(device), 3
    method = TemporalMerge(init, deploy, technique)
    method.workdir = tmp_path / "experts"
    base = on_host(network)
    method.begin_run(network, seed)
    running, experts = base, []
    for number in (1, 2, 3):
        trained = train(network, number)
        experts.append(trained)
        method.end_task(network, fomo.Task(number, 3, 1, seed))
        pair = [(seed, "merge", number, name) for name in ("old", "new")]
        options = {"base": base, "density": 1.0 if technique != "dare_ties" else 0.8 if deploy == "all" else 0.3}
        running = merge(technique, [running, trained], None, keys=pair, **options)  # type: ignore[arg-type]
        expected = {
            "latest": trained,
            "running": running,
            "with_base": merge(technique, [base, trained], None, keys=pair, **options),  # type: ignore[arg-type]
            "all": trained if number == 1 else merge(
                technique, experts, None, keys=[(seed, "merge", n + 1) for n in range(number)], **options),  # type: ignore[arg-type]
        }[deploy]  # fmt: skip
        assert equal(held(network, method), expected)
        start = {"zero_shot": base, "latest": trained, "merged": expected}[init]
        assert equal(on_host(network), start)
    files = {path.name for path in tmp_path.rglob("*")} - {"experts"}
    assert files == ({f"expert_{number:04d}.safetensors" for number in (1, 2, 3)} if deploy == "all" else set())


@pytest.mark.parametrize("weight", [0.25, 0.0, 1.0])
def test_weight_is_the_share_of_the_old_model(weight: float) -> None:
    network = small()
    base = on_host(network)
    for init, deploy in (("merged", "running"), ("latest", "with_base")):
        method = TemporalMerge(init, deploy, weight=weight)
        network.load_state_dict(base)
        method.begin_run(network, 0)
        trained = train(network, 1)
        method.end_task(network, fomo.Task(1, 3, 1, seed=0))
        merged = held(network, method)["0.weight"]
        torch.testing.assert_close(merged, weight * base["0.weight"] + (1 - weight) * trained["0.weight"])


def test_task_arithmetic_in_a_running_merge_is_the_sum_of_all_task_vectors() -> None:
    """With ``init=zero_shot`` and scale 1 it is θ₀ + Σ τ; with scale ½ the older ones count half as much each time."""
    for scale, share in ((1.0, [1, 1, 1]), (0.5, [0.125, 0.25, 0.5])):
        network = small()
        base = on_host(network)
        method = TemporalMerge("zero_shot", "running", "task_arithmetic", scale=scale)
        method.begin_run(network, 0)
        expected = base["0.weight"].clone()
        for number in (1, 2, 3):
            expected += share[number - 1] * (train(network, number)["0.weight"] - base["0.weight"])
            method.end_task(network, fomo.Task(number, 3, 1, seed=0))
        torch.testing.assert_close(held(network, method)["0.weight"], expected)


def test_adapters_are_folded_where_training_starts_from_elsewhere() -> None:
    prepared = tiny.prepared("method=lora_ema", "model=pocket_vit")
    network, methods = prepared.model.network, prepared.methods
    base = weights.folded(network)
    methods.each("begin_task", network, fomo.Task(1, 2, 1, seed=0))
    module = network.get_submodule(ADAPTED)
    module.parametrizations.weight[0].B.data.fill_(0.1)  # type: ignore[union-attr, index]
    trained = weights.folded(network)[f"{ADAPTED}.weight"]
    assert not torch.equal(trained, base[f"{ADAPTED}.weight"])
    methods.each("end_task", network, fomo.Task(1, 2, 1, seed=0))
    torch.testing.assert_close(network.state_dict()[f"{ADAPTED}.weight"], (base[f"{ADAPTED}.weight"] + trained) / 2)
    methods.each("begin_task", network, fomo.Task(2, 2, 1, seed=0))
    assert not module.parametrizations.weight[0].B.any()  # type: ignore[union-attr, index]


def test_adapters_are_kept_where_training_goes_on_and_come_back_from_deployment_as_they_were() -> None:
    prepared = tiny.prepared("method=ft_merge", "trainable=lora", "model=pocket_vit")
    network, methods = prepared.model.network, prepared.methods
    base = weights.folded(network)
    methods.each("begin_task", network, fomo.Task(1, 2, 1, seed=0))
    adapter = network.get_submodule(ADAPTED).parametrizations.weight[0]  # type: ignore[union-attr, index]
    adapter.B.data.fill_(0.1)  # type: ignore[union-attr, operator]
    trained = weights.folded(network)
    methods.each("end_task", network, fomo.Task(1, 2, 1, seed=0))
    before, identities = on_host(network), [id(p) for p in network.parameters()]
    with methods.deployed(network):
        assert not any(parametrize.is_parametrized(module) for module in network.modules())
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, torch.lerp(base[name], trained[name], 0.5), msg=name)
        assert network(torch.zeros(1, 3, 32, 32), torch.ones(1, 16, dtype=torch.long))[0].isfinite().all()
    assert equal(on_host(network), before) and [id(p) for p in network.parameters()] == identities
    assert network.get_submodule(ADAPTED).parametrizations.weight[0] is adapter  # type: ignore[union-attr, index]
    adapter.B.data.fill_(0.2)  # type: ignore[union-attr, operator]
    moved = weights.folded(network)[f"{ADAPTED}.weight"]
    assert not torch.equal(moved, trained[f"{ADAPTED}.weight"])


def test_an_error_during_deployment_leaves_the_training_weights() -> None:
    network, method = small(), TemporalMerge("latest", "with_base")
    method.begin_run(network, 0)
    trained = train(network, 1)
    method.end_task(network, fomo.Task(1, 2, 1, seed=0))
    with pytest.raises(KeyError), method.deployed(network):
        raise KeyError
    assert equal(on_host(network), trained)


@pytest.mark.parametrize(("init", "deploy"), AXES)
def test_another_process_goes_on_from_the_state(init: str, deploy: str, device: str, tmp_path: Path) -> None:
    def run(stop_after: int | None) -> Weights:
        network = small(device)
        base = on_host(network)
        method = TemporalMerge(init, deploy, "ties")
        method.begin_run(network, 0)
        for number in (1, 2, 3):
            method.workdir = tmp_path
            train(network, number)
            method.end_task(network, fomo.Task(number, 3, 1, seed=0))
            if number == stop_after:
                state: dict[str, Tensor] = {k: v.clone() for k, v in method.state_dict().items()}
                stopped = on_host(network)
                network, method = small(device), TemporalMerge(init, deploy, "ties")
                network.load_state_dict(base)
                method.begin_run(network, 0)
                method.load_state_dict(network, state)
                network.load_state_dict(stopped)
        return held(network, method)

    whole = run(None)
    assert all(equal(run(stop), whole) for stop in (1, 2, 3))


def test_the_cost_of_ema_merge_can_be_counted_without_values() -> None:
    with FakeTensorMode():
        network = nn.Linear(4, 5)
        method = TemporalMerge("merged", "running")
        method.begin_run(network, 0)
        method.end_task(network, fomo.Task(1, 2, 1, seed=0))
        with method.deployed(network):
            assert network.weight.shape == (5, 4)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["merging.init=zeroshot"], "Did you mean 'zero_shot'"),
        (["merging.deploy=runing"], "Did you mean 'running'"),
        (["merging.technique=tie"], "Did you mean 'ties'"),
        (["merging.weight=1.1"], r"merging\.weight=1\.1"),
        (["merging.weight=-0.1"], r"merging\.weight"),
        (["merging.weight=.nan"], r"merging\.weight"),
        (["merging.density=0.3"], r"merging\.density=0\.3 has no meaning for merging\.technique=interpolate"),
        (["merging.technique=ties", "merging.density=0"], r"merging\.density=0"),
        (["merging.technique=ties", "merging.density=1.5"], r"merging\.density=1\.5"),
        (["merging.technique=ties", "merging.density=much"], "merging"),
        (["merging.scope=model"], r"merging\.scope=model has no meaning"),
        (["merging.technique=task_arithmetic", "merging.weight=0.3"], r"merging\.weight=0\.3 has no meaning"),
        (["merging.lines=[0.5,0.5]"], r"merging\.lines has no meaning"),
        (["merging.technique=ties", "merging.lines=[0.5]"], "two numbers"),
        (["merging.deploy=latest"], "merges nothing"),
        (
            ["merging.init=latest", "merging.deploy=latest", "merging.technique=ties", "merging.density=0.3"],
            "density: .*merges nothing",
        ),
        (
            ["merging.init=latest", "merging.deploy=latest", "merging.technique=ties", "merging.scale=2"],
            "scale: .*merges nothing",
        ),
        (
            ["merging.init=latest", "merging.deploy=latest", "merging.technique=ties", "merging.lines=[0.5,0.5]"],
            "merges nothing",
        ),
        (["merging.technique=ties", "merging.lines=0.5"], r"merging\.lines=0\.5: give two numbers"),
        (["trainable=nothing"], "nothing is trained, so there is nothing to merge"),
        (["merging.technique=magmax", "merging.weight=0.3"], r"merging\.weight=0\.3 has no meaning"),
        (["merging.deploy=all", "merging.weight=0.3"], r"merging\.weight=0\.3 has no meaning for merging\.deploy=all"),
    ],
)
def test_nonsense_is_refused_before_training(settings: list[str], text: str) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        tiny.prepared("method=ema_merge", *settings)


def test_lines_needs_layer_numbers_before_training() -> None:
    with pytest.raises(fomo.FomoError, match="no layer numbers"):
        TemporalMerge("merged", "running", "ties", lines=[0.5, 0.5]).begin_run(small(), 0)


def test_experts_need_a_folder() -> None:
    network, method = small(), TemporalMerge("zero_shot", "all")
    method.begin_run(network, 0)
    with pytest.raises(fomo.FomoError, match="workdir"):
        method.end_task(network, fomo.Task(1, 2, 1, seed=0))


def test_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(fomo.FomoError, match="Did you mean 'locked_text'"):
        Trainable("lock_text")
