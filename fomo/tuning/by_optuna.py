"""Optuna's samplers: a Gaussian process (Matérn 5/2, log expected improvement), TPE, random search.

https://optuna.readthedocs.io/en/stable/reference/samplers. Each question is put to a sampler of its own, seeded by its
number, over a study that is made anew of what was told: nothing but that decides the answer. Settings that are not
feasible are to Optuna worth min − (½·range + 1) of the feasible ones, as Vizier's bandit has it (arXiv 2408.11527):
a failed trial of Optuna's own is one that its samplers never heard of, so that they could ask for it again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fomo import rng
from fomo.config.space import Choice, Interval, Space
from fomo.errors import check_allowed, check_choice
from fomo.results.tuning import Value
from fomo.system.checks import is_count
from fomo.tuning.tuner import extra_missing

SAMPLERS = {"gp": "GPSampler", "tpe": "TPESampler", "random": "RandomSampler"}


class Optuna:
    """A sampler of Optuna's as an engine.

    Args:
        space: What is searched.
        sampler: One of :data:`SAMPLERS`.
        seed: What all that is random is drawn from.
        startup: How many trials are random before the sampler has a model; ``None``: two more than twice the keys, and
            ten at most. ``random`` has none.
    """

    def __init__(self, space: Space, sampler: str = "gp", seed: int = 0, startup: int | None = None) -> None:
        check_choice("value of tuner.sampler", sampler, SAMPLERS)
        check_allowed(is_count(seed), f"tuner.seed={seed}", "integers from 0")
        whole = startup is None or (is_count(startup) and startup > 0)
        check_allowed(whole, f"tuner.startup={startup}", "integers from 1, and null")
        try:
            import optuna
        except ImportError:
            raise extra_missing(sampler, "Optuna", "tune") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it says of studies is not for the user's eye
        self._optuna = optuna
        self._sampler = sampler
        self._seed = seed
        self._startup = startup or min(10, 2 * len(space) + 2)
        self._distributions = {key: _distribution(optuna, each) for key, each in space.items()}
        self._told: list[tuple[Mapping[str, Value], float | None]] = []
        self._asked: list[Mapping[str, Value]] = []

    def ask(self) -> Mapping[str, Value]:
        """The next settings."""
        study = self._optuna.create_study(direction="maximize", sampler=self._fresh_sampler())
        running = self._optuna.trial.TrialState.RUNNING
        values = worth([value for _, value in self._told])
        for (overrides, _), value in zip(self._told, values, strict=True):
            study.add_trial(self._trial(overrides, value=value))
        for overrides in self._asked:
            study.add_trial(self._trial(overrides, state=running))
        found: Mapping[str, Value] = study.ask(self._distributions).params
        self._asked.append(found)
        return found

    def tell(self, overrides: Mapping[str, Value], value: float | None) -> None:
        """What settings are worth; with them the first question that waits is answered."""
        self._told.append((overrides, value))
        self._asked = self._asked[1:]

    def _trial(self, overrides: Mapping[str, Value], **more: Any) -> Any:
        return self._optuna.trial.create_trial(params=dict(overrides), distributions=self._distributions, **more)

    def _fresh_sampler(self) -> Any:
        number = len(self._told) + len(self._asked)
        seed = rng.fold("tuner", self._seed, number) % 2**32
        settings = {} if self._sampler == "random" else {"n_startup_trials": self._startup}
        return getattr(self._optuna.samplers, SAMPLERS[self._sampler])(seed=seed, **settings)


def worth(values: Sequence[float | None]) -> list[float]:
    """The values, ``None`` being min − (½·range + 1) of the others; all are 0 where there are no others."""
    feasible = [value for value in values if value is not None]
    worst = min(feasible) - (max(feasible) - min(feasible)) / 2 - 1 if feasible else 0.0
    return [worst if value is None else value for value in values]


def _distribution(optuna: Any, of: Interval | Choice) -> Any:
    if isinstance(of, Choice):
        return optuna.distributions.CategoricalDistribution(tuple(of.values))
    if of.whole:
        return optuna.distributions.IntDistribution(int(of.low), int(of.high), log=of.log)
    return optuna.distributions.FloatDistribution(of.low, of.high, log=of.log)
