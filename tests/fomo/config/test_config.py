"""Composing, checking, hashing and storing a configuration."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fomo.config.compose import APART, builtin_groups, compose, config_dir, groups, label
from fomo.config.factory import stream_plan
from fomo.config.schema import Config, Resolved, resolve
from fomo.config.sweeping import sweep
from fomo.errors import FomoError
from fomo.results import config_file
from fomo.results.config_file import comparable, differences, read_config, sha256_without_seed
from fomo.running.folder import FolderState, run_folder, start, state_of
from fomo.stream.mixture import MixtureWeights
from fomo.version import SCORE_VERSION
from tests.fomo.helpers import error_of, put

RUN = [group for group in builtin_groups() if group not in ("model", *APART)]
FILES = [(group, option) for group in RUN for option in builtin_groups()[group]]
FILES += [("model", file.stem) for file in sorted((config_dir() / "model").glob("*.yaml"))]
NEEDED = {
    ("stream", "images"): ["stream.adaptation=[mine]"],
    ("stream", "file"): ["stream.path=stream.json"],
    ("stream", "own"): ["stream._target_=birds.plan"],
    ("optimizer", "own"): ["optimizer._target_=birds.optimizer"],
}


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    return compose([])


def resolved(*overrides: str) -> Resolved:
    return resolve(compose(overrides))


def changed(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A deep copy with one dotted key set."""
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(values))
    *path, last = key.split(".")
    node = copy
    for part in path:
        node = node[part]
    node[last] = value
    return copy


@pytest.mark.parametrize(("group", "option"), FILES, ids=["=".join(pair) for pair in FILES])
def test_every_option_composes_alone(group: str, option: str) -> None:
    made = resolved(f"{group}={option}", *NEEDED.get((group, option), []))
    assert isinstance(made.config, Config) and len(made.sha256) == 64
    assert option in groups()[group]


def test_own_images_need_a_list_of_datasets() -> None:
    with pytest.raises(FomoError, match=r"stream\.adaptation=\[NAME\].*fomo data list"):
        stream_plan(resolved("stream=images").config)
    assert resolved("stream=images", "stream.adaptation=[mine]").config.stream["adaptation"] == ["mine"]


@pytest.mark.parametrize("name", [option for group, option in FILES if group == "method"])
def test_every_method_leaves_model_and_stream_alone(name: str, defaults: dict[str, Any]) -> None:
    made = resolved(f"method={name}")
    assert made.config.label == name
    assert name == "galore" or made.values["optimizer"] == resolve(defaults).values["optimizer"]
    for section in ("model", "stream", "budget", "mixture", "evaluation"):
        assert made.values[section] == resolve(defaults).values[section]


def test_the_base_values_are_the_protocols(defaults: dict[str, Any]) -> None:
    plain = yaml.safe_load((config_dir() / "config.yaml").read_text())
    assert (plain["num_tasks"], plain["batch_size"], plain["max_grad_norm"]) == (20, 512, 1.0)
    config = resolve(defaults).config
    assert config.mixture == MixtureWeights(0.33, 0.34, 0.33)
    assert tuple(config.augmentation.scale) == (0.9, 1.0)
    assert config.optimizer["weight_decay"] == 0.2 and config.optimizer["betas"] == [0.9, 0.999]


def test_an_open_clip_model_keeps_the_protocols_rate_and_the_pocket_carries_its_own() -> None:
    big, small = resolved("model=ViT-B-16").config, resolved("model=pocket_resnet").config
    assert (big.optimizer["lr"], big.optimizer["decay"], big.max_logit_scale) == (1e-5, "all", None)
    assert (big.model["_target_"], big.model["name"]) == ("fomo.model.pretrained_clip", "ViT-B-16")
    assert (small.optimizer["lr"], small.optimizer["decay"], small.max_logit_scale) == (1e-3, "matrices", 100)


def test_pretrained_weights_of_an_open_clip_model_are_named() -> None:
    assert resolved("model=ViT-B-16", "model.pretrained=openai").config.model["pretrained"] == "openai"


def test_the_command_line_beats_the_preset() -> None:
    made = resolved("method=ema_merge", "trainable=lora")
    assert made.config.trainable["_target_"] == "methods.lora.LoRA"
    assert made.config.merging["_target_"] == "methods.merging.temporal.TemporalMerge"
    assert resolved("trainable=lora", "method=ema_merge").sha256 == made.sha256
    assert resolved("method=lora", "trainable=full").sha256 == resolved("method=finetune").sha256
    assert resolved("model=pocket_resnet", "optimizer.lr=0.5").config.optimizer["lr"] == 0.5
    assert resolved("num_tasks=3", "stream=pocket").config.num_tasks == 3


