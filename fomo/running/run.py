"""One experiment: prepared, which writes nothing, then executed, from its configuration to its folder."""

import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol

from fomo import loop
from fomo.checkpoint.files import numbered
from fomo.config import factory
from fomo.config.schema import Resolved
from fomo.evaluation.prompts import with_prompt_caveats
from fomo.model.plain import blank
from fomo.planning.planner import plan_run
from fomo.results.layout import CHECKPOINTS
from fomo.running.contents import base_sha256, check_unchanged
from fomo.running.deployment import Deployment
from fomo.running.ending import explained, finish, show
from fomo.running.folder import FolderState, check_resumable, enter, holding, run_folder, state_of
from fomo.running.live import Progress, begin
from fomo.running.prepared import Prepared
from fomo.running.resume import kept_steps, start_or_resume
from fomo.running.same import check_same_run
from fomo.system import ranks
from fomo.system.determinism import deterministic
from fomo.system.lock import check_free
from fomo.system.signals import Stop

UNSURE = "With runtime.deterministic=false it may end in other last bits than a run that was not stopped."


class Audience(Protocol):
    """Who hears of a job."""

    def say(self, text: str) -> None:
        """Something to know, in a line."""

    def busy(self, what: str) -> AbstractContextManager[object]:
        """While open, this takes its time."""

    def watching(self) -> AbstractContextManager[Progress]:
        """While open, it hears how far the run is."""


