"""``fomo tune``: choose settings on the validation split, by trials that an engine proposes.

What is a range or a list on the command line is searched, all else is the same in every trial; ``space=`` has what
is searched where the command line does not say. Trials are ordinary runs, whose GM on the validation split is
averaged over the seeds of ``seed=0,1,2``. The same command goes on where it was stopped, or with more trials.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fomo.cli.run import OnConsole
from fomo.cli.screen import examples, fitting, print_json, screen
from fomo.config.launching import split
from fomo.system.imports import many_imports
from fomo.system.signals import Stop

if TYPE_CHECKING:
    from fomo.results.tuning import TuningStudy

EPILOG = examples(
    "fomo tune method=lora                                   its learning rate, in 25 trials",
    "fomo tune method=ema_merge --trials 40 seed=0,1,2       rate and weight of the merge, GM over three seeds",
    "fomo tune method=lora 'optimizer.lr=tag(log,interval(1e-4,1e-2))' trainable.rank=4,8,16   a space of your own",
    "fomo tune method=ema_merge '~space.optimizer.lr' optimizer.lr=1e-3   the weight alone",
    "fomo tune method=ewc tuner=tpe launcher=processes --at-once 4      another engine, four trials at a time",
    "fomo run experiment=study/methods --settings runs/tuning           a study with what was chosen",
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo tune", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as of fomo run; ranges and lists are searched")
    made.add_argument("--trials", type=_count, default=25, metavar="N", help="how many in all (default: 25)")
    made.add_argument("--at-once", type=_count, default=1, metavar="N", help="trials that are proposed together")
    made.add_argument("--study", type=Path, metavar="DIR", help="its folder (default: runs/tuning/METHOD)")
    made.add_argument("--retry", action="store_true", help="try anew what has failed")
    made.add_argument("--json", action="store_true", help="print JSON alone; the rest on standard error")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no integer from 1 on")
    return int(text)


def main(arguments: list[str]) -> None:
    """Try until there are so many trials; print them all, what they cost, and what was chosen."""
    options = parser().parse_intermixed_args(arguments)
    with Stop().listening() as stop:
        launcher, overrides = _apart(options.overrides)
        with many_imports():
            from fomo.results.layout import STUDY
            from fomo.tuning.chosen import command, write_chosen
            from fomo.tuning.tune import tune

        audience = OnConsole(Console(stderr=options.json), brief=True)
        folder, study = tune(options, overrides, launcher, audience, stop)
    write_chosen(folder, study)
    if options.json:
        print_json(_plain(folder / STUDY, study, command(folder, study)))
    else:
        show(folder, study, command(folder, study))


def _apart(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The launcher, and all other overrides: what is searched may be a range, which no sweep can take."""
    ours = [each for each in overrides if each.lstrip("+~").startswith("launcher")]
    launcher, _ = split(ours)
    return launcher, [each for each in overrides if each not in ours]


def _plain(file: Path, study: "TuningStudy", command: str) -> dict[str, Any]:
    trials = [trial.to_json() for trial in study.trials]
    best = None if study.best is None else study.best + 1
    return {"study": str(file), "best": best, "cost": study.cost, "command": command, "trials": trials}


def show(folder: Path, study: "TuningStudy", command: str) -> None:
    """Print the trials, best first, what failed, what all have cost, and how to run what was chosen."""
    from fomo.report.trials import ABOUT, cost_line, heads, rows

    console = screen()
    say = OnConsole(console).say
    words = ("trial", *study.searched.space)
    for part in fitting(heads(study), rows(study), words, console.width):
        console.print(part)
    for number, trial in enumerate(study.trials, start=1):
        if trial.failure:
            say(f"trial {number}: {trial.failure}")
    say(ABOUT)
    say(f"{cost_line(study.cost)}. Settings, and all trials as a page: {folder}")
    say(f"run the best:\n  {command}")
