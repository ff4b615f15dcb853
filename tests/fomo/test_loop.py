"""The update loop: hooks, loss, ledger, what it refuses."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import load_file
from torch import Tensor, nn

import fomo
from fomo.batch import Batch
from fomo.results.layout import FILES
from fomo.results.scores_file import read_scores
from fomo.running.run import execute
from fomo.training.methods import Methods
from fomo.training.step import clamp_temperature, contrastive
from tests import tiny


class Recorder(fomo.Method):
    """Notes the order of hooks; ``factor`` multiplies the loss, to see who was called first."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.calls.append(f"{self.name} begin_run {seed}")

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.calls.append(f"{self.name} begin_task {task.number}/{task.num_tasks}")

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        self.calls.append(f"{self.name} loss")
        return loss

    def after_backward(self, network: nn.Module) -> None:
        self.calls.append(f"{self.name} after_backward")

    def after_step(self, network: nn.Module) -> None:
        self.calls.append(f"{self.name} after_step")

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.calls.append(f"{self.name} end_task {task.number}")

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        self.calls.append(f"{self.name} deployed")
        yield
        self.calls.append(f"{self.name} withdrawn")


def test_hooks_are_called_in_the_documented_order(tmp_path: Path) -> None:
    calls: list[str] = []
    prepared = tiny.prepared("budget.steps=2")
    trainable = prepared.methods.parts["trainable"]
    methods = Methods({"trainable": trainable, "a": Recorder("a", calls), "b": Recorder("b", calls)})
    methods.begin_run(prepared.model.network, 0)
    execute(replace(prepared, methods=methods), tmp_path / "run", tiny.Silent())

    def both(*hooks: str) -> list[str]:
        return [f"{name} {hook}" for hook in hooks for name in "ab"]

    def task(number: int) -> list[str]:
        steps = both(f"begin_task {number}/2", "loss", "after_backward", "after_step", f"end_task {number}")
        return [*steps, *both("deployed"), "b withdrawn", "a withdrawn"]

    deployment = [*both("deployed"), "b withdrawn", "a withdrawn"]  # tried early, and once more for what is stored
    assert calls == [*both("begin_run 0"), *deployment, *task(1), *task(2), *deployment]


