"""What ``fomo tune`` searches, as it is typed; and what is refused before the first trial."""

from pathlib import Path

import pytest

from fomo.config.compose import compose, config_dir
from fomo.config.space import Choice, Interval
from fomo.config.sweeping import read_settings, sweep
from fomo.config.tuning import search
from fomo.errors import FomoError
from methods.presets import PRESETS
from tests.fomo.helpers import put

RATE = Interval(1e-5, 1e-2, log=True)


def test_ranges_and_lists_are_searched_and_all_else_is_shared() -> None:
    words = ["method=ema_merge", "merging.weight=interval(0,1)", "trainable=lora,dora", "seed=0,3", "batch_size=64"]
    found = search([*words, "tuner=tpe", "tuner.seed=4"])
    assert found.space == {
        "optimizer.lr": RATE,
        "merging.weight": Interval(0, 1),
        "trainable": Choice(("lora", "dora")),
    }
    assert found.seeds == ("0", "3")
    assert found.overrides == ("method=ema_merge", "batch_size=64", "evaluation=validation")
    assert (found.tuner["sampler"], found.tuner["seed"]) == ("tpe", 4)


def test_integers_and_factors_are_told_apart_from_numbers() -> None:
    words = ["space=none", "trainable.rank=int(interval(1,8))", "batch_size=tag(log,int(interval(16,64)))"]
    found = search(["method=lora", *words, "optimizer.weight_decay=range(0,3)"])
    assert found.space == {
        "trainable.rank": Interval(1, 8, whole=True),
        "batch_size": Interval(16, 64, log=True, whole=True),
        "optimizer.weight_decay": Choice(("0", "1", "2")),
    }
    assert str(found.space["batch_size"]) == "tag(log,int(interval(16,64)))"


@pytest.mark.parametrize(
    ("interval", "value", "rounded"),
    [
        (RATE, 3.14159e-4, 3.142e-4),
        (RATE, 9.99999e-3, 1e-2),
        (Interval(0, 1), 0.123456, 0.1235),
        (Interval(0, 1), 0.0, 0.0),
        (Interval(1000, 1001), 1000.123456, 1000.1235),
        (Interval(1e-6, 2e-6, log=True), 1e-6, 1e-6),
        (Interval(1, 8, whole=True), 7.6, 8),
        (Interval(0.12345, 1), 0.12345, 0.12345),
    ],
)
def test_numbers_are_tried_as_people_write_them(interval: Interval, value: float, rounded: float) -> None:
    assert interval.rounded(value) == rounded and interval.low <= interval.rounded(value) <= interval.high


@pytest.mark.parametrize("method", [name for name in PRESETS if name != "frozen"])
def test_every_method_has_a_space_whose_ends_compose(method: str) -> None:
    found = search([f"method={method}"])
    assert "optimizer.lr" in found.space
    for key, each in found.space.items():
        for end in each.ends:
            assert compose([*found.overrides, f"{key}={end}"])


def test_a_method_with_a_strength_or_a_weight_has_it_searched() -> None:
    for method in ("ewc", "si", "l2", "lwf", "zscl"):
        assert "regularizer.strength" in search([f"method={method}"]).space
    for method in ("ema_merge", "zs_merge", "ft_merge", "lora_ema"):
        assert "merging.weight" in search([f"method={method}"]).space


def test_one_of_a_space_is_left_out_and_fixed() -> None:
    found = search(["method=ema_merge", "~space.optimizer.lr", "optimizer.lr=1e-3"])
    assert list(found.space) == ["merging.weight"] and "optimizer.lr=1e-3" in found.overrides


