"""The wheel is whole: it works from an empty folder, without the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a freshly built wheel."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(build, cwd=TOP, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_it_holds_code_groups_models_and_template_and_nothing_else(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"fomo", "streams", "methods"}
    for path in (TOP / "conf").rglob("*.yaml"):
        assert (unpacked / "fomo" / path.relative_to(TOP)).read_bytes() == path.read_bytes()
    for name in (
        "fomo/report/templates/report.html",
        "fomo/report/templates/style.css",
        "fomo/report/defaults.yaml",
        "fomo/report/templates/board.html",
        "fomo/report/templates/board.css",
        "fomo/report/templates/board.js",
        "fomo/model/bases/pocket/model.safetensors",
        "fomo/model/bases/pocket/card.json",
        "fomo/model/bases/merges.txt.gz",
        "streams/catalogue/datasets.yaml",
    ):
        assert (unpacked / name).is_file(), name


def test_it_runs_from_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-m", "fomo", "run", "--show", "method=ema_merge", "model=ViT-B-16"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert "methods.merging.temporal.TemporalMerge" in shown and "ViT-B-16" in shown
    where = [sys.executable, "-c", "import fomo.config.compose; print(fomo.config.compose.config_dir())"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()) == unpacked / "fomo" / "conf"