def test_loss_is_the_symmetric_cross_entropy(device: str) -> None:
    network = tiny.prepared(f"runtime.device={device}").model.network.eval()
    images, tokens = torch.randn(5, 3, 32, 32, device=device), torch.randint(1, 900, (5, 16), device=device)
    with torch.no_grad():
        loss = float(contrastive(network, Batch(images, tokens, (5, 0, 0))))
        a, b = (each.double().cpu().numpy() for each in (network.encode_image(images), network.encode_text(tokens)))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    logits = math.exp(float(network.logit_scale)) * a @ b.T
    by_image = [-(logits[i, i] - np.log(np.exp(logits[i]).sum())) for i in range(5)]
    by_text = [-(logits[i, i] - np.log(np.exp(logits[:, i]).sum())) for i in range(5)]
    assert loss == pytest.approx((np.mean(by_image) + np.mean(by_text)) / 2, rel=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_it_unfinished(tmp_path: Path) -> None:
    class Spoiler(fomo.Method):
        def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
            return loss * float("nan")

    prepared = tiny.prepared()
    broken = replace(prepared, methods=Methods({**prepared.methods.parts, "spoiler": Spoiler()}))
    with pytest.raises(fomo.FomoError, match=r"task 1, step 0: the loss after spoiler.loss .* is nan.*bad_batch"):
        execute(broken, tmp_path / "run", tiny.Silent())
    assert not (tmp_path / "run" / "card.json").exists()
    assert not read_scores(tmp_path / "run").finished
    saved, raw = load_file(tmp_path / "run" / "bad_batch.safetensors"), prepared.maker[(1, 0)]
    assert torch.equal(saved["images"], raw.images) and torch.equal(saved["tokens"], raw.tokens)


def test_ledger_events_and_scores_agree(device: str, tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", f"runtime.device={device}")
    assert all((run / name).is_file() for name in FILES)
    ledger = json.loads((run / "ledger.json").read_text())
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert [(e["task"], e["step"]) for e in steps] == [(t, s) for t in (1, 2) for s in range(3)]
    assert ledger["planned"]["steps"] == ledger["charged"]["steps"] == len(steps) == 6 and ledger["left"] == 0
    # 24 · (0.33, 0.34, 0.33) = 7.92, 8.16, 7.92: floors 7, 8, 7, the remainder of 2 to P and D. In task 1 the
    # buffer's 7 are split, the odd one to D: 11, 13, 0. Three steps each.
    assert ledger["samples"] == {"pretraining": 3 * (11 + 8), "update": 3 * (13 + 9), "buffer": 3 * 7}
    scores = read_scores(run)
    assert [e.task for e in scores.evaluations] == [0, 1, 2]
    assert set(scores.evaluations[0].tasks) == {1, 2} and scores.caveats == ("not budgeted",)


def test_learning_rate_warms_up_and_falls_in_every_task(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "budget.steps=12")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    rates = [event["lr"] for event in events if event["event"] == "step"]
    assert rates[0] == 1e-3 and rates[5] == pytest.approx(1e-6) and rates[:6] == rates[6:]


@pytest.mark.parametrize(
    ("scale", "limit", "after"), [(5.0, 100.0, math.log(100)), (1.0, 100.0, 1.0), (5.0, None, 5.0)]
)
def test_temperature_is_clamped_only_on_request(scale: float, limit: float | None, after: float) -> None:
    network = nn.Module()
    network.logit_scale = nn.Parameter(torch.tensor(scale))
    clamp_temperature(network, limit)
    assert float(network.logit_scale) == pytest.approx(after)


def test_bf16_trains_too(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "runtime.precision=bf16", "method=lora_ema", "model=pocket")
    assert read_scores(run).finished


def test_batch_norm_statistics_stay_as_they_were(tmp_path: Path) -> None:
    prepared = tiny.prepared("model=pocket_resnet")
    before = {n: v.clone() for n, v in prepared.model.network.named_buffers() if "running" in n}
    execute(prepared, tmp_path / "run", tiny.Silent())
    after = dict(prepared.model.network.named_buffers())
    assert before and all(torch.equal(value, after[name]) for name, value in before.items())


class Looker(fomo.Method):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.differences: list[float] = []
        self.passes: list[tuple[int, int, int]] = []

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        assert batch.features is not None and batch.features.images.requires_grad
        with torch.no_grad():
            self.differences.append(float((ClipLoss()(*batch.features) - loss).abs()))
        return loss

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        seen = sum(len(batch.images) for batch in task.update_batches(50))
        self.passes.append((task.number, seen, task.num_update_samples))


def test_a_method_sees_the_features_of_the_loss_and_may_walk_the_new_data_again(tmp_path: Path) -> None:
    prepared, looker = tiny.prepared(), Looker()
    methods = Methods({**prepared.methods.parts, "looker": looker})
    execute(replace(prepared, methods=methods), tmp_path / "run", tiny.Silent())
    assert looker.differences == pytest.approx([0.0] * 6, abs=1e-6)
    assert [number for number, _, _ in looker.passes] == [1, 2]
    sizes = [len(pool) for pool in prepared.maker.pools.updates]
    assert [(seen, told) for _, seen, told in looker.passes] == [(size, size) for size in sizes]


class Counter(fomo.Method):
    """Keeps one number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Tensor]:
        return {"a.value": torch.tensor(self.value)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        assert set(state) == {"a.value"}
        self.value = float(state["a.value"])


def test_parts_keep_their_state_apart_by_name() -> None:
    names = ("trainable", "train", "other")
    parts = {name: Counter(number) for number, name in enumerate(names, start=1)}
    state = Methods({**parts, "none": fomo.Method()}).state_dict()
    assert set(state) == {f"{name}.a.value" for name in names}
    others = {name: Counter(0) for name in names}
    Methods({**others, "none": fomo.Method()}).load_state_dict(nn.Linear(1, 1), state)
    assert [others[name].value for name in names] == [1, 2, 3]