def test_presets_that_say_the_same_are_the_same_experiment() -> None:
    assert resolved("method=lora_ema").sha256 == resolved("method=ema_merge", "trainable=lora").sha256


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        ("sed", 1, ["'sed'", "Did you mean 'seed'"]),
        ("mixture.bufer", 0.3, ["'bufer'", "mixture", "Did you mean 'buffer'"]),
        ("runtime.num_worker", 1, ["runtime", "Did you mean 'num_workers'"]),
        ("run.directory", "x", ["run", "Did you mean 'dir'"]),
        ("evaluation.splits", "test", ["evaluation", "Did you mean 'split'"]),
        ("augmentation.scales", [0.5, 1], ["augmentation", "Did you mean 'scale'"]),
        ("seed", "one", ["seed", "one"]),
        ("seed", None, ["seed"]),
        ("seed", 1.5, ["seed", "1.5"]),
        ("num_tasks", [3], ["num_tasks"]),
        ("batch_size", "many", ["batch_size", "many"]),
        ("mixture", [1, 2, 3], ["mixture"]),
        ("mixture", None, ["mixture"]),
        ("model", "pocket", ["model"]),
        ("optimizer", None, ["optimizer"]),
        ("runtime.allow_targets", "os", ["runtime.allow_targets"]),
        ("run", "runs/x", ["run"]),
        ("num_tasks", 0, ["num_tasks=0", "1 and above"]),
        ("batch_size", -1, ["batch_size=-1", "1 and above"]),
        ("max_grad_norm", 0, ["max_grad_norm=0", "above 0"]),
        ("max_grad_norm", float("nan"), ["max_grad_norm=nan"]),
        ("max_logit_scale", -1, ["max_logit_scale=-1"]),
        ("mixture.update", -0.34, ["mixture.update=-0.34", "0 to 1"]),
        ("mixture.update", 0.5, ["0.33 + 0.5 + 0.33", "sum to 1"]),
        ("budget.steps", 0, ["budget.steps=0"]),
        ("budget.scale", -1, ["budget.scale=-1"]),
        ("budget.rounding", "up", ["budget.rounding", "floor, nearest"]),
        ("budget.step", 3, ["budget", "Did you mean 'steps'"]),
        ("mixture.batches", "mixt", ["mixture.batches", "Did you mean 'mixed'"]),
        ("buffer.policy", "rings", ["buffer.policy", "Did you mean 'ring'"]),
        ("buffer.capacity", -1, ["buffer.capacity=-1", "1 and above"]),
        ("buffer.capacity", 0.5, ["buffer.capacity", "0.5"]),
        ("captions.update", "primr", ["captions.update", "Did you mean 'primer'"]),
        ("evaluation.split", "train", ["evaluation.split", "test, validation"]),
        ("evaluation.templates", "al", ["evaluation.templates", "Did you mean 'all'"]),
        ("evaluation.batch_size", 0, ["evaluation.batch_size=0"]),
        ("augmentation.scale", [0.9, 0.5], ["augmentation.scale", "0.9"]),
        ("augmentation.scale", [0, 1], ["augmentation.scale"]),
        ("augmentation.scale", [0.9], ["augmentation.scale"]),
        ("runtime.precision", "fp8", ["runtime.precision", "bf16"]),
        ("runtime.device", "gpuu", ["runtime.device=gpuu", "auto or cpu"]),
        ("runtime.num_workers", -1, ["runtime.num_workers=-1"]),
        ("runtime.worker_timeout", 0, ["runtime.worker_timeout=0", "in seconds"]),
        ("runtime.image_cache_gb", -1, ["runtime.image_cache_gb=-1", "0 for none"]),
    ],
)
def test_a_bad_value_is_refused_by_its_key(key: str, value: Any, texts: list[str], defaults: dict[str, Any]) -> None:
    with pytest.raises(FomoError) as caught:
        resolve(changed(defaults, key, value))
    assert all(text in str(caught.value) for text in texts), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["seed", "num_tasks", "stream", "mixture", "mixture.update"])
