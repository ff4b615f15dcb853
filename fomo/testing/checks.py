"""The checks, one by one: each says why it failed, and has a plug-in in the tests that fails it alone."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fomo.budget.ledger import Ledger
from fomo.budget.plan import StepPlan
from fomo.config import factory
from fomo.config.plugins import described
from fomo.config.schema import Config
from fomo.errors import FomoError
from fomo.method import Method
from fomo.model import plain, weights
from fomo.planning.planner import stream_shape
from fomo.planning.rehearsal import rehearse
from fomo.system import ranks
from fomo.testing.processes import on_ranks
from fomo.testing.report import Finding
from fomo.testing.require import (
    CheckFailed,
    bytes_of,
    close,
    memory_taken_since,
    require_alike,
    require_finite,
    require_none,
    unlike,
    unlike_logged,
)
from fomo.testing.trial import MakeParts, Saved, State, Trial, differing, without_temperature
from fomo.testing.watch import settings_kept, threads_started
from fomo.testing.world import NUM_STEPS, NUM_TASKS, World, world
from fomo.training.methods import Methods

MANY_TASKS = 4
PIECE = 5
"""Rows that are encoded at once, of the batches' 12."""
ROUNDING = 1e-4
"""Share that loss and gradient norm of the same batch may differ by. Where later steps lead, rounding may decide."""
ROUNDING_IN_DOUBLE = 1e-8
"""Share of what a tensor has moved that rounding may make in fp64."""
WORSE = 100
"""How many times worse than by rounding in one process; a small difference of singular values may blow it up."""
EPS = 1e-4
TOLERATED = {"its state": 0, "tensors alive": 0, "other memory": 2**18}
"""By how many bytes what is kept may grow over two tasks."""


@dataclass
class Unbroken:
    """Two tasks in one go, and what was there on the way."""

    trial: Trial
    first: weights.Weights
    boundary: Saved
    middle: Saved
    final: State
    deployed: weights.Weights


class Ended(NamedTuple):
    """Where two tasks end, and by name what was logged in them, in order."""

    state: State
    logged: dict[str, list[float]]


