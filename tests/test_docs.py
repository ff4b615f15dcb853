"""Every command that the docs print is run, or parsed where it needs a network; links lead somewhere."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.distributed.run import get_args_parser

from fomo.cli import COMMANDS, main
from fomo.cli.tune import parser as tune_parser
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.launching import split
from fomo.config.sweeping import sweep
from fomo.config.tuning import search
from streams.prepare import RECIPES
from tests.fomo.helpers import encoded, evaluation, picture, put, run_folder
from tests.fomo.tars import tar
from tests.plugin import TEMPLATE_CODE, install_template, seen
from tests.streams.desktop.made import declare_stream
from tests.streams.desktop.made_towers import declare_towers
from tests.streams.prepare.originals import ORIGINALS, place, reference_info
from tests.tiny import TINY

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "results/README.md", *sorted((TOP / "docs").glob("*.md"))]
FLAGS = ("japan", "france", "germany", "italy", "poland", "ukraine")
FILE = "stream=file"
OWN = "stream=own"
ELSEWHERE = re.compile(r"launcher=(submitit|ray)\b")
"""What starts runs on other machines: read, and not run."""
SMALL = [item for item in TINY if not item.startswith("stream.adaptation")]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def run_commands() -> list[tuple[str, str]]:
    """Each with the first page that prints it: what several pages print is run once."""
    run = (
        "fomo run",
        "fomo data",
        "fomo stream",
        "fomo budget",
        "fomo methods",
        "fomo check",
        "fomo doctor",
        "fomo prompts",
    )
    pages = {line: page.name for page in reversed(PAGES) for line in commands(page)}
    found = [(page, line) for line, page in pages.items() if any(words in line for words in run)]
    return [(page, line) for page, line in found if not ELSEWHERE.search(line) and not line.startswith("torchrun")]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_commands_exist(page: Path) -> None:
    for line in commands(page):
        words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z]+=\S*", word)]
        assert words[0] in ("make", "fomo", "pip", "python", "python3", "sudo", "torchrun"), line
        if words[0] == "make":
            assert words[1] in make_targets(), line
        if words[0] == "fomo":
            assert words[1] in COMMANDS, line


def make_foreign_data(folder: Path) -> None:
    """What the imports of docs/data.md are pointed at."""
    image = encoded(picture(1))
    put(folder / "fomo_data" / "DTD" / "a.png", image)
    entry = {"classname": "banded", "target": 0, "primer_caption": "A photo of a banded texture."}
    put(folder / "fomo_info" / "DTD_test.json", json.dumps({"a.png": entry}))
    put(folder / "fomo_info" / "DTD_classnames.json", json.dumps(["banded"]))
    put(folder / "wds_pets" / "classnames.txt", "cat")
    tar(folder / "wds_pets" / "test" / "0.tar", [("a.png", image), ("a.cls", b"0")])
    tar(folder / "laion" / "00000.tar", [("a.png", image), ("a.txt", b"a cat")])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of class folders, two datasets imported from it, and whatever else the pages' commands are given."""
    place = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        put(place / "tree" / f"class_{number % 4}" / f"a_nice_picture_{number}.png", Image.fromarray(pixels))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in ("NAME", "openclipart"):
            main(["data", "import", "folder", "tree", "--name", name, "--out", "data"])
    make_foreign_data(place)
    shutil.copy(TEMPLATE_CODE / "pull.py", place)
    install_template(place)
    put(place / "my.json", json.dumps([f"pocket_flags+++{name}" for name in FLAGS]))
    put(place / "runs" / "tuning" / "lora" / "settings.yaml", "settings: {lora: [optimizer.lr=3e-3]}")
    own = {name: ["a drawing of {}."] for name in ("pocket_flags", "pocket_counting")}
    put(place / "prompts.json", json.dumps({"schema": "fomo.prompts/1", "templates": own}))
    put(place / "captions.txt", "the flag of japan\n")
    return place


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, for one command, which is run there."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with seen(tmp_path, monkeypatch):
        yield tmp_path


