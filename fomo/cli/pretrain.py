"""``fomo pretrain``: reproduce a pocket base model, or make another one; or make that of `desktop`."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import ValidationError
from rich.console import Console
from rich.table import Column, Table

from fomo.cli.pretrain_desktop import NAME, Places, pretrain_desktop
from fomo.cli.progress import counted
from fomo.cli.screen import print_json
from fomo.errors import FomoError, check_choice, check_keys
from fomo.model.names import pocket_names

if TYPE_CHECKING:
    from fomo.model.clip import ClipModel
    from streams.pocket.pretraining.card import Scores
    from streams.pocket.pretraining.train import PretrainingRecipe

EPILOG = """examples:
  fomo pretrain                                     the shipped base model again, in pretrained/pocket
  fomo pretrain model=pocket_resnet out=DIR         the other one; then fomo run model=pocket_resnet model.folder=DIR
  fomo pretrain steps=200 num_samples=20000         a short run; keys are those of recipe.json, and the next two
  fomo pretrain width=2 parametrization=mup out=W   twice as wide, at rates found at width 1 (docs/models.md#widths)
  fomo pretrain model=desktop                       of two packages and of the pool in data/, into pretrained/desktop
  fomo pretrain model=desktop steps=0 out=DIR       the two towers joined in closed form, and nothing trained

For model=desktop, root= is where `fomo data prepare desktop --out` wrote the datasets (data), and source= where the two
packages lie or are downloaded to (ROOT/.sources/desktop)."""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo pretrain", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="model=, out=, or a value of the recipe")
    made.add_argument("--json", action="store_true", help="print JSON alone, the scores; the rest on standard error")
    return made


def main(arguments: list[str]) -> None:
    """Check everything, pretrain, write the model and show its scores."""
    options = parser().parse_args(arguments)
    settings = parse(options.settings)
    name = str(settings.pop("model", "pocket"))
    check_choice("model to pretrain", name, [*pocket_names(), NAME])
    folder = Path(str(settings.pop("out", f"pretrained/{name}")))
    if name == NAME:
        _run_desktop(folder, settings, options.json)
        return
    recipe = recipe_with(name, settings)
    _make_empty(folder)
    _run(name, folder, recipe, options.json)


def parse(settings: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as typed values."""
    for setting in settings:
        if not setting.partition("=")[0].isidentifier() or not setting.partition("=")[2]:
            raise FomoError(f"'{setting}': settings are written KEY=VALUE, for example steps=200.")
    return {str(key): value for key, value in OmegaConf.from_dotlist(settings).items()}


def recipe_with(name: str, changes: dict[str, Any]) -> "PretrainingRecipe":
    """The shipped recipe of the model ``name`` with ``changes``."""
    from streams.pocket.pretraining.train import PretrainingRecipe, shipped_recipe

    check_keys("fomo pretrain", changes, ["model", "out", *(each.name for each in fields(PretrainingRecipe))])
    recipe: PretrainingRecipe = _changed(shipped_recipe(name), changes)
    recipe.check_model(name)
    return recipe


def _changed(recipe: Any, changes: dict[str, Any]) -> Any:
    """A recipe with other values, which have the types of its own."""
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(recipe), changes))
    except ValidationError as error:
        raise FomoError(f"{error.full_key}: {str(error).splitlines()[0]}.") from None


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FomoError(f"out={folder}: cannot be made ({error.strerror}). Name another folder by out=DIR.") from None
    if any(folder.iterdir()):
        raise FomoError(f"out={folder}: is not empty. Name another folder by out=DIR.")


def _run_desktop(folder: Path, settings: dict[str, Any], as_json: bool) -> None:
    from streams.desktop.pretraining.train import HeadRecipe

    keys = ["model", "out", "root", "source", *(each.name for each in fields(HeadRecipe))]
    check_keys("fomo pretrain model=desktop", settings, keys)
    root = Path(str(settings.pop("root", "data")))
    source = Path(str(settings.pop("source", root / ".sources" / NAME)))
    recipe: HeadRecipe = _changed(HeadRecipe(), settings)
    _make_empty(folder)
    console = Console(stderr=as_json)
    scores = pretrain_desktop(Places(root, source, folder), recipe, console)
    _show(NAME, folder, scores, console, as_json)
    next_one = "" if str(folder) == f"pretrained/{NAME}" else f" model.folder={folder}"
    console.print(f"next: fomo run stream=desktop{next_one}", soft_wrap=True, highlight=False)


def _run(name: str, folder: Path, recipe: "PretrainingRecipe", as_json: bool) -> None:
    from streams.pocket import datasets
    from streams.pocket.pretraining.card import write_model, zero_shot_scores

    console = Console(stderr=as_json)
    with console.status(f"drawing {recipe.num_samples} images (once, then cached)"):
        datasets.draw_ahead([], recipe.num_samples)
    model = _pretrain(name, recipe, console)
    with console.status("scoring"):
        scores = write_model(folder, model, recipe, zero_shot_scores)
    _show(name, folder, scores, console, as_json)
    if recipe.width != 1:
        chosen = f"model={name} model.width={recipe.width:g} model.folder={folder}"
        console.print(f"next: fomo run {chosen}", soft_wrap=True, highlight=False)


def _show(name: str, folder: Path, scores: "Scores", console: Console, as_json: bool) -> None:
    if as_json:
        print_json(scores)
    else:
        console.print(scores_table(name, scores))
    console.print(f"model: {folder}, card: {folder / 'card.json'}", soft_wrap=True)


def _pretrain(name: str, recipe: "PretrainingRecipe", console: Console) -> "ClipModel":
    from streams.pocket.pretraining.train import pretrain

    with counted(console, "pretraining", recipe.steps) as advance:
        return pretrain(name, recipe, lambda step, loss: advance(1, f", loss {loss:.3f}"))


def scores_table(name: str, scores: "Scores") -> Table:
    """Percent per dataset and split, the means last."""
    splits = (Column(split, justify="right") for split in scores)
    table = Table("dataset", *splits, title=f"{name}: zero-shot accuracy (%)")
    for dataset in next(iter(scores.values()))["datasets"]:
        table.add_row(dataset, *(f"{part['datasets'][dataset]:.1f}" for part in scores.values()))
    table.add_section()
    for role in ("retention", "adaptation"):
        table.add_row(f"mean of {role}", *(f"{part[f'mean_{role}']:.1f}" for part in scores.values()), style="bold")
    return table
