"""``fomo data prepare desktop`` as a user types it, on packages of a few pictures."""

import errno
import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from fomo.data.importing import job
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from streams.desktop import prepare as preparing
from streams.desktop.declared import DesktopSet
from streams.desktop.manifest import described, differences
from streams.desktop.prepare import Preparation
from tests.fomo.helpers import error_of, status
from tests.streams.desktop.made import DESIGNERS, MORE, SETS, deb, declare, drawing, iconify, package, tgz

NAMES = [one.name for one in SETS]


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package that lies there already."""
    path = iconify(tmp_path / "source" / "icons.tgz")
    declare(monkeypatch, {"iconify": package(path)})
    return path.parent


def command(out: Path, source: Path, *more: str) -> tuple[str, ...]:
    return ("data", "prepare", "desktop", "--out", str(out), "--source", str(source), "--workers", "1", *more)


def test_the_command_prepares_verifies_and_is_done(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert status(*command(out, source)) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES) and "fomo run stream=desktop" in shown
    assert status("data", "verify", str(out), "--workers", "1") == 0
    before = files_of(out)
    assert status(*command(out, source)) == 0 and files_of(out) == before, "what is finished is only shown"
    assert [each.name for each in source.iterdir() if each.is_dir()] == [], "notes are removed"


def test_cards_name_roles_licences_authors_and_packages(source: Path, tmp_path: Path) -> None:
    assert status(*command(tmp_path / "out", source)) == 0
    card = open_dataset(tmp_path / "out" / "desktop_pets").card
    assert (card.role, card.licence, card.classes) == ("adaptation", "MIT", ("cat", "dog"))
    assert "@icons/all 1.0.0 (SHA-256" in card.source and "by Author" in card.source and "closed" not in card.source
    pool = open_dataset(tmp_path / "out" / "desktop_pool")
    texts = [text for row in range(len(pool.split("train"))) for text in pool.split("train").captions(row)]
    assert pool.card.kind == "pairs" and all(text.startswith("an icon of ") for text in texts)


def test_no_designer_is_on_both_sides(source: Path, tmp_path: Path) -> None:
    assert status(*command(tmp_path / "out", source)) == 0
    for name in NAMES[:2]:
        data = open_dataset(tmp_path / "out" / name)
        designers = {}
        for split in ("train", "test"):
            samples = data.split(split)
            paths = [samples.about(row)["path"] for row in range(len(samples))]  # type: ignore[attr-defined]
            designers[split] = {path.split("/")[1] for path in paths}
        assert designers["train"] and designers["test"] and not designers["train"] & designers["test"]


def test_the_bytes_do_not_depend_on_the_workers(source: Path, tmp_path: Path) -> None:
    assert status(*command(tmp_path / "one", source)) == 0
    assert status(*command(tmp_path / "two", source)[:-1], "2") == 0
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_an_interrupted_preparation_goes_on_with_what_was_rendered(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(*command(tmp_path / "whole", source)) == 0
    monkeypatch.setattr(preparing, "CHUNK", 4)
    real = preparing.render_chunk
    seen: list[int] = []

    def stops(pictures: object) -> object:
        seen.append(1)
        if len(seen) == 5:
            raise FomoError("interrupted")
        return real(pictures)  # type: ignore[arg-type]

    monkeypatch.setattr(preparing, "render_chunk", stops)
    assert status(*command(tmp_path / "out", source)) == 2
    assert not (tmp_path / "out" / NAMES[0]).exists()
    assert status(*command(tmp_path / "out", source)) == 0
    with_notes = len(seen) - 5
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert status(*command(tmp_path / "anew", source)) == 0
    assert len(seen) - 5 - with_notes == with_notes + 4, "four chunks were not rendered again"


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"../outside": b"x"}, "leads out of the archive"),
        ({"package/other": b"x"}, "is not @iconify/json"),
        (
            {
                "package/collections.json": json.dumps(
                    {"a": {"author": {"name": "A"}, "license": {"spdx": "MIT"}}}
                ).encode()
            },
            "0 of the 1",
        ),
    ],
)
def test_a_bad_package_is_one_error_and_nothing_is_written(
    files: dict[str, bytes],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tgz(tmp_path / "source" / "icons.tgz", files)
    declare(monkeypatch, {"iconify": package(path)})
    assert text in error_of(capsys, *command(tmp_path / "out", path.parent))
    assert not (tmp_path / "out").exists()


def test_a_package_of_another_hash_is_one_error(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (source / "icons.tgz").open("ab") as file:
        file.write(b"x")
    assert "its SHA-256 is" in error_of(capsys, *command(tmp_path / "out", source))
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = iconify(tmp_path / "source" / "icons.tgz", {MORE[0]: {"cat": "<g>" * 99 + "</g>" * 99}})
    declare(monkeypatch, {"iconify": package(path)})
    assert status(*command(tmp_path / "out", path.parent)) == 0
    assert open_dataset(tmp_path / "out" / "desktop_pets").card.counts["SVG nested too deeply"] == 1


def test_a_set_that_lost_images_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*command(tmp_path / "out", source)) == 0
    published = {name: described(tmp_path / "out" / name) for name in NAMES}
    monkeypatch.setattr(preparing, "load_manifest", lambda: published)
    assert status(*command(tmp_path / "same", source)) == 0
    published["desktop_pets"]["usable"] += 1
    error = error_of(capsys, *command(tmp_path / "lost", source))
    assert "'desktop_pets' has lost images" in error and "Nothing is written" in error
    assert not (tmp_path / "lost").exists()


def test_other_pixels_than_the_published_are_told_by_verify(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*command(tmp_path / "out", source)) == 0
    published = {name: described(tmp_path / "out" / name) for name in NAMES}
    assert list(differences(tmp_path / "out" / "desktop_pets", published)) == []
    published["desktop_pets"]["classes"]["cat"] = "0" * 12
    monkeypatch.setattr("streams.desktop.manifest.load_manifest", lambda: published)
    capsys.readouterr()
    assert status("data", "verify", str(tmp_path / "out"), "--workers", "1") == 2
    shown = capsys.readouterr()
    assert (
        "other pixels than the published ones in 1 classes: cat" in shown.out and "not whole: desktop_pets" in shown.err
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--with", "foods"], "unknown dataset for --with 'foods'"),
        (["--size", "64"], "--size is for single datasets"),
        (["--info", "."], "--info is for single datasets"),
        (["--workers", "0"], "--workers 0"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    arguments: list[str], text: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in error_of(capsys, *command(tmp_path / "out", source, *arguments))
    assert not (tmp_path / "out").exists()


def test_a_place_that_is_taken_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out" / "desktop_pets").mkdir(parents=True)
    assert "exists" in error_of(capsys, *command(tmp_path / "out", source))
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["desktop_pets"]


def test_two_preparations_do_not_share_their_notes(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FileLock(source / ".prepare.lock"):
        assert "another preparation" in error_of(capsys, *command(tmp_path / "out", source))
    assert status(*command(tmp_path / "out", source)) == 0


@pytest.mark.parametrize("place", ["out", "source"])
def test_a_place_that_cannot_be_written_is_one_error(
    place: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    places = {"out": tmp_path / "out", "source": source, place: tmp_path / "file" / "below"}
    error = error_of(capsys, *command(places["out"], places["source"]))
    assert "Not a directory" in error and "with that mended, the same command goes on" in error
    assert not list(tmp_path.glob("out/desktop_*"))


def test_a_disk_that_is_full_amid_the_rendering_is_one_error_and_the_same_command_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*command(tmp_path / "whole", source)) == 0
    with monkeypatch.context() as full:
        full.setattr(job.json, "dumps", FullDisk(job.json.dumps))
        assert "No space left on device" in error_of(capsys, *command(tmp_path / "out", source))
    assert not list((tmp_path / "out").glob("desktop_*"))
    assert status(*command(tmp_path / "out", source)) == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


class FullDisk:
    """Makes text to be written, until there is no room for the notes of a second chunk."""

    def __init__(self, dumps: Callable[..., str]) -> None:
        self._dumps = dumps
        self._notes = 0

    def __call__(self, values: object, **more: object) -> str:
        self._notes += isinstance(values, list) and bool(values) and isinstance(values[0], list)
        if self._notes > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._dumps(values, **more)


CARDS = DesktopSet(
    "desktop_cards",
    "adaptation",
    "cards",
    ("deck",),
    "cards",
    ("the {}.",),
    debian=True,
    by_designer=True,
    licence="GPL-3.0",
)


def decks() -> dict[str, bytes]:
    """Decks of two cards, by the designers of the icons: their drawings, lying on the side."""
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 312 120">'
    card = '<g id="{}" transform="translate({}) rotate(90 12 12)">{}</g>'
    names = enumerate((*DESIGNERS, *MORE))
    bodies = {
        name: card.format("club_1", "0 0", drawing("cat", number))
        + card.format("heart_king", "288 48", drawing("moon", number))
        for number, name in names
    }
    return {
        f"usr/share/cards/{name}.svgz": gzip.compress(f"{head}{body}</svg>".encode()) for name, body in bodies.items()
    }


@pytest.mark.parametrize("stage", ["rendering", "writing"])
def test_what_another_version_of_the_code_left_unfinished_is_not_gone_on_with(
    stage: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, wanted = (
        preparing.find_pictures,
        Preparation(tmp_path / "out", source, SETS, preparing.load_packages(), 1, {}),
    )

    @contextmanager
    def killed(what: str, total: int) -> Iterator[Callable[[int], None]]:
        def tick(number: int) -> None:
            if what == stage and number and (what == "writing" or list(wanted.notes.iterdir())):
                raise KeyboardInterrupt

        yield tick

    with pytest.raises(KeyboardInterrupt):
        preparing.prepare(wanted, print, killed)
    left = [each.name for each in (tmp_path / "out").glob("*")]
    assert list(wanted.notes.iterdir()) and not [name for name in left if name.startswith("desktop")]
    turned = {
        name: list(reversed(pictures)) for name, pictures in found(SETS, {"iconify": source / "icons.tgz"}).items()
    }
    monkeypatch.setattr(preparing, "find_pictures", lambda sets, archives: turned)
    assert status(*command(tmp_path / "out", source)) == 0
    assert status(*command(tmp_path / "anew", source)) == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "anew")


def test_debian_adds_its_datasets_and_changes_nothing_in_the_rest(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = deb(source / "deck_1%3a2_all.deb", decks())
    pinned = replace(package(path, "deck"), client="apt", name="deck", version="1:2", pool="pool/deck.deb")
    declare(monkeypatch, {"iconify": package(source / "icons.tgz"), "deck": pinned}, (*SETS, CARDS))
    assert status(*command(tmp_path / "plain", source)) == 0
    assert not (tmp_path / "plain" / "desktop_cards").exists()
    assert status(*command(tmp_path / "all", source), "--debian") == 0
    card = open_dataset(tmp_path / "all" / "desktop_cards").card
    assert card.classes == ("ace of clubs", "king of hearts") and card.licence == "GPL-3.0"
    assert f"apt deck 1:2 (SHA-256 {pinned.sha256}" in card.source
    for name in NAMES:
        assert described(tmp_path / "plain" / name) == described(tmp_path / "all" / name)
    path.unlink()
    error = error_of(capsys, *command(tmp_path / "none", source), "--debian")
    assert (
        "cannot download deck 1:2" in error and f"{path} (SHA-256 {pinned.sha256}): apt-get download deck=1:2" in error
    )
    assert "of Debian's archive of snapshots, as of 2025-05-20" in error and not (tmp_path / "none").exists()


def test_a_dataset_of_which_nothing_is_left_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = deb(source / "deck.deb", {"usr/share/cards/a.svgz": gzip.compress(b"<svg/>")})
    declare(monkeypatch, {"iconify": package(source / "icons.tgz"), "deck": package(path, "deck")}, (*SETS, CARDS))
    error = error_of(capsys, *command(tmp_path / "out", source), "--debian")
    assert "'desktop_cards' has no image left (52 SVG without a size). Nothing is written." in error
    assert not (tmp_path / "out").exists()
