"""``fomo evaluate``: score the updates of a finished run that ``evaluation.every_tasks`` left out, from kept weights.

The scores are those that the run itself would have written, and stand in its ``scores.json`` beside the others.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from fomo.cli.run import OnConsole
from fomo.cli.score import path_table
from fomo.cli.screen import examples, print_json
from fomo.config.compose import compose
from fomo.errors import FomoError
from fomo.results.layout import CONFIG
from fomo.results.scores import Scores
from fomo.results.scores_file import read_scores
from fomo.system.imports import many_imports

EPILOG = examples(
    "fomo run evaluation.every_tasks=5 keep_weights=all run.dir=out   a run that scores every fifth model",
    "fomo evaluate out                                               and later the others",
    "fomo evaluate out --tasks 1,2 runtime.device=cpu                 two of them, on the CPU",
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo evaluate", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folder", type=Path, metavar="DIR", help="the folder of a finished run")
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of runtime, as runtime.device=cpu")
    made.add_argument("--tasks", metavar="N,…", help="after which updates; else all that are missing")
    made.add_argument("--json", action="store_true", help="print JSON alone: what was scored")
    return made


def main(arguments: list[str]) -> None:
    """Score what was left out, and print KA, ZS and GM after every update that is scored by now."""
    options = parser().parse_intermixed_args(arguments)
    values = _values(options.folder, options.overrides)
    with many_imports():
        from fomo.config.schema import resolve
        from fomo.running.later import evaluate_left_out, left_out

    tasks = left_out(options.folder, _numbers(options.tasks))
    if tasks:
        watched = OnConsole(Console(stderr=options.json))
        with watched.watching() as progress:
            evaluate_left_out(options.folder, resolve(values), tasks, progress)
    scores = read_scores(options.folder)
    if options.json:
        print_json({"run": str(options.folder), "evaluated": [_plain(scores, task) for task in tasks]})
        return
    if not tasks:
        print(f"{options.folder}: every update is evaluated that was asked for.")
    Console().print(path_table(options.folder.resolve().name, scores))


def _values(folder: Path, overrides: list[str]) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise FomoError(f"{folder}: it holds no {CONFIG}. Give the folder of a finished run.")
    odd = next((each for each in overrides if not each.startswith("runtime.")), None)
    if odd:
        raise FomoError(
            f"'{odd}': what was run cannot be changed any more; of runtime, runtime.device=cpu for one, can."
        )
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return compose([*overrides, f"run.dir='{quoted}'"], folder / CONFIG)


def _numbers(text: str | None) -> list[int]:
    words = text.split(",") if text else []
    odd = next((word for word in words if not word.strip().isdecimal()), None)
    if odd is not None:
        raise FomoError(f"--tasks {text}: '{odd}' is no number of an update. Write --tasks 1,2.")
    return [int(word) for word in words]


def _plain(scores: Scores, task: int) -> dict[str, Any]:
    point = next(each for each in scores.points if each.task == task)
    return {"task": task, "ka": point.ka, "zs": point.zs, "gm": point.gm}
