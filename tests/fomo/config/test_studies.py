"""What the shipped studies sweep over: cases, and that what is to be equal in a study is."""

import re
from pathlib import Path

import pytest
import torch

from fomo.cli import main
from fomo.config import factory
from fomo.config.compose import compose, config_dir
from fomo.config.schema import Resolved, resolve
from fomo.config.sweeping import Study, study, sweep
from fomo.results.ledger import read_ledger
from fomo.system.reading import read_yaml
from methods.merging.merge import merge
from methods.merging.temporal import DEPLOYS, INITS
from methods.meta_schedules import META_SCHEDULES
from streams.orderings import FORWARD, NEEDS
from tests.tiny import TINY

SEEDS = {"desktop", "merging", "batch_scaling", "orderings", "orderings_built", "mixture", "meta_schedules", "scale"}
SMALL = [each for each in TINY if not each.startswith(("batch_size", "budget"))]


def composed(name: str, *overrides: str) -> list[Resolved]:
    return [resolve(compose(job)) for job in sweep([f"experiment=study/{name}", *overrides])]


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_every_setting_of_a_study_has_three_seeds(name: str) -> None:
    seeds: dict[str, set[int]] = {}
    for job in sweep([f"experiment=study/{name}"]):
        (seed,) = [part.split("=")[1] for part in job if part.startswith("seed=")]
        seeds.setdefault(" ".join(part for part in job if not part.startswith("seed=")), set()).add(int(seed))
    assert len(seeds) > 1 and all(each == {0, 1, 2} for each in seeds.values())


def test_a_study_names_its_own_command() -> None:
    for file in (config_dir() / "experiment" / "study").glob("*.yaml"):
        assert f"# fomo run experiment=study/{file.stem}\n" in file.read_text(encoding="utf-8")


def test_each_case_is_run_with_every_combination_and_the_settings_of_its_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Study({"seed": "0,1"}, {"lora": ["optimizer.lr=2"]}, ["method=lora", "method=ewc ewc.strength=3"])
    monkeypatch.setattr(Study, "read", lambda name: made)
    one = ["experiment=study/methods"]
    assert sweep(one) == [
        ["seed=0", "method=lora", "optimizer.lr=2"],
        ["seed=0", "method=ewc", "ewc.strength=3"],
        ["seed=1", "method=lora", "optimizer.lr=2"],
        ["seed=1", "method=ewc", "ewc.strength=3"],
    ]
    (job,) = sweep([*one, "seed=0", "method=lora", "ewc.strength=1"])  # both cases are one, and that is run once
    assert job == ["seed=0", "method=lora", "ewc.strength=1", "optimizer.lr=2"]


def test_a_part_that_a_case_chooses_takes_no_settings_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study({"method": "finetune"}, {"finetune": ["optimizer.lr=2"]}, ["optimizer=lamb", "optimizer=adamw"])
    monkeypatch.setattr(Study, "read", lambda name: study)
    assert [job[1:] for job in sweep(["experiment=study/methods"])] == [["optimizer=lamb"], ["optimizer=adamw"]]


def test_cases_stay_when_settings_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("settings: {ema_merge: [optimizer.lr=5e-4]}")
    jobs = sweep(["experiment=study/merging", "seed=0", "run.dir=out"], tmp_path / "settings.yaml")
    merged = [job for job in jobs if "method=ema_merge" in job]
    assert len(merged) == 5 and all("optimizer.lr=5e-4" in job for job in merged)
    assert len({job[-1] for job in jobs}) == len(jobs) == len(Study.read("study/merging").cases)


def test_the_study_of_merging_has_the_axes_and_techniques_that_its_file_says() -> None:
    runs = [each.values["merging"] for each in composed("merging", "seed=0")]
    points = {(run["init"], run["deploy"]) for run in runs if "init" in run}
    assert {init for init, _ in points} == set(INITS) and {deploy for _, deploy in points} == set(DEPLOYS) - {"latest"}
    assert len(points) == 6 and "fomo.Method" in {run["_target_"] for run in runs}
    found = {run["technique"] for run in runs if "technique" in run}
    assert found == {"interpolate", "ties", "magmax", "model_stock", "task_arithmetic"}
    rates = {each.values["label"].split()[0]: each.values["optimizer"]["lr"] for each in composed("merging", "seed=0")}
    assert rates.pop("finetune") == 3e-4 and set(rates.values()) == {1e-3}


@pytest.mark.parametrize("technique", ["magmax", "model_stock"])
def test_a_merge_with_the_base_by_these_techniques_leaves_the_weights_as_they_are(technique: str) -> None:
    base = {"visual.a": torch.randn(4, 5, generator=torch.Generator().manual_seed(0))}
    new = {"visual.a": base["visual.a"] + torch.randn(4, 5, generator=torch.Generator().manual_seed(1))}
    merged = merge(technique, [base, new], [0.5, 0.5], base, density=0.3)
    torch.testing.assert_close(merged["visual.a"], new["visual.a"])


def test_task_arithmetic_in_a_running_merge_adds_what_is_there_once_more() -> None:
    """m = θ₀ + 1; trained from it, θ = θ₀ + 1.5: the sum of both is θ₀ + 2.5."""
    base, old, new = ({"visual.a": torch.full((3,), value)} for value in (4.0, 5.0, 5.5))
    assert merge("task_arithmetic", [old, new], None, base)["visual.a"].tolist() == [6.5] * 3


