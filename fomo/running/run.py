"""One experiment: prepared, which writes nothing, then executed, from its configuration to its folder."""

from pathlib import Path

from fomo import loop
from fomo.config import factory
from fomo.config.schema import Resolved
from fomo.evaluation.prompts import with_prompt_caveats
from fomo.model.plain import blank
from fomo.planning.planner import plan_run
from fomo.running.contents import base_sha256
from fomo.running.deployment import Deployment
from fomo.running.ending import explained, finish
from fomo.running.folder import FolderState, enter, holding, state_of
from fomo.running.live import Progress, begin
from fomo.running.prepared import Prepared
from fomo.running.resume import start_or_resume
from fomo.system.memory_fault import during
from fomo.system.signals import Stop


def prepare(resolved: Resolved, kept_steps: tuple[int, ...] | None = None) -> Prepared:
    """Build and check everything before long work starts. The pocket's images are drawn here if need be.

    ``kept_steps`` are those of each task of a run that goes on: a budget of seconds would be timed anew without them.

    Raises:
        FomoError: a part refuses its settings, or the parts do not go together.
    """
    config = resolved.config
    rate = factory.schedule(config)
    methods = factory.methods(config)
    model = factory.model(config)
    base = base_sha256(model)
    untouched = blank(model.network)
    factory.try_optimizer(config, model.network)
    stream = factory.stream(config)
    model = with_prompt_caveats(model, stream, config.evaluation)
    pools = factory.pools(config, stream)
    plan = plan_run(config, model, pools.update_sizes, kept_steps, pools.names)
    learning_rate = factory.learning_rate(config, rate, plan.steps)
    maker = factory.batch_maker(config, model, pools, plan.steps)
    begun = methods.begun(model.network, config.seed)  # here, so that a part can refuse before anything is written
    return Prepared(resolved, stream, model, methods, plan, begun, maker, learning_rate, base, untouched)


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
    with holding(folder):
        if state_of(folder, prepared.resolved) is not FolderState.FINISHED:  # it may be by now
            _execute(prepared, folder, progress, stop or Stop())


def _execute(prepared: Prepared, folder: Path, progress: Progress, stop: Stop) -> None:
    config = prepared.resolved.config
    found = enter(prepared, folder)
    live = begin(prepared, folder, progress)
    learner = factory.learner(config, prepared.model.network, prepared.methods)
    checkpointer = start_or_resume(prepared, folder, stop, learner, live, found)
    del found  # and with it a copy of all tensors
    deployment = Deployment(prepared)

    def score(task: int) -> None:
        def seen(dataset: str) -> None:
            stop.raise_if_asked()  # what a signal raised may have been lost in a finaliser
            progress.evaluating(task, dataset)

        live.score(prepared, deployment, task, seen)

    experiment = loop.Experiment(
        seed=config.seed,
        learner=learner,
        batches=live.batches,
        learning_rate=prepared.learning_rate,
        evaluate=score,
        ledger=live.ledger,
        record=live.record,
        nonfinite=live.nonfinite,
        checkpointer=checkpointer,
    )
    left = sum(prepared.plan.steps) - sum(live.ledger.steps)
    progress.planned(len(prepared.plan.steps), left, len(prepared.stream.datasets))
    with explained(prepared, folder, live, checkpointer):
        if checkpointer.start is None:
            with during("evaluation", 0):
                deployment.try_early()
        loop.run(experiment)
    finish(prepared, folder, live, deployment)
    checkpointer.writer.discard()
