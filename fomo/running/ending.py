"""How a run ends: its last files, or why it has ended early and how to go on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors.torch import save_file

from fomo.config.plugins import described
from fomo.errors import FomoError, NotFinite, Stopped
from fomo.model.stored import write_form
from fomo.report.page import write_report
from fomo.results.card import RunCard
from fomo.results.layout import BAD_BATCH, NETWORK, WEIGHTS
from fomo.results.ledger import LedgerFile
from fomo.running.card import run_card
from fomo.running.deployment import Deployment
from fomo.running.extras import save_kept_inside
from fomo.running.kept import save_weights
from fomo.running.live import Live
from fomo.running.out_of_memory import explain
from fomo.running.prepared import Prepared
from fomo.running.resume import DiskCheckpointer
from fomo.system.determinism import refused
from fomo.system.memory_fault import MemoryFault
from fomo.system.ranks import World, from_first, is_first, lost

_log = logging.getLogger(__name__)


@contextmanager
def explained(prepared: Prepared, folder: Path, live: Live, checkpointer: DiskCheckpointer) -> Iterator[None]:
    """Say what is kept when a run ends early, and how to go on; in any case wait until it is written.

    Args:
        prepared: The run.
        folder: Its folder.
        live: Its parts; the record is closed at the end.
        checkpointer: Knows what is kept.

    Raises:
        Stopped: a signal has ended the run; what is saved is in its text.
        FomoError: a step was not finite, memory ran out, or an operation has no deterministic algorithm.
    """
    try:
        yield
        live.usage.stop()  # what is written from here on holds up no training
    except Stopped as stopped:
        checkpointer.writer.wait()
        raise checkpointer.explain(stopped) from None
    except NotFinite as error:
        if error.step is None:
            raise
        path = from_first(partial(_save_batch, prepared, folder, error.task, error.step))
        raise FomoError(f"{error} Its batch, images as they were and tokens, is in {path}.") from None
    except MemoryFault as fault:
        checkpointer.writer.wait()
        raise explain(fault, prepared, checkpointer.writer.newest) from None
    except RuntimeError as error:
        raise refused(error) or lost(error) or error from None
    finally:
        checkpointer.writer.wait()
        live.record.close()


def finish(prepared: Prepared, folder: Path, live: Live, deployment: Deployment, computed_flops: int) -> None:
    """Write the last files; the card, which says that the run is finished, after all others.

    Args:
        prepared: The run.
        folder: Its folder.
        live: Its parts, at the end of its last task.
        deployment: Knows what is deployed.
        computed_flops: Of all ranks, what is computed twice included.
    """
    live.ledger.to_file().write(folder)
    _save_weights(prepared, folder, deployment)
    save_kept_inside(prepared, folder)
    card = run_card(prepared, folder, live, computed_flops)
    _try_report(folder, card)
    card.write(folder)


def show(folder: Path, live: Live) -> None:
    """Let whoever watches a run see how far it is: its ledger so far, and the report."""
    with live.usage.paused():
        if is_first():
            _try_report(folder, ledger=live.ledger.to_file())


def _try_report(folder: Path, card: RunCard | None = None, ledger: LedgerFile | None = None) -> None:
    """Write the report, and before it the ``ledger`` of a run that goes on.

    They show what others hold: where they cannot be written, the run goes on, or is finished, without.
    """
    try:
        if ledger:
            ledger.write(folder)
        write_report(folder, card)
    except Exception as error:  # a full disk, a template, a file of the folder that is none of ours
        said = error if isinstance(error, FomoError) else described(error)
        _log.warning("no report could be written, `fomo report %s` does it later: %s", folder, said)


def _save_batch(prepared: Prepared, folder: Path, task: int, step: int) -> Path:
    """Make the batch of a step again, and keep it."""
    raw = replace(prepared.maker, here=World())[(task, step)]  # all rows, whichever rank had them
    path = folder / BAD_BATCH
    save_file({"images": raw.images.contiguous(), "tokens": raw.tokens}, path)
    return path


def _save_weights(prepared: Prepared, folder: Path, deployment: Deployment) -> None:
    path = folder / (WEIGHTS if prepared.is_plain else NETWORK)
    with prepared.methods.deployed(prepared.model.network):
        final = save_weights(prepared, path)
        if prepared.is_plain:
            deployment.check_stored(final)
    write_form(path.parent, prepared.model)