def test_settings_of_another_optimizer_are_not_searched() -> None:
    assert list(search(["method=ema_merge", "optimizer=lamb"]).space) == ["merging.weight"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=interval(1e-2,1e-5)"], "ranges from a number to a greater one: interval(LOW,HIGH)"),
        (["optimizer.lr=interval(1,1)"], "ranges from a number to a greater one"),
        (["optimizer.lr=interval(0,1e999)"], "ranges from a number to a greater one"),
        (["optimizer.lr=tag(log,interval(0,1))"], "bounds above 0 where steps are factors: tag(log,…)"),
        (["optimizer.lr=tag(lin,interval(0,1))"], "the tag 'lin' has no meaning here; tag(log,…) is known"),
        (["optimizer.lr=choice(1e-3)"], "has one value: give two at least, or optimizer.lr=0.001"),
        (["trainable.rank=4,4"], "values that differ ('4' stands twice)"),
        (["optimizer.lr=1e-3"], "'optimizer.lr=1e-3' is fixed, and the space has optimizer.lr too. Leave it out"),
        (["optimizer.lr=1e-3"], "or add '~space.optimizer.lr' to have it fixed"),
        (["evaluation=test"], "'evaluation=test': settings are chosen on the validation split"),
        (["evaluation.split=test"], "settings are chosen on the validation split"),
        (["evaluation.split=validation,test"], "'evaluation.split' cannot be searched"),
        (["budget.steps=6,12"], "'budget.steps' cannot be searched: trials that differ in it cannot be compared"),
        (["stream.seed=0,1"], "'stream.seed' cannot be searched"),
        (["seed=0,0"], "seeds that are different"),
        (["seed=interval(0,1)"], "seed"),
        (["seed=a"], "integers from 0, as in seed=0,1,2"),
        (["method=frozen"], "there is nothing to search: give ranges or lists"),
        (["space=none"], "there is nothing to search"),
        (["space=rat"], "unknown option of space 'rat'. Did you mean 'rate'?"),
        (["~space.optimizer.lrr"], "space=methods has no such setting for finetune"),
        (["space.optimizer.lr=1"], "A range of your own is optimizer.lr=VALUES"),
        (["tuner=gpp"], "unknown option of tuner 'gpp'. Did you mean 'gp'?"),
        (["tuner=gp,tpe"], "lists several values"),
        (["tuner.sede=1"], "unknown setting of tuner=gp: 'sede'. Did you mean 'seed'?"),
        (["methd=lora,ewc", "optimizer.lr=interval(0"], "cannot read the override"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(FomoError) as error:
        search(words)
    assert said in str(error.value)


@pytest.mark.parametrize("word", ["tuner=gp", "tuner.seed=1", "space=rate"])
def test_a_run_has_no_engine(word: str) -> None:
    with pytest.raises(FomoError, match=r"fomo tune … "):
        compose([word])


def test_every_option_of_space_holds_lists_and_ranges_by_method() -> None:
    for file in (config_dir() / "space").glob("*.yaml"):
        words = [f"space={file.stem}"]
        if file.stem == "none":
            words.append("optimizer.lr=interval(0,1)")
        assert search(words).space


def test_a_sweep_takes_the_settings_that_were_chosen(tmp_path: Path) -> None:
    put(tmp_path / "lora" / "settings.yaml", "settings: {lora: [optimizer.lr=3e-3 run.tuned=a/study.jsonl]}")
    put(tmp_path / "ewc" / "settings.yaml", "settings: {ewc: [optimizer.lr=1e-4 run.tuned=b/study.jsonl]}")
    assert sweep(["method=lora,ewc,frozen"], tmp_path) == [
        ["method=lora", "optimizer.lr=3e-3", "run.tuned=a/study.jsonl"],
        ["method=ewc", "optimizer.lr=1e-4", "run.tuned=b/study.jsonl"],
        ["method=frozen"],
    ]
    given = sweep(["method=lora", "optimizer.lr=1e-3", "run.dir=out", "seed=0,1"], tmp_path)
    assert given[0] == ["method=lora", "optimizer.lr=1e-3", "seed=0", "run.dir='out/seed=0'"]
    words = ["experiment=study/methods", "method=lora,finetune", "seed=0"]
    study = sweep(words, tmp_path)
    assert [job[-2:] for job in study] == [
        ["optimizer.lr=3e-3", "run.tuned=a/study.jsonl"],
        ["seed=0", "optimizer.lr=3e-4"],
    ]
    in_folders = sweep([*words, "run.dir=out"], tmp_path)
    assert in_folders[0][-1] == "run.dir='out/method=lora,optimizer.lr=3e-3'"


def test_files_of_settings_that_are_none_are_refused(tmp_path: Path) -> None:
    place = tmp_path
    with pytest.raises(FomoError, match=r"holds no settings.yaml. `fomo tune` writes one"):
        read_settings(place)
    file = put(place / "a" / "settings.yaml", "settings: {lora: 1}")
    with pytest.raises(FomoError, match="no settings of methods"):
        read_settings(file)
    put(file, "settings: {'lora,ewc': [a=1]}")
    put(place / "b" / "settings.yaml", "settings: {ewc: [a=1]}")
    with pytest.raises(FomoError, match="ewc has settings in another file"):
        read_settings(place)
