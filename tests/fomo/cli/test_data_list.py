"""``fomo data list`` shows every dataset of the benchmark, your own, and what is present."""

import json
from pathlib import Path
from typing import Any

import pytest

from fomo.cli.data_list import everything
from fomo.data.card import DatasetCard
from fomo.data.shards import write_card
from streams import catalogue
from streams.pocket import datasets as pocket
from tests.fomo.helpers import error_of, status


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def present(root: Path, name: str, **values: Any) -> DatasetCard:
    """A finished dataset, as far as its card goes."""
    sizes = values.pop("num_samples", {"train": 3, "test": 2})
    card = DatasetCard(name, ("cat", "dog"), ("a {}",), sizes, **values)
    (root / name).mkdir(parents=True)
    write_card(root / name, card)
    return card


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    assert status("data", "list", "--json", *arguments) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_all_are_listed_and_only_the_pocket_is_here(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--root", str(root))
    assert set(found) == {*pocket.names(), *catalogue.load()}
    assert {name for name, row in found.items() if row["present"]} == set(pocket.names())
    cifar = found["CIFAR10"]
    assert cifar["num_samples"] == {"train": 50000, "test": 10000} and cifar["role"] == "retention"
    assert cifar["obtain"] == "fomo data prepare CIFAR10" and cifar["folder"] is None
    assert found["ISICMELANOMA"]["citation"] is None and found["ISICMELANOMA"]["obtain"] == "unknown"


def test_a_dataset_that_is_here_is_shown_with_its_own_numbers(root: Path) -> None:
    present(root, "mine", licence="CC0")
    present(root, "DTD", num_samples={"train": 1880, "test": 1880})
    present(root, "EuroSAT", role="pool")
    found = {row["name"]: row for row in everything(root)}
    assert found["mine"]["num_samples"] == {"train": 3, "test": 2} and found["mine"]["folder"] == str(root / "mine")
    dtd = found["DTD"]
    assert dtd["present"] and dtd["as_declared"] and dtd["licence"] == "custom non-commercial"
    assert dtd["time_group"] == 5 and dtd["num_classes"] == 2
    assert not found["EuroSAT"]["as_declared"] and found["EuroSAT"]["role"] == "pool"
    assert len(found) == len(everything(root)), "each once"


def test_the_table_says_what_is_here_and_how_to_get_the_rest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    present(root, "mine[bold]")
    present(root, "DTD")
    assert status("data", "list", "--root", str(root)) == 0
    lines = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("│")}
    assert len(lines) == 63 + len(pocket.names()) + 1
    here = {name: line.split("│")[-2].strip() for name, line in lines.items()}
    assert (here["mine[bold]"], here["pocket_flags"], here["DTD"]) == ("yes", "yes", "differs")
    assert (here["MNIST"], here["CUB200"], here["ISICMELANOMA"]) == ("prepare", "page", "unknown")
    assert "unknown" in lines["mine[bold]"] and "sketch; retrieval" in lines["FSCOCO"]


def test_rows_can_be_chosen_by_role_and_kind(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = rows(capsys, "--root", str(root), "--role", "retention", "--kind", "retrieval")
    assert set(kept) == {"MSCOCO", "FLICKR30K"}
    assert {row["role"] for row in rows(capsys, "--root", str(root), "--role", "adaptation").values()} == {"adaptation"}
    assert "adaptation" in error_of(capsys, "data", "list", "--role", "adaption")


@pytest.mark.parametrize(
    "command", [("report", "PATH"), ("data", "import", "webdataset", "PATH", "--name", "a", "--out", "o")]
)
def test_a_path_that_no_file_can_have_is_one_line(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    error = error_of(capsys, *(part.replace("PATH", "x" * 300) for part in command))
    assert "\n" not in error.strip() and len(error) < 500
