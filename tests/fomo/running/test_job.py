"""A run from Python: the same results as from the command line, and a class that is handed over."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import fomo
from fomo.config.code import code_sha256
from fomo.config.compose import config_dir, groups
from fomo.errors import FomoError
from fomo.running.run import Nobody
from tests import tiny
from tests.fomo.helpers import put

TOP = Path(__file__).parents[3]
SHORT = (*tiny.TINY, "num_tasks=1", "budget.steps=2", "stream.adaptation=[pocket_flags]")
SCRIPT = """
import fomo

FACTOR = 0.5


def term(parameter):
    return FACTOR * parameter.square().sum()


class Kept(fomo.Method):
    power = 2

    def __init__(self, strength: float = 0.1) -> None:
        self.strength = strength

    def loss(self, network, batch, loss):
        return loss + self.strength * term(network.logit_scale)


class Bare(fomo.Method):
    def after_steps(self, network):
        pass


def unused():
    return 3
"""


def script(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script that runs: the module ``__main__`` with this text."""
    path = put(folder / f"script_{len(list(folder.iterdir()))}.py", text)
    spec = importlib.util.spec_from_file_location("__main__", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "__main__", module)
    spec.loader.exec_module(module)
    return module


class Listener(Nobody):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        self.heard.append(text)


def test_a_run_is_that_of_the_command_line_whatever_ran_before_it(tmp_path: Path) -> None:
    one, other, again = (
        fomo.run([*SHORT, f"run.dir={tmp_path / name}", f"seed={seed}"])
        for name, seed in (("one", 0), ("other", 1), ("again", 0))
    )
    from_command_line = tiny.run(tmp_path / "tiny", *SHORT[len(tiny.TINY) :])
    scores = [(run / "scores.json").read_bytes() for run in (one.folder, again.folder, from_command_line)]
    assert len(set(scores)) == 1 and other.scores.evaluations != one.scores.evaluations
    listener = Listener()
    assert fomo.run([*SHORT, f"run.dir={tmp_path / 'one'}"], audience=listener) == one
    assert listener.heard == [f"{one.folder} is finished: nothing to do."]


def test_a_class_of_the_script_takes_part_and_its_text_belongs_to_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = script(tmp_path, SCRIPT, monkeypatch).Kept
    own = [*SHORT, f"run.dir={tmp_path / 'run'}", "regularizer.strength=3"]
    run = fomo.run(own, parts=[kept])
    assert run.config["regularizer"] == {"_target_": "__main__.Kept", "strength": 3}
    assert run.label.startswith("finetune regularizer=Kept ") and list(run.card.code) == ["__main__.Kept"]
    assert "Kept" not in groups()["regularizer"]  # it was lent for this run alone
    same = script(tmp_path, SCRIPT.replace("return 3", "return 4"), monkeypatch).Kept
    assert fomo.run(own, parts=[same]) == run
    edited = script(tmp_path, SCRIPT.replace("FACTOR = 0.5", "FACTOR = 0.25"), monkeypatch).Kept
    with pytest.raises(FomoError, match="is finished, but what it was made with is not what is there now"):
        fomo.run(own, parts=[edited])


@pytest.mark.parametrize(
    ("old", "new"), [("0.5", "0.6"), ("square()", "abs()"), ("power = 2", "power = 3"), ("float = 0.1", "float = 0.2")]
)
def test_everything_that_a_class_of_a_script_names_there_is_its_code(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, SCRIPT, monkeypatch)
    before = code_sha256("__main__.Kept")
    script(tmp_path, SCRIPT.replace(old, new), monkeypatch)
    assert code_sha256("__main__.Kept") != before


def test_a_module_beside_the_script_is_its_code_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = SCRIPT.replace("def term", "import beside_the_script\ndef term").replace(
        "FACTOR *", "beside_the_script.half() *"
    )
    found = set()
    for half in ("0.5", "1 / 2"):
        put(tmp_path / "beside_the_script.py", f"def half():\n    return {half}\n")
        script(tmp_path, text, monkeypatch)
        found.add(code_sha256("__main__.Kept"))
    assert len(found) == 2


def test_a_class_whose_text_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ModuleType("__main__")
    exec(SCRIPT, typed.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", typed)
    with pytest.raises(FomoError, match=r"__main__.Kept.__init__: its text is not there.*Put it in a file"):
        code_sha256("__main__.Kept")


class Somewhere(fomo.Method):
    """A class of a module."""

    group = "merging"

    def end_task(self, network: object, task: fomo.Task) -> None:  # type: ignore[override]
        pass


def test_a_mistake_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(Somewhere):
        pass

    bare = script(tmp_path, SCRIPT, monkeypatch).Bare
    place = f"run.dir={tmp_path / 'run'}"
    mistakes: list[tuple[Sequence[str], list[type], str]] = [
        ("method=ewc", [], r"overrides are a list of texts: fomo.run\(\['method=ewc'\]\)"),
        ([place, "seed=0,1"], [], "lists several values"),
        ([place], [Local], "Local is defined inside of a function"),
        ([place], [bare], "nobody calls Bare.after_steps"),
        ([place, "merging=ema"], [Somewhere], "Somewhere is among parts, and merging is methods.merging"),
        ([place], [int], "not a subclass of fomo.Method"),
    ]
    for overrides, parts, text in mistakes:
        with pytest.raises(FomoError, match=text):
            fomo.run(overrides, parts=parts)
    assert not (tmp_path / "run").exists()


def test_a_program_of_hydra_keeps_its_configuration(tmp_path: Path) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        with pytest.raises(FomoError):
            fomo.run(["seed=x"])
        assert GlobalHydra.instance().is_initialized() and compose("config").seed == 0


def test_the_notebook_of_the_docs_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(TOP / "docs" / "notebook.py")]
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "True" and len(list((tmp_path / "runs").iterdir())) == 4
