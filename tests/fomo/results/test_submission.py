"""Submissions: packed, verified and ranked like the runs in them; whoever changes one is found out."""

import json
import os
import shlex
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fomo.cli import verify
from fomo.errors import FomoError
from fomo.report import board_page as page
from fomo.report.board import markdown
from fomo.report.leaderboard import leaderboard
from fomo.results.folders import results
from fomo.results.submission import MANIFEST, SUFFIX, opened, pack
from fomo.system.digest import file_digest
from tests.fomo.helpers import error_of, evaluation, put, run_folder, status
from tests.fuzz.harness import HEAVY, survives
from tests.fuzz.strategies import mutated, spoilt

VALUES = {
    "seed": 0,
    "runtime": {"precision": "fp32", "planned_precision": "bf16"},
    "label": "finetune",
    "stream": {"ordering": "random", "seed": 1, "adaptation": ["a"]},
    "evaluation": {"split": "test", "templates": "first", "subset": "protocol", "subset_seed": 0},
    "model": {"name": "pocket", "pretrained": None},
    "merging": {"_target_": "fomo.Method"},
    "optimizer": {"_target_": "methods.optimizers.adamw"},
    "trainable": {"what": "full"},
}
BASE = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60))


def made(folder: Path, gm: float, seed: int = 0, **others: object) -> Path:
    return run_folder(folder, *BASE, evaluation(2, gm, gm, gm), seed=seed, **others)  # type: ignore[arg-type]


@pytest.fixture
def seeds(tmp_path: Path) -> list[Path]:
    return [made(tmp_path / "runs" / f"run {seed}", 40 + seed, seed) for seed in (0, 7, -3)]


def submitted(tmp_path: Path, *runs: Path, name: str = "mine") -> Path:
    file = tmp_path / f"{name}{SUFFIX}"
    assert status("submit", *map(str, runs), "--out", str(file)) == 0
    return file


def test_a_submission_is_ranked_as_its_runs_are(tmp_path: Path, seeds: list[Path]) -> None:
    file = submitted(tmp_path, *seeds)
    (own,), (theirs,) = (leaderboard(places).entries for places in (seeds, [file]))
    assert (theirs.gm, theirs.seeds, theirs.track, theirs.label) == (own.gm, own.seeds, own.track, own.label)
    assert theirs.folders == tuple(f"{file}/seed-{seed}" for seed in (-3, 0, 7))
    assert own.metrics == theirs.metrics


def test_equal_runs_give_equal_bytes_wherever_they_lie(tmp_path: Path, seeds: list[Path]) -> None:
    one = submitted(tmp_path, *seeds, name="one").read_bytes()
    for run in seeds:
        os.utime(run / "scores.json", (10**9, 10**9))
        run.rename(tmp_path / run.name)
    again = [tmp_path / run.name for run in reversed(seeds)]
    assert submitted(tmp_path, *again, name="two").read_bytes() == one
    assert len(one) < 6000


def test_it_holds_the_files_of_the_result_and_says_their_hashes(tmp_path: Path, seeds: list[Path]) -> None:
    with opened(submitted(tmp_path, seeds[0])) as runs:
        ((name, folder),) = runs.items()
        assert name.endswith(f"mine{SUFFIX}/seed-0")
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        listed = json.loads((folder.parent / MANIFEST).read_text())["files"]
    assert set(files) == {"config.yaml", "stream.json", "scores.json", "ledger.json", "card.json"}
    assert all(content == (seeds[0] / name).read_bytes() for name, content in files.items())
    assert listed == {f"seed-0/{name}": file_digest(seeds[0] / name) for name in files}


def test_what_may_not_be_ranked_is_not_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = made(tmp_path / "good", 40)
    edited = made(tmp_path / "edited", 40, 1)
    put(edited / "scores.json", (edited / "scores.json").read_text().replace("64", "65"))
    other = {"validation": made(tmp_path / "validation", 40, 2, split="validation")}
    cases = {
        "1 of 2 updates": [run_folder(tmp_path / "half", *BASE)],
        "never ranked": [other["validation"]],
        "not the one that the run wrote": [good, edited],
        "overspent": [made(tmp_path / "rich", 40, 3, spent=100.5)],
        "these are 2 experiments": [good, made(tmp_path / "other", 41, 4, lr=2.0)],
        "seed 0 more than once, with other scores": [good, made(tmp_path / "twin", 41)],
        "seed 0 more than once, with equal scores": [good, made(tmp_path / "copy", 40)],
        "there is no run folder": [put(tmp_path / "empty" / "a.txt", "").parent],
    }
    for reason, runs in cases.items():
        file = tmp_path / f"no{SUFFIX}"
        assert reason in error_of(capsys, "submit", *map(str, runs), "--out", str(file))
        assert not file.exists()


