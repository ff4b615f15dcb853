"""What a configuration only names is part of a run's identity by its contents: base model, data, code of others."""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from fomo.config import factory
from fomo.config.code import code_hashes, code_sha256
from fomo.config.compose import compose
from fomo.config.schema import Resolved, resolve
from fomo.errors import FomoError
from fomo.report.leaderboard import leaderboard
from fomo.running.contents import base_sha256, contents_of
from fomo.running.folder import begun_again, run_folder, start
from fomo.running.run import execute, prepare
from fomo.stream.fingerprint import BLOCK, BLOCKS, files_sha256, sampled_sha256
from tests import tiny
from tests.fomo.helpers import error_of, put, status
from tests.fomo.model.tiny_clip import MODELS, models, packaged, saved
from tests.fomo.running.test_resume import OFTEN, Cut, Cutting

__all__ = ["models"]

PART = """
import fomo
from helper_of_pull import STRENGTH

class Pull(fomo.Method):
    '''Pulls the loss up.'''

    def loss(self, network, batch, loss):
        return loss * (1 + STRENGTH)
"""
PULL = ("regularizer._target_=pull_of_mine.Pull", "runtime.allow_targets=[pull_of_mine]")


@pytest.fixture
def pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in of two modules; the path of the one that the other imports."""
    put(tmp_path / "code" / "pull_of_mine.py", PART)
    monkeypatch.syspath_prepend(tmp_path / "code")
    for module in ("pull_of_mine", "helper_of_pull"):  # of another test, from another folder
        monkeypatch.delitem(sys.modules, module, raising=False)
    return put(tmp_path / "code" / "helper_of_pull.py", "STRENGTH = 0.0\n")


def card(run: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((run / "card.json").read_text())
    return read


def test_other_weights_at_the_same_path_are_another_run(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "base.pt")
    command = ["run", *tiny.TINY, "model=Tiny", f"model.pretrained={file}", f"run.dir={tmp_path / 'run'}"]
    assert status(*command) == 0 and status(*command) == 0
    assert "nothing to do" in capsys.readouterr().out
    torch.save({key: value * 1.5 for key, value in torch.load(file).items()}, file)
    error = error_of(capsys, *command)
    assert "base model" in error and "choose another run.dir" in error and "\n" not in error.strip()


CHANGES = {
    "another activation": lambda folder: packaged(folder, MODELS["Tiny-quickgelu"]),
    "another architecture": lambda folder: packaged(folder, MODELS["Tiny-wide"]),
    "a file of no weights": lambda folder: (folder / "open_clip_pytorch_model.bin").write_bytes(b"junk"),
    "no folder": lambda folder: folder.rename(folder.with_name("elsewhere")),
}


def test_other_files_in_the_folder_of_a_model_are_another_run(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = packaged(tmp_path / "base")
    command = ["run", *tiny.TINY, f"model=local-dir:{base}", f"run.dir={tmp_path / 'run'}"]
    assert status(*command) == 0
    for change in CHANGES.values():
        packaged(base)
        assert status(*command) == 0
        change(base)
        capsys.readouterr()
        error = error_of(capsys, *command)
        assert "is finished, but what it was made with" in error and "resume=again" in error


def test_how_a_base_reads_texts_is_part_of_it() -> None:
    model = factory.model(tiny.resolved().config)
    other = replace(model, tokenize=lambda texts, length=None: model.tokenize([text.upper() * 2 for text in texts]))
    assert base_sha256(model) == base_sha256(factory.model(tiny.resolved().config)) != base_sha256(other)


def test_edited_code_of_a_part_is_another_run(pull: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", *tiny.TINY, *PULL, f"run.dir={tmp_path / 'run'}"]
    assert status(*command) == 0 and status(*command) == 0
    capsys.readouterr()
    pull.write_text("STRENGTH = 5.0\n")
    assert "code.pull_of_mine.Pull" in error_of(capsys, *command)


def test_an_interrupted_run_goes_on_with_the_contents_that_it_began_with(pull: Path, tmp_path: Path) -> None:
    with pytest.raises(Cut):
        execute(tiny.prepared(*PULL, OFTEN), tmp_path / "run", Cutting(6))
    pull.write_text("STRENGTH = 5.0\n")
    with pytest.raises(FomoError, match=r"checkpoint of another run \(contents\.code\.pull_of_mine\.Pull"):
        tiny.run(tmp_path / "run", *PULL, OFTEN)


def test_again_starts_anew_beside_a_run_of_older_code(
    pull: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old folder stays as it is; later commands find the newest run of their configuration."""
    command = ["run", *tiny.TINY, *PULL, f"run.dir={tmp_path / 'run'}"]
    with pytest.raises(Cut):
        execute(tiny.prepared(*PULL, OFTEN), tmp_path / "run", Cutting(6))
    before = contents(tmp_path / "run")
    pull.write_text("STRENGTH = 5.0\n")
    assert "resume=again" in error_of(capsys, *command)
    new = tmp_path / "run.again-2"
    assert status(*command, "resume=again") == 0
    assert f"a new run, in {new}" in "".join(capsys.readouterr().out.splitlines())
    assert contents(tmp_path / "run") == before and (new / "card.json").is_file()
    assert status(*command) == 0
    assert f"{new} is finished: nothing to do" in " ".join(capsys.readouterr().out.split())
    pull.write_text("STRENGTH = 6.0\n")
    assert f"{new} is finished" in (error := error_of(capsys, *command)) and "resume=again" in error
    replayed = yaml.safe_load((new / "config.yaml").read_text())
    assert replayed["run"]["dir"] == str(new) and replayed["resume"] == "auto"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_folders_of_again_are_numbered_and_found_by_their_configuration(tmp_path: Path) -> None:
    def placed(*overrides: str) -> str:
        made = tiny.resolved(f"run.dir={tmp_path / 'run'}", *overrides)
        begun = begun_again(made, reserve="resume=again" in overrides)
        return run_folder(begun).name

    assert placed("resume=again") == "run"
    assert placed("resume=again") == "run.again-2"
    assert placed("resume=again", "seed=1") == "run.again-3"
    assert placed() == "run.again-2" and placed("seed=1") == "run.again-3" and placed("seed=2") == "run"
    assert placed("resume=never") == "run"
    (tmp_path / "run.again-9").mkdir()
    assert placed("resume=again", f"run.dir={tmp_path / 'run.again-2'}") == "run.again-10"
    assert placed(f"run.dir={tmp_path / 'run.again-2'}") == "run.again-2"


