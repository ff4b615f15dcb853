"""Packages: taken where they lie, else downloaded, and never another than the pinned one."""

import itertools
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fomo.errors import FomoError
from streams.desktop import fetching
from streams.desktop.declared import SNAPSHOT, Package, load_packages
from streams.desktop.fetching import obtain_packages
from tests.streams.desktop.made import package, tgz


@pytest.fixture
def pinned(tmp_path: Path) -> Package:
    """A package whose file lies in ``tmp_path / "shop"``."""
    return package(tgz(tmp_path / "shop" / "icons.tgz", {"package/a": b"1"}))


def client(monkeypatch: pytest.MonkeyPatch, code: str) -> list[str]:
    """A registry's client: Python that runs in the folder to download to. What it was asked for comes back."""
    asked: list[str] = []

    def command(wanted: Package) -> list[str]:
        asked.append(wanted.name)
        return [sys.executable, "-c", code]

    monkeypatch.setattr(fetching, "_command", command)
    return asked


def test_a_file_that_lies_there_is_taken_and_nothing_is_downloaded(
    pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client(monkeypatch, "")
    assert obtain_packages([pinned], tmp_path / "shop", print) == {"iconify": tmp_path / "shop" / "icons.tgz"}
    assert not asked


def test_another_file_of_that_name_is_refused_with_both_hashes(pinned: Package, tmp_path: Path) -> None:
    (tmp_path / "shop" / "icons.tgz").write_bytes(b"another")
    with pytest.raises(FomoError, match=f"icons.tgz' is not @icons/all 1.0.0: its SHA-256 is .*{pinned.sha256}"):
        obtain_packages([pinned], tmp_path / "shop", print)


def test_a_download_has_its_final_name_only_when_its_hash_fits(
    pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop" / "icons.tgz"
    client(monkeypatch, f"import shutil; shutil.copy({str(shop)!r}, 'icons.tgz')")
    obtain_packages([pinned], tmp_path / "here", print)
    assert (tmp_path / "here" / "icons.tgz").read_bytes() == shop.read_bytes()
    client(monkeypatch, "open('icons.tgz', 'w').write('forged')")
    with pytest.raises(FomoError, match="expected"):
        obtain_packages([pinned], tmp_path / "there", print)
    assert [each.name for each in (tmp_path / "there").iterdir() if each.name != ".lock"] == []


def test_without_a_network_all_missing_files_are_named_with_hash_place_and_command(
    pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(monkeypatch, "import sys; sys.exit('getaddrinfo ENOTFOUND')")
    other = replace(pinned, key="cells", client="pip", name="cells", file="cells.whl", sha256="0" * 64)
    with pytest.raises(FomoError) as caught:
        obtain_packages([pinned, other], tmp_path / "here", print)
    text = str(caught.value)
    assert "ENOTFOUND" in text and "Fetch on another machine" in text
    for each, command in ((pinned, "npm pack @icons/all@1.0.0"), (other, "pip download --no-deps")):
        assert f"{tmp_path / 'here' / each.file} (SHA-256 {each.sha256}): {command}" in text
    assert [each.name for each in (tmp_path / "here").iterdir() if each.name != ".lock"] == []


def test_a_client_that_brings_something_else_is_told(
    pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(monkeypatch, "open('b.tgz', 'w')")
    with pytest.raises(FomoError, match=r"it brought b\.tgz"):
        obtain_packages([pinned], tmp_path / "here", print)


@pytest.mark.parametrize(
    ("client", "text"),
    [("npm", r"pip install 'fomo-bench\[desktop\]' brings one"), ("apt", "no apt-get here: Debian and Ubuntu have it")],
)
def test_where_there_is_no_client_the_way_out_is_named(
    client: str, text: str, pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    wanted = replace(pinned, client=client, pool="pool/main/icons.deb")
    with pytest.raises(FomoError, match=text) as caught:
        obtain_packages([wanted], tmp_path / "here", print)
    assert f"{tmp_path / 'here' / pinned.file} (SHA-256 {pinned.sha256}): {wanted.command}" in str(caught.value)
    assert [each.name for each in (tmp_path / "here").iterdir() if each.name != ".lock"] == []


def test_where_the_archive_has_another_version_by_now_the_place_of_the_pinned_one_is_named(
    pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(monkeypatch, "import sys; sys.exit(\"E: Version '1.0.0' for 'icons' was not found\")")
    wanted = replace(pinned, client="apt", name="icons", pool="pool/main/i/icons_1.0.0_all.deb")
    with pytest.raises(FomoError, match=r"Version '1.0.0' for 'icons' was not found") as caught:
        obtain_packages([wanted], tmp_path / "here", print)
    assert f"pool/main/i/icons_1.0.0_all.deb of {SNAPSHOT}" in str(caught.value)


def test_the_reason_is_told_and_not_only_the_advice_that_follows_it(
    pinned: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["npm error code ENOTFOUND", "npm error syscall getaddrinfo", *["npm error proxy?"] * 9, "log: here"]
    client(monkeypatch, f"import sys; sys.exit({chr(10).join(said)!r})")
    with pytest.raises(FomoError, match=r"status 1: npm error code ENOTFOUND / .* / npm error proxy. / log: here\)"):
        obtain_packages([pinned], tmp_path / "here", print)


@pytest.mark.parametrize(
    ("client", "least"),
    [
        ("npm", {"--fetch-retries=1", "--fetch-retry-maxtimeout=2000", "--fetch-timeout=12000"}),
        ("pip", {"--retries", "--timeout"}),
        ("apt", {"Acquire::Retries=1", "Acquire::http::Timeout=12", "Acquire::https::Timeout=12"}),
    ],
)
@pytest.mark.parametrize("has_wheel", [True, False])
def test_without_a_network_the_clients_give_up_within_half_a_minute(
    client: str, least: set[str], has_wheel: bool, pinned: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: has_wheel or None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    command = fetching._command(replace(pinned, client=client))
    assert least <= set(command)
    if client == "pip":
        after = dict(itertools.pairwise(command))
        assert (after["--retries"], after["--timeout"]) == ("1", "5")


def test_the_clients_run_no_script_of_a_package() -> None:
    for each in load_packages().values():
        command = fetching._command(each)
        assert {"npm": "--ignore-scripts", "pip": "--only-binary=:all:", "apt": "download"}[each.client] in command
        assert not {"install", "exec"} & set(command)
