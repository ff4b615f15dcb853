"""The command line: ``fomo COMMAND …``. Each command is a module with ``main(arguments)``, imported when called."""

import errno
import importlib
import importlib.util
import io
import os
import select
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from fomo.errors import FomoError, RankLost, Stopped, WorkerHung, check_choice
from fomo.system.imports import many_imports
from fomo.system.signals import INTERRUPTED
from fomo.system.text import PLAIN, first_line, printable
from fomo.system.torchrun import are_several, number
from fomo.system.torchrun import command as started_by
from fomo.system.workers import end_now
from fomo.version import __version__

COMMANDS = {
    "run": "one experiment, or a sweep with -m",
    "tune": "choose settings on the validation split by trials",
    "score": "KA, ZS and GM of run folders",
    "evaluate": "score updates that a run has left out, later",
    "zeroshot": "a model on prepared datasets, without a run",
    "prompts": "search for prompt templates on the validation split",
    "leaderboard": "rank run folders and submissions; check submissions",
    "submit": "pack finished runs into one file for a leaderboard",
    "export": "all scores of run folders as one tidy table",
    "budget": "what methods cost and the steps they get, without a GPU",
    "report": "one HTML page for a run, or for several side by side",
    "stream": "order concepts, look at a stream, check it",
    "data": "list, import, verify and preview datasets",
    "pretrain": "reproduce a pocket base model",
    "methods": "what is installed: presets, parts, plug-ins",
    "doctor": "is this machine fit for a long job?",
    "completion": "completion for bash, zsh or fish",
    "check": "the conformance kit: does a method keep the contract?",
}
USAGE_ERROR = 2


def entry() -> None:
    """The process of a command. An error that nobody has foreseen ends it at once; nothing that is left is waited for.

    Python would wait for threads, and torch for loader workers.
    """
    try:
        main()
    except Exception:
        end_now(1, _once(_who() + traceback.format_exc().rstrip()))
    if are_several():  # a thread of torch's that asks for Python while that is ending aborts the process
        end_now(0, "")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave the process: status 0 only when the work was done, 1 where nobody reads its output."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a sign that it cannot show is no reason to lose the rest
        sys.stdout.reconfigure(errors=PLAIN)
    try:
        try:
            _main(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not (_is_unread(1) or _is_unread(2)):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python flushes at its end
        sys.exit(1)


def _is_unread(descriptor: int) -> bool:
    """Whether an output is a pipe whose reader has gone, as ``head`` goes."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        sys.exit(0 if arguments else USAGE_ERROR)
    if arguments[0] == "--version":
        print(f"fomo {__version__}")
        return
    # Threads that spin while they wait slow down everything else on a shared machine; read when torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # else pages of C++ frames where another rank has gone
    try:
        command(arguments[0], arguments[1:])
    except FomoError as error:
        if are_several() or isinstance(error, WorkerHung):  # Python would wait for the worker, or for the other ranks
            end_now(USAGE_ERROR, printable(_once(f"error: {_who()}{error}", error)))
        print(f"error: {printable(error)}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    except Stopped as stopped:  # whoever asked does not wait long, and taking down an interpreter takes seconds
        _end_stopped(stopped, arguments)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"error: '{first_line(error.filename, 40)}': no file or folder can have so long a name.", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        end_now(INTERRUPTED, "interrupted")


def _once(text: str, error: FomoError | None = None) -> str:
    """What one of a run's processes says of its end: the first to fail says why, the others nothing."""
    if not are_several():
        return text
    from fomo.system.ranks import is_first_to_tell

    is_told = isinstance(error, RankLost) and error.told
    return "" if is_told or not is_first_to_tell() else text


def _who() -> str:
    """Which of a run's processes this is, as errors begin."""
    return f"rank {number()}: " if are_several() else ""


def _end_stopped(stopped: Stopped, arguments: list[str]) -> NoReturn:
    if are_several():
        from fomo.system.ranks import note_stop

        note_stop(signal.Signals[stopped.by])
    goes_on = [each for each in arguments if each != "resume=again"]  # which would start anew once more
    text = f"{stopped}\n  {shlex.join([*started_by(), *goes_on])}" if number() == 0 else ""
    end_now(stopped.status, printable(text))


def command(name: str, arguments: list[str]) -> None:
    """Import the command's module and call it."""
    check_choice("command", name, COMMANDS, "`fomo --help` says what each does.")
    if name != "run" and are_several():
        text = f"fomo {name} is the work of one process: leave torchrun out, which is for `fomo run`."
        raise RankLost(text, told=number() > 0)
    check_shadowing()
    with many_imports():
        module = importlib.import_module(f"fomo.cli.{name}")
    module.main(arguments)


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  fomo {name:<12} {about}" for name, about in COMMANDS.items()]
    return "\n".join(["usage: fomo COMMAND [options]", "", *lines, "", "  fomo COMMAND --help says more."])


def check_shadowing() -> None:
    """Refuse to run when another folder named ``methods`` or ``streams`` stands before ours on the import path."""
    home = Path(__file__).resolve().parents[2]
    for name in ("methods", "streams"):
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not places or Path(places[0]).resolve() != home / name:
            raise FomoError(
                f"the package '{name}' is found at '{places[0] if places else 'no place'}', not at '{home / name}': a "
                f"folder of that name shadows it. Run from another folder, rename yours, or take it off PYTHONPATH."
            )