def test_batches_of_all_sizes_see_equally_many_samples() -> None:
    runs = composed("batch_scaling", "seed=0")
    assert len(runs) == 3 * (1 + 2 * 3)
    samples = {each.values["budget"]["samples"] for each in runs}
    assert samples == {46_080} and not any(samples.copy().pop() % (6 * each.values["batch_size"]) for each in runs)
    rules: dict[tuple[str, int], list[str]] = {}
    for each in runs:
        optimizer = each.values["optimizer"].get("name", "adamw")
        assert each.values["batch_scaling"]["reference"] == 128
        rules.setdefault((optimizer, each.values["batch_size"]), []).append(each.values["batch_scaling"]["rule"])
    assert {optimizer for optimizer, _ in rules} == {"adamw", "lamb", "sgd"}
    assert {tuple(each) for (_, size), each in rules.items() if size != 128} == {("none", "linear", "sqrt")}
    assert {tuple(each) for (_, size), each in rules.items() if size == 128} == {("none",)}


def test_the_meta_schedules_are_all_there() -> None:
    assert {each.values["meta_schedule"]["_target_"].split(".")[-1] for each in composed("meta_schedules")} == set(
        META_SCHEDULES
    )


def test_every_ordering_that_the_pocket_has_is_there_with_its_reverse() -> None:
    listed = str(Study.read("study/orderings").params["stream.ordering"]).split(",")
    built = Study.read("study/orderings_built").params
    files = re.findall(r"orderings/(\w+)\.json", built["stream.path"])
    assert built["stream.ordering"] == "given,reverse_given" and set(files) == set(NEEDS)
    left_out = {"given", "time_incremental", "time_incremental_datasets"}
    assert set(listed) == {
        f"{way}{name}" for name in FORWARD.keys() - NEEDS.keys() - left_out for way in ("", "reverse_")
    }
    text = (config_dir() / "experiment/study/orderings_built.yaml").read_text(encoding="utf-8")
    assert f"for name in {' '.join(files)}; do fomo stream build ordering=$name --out orderings/$name.json" in text


def test_the_shares_of_every_mixture_are_one_together() -> None:
    shares = [each.values["mixture"] for each in composed("mixture", "seed=0")]
    triples = {(each["pretraining"], each["update"], each["buffer"]) for each in shares}
    assert len(triples) == len(shares) == 8
    assert all(sum(triple) == pytest.approx(1) for triple in triples)


def test_the_scale_study_has_two_models_and_three_budgets() -> None:
    runs = composed("scale", "seed=0")
    pairs = {(each.values["model"]["name"], each.values["budget"]["scale"]) for each in runs}
    assert pairs == {(name, scale) for name in ("pocket", "pocket_resnet") for scale in (0.5, 1, 2)}


def test_every_part_of_the_study_of_merging_can_be_built() -> None:
    for each in composed("merging", "seed=0"):
        assert factory.methods(each.config)


def test_the_study_of_merging_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one method and technique there are two cases: where its training starts from."""
    monkeypatch.chdir(tmp_path)
    chosen = ["method=offline_merge", "merging.technique=ties", "seed=0"]
    main(["run", "experiment=study/merging", *TINY, "budget.steps=2", "stream.test_images=10", *chosen])
    text = Path("runs/study/merging.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| offline\\_merge \| (.*?) \| 1 \| 2 \|", text)
    assert sorted(rows) == ["", "merging.init=latest"] and "merging.technique=ties" in text
    assert Path("runs/study/merging.png").stat().st_size > 10_000


def test_the_study_of_batch_sizes_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal samples in the ledgers, and what they took in the table."""
    monkeypatch.chdir(tmp_path)
    given = ["num_tasks=1", "budget.samples=512", "batch_scaling.rule=sqrt", "optimizer=adamw", "seed=0"]
    main(["run", "experiment=study/batch_scaling", *SMALL, "stream.test_images=10", *given])
    folders = [file.parent for file in Path("runs").rglob("ledger.json")]
    ledgers = {read_yaml(each / "config.yaml")["batch_size"]: read_ledger(each) for each in folders}
    assert {size: ledger.charged.steps for size, ledger in ledgers.items()} == {32: 16, 128: 4, 512: 1}
    assert {sum(ledger.samples.values()) for ledger in ledgers.values()} == {512}
    text = Path("runs/study/batch_scaling.md").read_text(encoding="utf-8")
    assert "over 512 samples each" in text and "samples/s | MFU" in text
    for batch, steps in ((32, 16), (128, 4), (512, 1)):
        assert re.search(rf"\| {batch} \| {steps} \| 512 \| 1 \| [\d,]+ \| [\d.]+% \|", text)


@pytest.mark.parametrize("name", sorted(SEEDS | {"methods", "tuning", "updates", "desktop_tuning"}))
def test_a_job_of_a_study_is_one_run_when_a_process_of_its_own_is_given_it(name: str) -> None:
    """It had named the study once, and so was each of its cases again."""
    for job in sweep([f"experiment=study/{name}"]):
        assert not study(job) and sweep(job) == [job]
