"""Trials as ordinary runs: started by a launcher, read from their folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.sweeping import in_folders
from fomo.config.tuning import Search
from fomo.errors import FomoError
from fomo.launching.child import STOPPED
from fomo.launching.launcher import Launcher, SweepAudience, placed
from fomo.results.card import check_finished, read_card
from fomo.results.config_file import read_config
from fomo.results.layout import LEDGER
from fomo.results.ledger import Spent, read_ledger
from fomo.results.scores_file import read_scores
from fomo.results.tuning import Trial, Value
from fomo.system.signals import Stop


@dataclass(frozen=True)
class Runs:
    """Makes the runs of trials.

    Args:
        search: What is searched, and what the trials share.
        launcher: Starts the runs.
        stop: Whether to stop.
        audience: Hears of it.
    """

    search: Search
    launcher: Launcher
    stop: Stop
    audience: SweepAudience

    def of(self, settings: Sequence[Mapping[str, Value]]) -> list[Trial]:
        """Try different settings at the same time, each with every seed; one of which a run fails is not feasible.

        Raises:
            FomoError: a run could not start in its folder, and none was started; or one was stopped by others.
            Stopped: it was asked to stop.
        """
        words = [self._words(each, seed) for each in settings for seed in self.search.seeds]
        words = in_folders(words, {*self.search.space, "seed"})
        jobs = placed([compose(each) for each in words], self.launcher).jobs(words)
        failures = {each.job.number: each.how for each in self.launcher.launch(jobs, self.stop, self.audience)}
        _refuse_stopped(failures)
        size = len(self.search.seeds)
        each_of = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        return [
            self._trial(overrides, [job.folder for job in of], [failures.get(job.number, "") for job in of])
            for overrides, of in zip(settings, each_of, strict=True)
        ]

    def _words(self, settings: Mapping[str, Value], seed: str) -> list[str]:
        return [*self.search.overrides, *(f"{key}={value}" for key, value in settings.items()), f"seed={seed}"]

    def _trial(self, settings: Mapping[str, Value], folders: Sequence[Path], failures: Sequence[str]) -> Trial:
        named = zip(self.search.seeds, failures, strict=True)
        failure = "; ".join(f"seed {seed}: {how}" for seed, how in named if how)
        gm = {} if failure else {s: _gm(f) for s, f in zip(self.search.seeds, folders, strict=True)}
        made_with = {} if failure else _made_with(settings, folders[0])
        return Trial(settings, gm, tuple(map(str, folders)), spent_in(folders), failure, made_with=made_with)

    def check(self) -> str:
        """Compose the runs of all ends of the space, and build their parts; the hash of the first one's configuration.

        Raises:
            FomoError: a key is unknown, or a value is refused.
        """
        first = {key: each.ends[0] for key, each in self.search.space.items()}
        ends = [{**first, key: value} for key, each in self.search.space.items() for value in each.ends]
        words = [self._words(each, self.search.seeds[0]) for each in ends]
        found = placed([compose(each) for each in words], self.launcher)
        for each in found.resolved:
            factory.methods(each.config)
            factory.schedule(each.config)
        return found.resolved[0].sha256


def _gm(run: Path) -> float:
    """The result of a run, which may have been finished long before."""
    check_finished(run, read_config(run))
    return read_scores(run).final.gm


def _made_with(settings: Mapping[str, Value], run: Path) -> dict[str, str]:
    """Hashes of a run's data and base model, which is not told where models are what is searched."""
    data = {"data": read_scores(run).stream.data_sha256}
    is_searched = any(key.lstrip("+").split(".")[0] == "model" for key in settings)
    base = {} if is_searched else {"base model": read_card(run).base_sha256}
    return {name: found for name, found in {**data, **base}.items() if found}


def _refuse_stopped(failures: Mapping[int, str]) -> None:
    """A run that was stopped says nothing of its settings.

    Raises:
        FomoError: one was.
    """
    stopped = [number for number, how in failures.items() if STOPPED in how]
    if stopped:
        raise FomoError(f"run {stopped[0]} of the trials at hand has not failed: {failures[stopped[0]]}.")


def spent_in(folders: Sequence[Path]) -> Spent:
    """What runs were charged together, as far as there are ledgers; ``None`` for what one of them has not counted."""
    charged = [read_ledger(folder).charged for folder in folders if (folder / LEDGER).is_file()]
    flops = [each.flops for each in charged]
    mafs = [each.mafs for each in charged]
    return Spent(
        sum(each.steps for each in charged),
        None if None in flops else sum(each or 0 for each in flops),
        None if None in mafs else sum(each or 0.0 for each in mafs),
    )