@dataclass
class Kit:
    """The checks on one method. Trials are shared: what one check has run, another one looks at."""

    contract_of: Callable[[], None]
    config: Config
    of_model: tuple[str, ...]
    make_parts: MakeParts
    folder: Path
    processes: int = 1
    num_steps: int = NUM_STEPS
    scalar_fault: str = ""
    _number: int = field(default=0, init=False)

    def run(self, check: str) -> Finding:
        """One check."""
        try:
            with settings_kept():
                getattr(self, f"check_{check}")()
        except (CheckFailed, FomoError) as failure:
            return Finding(check, "failed", str(failure))
        except (Exception, SystemExit) as error:  # whatever a plug-in's code raises
            return Finding(check, "failed", self.line(error))
        return Finding(check, "ok")

    def line(self, error: BaseException) -> str:
        """An error with the line of the method's own code."""
        classes = {type(part) for part in self.make_parts().values()}
        foreign = [each for each in classes if not each.__module__.startswith(("fomo.", "methods."))]
        return described(error, (foreign or [Method])[0])

    def trial(self, seed: int = 0, own_seed: int | None = None, **more: Any) -> Trial:
        """A fresh one in a folder of its own; ``own_seed`` is the parts' where it is not that of the batches."""
        self._number += 1
        given = {"folder": self.folder / str(self._number), "seed": own_seed} | more
        return Trial(self.world(seed), self.make_parts, factory.make_optimizer(self.config), **given)

    def world(self, seed: int = 0) -> World:
        """Model and data."""
        return world(self.of_model, seed, self.config.runtime.device)

    def check_contract(self) -> None:
        """Class, hooks, constructor."""
        self.contract_of()
        try:
            self.make_parts()
        except FomoError:
            raise
        except Exception as error:  # whatever a plug-in's code raises
            raise CheckFailed(f"it cannot be constructed: {described(error)}") from error

    @cached_property
    def unbroken(self) -> Unbroken:
        """The run that the others are compared with; where the temperature is what fails, one that freezes it."""
        try:
            return self._unbroken()
        except Exception as error:
            with_temperature, self.make_parts = self.make_parts, partial(without_temperature, self.make_parts)
            try:
                run = self._unbroken()
            except Exception:
                self.make_parts = with_temperature
                raise error from None
            self.scalar_fault = self.line(error)
            return run

    def _unbroken(self) -> Unbroken:
        trial = self.trial()
        first = trial.whole(1)
        boundary = trial.save(self.folder / f"boundary_{self._number}", inside=False)
        trial.begin(2)
        trial.steps(2, 0, NUM_STEPS - 1)
        middle = trial.save(self.folder / f"middle_{self._number}", inside=True)
        trial.steps(2, NUM_STEPS - 1)
        deployed = trial.end(2)
        return Unbroken(trial, first, boundary, middle, trial.final(deployed), deployed)

    def check_training(self) -> None:
        """Losses and weights are finite, and something moves if it is trained."""
        run = self.unbroken
        if run.trial.fault:
            raise CheckFailed(run.trial.fault)
        require_finite(run.trial.losses, {**run.deployed, **run.trial.methods.state_dict()})
        if run.trial.optimizer and not run.trial.losses:
            raise CheckFailed("no step was taken")
        own = run.trial.methods.added.items()
        idle = [name for name, added in own if added.trained and name not in run.trial.trained]
        require_none(
            idle, "registered to be trained, yet frozen when tasks begin (require the gradient in begin_task):"
        )

    def check_pools(self) -> None:
        """Losses and weights are finite on batches that have rows of one pool alone, or such a batch is refused."""
        trial = self.trial()
        trial.world = replace(trial.world, apart=True)
        deployed: weights.Weights = {}
        with suppress(FomoError):  # it says what it needs
            trial.whole(1)
            deployed = trial.whole(2)
        require_finite(trial.losses, deployed)

    def check_scalars(self) -> None:
        """Shapes and types of the network's state are what they were."""
        if self.scalar_fault:
            raise CheckFailed(f"it fails where the temperature, a scalar, is trained: {self.scalar_fault}")
        base = weights.folded(self.world().model.network)
        for where, state in (
            ("left", weights.folded(self.unbroken.trial.network)),
            ("deployed", self.unbroken.deployed),
        ):
            require_alike(base, state, where)

    def check_inputs(self) -> None:
        """What was lent came back as it was."""
        require_none(self.unbroken.trial.altered, "it altered")

    def check_surroundings(self) -> None:
        """Every hook left what is not the method's."""
        run = self.unbroken
        base = weights.folded(self.world().model.network)
        for state in (run.deployed, weights.folded(run.trial.network)):
            moved = [n for n in base if n not in run.trial.trained and n in state and not close(base[n], state[n])]
            require_none(moved, "not trained, yet moved:")
        require_none(run.trial.faults, "")

    def check_determinism(self) -> None:
        """The same again."""
        require_none(differing(self.unbroken.final, self._unbroken().final), "differs when it is run again:")

    def check_seed(self) -> None:
        """Another seed has other batches: weights that are trained on them are others. On the same batches, what is
        drawn is other."""
        if not self.unbroken.trial.trained:
            return
        trial = self.trial(seed=1)
        trial.whole(1)
        if not differing(self.unbroken.deployed, trial.whole(2)):
            raise CheckFailed("another seed, hence other batches, and the very same weights: training has no effect")
        draws: dict[str, None] = {}
        trial = self.trial(own_seed=1, draws=draws)
        trial.whole(1)
        if draws and not differing(self.unbroken.final, trial.final(trial.whole(2))):
            raise CheckFailed(
                f"it draws random numbers ({', '.join(draws)}) that are the same for every seed: take them from "
                "fomo.rng.generator(task.seed, ...)"
            )

    def check_resume(self) -> None:
        """From the end of a task, and from between two steps."""
        boundary, middle = (self._resumed(name) for name in ("boundary", "middle"))
        for where, resumed in (("between tasks", boundary), ("between steps", middle)):
            text = f"resumed {where}, it ends elsewhere (what is missing in state_dict, or made in another order?):"
            require_none(differing(self.unbroken.final, resumed), text)

    def _resumed(self, point: str) -> State:
        saved: Saved = getattr(self.unbroken, point)
        trial = self.trial(folder=saved.folder)
        if point == "boundary":
            trial.load(saved)
            again = "evaluated after a resume, it is another model (what is missing in state_dict?):"
            require_none(differing(self.unbroken.first, trial.deployed()), again)
            return trial.final(trial.whole(2))
        trial.load(saved, inside=2)
        trial.steps(2, NUM_STEPS - 1)
        return trial.final(trial.end(2))

    def check_deployment(self) -> None:
        """A fresh model at the deployed weights computes what is scored, if the method does not say otherwise."""
        trial, here = self.unbroken.trial, self.world()
        if not all(part.plain_weights for part in trial.methods.parts.values()):
            return
        probe = plain.Probe(here.of_task[0][0].images, here.of_task[0][0].tokens)
        with trial.methods.deployed(trial.network), plain.nudged(trial.network):
            fault = plain.difference(trial.network, plain.blank(here.model.network), probe)
        if fault:
            way_out = "Deploy weights alone, or set plain_weights = False"
            raise CheckFailed(f"what is scored is not what would be stored: {fault}. {way_out}")

    def check_budget(self) -> None:
        """The rehearsal's plan, and the real run under the ledger; nothing is computed past it."""
        here = self.world()
        shape = stream_shape(self.config, here.model, here.num_samples, names=here.names)
        cost = rehearse(
            lambda: factory.learner(self.config, here.model.network, Methods(self.make_parts())),
            shape,
            self.config.runtime.mixed_on_gpu,
        )
        plan = StepPlan(self.config.budget, tuple(NUM_STEPS if task.first else 0 for task in cost.tasks), cost)
        with threads_started() as threads:
            trial = self.trial(ledger=Ledger(plan, 0, cost.begin_run))
            trial.ledger = ledger = Ledger(plan, 0, trial.begin_phases)
            for number in range(1, NUM_TASKS + 1):
                trial.whole(number)
        require_none({**self.unbroken.trial.free, **trial.free}, "nobody charges it:")
        require_none(threads, "it starts threads, in which nobody counts:")
        planned = sum(map(plan.flops, range(1, NUM_TASKS + 1)))
        if ledger.charged_flops != planned:
            raise CheckFailed(f"planned were {planned} FLOPs, charged {ledger.charged_flops}")

    def check_memory(self) -> None:
        """State, tensors and other memory do not grow with tasks, if the method does not say that they do."""
        if any(part.grows_with_tasks for part in self.make_parts().values()):
            return
        with memory_taken_since() as taken:
            trial = self.trial(num_tasks=MANY_TASKS, num_steps=1)
            sizes = []
            for number in range(1, MANY_TASKS + 1):
                trial.whole(number)
                sizes.append((bytes_of(trial.methods.state_dict().values()), *taken()))
        for (what, tolerated), grown in zip(TOLERATED.items(), zip(*sizes, strict=True), strict=True):
            if grown[2] - grown[0] > tolerated and grown[3] - grown[1] > tolerated:
                raise CheckFailed(f"{what} grew from task to task: {' → '.join(f'{size:,}' for size in grown)} bytes")

    def check_pieces(self) -> None:
        """The first task with ``runtime.micro_batch``; a method that is refused there with the reason is right too."""
        trial = self.trial(micro_batch=PIECE)
        try:
            trial.begin(1)
            trial.steps(1, stop=1)
        except FomoError as refused:
            if "runtime.micro_batch" in str(refused):
                return
            raise
        for what in ("losses", "norms"):
            whole, small = (getattr(each, what)[:1] for each in (self.unbroken.trial, trial))
            if not all(abs(one - other) <= ROUNDING * abs(one) for one, other in zip(whole, small, strict=True)):
                raise CheckFailed(
                    f"with runtime.micro_batch={PIECE} the first of the {what} is {small[0]:.6g}, without it "
                    f"{whole[0]:.6g}: rows are not encoded independently of one another"
                )

    def check_processes(self) -> None:
        """Both tasks in several processes, in fp64: all of them end where one does, to rounding.

        A part that says that it cannot be right there is refused there, and right so.
        """
        if any(part.one_process for part in self.make_parts().values()):
            return
        here, alone = self._in_double
        base = weights.folded(here.model.network)
        for rank, found in enumerate(on_ranks(self.processes, partial(self._together, here))):
            off = unlike(alone.state, found.state, base, ROUNDING_IN_DOUBLE)
            rounding = self._rounding if off else {}
            worse = [name for name, share in off.items() if not share <= WORSE * rounding.get(name, 0)]
            require_none(worse, f"rank {rank} of {self.processes} ends elsewhere than one process does:")
            other = unlike_logged(alone.logged, found.logged, ROUNDING)
            require_none(other, f"rank {rank} of {self.processes} logs something else than one process does:")

    @cached_property
    def _in_double(self) -> tuple[World, Ended]:
        """The world in fp64, and where two tasks end in this process."""
        here = self.world().in_double()
        return here, self._together(here)

    @cached_property
    def _rounding(self) -> dict[str, float]:
        """By what share tensors differ in this process alone, where a sum is made in another order."""
        here, alone = self._in_double
        try:
            return unlike(alone.state, self._together(here, PIECE).state, weights.folded(here.model.network), 0)
        except FomoError:  # not every method can
            return {}

    def _together(self, here: World, micro_batch: int | None = None) -> Ended:
        """Where two tasks end in the processes at hand; rows may be encoded ``micro_batch`` at a time."""
        folder = self.folder / f"{ranks.world().size}_processes"
        # Where a gradient is rounding alone, Adam makes as much of it as of any other: eps is put above it.
        eps = {"eps": EPS} if "eps" in self.config.optimizer else {}
        make_optimizer = factory.make_optimizer(replace(self.config, optimizer={**self.config.optimizer, **eps}))
        folder = folder / ("pieces" if micro_batch else "whole")
        trial = Trial(here, self.make_parts, make_optimizer, folder, num_steps=self.num_steps, micro_batch=micro_batch)
        trial.whole(1)
        return Ended(trial.final(trial.whole(2)), trial.logged)

    def check_precision(self) -> None:
        """A step of each task in bf16."""
        kind = torch.device(self.config.runtime.device).type
        trial = self.trial(num_steps=1, autocast=partial(torch.autocast, kind, torch.bfloat16))
        trial.whole(1)
        deployed = trial.whole(2)
        require_finite(trial.losses, deployed)
        require_alike(weights.folded(self.world().model.network), deployed, "deployed", shapes=False)
