"""Vizier's default algorithm, GP-UCB-PE (Song et al. 2024, arXiv 2408.11527), by its designer, without its service.

https://github.com/google/vizier. Version 0.1.24 needs jax before 0.6, as the extra ``vizier`` pins it, and 64 bits: in
32 its designer leaves numbers out of what it proposes. Each question is put to a designer of its own, seeded by its
number, that is told all trials; the first is the middle of the space.
"""

import os
from collections.abc import Mapping
from typing import Any

from fomo.config.space import Choice, Space
from fomo.errors import FomoError, check_allowed
from fomo.results.tuning import Value
from fomo.system.checks import is_count
from fomo.tuning.tuner import extra_missing

METRIC = "gm"


class Vizier:
    """Vizier's designer as an engine.

    Args:
        space: What is searched.
        seed: What all that is random is drawn from.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        check_allowed(is_count(seed), f"tuner.seed={seed}", "integers from 0")
        os.environ.setdefault("JAX_ENABLE_X64", "1")  # read when jax is imported
        try:
            import jax
            from vizier import algorithms, pyvizier
            from vizier._src.algorithms.designers import gp_ucb_pe  # what `vizier.algorithms` has needs cvxpy besides
        except ImportError:
            raise extra_missing("vizier", "Vizier with jax before 0.6", "vizier") from None
        if not jax.config.jax_enable_x64:
            raise FomoError("tuner=vizier computes in 64 bits: leave out JAX_ENABLE_X64, or set it to 1.")
        self._jax = jax
        self._vz = pyvizier
        self._algorithms = algorithms
        self._designer = gp_ucb_pe.VizierGPUCBPEBandit
        self._seed = seed
        self._problem = _problem(pyvizier, space)
        self._whole = {key for key, each in space.items() if not isinstance(each, Choice) and each.whole}
        self._told: list[Any] = []
        self._asked: list[Any] = []

    def ask(self) -> Mapping[str, Value]:
        """The next settings."""
        number = len(self._told) + len(self._asked)
        key = self._jax.random.fold_in(self._jax.random.PRNGKey(self._seed), number)
        designer = self._designer(self._problem, rng=key)
        active = self._algorithms.ActiveTrials(self._asked)
        designer.update(self._algorithms.CompletedTrials(self._told), active)
        (found,) = designer.suggest(1)
        values = found.parameters.as_dict()
        if missing := {each.name for each in self._problem.search_space.parameters} - values.keys():
            raise FomoError(f"tuner=vizier has proposed no value of {min(missing)}: its jax is not the pinned one.")
        settings = {name: int(value) if name in self._whole else value for name, value in values.items()}
        self._asked.append(self._vz.Trial(id=number + 1, parameters=settings))
        return settings

    def tell(self, overrides: Mapping[str, Value], value: float | None) -> None:
        """What settings are worth; with them the first question that waits is answered."""
        trial = self._vz.Trial(id=len(self._told) + 1, parameters=dict(overrides))
        if value is None:
            trial.complete(self._vz.Measurement(), infeasibility_reason="a run has failed")
        else:
            trial.complete(self._vz.Measurement(metrics={METRIC: value}))
        self._told.append(trial)
        self._asked = self._asked[1:]


def _problem(vz: Any, space: Space) -> Any:
    """The space and what is maximised, as Vizier describes them."""
    problem = vz.ProblemStatement()
    root = problem.search_space.root
    for key, each in space.items():
        if isinstance(each, Choice):
            root.add_categorical_param(key, list(each.values))
            continue
        scale = vz.ScaleType.LOG if each.log else vz.ScaleType.LINEAR
        add = root.add_int_param if each.whole else root.add_float_param
        low, high = each.ends
        add(key, low, high, scale_type=scale)
    problem.metric_information.append(vz.MetricInformation(METRIC, goal=vz.ObjectiveMetricGoal.MAXIMIZE))
    return problem
