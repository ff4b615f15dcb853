"""Hydra's grammar of overrides: each form works, or is refused in one clear line."""

from pathlib import Path

import pytest

from fomo.config.compose import compose, parse
from fomo.config.schema import RunConfig, resolve
from fomo.config.sweeping import sweep
from fomo.errors import FomoError
from tests.fomo.helpers import put


@pytest.mark.parametrize(
    ("override", "swept"),
    [
        ("trainable=glob(l*)", ["lnfit", "locked_image", "locked_text", "lora"]),
        ("trainable=glob([l*,d*],exclude=lo*)", ["dora", "lnfit"]),
        ("trainable=glob(vera)", ["vera"]),
        ("trainable=choice(lora,dora)", ["lora", "dora"]),
        ("seed=range(0,3)", ["0", "1", "2"]),
        ("seed=sort(3,1,2)", ["1", "2", "3"]),
        ("seed=tag(mine,choice(1,2))", ["1", "2"]),
        ("seed=int(choice(1.2,2.1))", ["1", "2"]),
        ("stream.adaptation=[a,b],[c]", ["[a,b]", "[c]"]),
        ("++seed=1,2", ["1", "2"]),
        ("seed=${num_tasks}", ["${num_tasks}"]),
        ("~mixture.update", []),
    ],
)
def test_what_lists_values_is_swept(override: str, swept: list[str]) -> None:
    jobs = sweep([override])
    assert [job[0].partition("=")[2] for job in jobs] == (swept or [""])


def test_shuffled_values_are_all_run() -> None:
    assert sorted(sweep(["seed=shuffle(range(3))"])) == [["seed=0"], ["seed=1"], ["seed=2"]]


@pytest.mark.parametrize("make", [lambda override: sweep([override]), lambda override: compose([override])])
@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("seed=interval(0,1)", "interval() has no values to list. Write them: seed=A,B."),
        ("seed=tag(mine,interval(0,1))", "interval() has no values to list"),
        ("trainable=glob(z*)", "fits no option of trainable: bitfit, dora,"),
        ("seed=glob(*)", "glob() stands for options of a group, and seed is none."),
        ("seed=range(0,0)", "'seed=range(0,0)' stands for no value."),
        ("seed=range(1,2,0)", "must not be zero."),
        ("seed=range(1000000000)", "stands for more than 10,000 values."),
        ("~trainable", "Write trainable=NAME, without '~'."),
        ("+method=lora", "Write method=NAME, without '+'."),
        ("++method=lora", "Write method=NAME, without '+'."),
        ("trainable@here=lora", "Write trainable=NAME, without '@'."),
        ("hydra.run.dir=x", "settings of Hydra have no effect. run.dir=DIR"),
        ("hydra.sweeper.params={a: 1}", "settings of Hydra have no effect"),
        ("run.dir=a/seed=0", "Write 'run.dir=\"a/seed=0\"'."),
        ("run.dir=(x)", "Write 'run.dir=\"(x)\"'."),
        ("stream.adaptation=[ünï,x[1]]", 'Write \'stream.adaptation=["ünï","x[1]"]\'.'),
        ("seed =1", "Write seed=1."),
        (" seed=1", "Write seed=1."),
        ("method=ewc seed=1", "Write arguments one by one: method=ewc seed=1,"),
        ("seed", "Write KEY=VALUE."),
        ("seed=choice()", "empty choice is not legal"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_line(make: object, override: str, text: str) -> None:
    with pytest.raises(FomoError) as caught:
        make(override)  # type: ignore[operator]
    assert text in str(caught.value) and "\n" not in str(caught.value) and "expecting" not in str(caught.value)


def test_the_quoting_that_is_advised_is_read() -> None:
    assert [each.value() for each in parse(['run.dir="a/seed=0"', 'run.dir="(x)"'])] == ["a/seed=0", "(x)"]


def test_a_sweep_of_too_many_runs_is_refused_before_any_is_composed() -> None:
    with pytest.raises(FomoError, match="more than 10,000 runs"):
        sweep(["seed=range(5000)", "num_tasks=1,2,3"])


def test_the_folder_of_a_sweep_may_be_quoted_or_left_open() -> None:
    (job,) = sweep(['run.dir="it\'s"', "num_tasks=1"])
    assert compose(job)["run"]["dir"] == "it's/run"
    assert sweep(["run.dir=null", "seed=0,1"]) == [["seed=0"], ["seed=1"]]
    for make in (lambda: sweep(["run.dir="]), lambda: RunConfig("")):
        with pytest.raises(FomoError, match=r"run\.dir=: allowed are a folder"):
            make()


def test_a_stored_configuration_has_no_options_to_choose(tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", resolve(compose([])).to_yaml())
    with pytest.raises(FomoError, match=r"'trainable=lora': .*resolved configuration.*without --config"):
        compose(["trainable=lora"], file)
    with pytest.raises(FomoError, match=r"interval\(\) has no values"):
        compose(["seed=interval(0,1)"], file)


def test_quotes_around_an_option_are_no_part_of_the_label() -> None:
    assert compose(["method='lora'"])["label"] == compose(["method=lora"])["label"] == "lora"


def test_a_target_has_one_spelling_in_configuration_and_label(tmp_path: Path) -> None:
    colon, dot = (compose([f"regularizer._target_=pull{sign}Pull"]) for sign in ":.")
    assert colon == dot and colon["regularizer"]["_target_"] == "pull.Pull"
    file = put(tmp_path / "config.yaml", resolve(dot).to_yaml().replace("pull.Pull", "pull:Pull"))
    assert resolve(compose([], file)).sha256 == resolve(dot).sha256


def test_a_setting_that_an_option_does_not_list_is_added_by_a_plus() -> None:
    target = "regularizer._target_=pull.Pull"
    with pytest.raises(FomoError, match=r"'regularizer.strength'.* is added: \+regularizer.strength="):
        compose([target, "regularizer.strength=0.1"])
    assert compose([target, "+regularizer.strength=0.1"])["regularizer"]["strength"] == 0.1
    with pytest.raises(FomoError, match=r"'seed' is there already: write seed=VALUE"):
        compose(["+seed=1"])
    with pytest.raises(FomoError) as caught:
        compose(["sed=1"])
    assert "+" not in str(caught.value)
