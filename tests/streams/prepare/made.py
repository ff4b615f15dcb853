"""What the tests of this folder make, and a web server for the originals."""

from collections.abc import Callable
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.importing.job import bring_in
from fomo.data.shards import open_dataset
from streams import catalogue
from streams.prepare import DatasetRecipe, prepared
from tests.streams.prepare.originals import Samples

Online = Callable[[DatasetRecipe], DatasetRecipe]
Fabricate = Callable[[str], tuple[DatasetRecipe, Samples]]


def make(name: str, recipe: DatasetRecipe, root: Path, out: Path) -> DatasetCard:
    return bring_in(prepared(recipe, catalogue.load()[name], root), out)


def unreachable(recipe: DatasetRecipe) -> DatasetRecipe:
    """The recipe on a machine without a network."""
    gone = (replace(archive, urls=(f"http://127.0.0.1:9/{archive.file}",)) for archive in recipe.archives)
    return replace(recipe, archives=tuple(gone))


def written(folder: Path) -> Samples:
    """Class and pixels of the samples of each split."""
    dataset = open_dataset(folder)
    found: Samples = {}
    for split in SPLITS:
        if dataset.card.num_samples[split]:
            samples = dataset.split(split)
            classes = [dataset.card.classes[target] for target in samples.targets]
            found[split] = [(name, samples.image(index).tobytes()) for index, name in enumerate(classes)]
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word, and files from the middle on; ``starts`` are the places asked for."""

    starts: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        """A whole file, or what lies behind the place that is asked for."""
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range")
        if asked is None or not path.is_file():
            super().do_GET()
            return
        content, start = path.read_bytes(), int(asked.removeprefix("bytes=").removesuffix("-"))
        self.starts.append(start)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *arguments: object) -> None:
        """Nothing."""