class Nobody:
    """Hears nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def watching(self) -> AbstractContextManager["Nobody"]:
        """Nothing."""
        return nullcontext(self)

    def planned(self, num_tasks: int, num_steps: int, num_datasets: int) -> None:
        """Nothing."""

    def step(self, task: int, step: int, loss: float) -> None:
        """Nothing."""

    def evaluating(self, task: int, dataset: str) -> None:
        """Nothing."""

    def scored(self, task: int, ka: float, zs: float) -> None:
        """Nothing."""


def complete(resolved: Resolved, audience: Audience, stop: Stop) -> Path:
    """Run an experiment in its folder to its end, or find it finished; the folder.

    Raises:
        FomoError: the folder holds something else, or what a finished run was made with is not what is there now.
        Stopped: it was asked to stop.
    """
    folder, state = ranks.from_first(lambda: _found(resolved, audience))
    if state is FolderState.FINISHED:
        with audience.busy("comparing what it was made with to what is there"):
            unknown = ranks.from_first(lambda: check_unchanged(folder, resolved))
        audience.say(" ".join([f"{folder} is finished: nothing to do.", unknown]).strip())
        return folder
    exact = deterministic(resolved.config.runtime.deterministic)
    with exact, audience.busy("preparing models and images (drawn once, then cached)"), ranks.together("it prepares"):
        prepared = prepare(resolved, kept_steps(folder))
    check_same_run(prepared)
    if resolved.config.runtime.compile:
        audience.say(f"runtime.compile=blocks: the start took {prepared.seconds:.1f} s, blocks compiled.")
    audience.say(prepared.work)
    with audience.watching() as progress:
        execute(prepared, folder, progress, stop)
    return folder


def _found(resolved: Resolved, audience: Audience) -> tuple[Path, FolderState]:
    """The folder of a run, and what is to be done there."""
    folder = run_folder(resolved)
    state = state_of(folder, resolved)
    checkpoints = numbered(folder / CHECKPOINTS)
    if state is FolderState.FINISHED:
        for left in checkpoints.values():  # its process was killed while it removed them
            shutil.rmtree(left, ignore_errors=True)
        return folder, state
    check_resumable(folder, resolved, bool(checkpoints))
    check_free(folder)
    if state is FolderState.UNFINISHED:
        goes_on = "it goes on from its last checkpoint" if checkpoints else "it starts again"
        unsure = "" if resolved.config.runtime.deterministic or not checkpoints else f" {UNSURE}"
        audience.say(f"{folder} holds an unfinished run of this experiment: {goes_on}.{unsure}")
    return folder, state


def prepare(resolved: Resolved, kept_steps: tuple[int, ...] | None = None) -> Prepared:
    """Build and check everything before long work starts. The pocket's images are drawn here if need be.

    ``kept_steps`` are those of each task of a run that goes on: a budget of seconds would be timed anew without them.

    Raises:
        FomoError: a part refuses its settings, or the parts do not go together.
    """
    began = time.perf_counter()
    config = resolved.config
    loggers = factory.loggers(config)
    rate = factory.schedule(config)
    methods = factory.methods(config)
    factory.check_strategy(config, methods)
    model = factory.model(config)
    base = base_sha256(model)
    untouched = blank(model.network)
    factory.try_optimizer(config, model.network)
    stream = factory.stream(config)
    model = with_prompt_caveats(model, stream, config.evaluation)
    pools = factory.pools(config, stream)
    plan = plan_run(config, model, pools.update_sizes, kept_steps, pools.names)
    learning_rate_of = partial(factory.learning_rate, config, rate)
    learning_rate_of(plan)  # which refuses tasks that are too short for the schedule
    maker = factory.batch_maker(config, model, pools, plan.steps)
    begun = methods.begun(model.network, config.seed)  # here, so that a part can refuse before anything is written
    factory.try_steps(config, model.network, methods)
    seconds = time.perf_counter() - began
    return Prepared(
        resolved, stream, model, methods, plan, begun, maker, learning_rate_of, base, untouched, seconds, loggers
    )


def execute(prepared: Prepared, folder: Path, progress: Progress, stop: Stop | None = None) -> None:
    """Run an experiment, or go on with it, and write its folder; ``card.json``, written last, says that it is finished.

    Args:
        prepared: The experiment.
        folder: Where its files lie, or will.
        progress: Hears how far it is.
        stop: Whether it is asked to stop; by default nobody asks.

    Raises:
        Stopped: ``stop`` heard a signal; what is saved is in its text.
        FomoError: another process runs in ``folder``, or what lies there is of another run.
    """
    with holding(folder), deterministic(prepared.resolved.config.runtime.deterministic):
        state = ranks.from_first(lambda: state_of(folder, prepared.resolved))
        if state is not FolderState.FINISHED:  # it may be by now
            _execute(prepared, folder, progress, stop or Stop())


def _execute(prepared: Prepared, folder: Path, progress: Progress, stop: Stop) -> None:
    config = prepared.resolved.config
    found = enter(prepared, folder)
    live = begin(prepared, folder, progress)
    learner = factory.learner(config, prepared.model.network, prepared.methods)
    checkpointer = start_or_resume(prepared, folder, stop, learner, live, found)
    del found  # and with it a copy of all tensors
    deployment = Deployment(prepared)

    def seen(task: int, dataset: str) -> None:
        stop.raise_if_asked()  # what a signal raised may have been lost in a finaliser
        progress.evaluating(task, dataset)

    def score(task: int) -> None:
        if live.score(prepared, deployment, task, partial(seen, task)):
            scores = live.record.scores
            point = scores.final if scores.finished else scores.points[-1]
            progress.scored(task, point.ka, point.zs)

    def score_within(task: int, step: int) -> None:
        live.score_within(prepared, task, step, partial(seen, task))

    def resize(task: int, logged: Mapping[str, float]) -> None:
        if live.sizing.decide(task, logged):
            steps = live.ledger.plan.steps
            progress.planned(len(steps), sum(steps[task:]), len(prepared.stream.datasets))

    experiment = loop.Experiment(
        seed=config.seed,
        learner=learner,
        batches=live.batches,
        learning_rate=live.sizing.learning_rate,
        evaluate=score,
        ledger=live.ledger,
        record=live.record,
        nonfinite=live.nonfinite,
        checkpointer=checkpointer,
        stages=live.usage.stages,
        show=partial(show, folder, live),
        every_steps=config.evaluation.every_steps,
        evaluate_within=score_within,
        resize=resize,
    )
    left = loop.left(experiment)
    progress.planned(len(prepared.plan.steps), len(left), len(prepared.stream.datasets))
    told = live.loggers.hearing(prepared.logged_in(folder), live.record.scores)
    with explained(prepared, folder, live, checkpointer), told, live.batches.announced(left):
        begun = learner.logged()
        if checkpointer.start is None:
            live.record.logged("begin_run", 0, begun)
            deployment.try_early()
            learner.logged()  # nobody asked for what a try has to say
        live.usage.begin(prepared.seconds)
        loop.run(experiment)
    live.usage.add_other_ranks()
    computed = sum(ranks.exchanged(live.ledger.charged_flops + live.ledger.recomputed))
    ranks.from_first(lambda: finish(prepared, folder, live, deployment, computed))
    checkpointer.writer.discard()
