"""Estimates for several devices: points computed by hand, and what has been measured."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fomo.budget.cost import Sizes
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.planning import survey
from fomo.planning.machines import Machines, flops_per_second, rows_to_try
from fomo.planning.published import SCORED, TRAINING, published
from fomo.planning.scale import Assumed, Cluster, Rate, Scored, Work, estimates, step, training_seconds
from fomo.planning.work import tower_flops
from methods.presets import PRESETS
from tests import tiny

TOP = Path(__file__).parents[3]
MEASURED = (TOP / "benchmarks" / "gpu-2026-11-27.txt").read_text(encoding="utf-8")
FLOPS = 63_394_758_524_928
FORWARD = 21_036_529_614_848
PARAMETERS = 149_620_737
PUBLISHED = Work(
    step_flops=FLOPS,
    forward_flops=FORWARD,
    backward_flops=FLOPS - FORWARD,
    run_flops=28_380.0 * FLOPS,
    run_seconds=None,
    num_steps=28_380,
    num_tasks=20,
    batch_size=512,
    micro_batch=None,
    grad_checkpointing=False,
    strategy="ddp",
    sizes=Sizes(PARAMETERS, PARAMETERS, 8 * PARAMETERS),
    blocks=24,
    embed_dim=512,
    state_bytes=12 * PARAMETERS,
    weights_bytes=4 * PARAMETERS,
    keeps_experts=False,
    scored=Scored(1000, 10, 35e9, 6e9),
)
"""Full fine-tuning of ViT-B/16 at batch 512: FLOPs as tests/fomo/budget/test_flops.py has them."""
PETA = Rate(Assumed(2e15, "made up"), Assumed(0.5, "made up"))
"""10¹⁵ FLOP/s."""


def cluster(devices: int, bandwidth: float = 1e11) -> Cluster:
    return Cluster(devices, "a device", Assumed(bandwidth, "made up"), Assumed(1e5, "made up"))


def values(**runtime: Any) -> dict[str, Any]:
    return {"runtime": {"precision": "auto", "compile": None, "deterministic": True, **runtime}}


def measured_steps() -> dict[tuple[bool, bool], float]:
    """Seconds of a step by whether it was compiled and deterministic."""
    found = re.findall(r"^fomo(, compiled)?(, not deterministic)? +([\d.]+) ms", MEASURED, re.MULTILINE)
    return {(bool(compiled), not other): float(ms) / 1000 for compiled, other, ms in found}


def test_a_step_takes_what_it_was_measured_to_take_on_an_h200() -> None:
    steps = measured_steps()
    assert len(steps) == 4
    for (compiled, deterministic), seconds in steps.items():
        asked = values(compile="blocks" if compiled else None, deterministic=deterministic)
        assert Machines(1, "H200").estimated(asked, PUBLISHED)["seconds_per_step"] == pytest.approx(seconds, rel=0.01)


def test_a_run_from_shards_reads_what_it_was_measured_to_read_on_an_h200() -> None:
    of_run = re.search(r"a steady step ([\d.]+) ms = ([\d,]+) samples/s", MEASURED)
    share = re.search(r"its steady step: MFU ([\d.]+)% padded", MEASURED)
    assert of_run and share
    found = Machines(1, "H200", mfu=float(share[1]) / 100, image_bytes=20_000).estimated(values(), PUBLISHED)
    assert found["seconds_per_step"] == pytest.approx(float(of_run[1]) / 1000, rel=0.01)
    assert found["images_per_second"] == pytest.approx(float(of_run[2].replace(",", "")), rel=0.01)
    assert found["mb_per_second"] == pytest.approx(found["images_per_second"] * 0.02)


def test_ddp_sends_the_gradients_by_a_ring_and_hides_all_but_the_last_bucket() -> None:
    of_step = step(PUBLISHED, cluster(8), PETA)
    assert of_step.compute == pytest.approx(0.007924344815616)  # 63,394.758524928e9 ÷ 8 ÷ 1e15
    assert of_step.ddp.bytes_per_step == pytest.approx(1_047_345_159)  # 2 × 7/8 × 4 × 149,620,737
    # 0.010473 s, of which 2/3 of the step, 0.005295 s, hide what they can; the last bucket would be 0.000459 s
    exposed = 0.01047345159 - (63_394_758_524_928 - 21_036_529_614_848) / 8e15
    assert of_step.ddp.exposed == pytest.approx(exposed)
    fast = step(PUBLISHED, cluster(8, 1e12), PETA).ddp
    assert fast.overlapped == pytest.approx(1 - 26_214_400 / 598_482_948)
    assert of_step.seconds("ddp") == pytest.approx(of_step.compute + exposed + of_step.features.seconds)


def test_fsdp_gathers_twice_and_scatters_once() -> None:
    found = step(PUBLISHED, cluster(4), PETA).fsdp
    weights = 2 * 149_620_737
    assert found.bytes_per_step == pytest.approx(0.75 * (2 * weights + 4 * 149_620_737))
    assert found.overlapped == pytest.approx(1 - (weights + 4 * 149_620_737) / 25 / (2 * weights + 4 * 149_620_737))
    locked = replace(PUBLISHED, sizes=Sizes(PARAMETERS, 0, 0), micro_batch=50)
    pieces = step(locked, cluster(4), PETA).fsdp  # 128 rows in 3 pieces: forward, forward again and backward of each
    assert pieces.bytes_per_step == pytest.approx(0.75 * 9 * weights)


def test_features_go_there_and_their_gradients_come_back() -> None:
    found = step(PUBLISHED, cluster(3), PETA).features
    row_bytes = 2 * 512 * 4
    assert found.bytes_per_step == pytest.approx(2 * 171 * row_bytes + 2 * 2 / 3 * 512 * row_bytes)
    assert found.overlapped == 0 and found.exposed == pytest.approx(found.bytes_per_step / 1e11)


def test_the_device_with_most_rows_is_waited_for() -> None:
    assert step(PUBLISHED, cluster(3), PETA).compute == pytest.approx(FLOPS * 171 / 512 / 1e15)


def test_one_device_sends_nothing_and_a_method_without_steps_takes_none() -> None:
    alone = step(PUBLISHED, cluster(1), PETA)
    assert [each.bytes_per_step for each in (alone.ddp, alone.fsdp, alone.features)] == [0, 0, 0]
    assert alone.seconds("ddp") == alone.seconds("fsdp") == alone.compute
    nothing = {"step_flops": 0.0, "forward_flops": 0.0, "backward_flops": 0.0, "run_flops": 0.0, "num_steps": 0}
    frozen = replace(PUBLISHED, **nothing, sizes=Sizes(PARAMETERS, 0, 0))
    found = estimates(frozen, cluster(4), PETA)
    assert found["seconds_per_step"] is None and found["training_hours"] == 0 == found["images_per_second"]
    assert {each["bytes_per_step"] for each in found["exchanged"].values()} == {0.0}


def test_what_is_computed_twice_takes_time_and_pieces_leave_nothing_to_hide_in() -> None:
    again = step(replace(PUBLISHED, grad_checkpointing=True), cluster(8), PETA)
    assert again.compute == pytest.approx((FLOPS + FORWARD) / 8e15) and again.backward == pytest.approx(FLOPS / 8e15)
    pieces = step(replace(PUBLISHED, micro_batch=16), cluster(8), PETA)
    assert pieces.compute == pytest.approx((FLOPS + FORWARD) / 8e15) and pieces.ddp.overlapped == 0
    assert step(replace(PUBLISHED, micro_batch=64), cluster(8), PETA).ddp.overlapped > 0  # a share is one piece


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_hours_are_of_steps_hooks_and_evaluations(strategy: str) -> None:
    work = replace(PUBLISHED, run_flops=28_380.0 * FLOPS + 7e15, strategy=strategy)
    found = estimates(work, cluster(8), PETA)
    of_step = step(work, cluster(8), PETA)
    assert found["seconds_per_step"] == pytest.approx(found["compute_seconds"] + found["waiting_seconds"])
    assert found["training_hours"] == pytest.approx((28_380 * of_step.seconds(strategy) + 7 / 8) / 3600)
    assert found["evaluation_hours"] == pytest.approx(21 * (1000 * 35e9 + 10 * 6e9) / 8e15 / 3600)
    assert found["run_hours"] == pytest.approx(found["training_hours"] + found["evaluation_hours"])
    timed = replace(work, run_flops=None, run_seconds=7200.0, num_steps=0)
    assert training_seconds(timed, cluster(8), PETA) == 7200


def test_storage_is_of_checkpoints_the_weights_and_experts_if_they_are_kept() -> None:
    gib = 4 * PARAMETERS / 2**30
    plain = estimates(PUBLISHED, cluster(8), PETA)
    kept = estimates(replace(PUBLISHED, keeps_experts=True), cluster(8), PETA)
    # two checkpoints are kept while a third is written; each has weights and two moments
    assert plain["checkpoint_gib"] == pytest.approx(3 * gib) and plain["checkpoints_gib"] == pytest.approx(9 * gib)
    assert plain["experts_gib"] == 0 and kept["experts_gib"] == pytest.approx(20 * gib)
    assert kept["storage_gib"] == pytest.approx((9 + 20 + 1) * gib)
    assert PUBLISHED.state_bytes == pytest.approx(1.8e9, rel=0.01)  # as measured: benchmarks/README.md, gpu.py


def test_bandwidth_is_that_of_the_link_the_bus_or_what_is_said() -> None:
    def found(*machines: Any, **options: Any) -> float:
        assumed = Machines(2, *machines, **options).estimated(values(), PUBLISHED)["assumed"]
        return float(assumed["bandwidth_gb_per_second"]["value"])

    assert found("H100") == pytest.approx(450) and found("H100 PCIe") == pytest.approx(64)
    assert found("L4") == pytest.approx(32) and found("H100", bandwidth=5e9) == pytest.approx(5)


def test_precision_decides_on_the_peak_and_on_what_fsdp_gathers() -> None:
    fp32 = Machines(2, "H100", mfu=1.0).estimated(values(precision="fp32"), PUBLISHED)
    assert fp32["flops_per_second"] == pytest.approx(66.9e12)
    assert fp32["exchanged"]["fsdp"]["bytes_per_step"] == pytest.approx(0.5 * 3 * 4 * PARAMETERS)


def test_the_study_is_every_method_once_on_every_test_image() -> None:
    catalogue = yaml.safe_load((TOP / "streams" / "catalogue" / "datasets.yaml").read_text(encoding="utf-8"))
    assert len(catalogue) == 63 and sum(each["num_test"] for each in catalogue) == SCORED.num_images == 767_481
    assert sum(each["num_classes"] or 0 for each in catalogue) == SCORED.num_texts
    assert TRAINING.keys() == PRESETS.keys()
    # 1.8e9 GFLOPs, but for less than a step in each of 20 tasks
    assert 1.8e3 - 20 * 0.0634 < TRAINING["finetune"] <= 1.8e3 and TRAINING["frozen"] == 0
    found = published(8, PETA)
    evaluation = 21 * (767_481 * 35_126_906_880 + 23_045 * 5_959_540_736) / 1e15 / 3600
    assert found["runs"] == 20 and found["evaluation_device_hours"] == pytest.approx(20 * evaluation)
    assert found["device_hours"] == pytest.approx(sum(TRAINING.values()) / 3600 + 20 * evaluation)
    assert found["hours"] == pytest.approx(max(found["device_hours"] / 8, found["longest_run_hours"]))
    assert published(10_000, PETA)["hours"] == pytest.approx(max(TRAINING.values()) / 3600 + evaluation)


def test_towers_are_counted_as_the_forward_pass_is() -> None:
    model = factory.model_shapes(resolve(compose(["model=ViT-B-16"])).config)
    image, text, width = tower_flops(model.network, model.image_size)
    assert (image, text) == (SCORED.image_flops, SCORED.text_flops)
    assert 512 * (image + text) + 2 * 512 * 512 * width == FORWARD  # and the product of features


def test_steps_on_this_machine_are_timed_on_as_many_rows_as_it_can_take() -> None:
    per_row = PUBLISHED.step_flops / 512
    assert rows_to_try(PUBLISHED, 64, "cuda") == 64 and rows_to_try(PUBLISHED, 64, "cpu") == int(5e11 / per_row) == 4
    assert rows_to_try(replace(PUBLISHED, step_flops=5e9), 64, "cpu") == 64
    asked = compose([*tiny.TINY, "batch_size=2"])
    assert flops_per_second((asked, 2, 2e9)) > 1e6 and flops_per_second((asked, 2, 0.0)) > 1e6


def test_a_device_that_cannot_take_the_steps_is_a_problem_of_its_row() -> None:
    class Full(Machines):
        def estimated(self, values: Any, work: Work) -> dict[str, Any]:
            raise FomoError("out of memory.")

    found = survey._estimated({}, Full(2, "here"), PUBLISHED, None)
    assert found == {"estimates": None, "problem": "not estimated: out of memory."}
