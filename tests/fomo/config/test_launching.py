"""``launcher=`` on the command line."""

import pytest
import yaml

from fomo.config import factory
from fomo.config.compose import builtin_groups, compose, config_dir
from fomo.config.launching import split
from fomo.errors import FomoError


@pytest.mark.parametrize("name", builtin_groups()["launcher"])
def test_every_launcher_is_built_from_its_option_and_from_its_defaults_alike(name: str) -> None:
    node, left = split([f"launcher={name}", "seed=0,1"])
    assert left == ["seed=0,1"]
    built = factory.build("launcher", node)
    assert built == type(built)(**{key: value for key, value in node.items() if key != "_target_"})
    assert {key: value or None for key, value in vars(built).items()} == {
        key: value or None for key, value in vars(type(built)()).items()
    }


def test_settings_are_those_of_the_launcher_and_no_part_of_a_run() -> None:
    words = ["method=lora", "launcher.processes=3", "launcher=processes", "seed=0,1"]
    node, left = split(words)
    assert node["processes"] == 3 and left == ["method=lora", "seed=0,1"]
    assert split(["seed=1"])[0] == yaml.safe_load((config_dir() / "launcher" / "serial.yaml").read_text())
    node, _ = split(["launcher=submitit", "launcher.more={nodelist: n1}", "launcher.constraint='a&b'"])
    assert node["more"] == {"nodelist": "n1"} and node["constraint"] == "a&b"
    assert "launcher" not in compose(["method=lora"])


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["launcher=submitt"], ["unknown option of launcher 'submitt'", "Did you mean 'submitit'"]),
        (["launcher=processes", "launcher.proceses=2"], ["'proceses'", "Did you mean 'processes'", "gpus_per_run"]),
        (["launcher.processes=2"], ["launcher=serial", "'processes'", "Choose one: launcher=processes"]),
        (["launcher=processes,ray"], ["launcher=processes,ray", "lists several values"]),
        (["launcher=processes", "launcher.processes=1,2"], ["launcher.processes=1,2", "lists several values"]),
        (["launcher=processes", "~launcher.processes"], ["~launcher.processes", "launcher.processes=VALUE"]),
        (["~launcher"], ["~launcher", "launcher=NAME"]),
        (["launcher=processes", "launcher._target_=os.system"], ["_target_"]),
        (["launcher=processes", "launcher={a: 1}"], ["unknown option of launcher"]),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], texts: list[str]) -> None:
    with pytest.raises(FomoError) as error:
        split(words)
    assert all(text in str(error.value) for text in texts), error.value


@pytest.mark.parametrize("word", ["launcher=processes", "launcher.processes=2", "+launcher.x=1"])
def test_a_single_run_has_no_launcher(word: str) -> None:
    with pytest.raises(FomoError, match=r"a launcher starts the runs of a sweep: fomo run -m"):
        compose([word])