@pytest.mark.parametrize(("page", "line"), run_commands(), ids=lambda value: re.sub(r"\W+", "-", value)[:60])
def test_runs_and_imports_work_as_printed(page: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line.replace("/usr/share/openclipart/png", "tree").replace(" PATH ", " tree "))
    words = words[words.index("fomo") + 1 :]
    if words[:2] == ["data", "import"]:
        words[words.index("--out") + 1] = "another"
    if "desktop" in line:  # small packages in the place of the real ones
        declare_stream(folder, monkeypatch)
        if words[0] == "run":
            declare_towers(folder / "data" / ".sources" / "desktop", monkeypatch)
            main(["data", "prepare", "desktop", "--out", "data", "--workers", "1"])
            main(["pretrain", "model=desktop", "steps=0"])
    elif words[:2] == ["data", "prepare"]:  # a small copy of the original files lies where they are looked for
        recipe, _ = ORIGINALS[words[2]](folder / "site")
        place(recipe, folder / "site", folder / "data" / ".sources" / words[2])
        monkeypatch.setitem(RECIPES, words[2], recipe)
        reference_info(folder / "INFO")
    if words[0] in ("run", "doctor"):
        words = [word for word in words if not word.startswith("budget")]
        small = [item for item in SMALL if item.split("=")[0] not in line or FILE in line]
        words += [item for item in small if OWN not in words or not item.startswith("stream.")]
        words += ["method=frozen,lora", "seed=0"] if "experiment=study" in line else []
        words += ["method=frozen", "seed=0"] if "launcher=" in line else []
    if words[0] == "prompts":
        words = ["here.json" if before == "--out" else word for before, word in zip(["", *words], words, strict=False)]
        words += [item for item in SMALL if item.startswith("stream.")] + ["--rounds=1", "--tries=2"]
    if words[0] == "stream" and OWN not in words:
        words = ["here.json" if before == "--out" else word for before, word in zip(["", *words], words, strict=False)]
        words += [item for item in SMALL if item.startswith("stream.")]
    if (
        words[0] in ("run", "stream", "doctor", "prompts")
        and "stream.adaptation" not in line
        and "my.json" not in words
        and FILE not in line
        and OWN not in words
    ):
        words.append("stream.adaptation=[pocket_flags]")
    try:
        main(words)
    except SystemExit as end:  # what the doctor finds wrong with this machine is not wrong with the docs
        assert words[0] == "doctor" and end.code == 1
    assert words[0] != "run" or list(Path("runs").glob("*/card.json"))


def test_several_processes_run_as_printed(tmp_path: Path) -> None:
    """On one machine they are started, two of them; what takes several is read as torchrun reads it."""
    lines = [line for page in PAGES for line in commands(page) if line.startswith("torchrun")]
    here = [line for line in lines if "--standalone" in line]
    for line in lines:
        options = get_args_parser().parse_args(shlex.split(line)[1:])
        assert (options.training_script, options.module) == ("fomo", True), line
        assert compose(options.training_script_args[1:]), line
    for line in here:
        words = line.replace("--nproc-per-node 8", "--nproc-per-node 2").split()
        command = [sys.executable, "-m", "torch.distributed.run", *words[1:], *TINY, "run.dir=two", "resume=again"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=300, env={**os.environ, "PYTHONPATH": str(TOP)})
    cards = [json.loads(path.read_text()) for path in tmp_path.glob("two*/card.json")]
    assert [card["num_processes"] for card in cards] == [2] * len(here) and len(lines) > len(here) > 1


def test_a_result_is_handed_in_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three made-up runs in ``runs``, line by line, as a stranger types them."""
    monkeypatch.chdir(tmp_path)
    steps = [evaluation(task, 30 + task, 20, 60) for task in range(3)]
    for seed in range(3):
        run = run_folder(tmp_path / "runs" / str(seed), *steps, seed=seed)
        put(run / "checkpoint" / "final.safetensors", b"weights")
    (tmp_path / "results").mkdir()
    pages = (TOP / "docs" / "submit.md", TOP / "results" / "README.md")
    lines = [line for page in pages for line in commands(page) if line.startswith(("fomo submit", "fomo leaderboard"))]
    for line in lines:
        main(shlex.split(line)[1:])
    assert len(lines) == 6 and {path.name for path in tmp_path.rglob("*.fomo.zip")} == {
        "mine.fomo.zip",
        "weighty.fomo.zip",
        "NAME.fomo.zip",
    }
    assert (tmp_path / "board.html").is_file()


def test_sweeps_on_other_machines_are_read_as_printed() -> None:
    lines = [line for page in PAGES for line in commands(page) if ELSEWHERE.search(line)]
    sweeps = [line for line in lines if not line.startswith("fomo tune")]
    for line in sweeps:
        node, overrides = split([word for word in shlex.split(line)[2:] if word != "-m"])
        assert factory.build("launcher", node)
        jobs = sweep(overrides)
        assert compose(jobs[0]) and len(jobs) == (200 if "glob" in line else len(overrides[0].split(",")))
    assert len(sweeps) >= 7


def test_tunings_are_read_as_printed() -> None:
    """Each is searched for, its engine is built, and both ends of its space are composed."""
    lines = [line for page in PAGES for line in commands(page) if line.startswith("fomo tune")]
    for line in lines:
        options = tune_parser().parse_intermixed_args(shlex.split(line)[2:])
        launcher = [word for word in options.overrides if word.startswith("launcher")]
        found = search([word for word in options.overrides if word not in launcher])
        assert factory.build("launcher", split(launcher)[0]) and factory.build("tuner", found.tuner, space=found.space)
        for end in (0, -1):
            assert compose([*found.overrides, *(f"{key}={each.ends[end]}" for key, each in found.space.items())])
    assert len(lines) >= 5


def test_a_fresh_reader_finds_every_linked_file() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_every_method_and_every_command() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    for preset in (TOP / "conf" / "method").glob("*.yaml"):
        assert f"`{preset.stem}`" in text, preset.stem
    everything = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(f"fomo {name}" in everything for name in COMMANDS)