def test_a_sweep_begun_again_has_all_its_folders_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the plain command goes on with every one of them, wherever it was stopped."""
    sweep = ["run", "-m", *tiny.TINY, "seed=0,1", f"run.dir={tmp_path}"]
    for seed in (0, 1):
        start(tmp_path / f"seed={seed}", tiny.resolved(f"seed={seed}"))
    ran: list[Path] = []

    def noted(resolved: Resolved, *rest: object) -> Path:
        ran.append(run_folder(resolved))
        return ran[-1]

    monkeypatch.setattr("fomo.launching.serial.complete", noted)
    monkeypatch.setattr("fomo.cli.run.OnConsole.result", lambda *given: None)
    assert status(*sweep, "resume=again") == 0 and status(*sweep) == 0
    assert [path.name for path in ran] == ["seed=0.again-2", "seed=1.again-2"] * 2
    assert all((path / "config.yaml").is_file() for path in ran)


@pytest.mark.parametrize("finished", [True, False])
def test_an_edited_stream_file_is_another_run(
    finished: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    concepts = [f"pocket_solids+++{name}" for name in ("cube", "sphere", "dome", "cylinder")]
    file = put(tmp_path / "stream.json", json.dumps(concepts))
    used = ["stream=file", f"stream.path={file}", *tiny.TINY[1:], OFTEN]
    command = ["run", *used, f"run.dir={tmp_path / 'run'}"]
    with nullcontext() if finished else pytest.raises(Cut):
        execute(prepare(resolve(compose(used))), tmp_path / "run", tiny.Silent() if finished else Cutting(6))
    file.write_text(json.dumps(concepts[::-1]))
    error = error_of(capsys, *command)
    assert "stream" in error and "resume=again" in error


def test_seeds_of_other_code_are_not_one_entry(pull: Path, tmp_path: Path) -> None:
    runs = [tiny.run(tmp_path / "0", *PULL)]
    pull.write_text("STRENGTH = 5.0\n")
    runs.append(tiny.run(tmp_path / "1", *PULL, "seed=1"))
    entries = leaderboard(runs).entries
    assert [entry.seeds for entry in entries] in ([(0,), (1,)], [(1,), (0,)])
    assert len({entry.label for entry in entries}) == 2 and all("code" in entry.label for entry in entries)


def base_of(track: str) -> str:
    return next(part for part in track.split(", ") if part.startswith("base "))


def test_the_base_model_belongs_to_card_and_track(tmp_path: Path) -> None:
    runs = [tiny.run(tmp_path / name, f"model={name}") for name in ("pocket_resnet", "pocket")]
    bases = [str(card(run)["base_sha256"]) for run in runs]
    assert len(set(bases)) == 2 and all(len(base) == 64 for base in bases)
    tracks = [entry.track for entry in leaderboard(runs).entries]
    assert {f"base {base[:6]}" for base in bases} == {base_of(track) for track in tracks}


def test_a_run_of_before_says_that_it_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny.run(tmp_path / "run")
    content = card(run)
    del content["base_sha256"]
    (run / "card.json").write_text(json.dumps(content))
    assert status("run", *tiny.TINY, f"run.dir={run}") == 0
    assert "not known" in " ".join(capsys.readouterr().out.split())


def test_code_is_a_module_and_what_it_imports_beside_it(pull: Path) -> None:
    before = code_sha256("pull_of_mine.Pull")
    assert code_sha256("pull_of_mine.Pull") == before
    put(pull.parent / "nobody_imports_it.py", "X = 1\n")
    assert code_sha256("pull_of_mine.Pull") == before
    pull.write_text("STRENGTH = 1.0\n")
    assert code_sha256("pull_of_mine.Pull") != before


def test_relative_imports_of_a_package_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "guests" / "__init__.py", "from .inner import Part\n")
    put(tmp_path / "guests" / "inner.py", "from . import far\n\nclass Part: ...\n")
    far = put(tmp_path / "guests" / "far.py", "Y = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_sha256("guests.Part")
    far.write_text("Y = 2\n")
    assert code_sha256("guests.Part") != before


def test_what_a_part_imports_is_read_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that another system alone can import, with a name taken from it."""
    put(tmp_path / "reader" / "__init__.py", "if False:\n    from reader.console import Console\n\nclass Part: ...\n")
    console = put(tmp_path / "reader" / "console.py", "assert False\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_sha256("reader.Part")
    assert "reader" not in sys.modules
    console.write_text("assert None\n")
    assert code_sha256("reader.Part") != before


def test_an_environment_beside_a_part_is_no_part_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "with_venv.py", "import installed_one\n\nclass Part: ...\n")
    packages = tmp_path / ".venv" / "lib" / "site-packages"
    installed = put(packages / "installed_one.py", "X = 1\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.syspath_prepend(tmp_path)
    before = code_sha256("with_venv.Part")
    installed.write_text("X = 2\n")
    assert code_sha256("with_venv.Part") == before


def test_our_own_parts_have_no_hash_of_their_own() -> None:
    assert code_hashes(dict(tiny.resolved("method=ema_merge").values)) == {}


def test_plug_ins_that_only_a_stream_file_or_a_reversed_ordering_names_have_a_hash(
    pull: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"pocket_solids": "datasets", "mine": "orderings"}
    plugged = [SimpleNamespace(kind=kind, name=name, target="pull_of_mine.Pull") for name, kind in kinds.items()]
    monkeypatch.setattr("fomo.config.code.installed", lambda: plugged[:1])
    file = put(tmp_path / "stream.json", json.dumps(["pocket_solids+++cube", "pocket_solids+++dome"]))
    made = resolve(compose(["stream=file", f"stream.path={file}", *tiny.TINY[1:]]))
    assert code_hashes(made.values) == {}
    assert list(contents_of(made, "", factory.stream(made.config))["code"]) == ["pull_of_mine.Pull"]
    monkeypatch.setattr("fomo.config.code.installed", lambda: plugged[1:])
    assert list(code_hashes({"stream": {"ordering": "reverse_mine"}})) == ["pull_of_mine.Pull"]


def test_a_listing_is_the_same_for_every_seed_and_not_for_every_order() -> None:
    one, other, turned = (
        factory.stream(tiny.resolved(*each).config)
        for each in (["seed=0"], ["seed=1"], ["stream.adaptation=[pocket_solids,pocket_flags]"])
    )
    assert one.listing_sha256 == other.listing_sha256 != turned.listing_sha256 and one.sha256 != other.sha256


def test_a_tar_of_other_bytes_and_the_same_size_is_another_pool(tmp_path: Path) -> None:
    content = os.urandom(BLOCK * BLOCKS * 2)
    file = tmp_path / "a.tar"
    file.write_bytes(content)
    before = sampled_sha256(file)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert sampled_sha256(file) != before
    file.write_bytes(content)
    assert sampled_sha256(file) == before
    short = put(tmp_path / "short.tar", b"abc")
    assert sampled_sha256(short) != sampled_sha256(put(tmp_path / "other.tar", b"abd"))


def test_a_pool_that_can_be_read_is_compared_byte_by_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(BLOCK * BLOCKS * 4)
    file = put(tmp_path / "a.tar", bytes(content))
    before = files_sha256([file])
    content[BLOCK * 5 // 2] = 1  # between two blocks that are sampled
    file.write_bytes(content)
    assert files_sha256([file]) != before
    monkeypatch.setattr("fomo.stream.fingerprint.WHOLE_BYTES", 1)
    sampled = files_sha256([file])
    file.write_bytes(bytes(len(content)))
    assert files_sha256([file]) == sampled


def test_the_weights_of_a_run_are_not_those_of_its_base(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run")
    assert card(run)["base_sha256"] != card(run)["weights_sha256"]


def test_our_own_modules_are_no_part_of_a_guests_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "lone_part.py", "import json\nimport fomo\nfrom fomo import rng\n\nclass Part: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    alone = code_sha256("lone_part.Part")
    monkeypatch.setattr("fomo.config.code.OWN_PACKAGES", ("fomo", "json"))
    assert code_sha256("lone_part.Part") == alone


OUTSIDE = {
    "a folder without __init__": ("spaced/part.py", "class Part: ...\n", "spaced/part.py"),
    "its helper": ("spaced/part.py", "import spaced.helper\n\nclass Part: ...\n", "spaced/helper.py"),
    "a package above what is imported": (
        "part.py",
        "import above.sub.plain\n\nclass Part: ...\n",
        "above/sub/__init__.py",
    ),
    "another folder on the path": ("part.py", "import elsewhere\n\nclass Part: ...\n", "../other/elsewhere.py"),
}


@pytest.mark.parametrize("where", OUTSIDE)
def test_a_guests_code_counts_wherever_it_lies(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, source, edited = OUTSIDE[where]
    root = tmp_path / "root"
    for name in ("above/__init__.py", "above/sub/__init__.py", "above/sub/plain.py", "spaced/helper.py"):
        put(root / name, "X = 1\n")
    put(tmp_path / "other" / "elsewhere.py", "X = 1\n")
    put(root / file, source)
    monkeypatch.syspath_prepend(tmp_path / "other")
    monkeypatch.syspath_prepend(root)
    target = f"{file.removesuffix('.py').replace('/', '.')}.Part"
    before = code_sha256(target)
    with (root / edited).open("a") as text:
        text.write("Y = 2\n")
    assert code_sha256(target) != before


def test_code_that_nobody_can_read_is_refused() -> None:
    with pytest.raises(FomoError, match=r"nowhere_at_all.Part: its code is in no file that can be read"):
        code_sha256("nowhere_at_all.Part")
