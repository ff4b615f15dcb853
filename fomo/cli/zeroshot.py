"""``fomo zeroshot``: a model on prepared datasets, zero-shot, without a run.

Settings are those of `fomo run`: model=NAME (pocket, or any open_clip name), model.pretrained=TAG, model.folder=DIR for
weights of your own, stream=…, runtime.device=…. Beside them there are datasets=NAME,… (of the stream, or folders of
prepared data; else all of the stream's), templates=first|all and split=test|validation.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fomo.cli.screen import examples, fitting, print_json, screen
from fomo.config.compose import compose
from fomo.errors import FomoError
from fomo.results.published import Compared, compared, read_published
from fomo.system.imports import many_imports
from fomo.system.text import printable

if TYPE_CHECKING:
    from fomo.config.schema import Config
    from fomo.running.zero_shot import ZeroShotScore

SHORT = {"templates": "evaluation.templates", "split": "evaluation.split"}
EPILOG = examples(
    "fomo zeroshot                                              the pocket model on all datasets of the pocket",
    "fomo zeroshot model=pocket datasets=pocket_flags,pocket_solids templates=all split=validation",
    "fomo zeroshot model=ViT-B-32 model.pretrained=laion2b_s34b_b79k datasets=data/BIRDS   a folder of prepared data",
    "fomo zeroshot model=pocket --compare published.tsv         beside scores of a file: dataset, tab, score",
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo zeroshot", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as `fomo run` takes them, and those above")
    made.add_argument("--compare", type=Path, metavar="FILE", help="published scores: columns dataset and score, tabs")
    made.add_argument("--json", action="store_true", help="print JSON alone")
    return made


def main(arguments: list[str]) -> None:
    """Score, and print a table or JSON."""
    options = parser().parse_intermixed_args(arguments)
    names, overrides = with_datasets(options.overrides)
    published = read_published(options.compare) if options.compare else None
    values = compose(overrides)
    with many_imports():
        from fomo.config.schema import resolve
        from fomo.running.zero_shot import opened, zero_shot

    config = resolve(values).config
    datasets = opened(config, names)
    with Console(stderr=True).status(f"{len(datasets)} datasets"):
        found = zero_shot(config, datasets)
    beside = None if published is None else compared({each.dataset: each.score for each in found}, published)
    if options.json:
        print_json(_content(config, found, beside))
    else:
        _show(config, found, published, beside)


def with_datasets(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of datasets, and the overrides of a configuration."""
    names: list[str] = []
    overrides = []
    for each in given:
        key, _, value = each.partition("=")
        if key == "datasets":
            names += [name for name in value.split(",") if name]
            if not names:
                raise FomoError("datasets=: name some, with commas between, or leave it out for all of the stream's.")
        else:
            overrides.append(f"{SHORT.get(key, key)}={value}" if "=" in each else each)
    return names, overrides


def _content(config: "Config", found: Sequence["ZeroShotScore"], beside: Compared | None) -> dict[str, Any]:
    about = {"model": config.model, "split": config.evaluation.split, "templates": config.evaluation.templates}
    means = {"mean": statistics.fmean(each.score for each in found)}
    scores = [each.to_json() for each in found]
    return about | means | {"datasets": scores, "compared": None if beside is None else beside.to_json()}


def _show(
    config: "Config", found: Sequence["ZeroShotScore"], published: Mapping[str, float] | None, beside: Compared | None
) -> None:
    heads = ("dataset", "role", "metric", "samples", "score", *(("published", "Δ") if beside else ()))
    rows = [(*_cells(each), *(_beside(each.dataset, published or {}, beside) if beside else ())) for each in found]
    console = screen()
    for part in fitting(heads, rows, ("dataset", "role", "metric"), console.width):
        console.print(part)
    for line in _notes(config, found, beside):
        console.print(printable(line), markup=False, highlight=False)


def _cells(each: "ZeroShotScore") -> tuple[str, ...]:
    return (each.dataset, each.role, each.metric, f"{each.num_samples:,}", f"{each.score:.1f}")


def _beside(name: str, published: Mapping[str, float], beside: Compared) -> tuple[str, str]:
    if name not in beside.differences:
        return "–", "–"
    return f"{published[name]:.1f}", f"{beside.differences[name]:+.1f}"


def _notes(config: "Config", found: Sequence["ZeroShotScore"], beside: Compared | None) -> list[str]:
    mean = statistics.fmean(each.score for each in found)
    evaluation = config.evaluation
    lines = [f"In percent, {evaluation.split} split, templates={evaluation.templates}. Mean {mean:.2f}."]
    lines += [f"{each.dataset}: {recalls}." for each in found if (recalls := _recalls(each.recalls))]
    lines += [
        f"{each.dataset}: the model reads the same in {each.num_alike} classes." for each in found if each.num_alike
    ]
    if beside and beside.mean_distance is not None:
        lines.append(f"{len(beside.differences)} compared, {beside.mean_distance:.2f} points apart on average.")
    elif beside:
        lines.append("No dataset of the file was scored.")
    return lines


def _recalls(recalls: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in recalls.items())
