"""Small copies of the original files on a web server of our own."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.prepare import DatasetRecipe
from tests.streams.prepare.made import Fabricate, Online, Quiet
from tests.streams.prepare.originals import ORIGINALS, Samples


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def online(site: Path) -> Iterator[Online]:
    """Puts the files at ``site`` on the web, and gives a recipe their addresses."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"

        def addressed(recipe: DatasetRecipe) -> DatasetRecipe:
            archives = (replace(archive, urls=(f"{base}/{archive.file}",)) for archive in recipe.archives)
            return replace(recipe, archives=tuple(archives))

        yield addressed
        server.shutdown()


@pytest.fixture
def fabricate(online: Online, site: Path) -> Fabricate:
    """Makes the small copy of a dataset and puts it on the web."""

    def fabricated(name: str) -> tuple[DatasetRecipe, Samples]:
        recipe, samples = ORIGINALS[name](site)
        return online(recipe), samples

    return fabricated


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
