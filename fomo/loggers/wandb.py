"""``log=wandb``: Weights & Biases, online where there is an account, else into the run folder."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fomo.errors import check_choice
from fomo.loggers.logger import LoggedRun, Logger, Point, require
from fomo.loggers.points import OVER_STEPS, OVER_TASKS
from fomo.results.layout import WANDB

MODES = ("online", "offline", "disabled")
OFFLINE = "offline-run-*"
"""Folders of a run; one that is begun in the second of another one has a number behind the run's id."""
INIT_SECONDS = 30.0
END_SECONDS = 20.0
"""How long the end of a run waits for what is not uploaded yet; it stays on disk, and ``wandb sync`` uploads it."""

_log = logging.getLogger(__name__)


class WeightsAndBiases(Logger):
    """Logs each point as a row whose step is the point's number. It never asks for a login.

    The run's id comes from its hash: a run that goes on is gone on with. Online, rows that the server has are left
    out; offline, the new folder has all rows, and replaces the old one.

    Args:
        project: Default: ``WANDB_PROJECT``, else ``fomo``.
        entity: Default: ``WANDB_ENTITY``, else the account's own.
        name: Default: the run's label and seed.
        group: Default: the run's label, so that seeds stand together.
        tags: Of the run.
        mode: ``online``, ``offline`` or ``disabled``. Default: ``WANDB_MODE``, else online where a key is configured.

    Raises:
        FomoError: wandb is not installed, or there is no such mode.
    """

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: str | None = None,
    ) -> None:
        self._mode = mode or os.environ.get("WANDB_MODE") or None
        check_choice("value of log.mode, or WANDB_MODE,", self._mode or "online", MODES)
        require("wandb", "wandb")
        self._chosen: dict[str, Any] = {"entity": entity, "name": name, "group": group, "tags": list(tags) or None}
        self._project = project or os.environ.get("WANDB_PROJECT") or "fomo"
        self._run: Any = None
        self._first = 0

    def begin(self, run: LoggedRun) -> None:
        """Begin the run, or go on with it."""
        import wandb

        mode = self._mode_of(run)
        old = [file.parent for file in (run.folder / WANDB).glob(f"{OFFLINE}/run-{run.id}.wandb")]
        default: dict[str, Any] = {"name": f"{run.label} seed={run.config['seed']}", "group": run.label}
        with _hooks_kept():
            self._run = wandb.init(
                dir=str(run.folder),
                id=run.id,
                project=self._project,
                resume="allow",
                reinit="create_new",
                mode=mode,
                config=dict(run.config),
                settings=_settings(),
                **{key: value or default.get(key) for key, value in self._chosen.items()},
            )
        for each in old if mode == "offline" else ():
            shutil.rmtree(each)
        self._first = self._run.step
        for group in OVER_TASKS:
            self._run.define_metric(f"{group}/*", step_metric="task")
        for group in OVER_STEPS:
            self._run.define_metric(f"{group}/*", step_metric="step")

    def _mode_of(self, run: LoggedRun) -> Any:
        import wandb

        if self._mode in ("offline", "disabled"):
            return self._mode
        with _hooks_kept():
            wandb.setup(settings=_settings())
            has_key = wandb.login(prompt=False, verify=False)
        if has_key:
            return "online"
        place = run.folder / WANDB
        _log.warning("log=wandb: no key is configured, so it is offline, in %s; `wandb sync` uploads it", place)
        return "offline"

    def log(self, point: Point) -> None:
        """Log a row, unless the server has it."""
        if point.number >= self._first:
            row = {"step": point.step, "task": point.task, **point.values, "_timestamp": point.time}
            self._run.log(row, step=point.number, commit=True)

    def end(self, finished: bool) -> None:
        """End the run; what is not uploaded in :data:`END_SECONDS` stays on disk."""
        self._run.finish(exit_code=0 if finished else 1)


@contextmanager
def _hooks_kept() -> Iterator[None]:
    """While open, wandb may put its own in place of Python's ways to end; afterwards they are what they were."""
    kept = (sys.exit, sys.excepthook)
    try:
        yield
    finally:
        sys.exit, sys.excepthook = kept


def _settings() -> Any:
    """Nothing of the process is captured, no link is made in the run folder, and nothing is waited for without end."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        symlink=False,
        disable_git=True,
        disable_code=True,
        init_timeout=INIT_SECONDS,
        finish_timeout=END_SECONDS,
    )