def test_places_that_cannot_be_written_are_refused(
    tmp_path: Path, seeds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["submit", str(seeds[0]), "--out"]
    file = str(tmp_path / f"b{SUFFIX}")
    assert f"ends with {SUFFIX}" in error_of(capsys, *words, "mine.zip")
    assert "there is no folder" in error_of(capsys, *words, str(tmp_path / "a" / f"b{SUFFIX}"))
    assert "is gone" in error_of(capsys, *words, file, "--weights")
    put(seeds[0] / "checkpoint" / "network.safetensors", b"")
    assert "more than plain" in error_of(capsys, *words, file, "--weights")


def test_the_file_is_named_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "a", 40, label="lora/../x <script> method=y")
    assert status("submit", "a") == 0
    (file,) = tmp_path.glob("*.zip")
    assert file.name.startswith("made-up-lora-..-x-script-method-y-") and file.name.endswith(SUFFIX)
    assert f"fomo leaderboard verify {file.name}" in capsys.readouterr().out
    assert status("submit", "a", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == file.name and said["bytes"] == file.stat().st_size and said["entry"]["seeds"] == [0]


def changed(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The submission anew, with another content."""
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file


def forged(content: dict[str, bytes], name: str, old: bytes, new: bytes) -> None:
    """Change a file, and its hash in the list too."""
    assert old in content[name]
    content[name] = content[name].replace(old, new)
    about = json.loads(content[MANIFEST])
    about["files"][name] = sha256(content[name]).hexdigest()
    content[MANIFEST] = json.dumps(about).encode()


NINTH = b'{"schema": "fomo.submission/9", "files": {}}'
NO_STRING = b'"base_sha256": 3, "seconds": 1'
SCORES, CONFIG, CARD, STREAM = (f"seed-0/{name}" for name in ("scores.json", "config.yaml", "card.json", "stream.json"))
SPOILT: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "no list": (lambda c: c.pop(MANIFEST), "it holds no submission.json"),
    "list that is none": (lambda c: c.update({MANIFEST: b"["}), "not JSON"),
    "other schema": (lambda c: c.update({MANIFEST: NINTH}), "fomo.submission/9"),
    "empty": (lambda c: [c.clear(), c.update({MANIFEST: NINTH.replace(b"/9", b"/1")})], "no run"),
    "missing": (lambda c: c.pop("seed-0/ledger.json"), "is listed and not there"),
    "not listed": (lambda c: c.update({"seed-1/card.json": b"{}"}), "is not listed"),
    "edited": (lambda c: c.update({"seed-0/scores.json": b"{}"}), "edited: seed-0/scores.json"),
    "edited with its hash": (lambda c: forged(c, "seed-0/scores.json", b"40", b"99"), "not the one that the run wrote"),
    "nan": (lambda c: forged(c, "seed-0/scores.json", b": 40", b": NaN"), "nan"),
    "out of range": (lambda c: forged(c, "seed-0/scores.json", b": 40", b": 400"), "is 400, not a percentage"),
    "other seed": (lambda c: forged(c, CONFIG, b"seed: 0", b"seed: 5"), "of seed 5, and its folder is"),
    "card of another kind": (lambda c: forged(c, CARD, b'"seconds": 1.0', NO_STRING), "not the card"),
    "config of another kind": (lambda c: forged(c, CONFIG, b"stream: {}", b"stream: [1]"), "not the configuration"),
    "other stream": (lambda c: forged(c, STREAM, b'{"t', b'{"sha256": "1", "t'), "has another hash than it says"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_submission_is_refused_by_name_and_the_rest_still_ranked(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, reason = SPOILT[name]
    good = submitted(tmp_path, made(tmp_path / "good", 50, lr=2.0), name="good")
    bad = submitted(tmp_path, made(tmp_path / "bad", 40), name="bad")
    changed(bad, change)  # type: ignore[arg-type]
    board = leaderboard(results([tmp_path / "good", good, bad]))
    assert [entry.gm for entry in board.entries] == [50]
    ((who, why),) = board.refused.items()
    assert reason in why and str(bad) in why and who.startswith(str(bad)) and "fomo-submission-" not in why
    assert status("leaderboard", "verify", str(good), str(bad)) == 2
    shown = capsys.readouterr()
    assert f"{good}: fit for a leaderboard" in shown.out and reason in shown.out
    assert "1 of 2 are not fit" in shown.err


def test_a_file_that_is_no_submission_and_links_are_refused(tmp_path: Path) -> None:
    run = made(tmp_path / "a", 40)
    put(tmp_path / f"text{SUFFIX}", "no archive")
    (tmp_path / f"broken{SUFFIX}").symlink_to(tmp_path / "nowhere")
    linked = made(tmp_path / "linked", 41, 1)
    (linked / "scores.json").rename(tmp_path / "elsewhere.json")
    (linked / "scores.json").symlink_to(tmp_path / "elsewhere.json")
    board = leaderboard(results([tmp_path]))
    assert [entry.folders for entry in board.entries] == [(str(run),)]
    reasons = {Path(name).name: reason for name, reason in board.refused.items()}
    assert "not an archive" in reasons[f"text{SUFFIX}"] and "cannot be read" in reasons[f"broken{SUFFIX}"]
    assert "is a link" in reasons["linked"]


def test_many_runs_of_one_label_and_much_that_is_none_are_read(tmp_path: Path) -> None:
    for number in range(3):
        made(tmp_path / str(number), 40 + number, lr=number)
    for number in range(300):
        put(tmp_path / "junk" / f"{number}{SUFFIX}", b"PK")
    board = leaderboard(results([tmp_path]))
    assert len(board.entries) == 3 and len(board.refused) == 300


def test_a_submission_beside_its_runs_counts_once(tmp_path: Path, seeds: list[Path]) -> None:
    board = leaderboard([submitted(tmp_path, *seeds), *seeds])
    assert [entry.seeds for entry in board.entries] == [(-3, 0, 7)]
    assert len(board.notes) == 3 and "more than once, with equal scores" in board.notes[0]


def test_verify_prints_json_alone(tmp_path: Path, seeds: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = submitted(tmp_path, *seeds)
    capsys.readouterr()
    assert status("leaderboard", "verify", str(file), "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["problem"] == "" and shown["entry"]["seeds"] == [-3, 0, 7]


def test_verify_takes_folders_of_submissions_and_says_what_is_not_there(
    tmp_path: Path, seeds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for number, run in enumerate(seeds[:2]):
        submitted(put(tmp_path / "all" / "README.md", "").parent, run, name=str(number))
    capsys.readouterr()
    assert status("leaderboard", "verify", str(tmp_path / "all")) == 0
    assert capsys.readouterr().out.count("fit for a leaderboard") == 2
    assert status("leaderboard", "verify", str(tmp_path / f"gone{SUFFIX}")) == 2
    assert "cannot be read (No such file or directory)" in capsys.readouterr().out
    assert "no submission in" in error_of(capsys, "leaderboard", "verify", str(put(tmp_path / "b" / "c", "").parent))


def test_the_examples_of_verify_are_taken_as_they_stand() -> None:
    parser = verify.parser()
    lines = (parser.epilog or "").splitlines()[1:]
    taken = [parser.parse_args(shlex.split(line.partition("   ")[0])[3:]).files for line in lines]
    assert taken == [[Path("mine.fomo.zip")]] * 2


def test_too_many_runs_are_no_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FomoError, match="101 runs"):
        pack([tmp_path] * 101, tmp_path / f"a{SUFFIX}")


def test_where_a_run_lay_is_not_told(tmp_path: Path) -> None:
    run = made(tmp_path / "secret", 40)
    values = yaml.safe_load((run / "config.yaml").read_text())
    put(run / "config.yaml", yaml.safe_dump({**values, "run": {"dir": str(run)}}))
    file = tmp_path / f"a{SUFFIX}"
    pack([run], file)
    with zipfile.ZipFile(file) as archive:
        packed = archive.read("seed-0/config.yaml").decode()
    assert "secret" not in packed and yaml.safe_load(packed) == {**values, "run": {"dir": None}}
    (entry,) = leaderboard([file]).entries
    assert entry.ka == leaderboard([run]).entries[0].ka


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    pack([made(folder / "a", 40), made(folder / "b", 41, 1)], folder / f"whole{SUFFIX}")
    return folder, (folder / f"whole{SUFFIX}").read_bytes()


@HEAVY
@given(data=st.data())
def test_bytes_that_are_nearly_a_submission_are_ranked_or_refused(
    whole: tuple[Path, bytes], data: st.DataObject
) -> None:
    folder, good = whole
    file = put(folder / f"fuzz{SUFFIX}", data.draw(spoilt(good)))
    board = survives(Path(gettempdir()), lambda: leaderboard([file]))
    assert board is not None and all(board.refused.values())


@HEAVY
@given(config=mutated(VALUES), card=mutated({"code": {}, "label": "finetune", "base_sha256": "0"}))
def test_settings_that_are_nearly_those_of_a_run_are_ranked_or_refused(
    whole: tuple[Path, bytes], config: object, card: object
) -> None:
    folder, _ = whole
    run = folder / "a"
    put(run / "config.yaml", json.dumps(config).encode(errors="replace"))
    known = json.loads((run / "card.json").read_text())
    kept = {key: known[key] for key in ("scores_sha256", "ledger_sha256", "seconds")}
    more = card if isinstance(card, dict) else {}
    put(run / "card.json", json.dumps({**more, **kept}))
    board = survives(folder, lambda: leaderboard([run]))
    assert board is not None and len(board.entries) + len(board.refused) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "_scripts", dict)  # five megabytes, the same each time
        for text in (markdown(board), page.board_page(board)):
            text.encode()
