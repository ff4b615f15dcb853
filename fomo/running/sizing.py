"""The sizes of the batches of later tasks, decided as a run goes on by what a test has measured."""

from collections.abc import Callable, Mapping
from typing import Any

from fomo.budget.ledger import Ledger
from fomo.budget.plan import StepPlan, climbed
from fomo.errors import FomoError
from fomo.loop import LearningRate
from fomo.results.record import Record
from fomo.stream.batch_ladder import BatchLadder, next_size
from fomo.system.ranks import agreed
from fomo.training.loader import Batches
from fomo.training.methods import Methods


class Sizing:
    """Decides at the end of a task which size the next one has, and has the run follow.

    Plan, batches and learning rate of later tasks are those of the size, of each as many steps as the task's share of
    the budget affords. A size that stays changes nothing.

    Args:
        ladder: The sizes, and the test.
        ledger: Has the plan.
        batches: Makes the batches.
        record: Writes what is decided.
        learning_rate_of: The rate of every step, of a plan.
        measured: What the test is called in what parts log, from :func:`measured_by`.
    """

    def __init__(
        self,
        ladder: BatchLadder,
        ledger: Ledger,
        batches: Batches,
        record: Record,
        learning_rate_of: Callable[[StepPlan], LearningRate],
        measured: str,
    ) -> None:
        self._ladder = ladder
        self._ledger = ledger
        self._batches = batches
        self._record = record
        self._rate_of = learning_rate_of
        self._rate = learning_rate_of(ledger.plan)
        self._measured = measured
        self._climbs: list[tuple[int, int]] = []

    def learning_rate(self, task: int, step: int, num_steps: int) -> float:
        """That of a step, under the plan as it is by now."""
        return self._rate(task, step, num_steps)

    def decide(self, task: int, logged: Mapping[str, float]) -> bool:
        """Choose the size of the batches after a task, by what parts have logged at its end; whether it is another one.

        Raises:
            FomoError: nothing was measured.
        """
        plan = self._ledger.plan
        if not self._ladder.rungs or task == len(plan.steps):
            return False
        if self._measured not in logged:
            raise FomoError(f"task {task}: {self._measured} was not logged at its end, so no size can be decided.")
        before = plan.sizes.of(sum(plan.steps[:task]))
        asked = agreed([logged[self._measured]])[0][0]  # of GPUs that are not deterministic, the first one's
        size = next_size(self._ladder.rungs, before, asked)
        self._record.logged("next_batch_size", task, {"batch_size": size, "asked": asked})
        if size != before:
            self._climb(task, size)
        return size != before

    def _climb(self, task: int, size: int) -> None:
        self._climbs.append((task, size))
        self._ledger.plan = plan = climbed(self._ledger.plan, task, size)
        self._rate = self._rate_of(plan)
        self._batches.follow(plan.sizes, plan.steps, task)

    def state_dict(self) -> dict[str, Any]:
        """The tasks after which the size changed, and to which."""
        return {"climbs": list(self._climbs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`, before anything is decided."""
        for task, size in state["climbs"]:
            self._climb(task, size)


def measured_by(ladder: BatchLadder, methods: Methods) -> str:
    """The name by which the ladder's test is logged; empty without a ladder.

    Raises:
        FomoError: no part measures it, or several do.
    """
    if not ladder.rungs:
        return ""
    found = [f"{name}.{ladder.test}" for name, part in methods.parts.items() if ladder.test in part.batch_tests]
    sizes = f"batch_ladder.sizes={list(ladder.rungs)}"
    if len(found) != 1:
        who = f"{len(found)} parts measure" if found else "no part measures"
        raise FomoError(
            f"{sizes}: {who} {ladder.test}, by which sizes are to be decided. Take diagnostics=gradient_noise alone, "
            "or leave the ladder out."
        )
    return found[0]


def check_rates(plan: StepPlan, learning_rate_of: Callable[[StepPlan], LearningRate]) -> None:
    """Let the schedule refuse tasks as short as a size of the ladder would make them, before anything long starts.

    Raises:
        FomoError: it does.
    """
    for size in plan.sizes.rungs if len(plan.steps) > 1 else ():
        try:
            learning_rate_of(climbed(plan, 1, size))
        except FomoError as error:
            raise FomoError(f"batch_ladder.sizes={list(plan.sizes.rungs)}: with {size} rows, {error}") from None