def test_a_key_that_is_missing_is_named(key: str, defaults: dict[str, Any]) -> None:
    values = changed(defaults, key, None)
    *path, last = key.split(".")
    del (values[path[0]] if path else values)[last]
    with pytest.raises(FomoError, match=re.escape(key)):
        resolve(values)


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def other(value: Any) -> Any:
    """A value of the same kind that is not equal."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, "more"] if isinstance(value, list) else f"{value}x"


def test_the_hash_ignores_where_it_runs_and_nothing_else() -> None:
    made = resolved("run.dir=here")
    ignored = {
        key
        for key, value in leaves(made.values)
        if Resolved(made.config, changed(dict(made.values), key, other(value))).sha256 == made.sha256
    }
    saving = {"checkpoint.every_steps", "checkpoint.every_minutes", "resume", "keep_weights"}
    where = {f"runtime.{key}" for key in ("device", "num_workers", "worker_timeout", "image_cache_gb", "allow_targets")}
    where |= {"runtime.strategy"}
    assert ignored == {"run.dir", "run.tuned", "label", "log._target_", *where, *saving}


def test_auto_precision_is_hashed_as_what_it_means_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU fp32, planned for a GPU's bf16; on a GPU bf16: two experiments, each with a name of its own."""
    here = resolved()
    assert here.values["runtime"]["precision"] == "fp32" and here.values["runtime"]["planned_precision"] == "bf16"
    assert here.sha256 == resolved("runtime.precision=fp32", "runtime.planned_precision=bf16").sha256
    assert resolve(here.values).sha256 == here.sha256 != resolved("runtime.precision=fp32").sha256
    monkeypatch.setattr("fomo.system.runtime.check_device", lambda device: None)  # as if there were one
    on_gpu = replace(here.config.runtime, device="cuda", precision="auto", planned_precision="auto")
    assert (on_gpu.precision, on_gpu.planned_precision, on_gpu.mixed_on_gpu) == ("bf16", "bf16", True)


def test_a_configuration_of_before_replays(tmp_path: Path) -> None:
    """One that knows no planned precision, and says auto."""
    old = changed(dict(resolved("seed=3").values), "runtime.precision", "auto")
    del old["runtime"]["planned_precision"]
    put(tmp_path / "config.yaml", yaml.safe_dump(old))
    assert resolve(compose([], tmp_path / "config.yaml")).sha256 == resolved("seed=3").sha256


ENGINES = ["micro_batch=8", "grad_checkpointing=true", "compile=blocks", "deterministic=false"]
LOOKS = ["every_tasks=2", "every_steps=3", "keep_samples=true"]


@pytest.mark.parametrize(
    "setting", [*(f"runtime.{each}" for each in ENGINES), *(f"evaluation.{each}" for each in LOOKS)]
)
def test_what_moves_bits_is_another_run_and_no_other_entry(setting: str) -> None:
    """A run that goes on has to share it, as it has to what is looked at; label and leaderboard do not know it."""
    plain = resolved()
    made = resolved(setting)
    assert made.config.label == plain.config.label and made.sha256 != plain.sha256
    assert sha256_without_seed(made.values) == sha256_without_seed(plain.values)


def test_the_hash_without_the_seed_ignores_the_seed_too() -> None:
    one, same, third = (resolved(*extra).values for extra in (["seed=0"], ["seed=1"], ["batch_size=7"]))
    assert sha256_without_seed(one) == sha256_without_seed(same) != sha256_without_seed(third)


def test_ways_to_write_a_number_are_one_experiment() -> None:
    made = {resolved(text).sha256 for text in ("optimizer.lr=1e-4", "optimizer.lr=0.0001", "optimizer.lr=1.0e-4")}
    assert len(made) == 1
    whole = {resolved("mixture=update_only", text).sha256 for text in ("mixture.update=1", "mixture.update=1.0")}
    assert len(whole) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method=lora_ema", "trainable.rank=2", "seed=3"],
        ["model=ViT-B-16", "optimizer.lr=3e-7"],
        ["stream=images", "stream.adaptation=['größe', 'a+++b c']", "stream.name='with: colon # and more'"],
        ["run.dir='my runs/ü {x}'"],
    ],
)
def test_the_stored_text_gives_the_same_experiment_back(overrides: list[str], tmp_path: Path) -> None:
    made = resolved(*overrides)
    file = put(tmp_path / "config.yaml", made.to_yaml())
    again = resolve(compose([], file))
    assert again.sha256 == made.sha256 and again.config == made.config and again.to_yaml() == made.to_yaml()
    assert read_config(file.parent) == dict(made.values)


def test_a_stored_text_takes_overrides(tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", resolved().to_yaml())
    again = resolve(compose(["seed=5", "run.dir=again"], file))
    assert (again.config.seed, again.config.run.dir) == (5, "again")


@pytest.mark.parametrize("override", ["sed=5", "model=ViT-B-16", "method=lora", "seed=x"])
def test_a_stored_text_refuses_what_it_cannot_take(override: str, tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", resolved().to_yaml())
    with pytest.raises(FomoError, match=re.escape(override.split("=")[0])):
        resolve(compose([override], file))


@pytest.mark.parametrize("text", ["", "{", "- a", "3", "a: b", b"\xff\xfe"])
def test_a_file_that_is_no_configuration_is_named(text: str | bytes, tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", text)
    with pytest.raises(FomoError, match=r"config\.yaml"):
        read_config(file.parent)
    with pytest.raises(FomoError):
        resolve(compose([], file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"gone\.yaml"):
        compose([], tmp_path / "gone.yaml")
    with pytest.raises(FomoError, match=r"config\.yaml"):
        read_config(tmp_path)


def test_a_sweep_is_the_product_with_a_folder_for_each_job() -> None:
    jobs = sweep(["method=finetune,lora", "batch_size=8", "seed=0,1,2", "run.dir=out"])
    expected = {f"out/method={m},seed={s}" for m, s in itertools.product(("finetune", "lora"), (0, 1, 2))}
    folders = [resolved(*job).config.run.dir for job in jobs]
    assert len(jobs) == 6 and set(folders) == expected
    for job in jobs:
        made = resolved(*job).config
        assert made.batch_size == 8 and made.run.dir == f"out/method={made.label.split()[0]},seed={made.seed}"


def test_a_sweep_without_a_folder_gives_each_job_its_own() -> None:
    made = [resolved(*job) for job in sweep(["seed=0,1", "method=frozen"])]
    assert len({run_folder(each) for each in made}) == 2
    assert all(each.config.run.dir is None for each in made)


def test_a_sweep_over_lists_ranges_and_reals_keeps_folders_apart() -> None:
    jobs = sweep(["seed=range(0,2)", "optimizer.lr=1e-3,1e-4", "stream.adaptation=[a],[b]", "run.dir='my runs'"])
    folders = {resolved(*job).config.run.dir for job in jobs}
    assert len(jobs) == len(folders) == 8
    assert all(folder is not None and Path(folder).parent == Path("my runs") for folder in folders)


def test_folders_of_a_sweep_differ_where_only_signs_differ() -> None:
    jobs = sweep(["stream.name='a b','a/b'", "run.dir=out"])
    assert len({resolved(*job).config.run.dir for job in jobs}) == 2


def test_the_nearest_key_is_one_of_the_chosen_option() -> None:
    with pytest.raises(FomoError, match=r"Did you mean 'trainable\.rank'"):
        compose(["method=lora", "trainable.ranks=4"])


def test_a_folder_is_no_value_to_sweep_over() -> None:
    with pytest.raises(FomoError, match=r"run\.dir"):
        sweep(["seed=0,1", "run.dir=a,b"])


def test_a_sweep_refuses_an_unknown_option_among_its_values() -> None:
    with pytest.raises(FomoError, match=r"option of method 'lroa'.*Did you mean 'lora'"):
        sweep(["method=finetune,lroa"])


def test_several_values_without_a_sweep_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for override in ("seed=0,1", "method=lora,finetune"):
        error = error_of(capsys, "run", override, "--show")
        assert override.split("=")[0] in error and "-m" in error, error


def test_a_label_names_the_method_and_what_was_changed_of_it() -> None:
    assert label([]) == "finetune"
    assert label(["seed=3", "num_tasks=2", "stream=pocket"]) == "finetune"
    assert label(["trainable=lora", "method=ema_merge", "merging.weight=0.3"]) == (
        "ema_merge trainable=lora merging.weight=0.3"
    )
    assert label(["+trainable.extra=1"]) == "finetune trainable.extra=1"


@pytest.mark.parametrize(
    ("override", "texts"),
    [
        ("metod=lora", ["'metod'", "Did you mean 'method'"]),
        ("method=lroa", ["'lroa'", "Did you mean 'lora'", "finetune"]),
        ("model=ViT-B-17", ["'ViT-B-17'", "Did you mean 'ViT-B-1"]),
        ("model=vit-b-16", ["'vit-b-16'", "Did you mean 'ViT-B-16'"]),
        ("method=null", ["method", "finetune"]),
        ("method=", ["method", "finetune"]),
        ("optimizer.lrr=1", ["'optimizer.lrr'", "Did you mean 'optimizer.lr'", "--show"]),
        ("mixture.updat=1", ["'mixture.updat'", "Did you mean 'mixture.update'"]),
        ("batchsize=4", ["'batchsize'", "Did you mean 'batch_size'"]),
        ("batch_size", ["batch_size", "KEY=VALUE"]),
        ("a=b=c=[", ["a=b=c=[", "'a=\"b=c=[\"'"]),
        ("=3", ["=3", "KEY=VALUE"]),
        ("seed=[1", ["seed=[1"]),
        ("+seed=3", ["seed"]),
        ("+colour=red", ["'colour'"]),
        ("~seed", ["seed"]),
        ("~method", ["method"]),
        ("seed=${nothing.there}", ["nothing"]),
        ("model=../model/pocket", ["../model/pocket"]),
    ],
)
def test_a_bad_override_is_one_line_and_status_2(
    override: str, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "run", "--show", "--", override)
    assert error.startswith("error: ") and error.count("\n") == 1
    assert all(text in error for text in texts), error


def test_differences_name_nested_keys() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}, "gone": 1}
    new = {"a": 1, "b": {"c": 9, "d": 3}, "new": 2}
    assert differences(old, new) == ["b.c: 2 → 9", "gone: 1 → None", "new: None → 2"]
    assert differences(old, old) == []


def test_comparable_changes_nothing() -> None:
    made = dict(resolved("run.dir=x").values)
    copy = changed(made, "seed", made["seed"])
    kept = comparable(made)
    assert made == copy and "run" not in kept and "num_workers" not in kept["runtime"]
    assert set(made) - set(kept) == {*config_file.UNCOMPARED, *config_file.LATER_GROUPS, "batch_ladder"}


def test_a_resolved_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        resolved().config.seed = 3  # type: ignore[misc]


def test_a_run_folder_is_the_chosen_one_or_named_by_the_hash() -> None:
    assert run_folder(resolved("run.dir=a/b")) == Path("a/b")
    made = resolved()
    assert run_folder(made) == Path("runs") / made.sha256[:12]


def test_the_state_of_a_folder(tmp_path: Path) -> None:
    made, folder = resolved(), tmp_path / "run"
    assert state_of(folder, made) is FolderState.NEW
    start(folder, made)
    assert state_of(folder, made) is FolderState.UNFINISHED
    assert state_of(folder, resolved("runtime.num_workers=2", "run.dir=elsewhere")) is FolderState.UNFINISHED
    put(folder / "card.json", "{}")
    assert state_of(folder, made) is FolderState.FINISHED
    with pytest.raises(FomoError, match=r"seed: 0 → 1.*another run\.dir"):
        state_of(folder, resolved("seed=1"))
    start(folder, made)
    assert state_of(folder, made) is FolderState.UNFINISHED


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    made = resolved()
    put(tmp_path / "mine" / "thesis.tex", "x")
    with pytest.raises(FomoError, match="not empty and holds no run"):
        state_of(tmp_path / "mine", made)
    with pytest.raises(FomoError, match="is a file"):
        state_of(tmp_path / "mine" / "thesis.tex", made)
    put(tmp_path / "broken" / "config.yaml", "{")
    with pytest.raises(FomoError, match=r"config\.yaml"):
        state_of(tmp_path / "broken", made)


def test_what_is_composed_twice_is_composed_anew_for_whoever_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first = compose(["method=ewc"])
    first["regularizer"]["_target_"] = "elsewhere"
    assert compose(["method=ewc"])["regularizer"]["_target_"] != "elsewhere"
    for place in ("one", "other"):
        monkeypatch.setenv("PLACE", place)
        assert compose(["run.dir=${oc.env:PLACE}"])["run"]["dir"] == place


def test_a_configuration_of_other_scores_is_refused_with_the_reason(defaults: dict[str, Any], tmp_path: Path) -> None:
    assert resolve(defaults).values["score_version"] == SCORE_VERSION
    first = {key: value for key, value in defaults.items() if key != "score_version"}
    file = put(tmp_path / "config.yaml", yaml.safe_dump(first))
    for values in (first, defaults | {"score_version": "1.7"}, compose([], file)):
        with pytest.raises(
            FomoError, match=rf"of score version 1\.[07], and this is {SCORE_VERSION}: .*another run.dir"
        ):
            resolve(values)
