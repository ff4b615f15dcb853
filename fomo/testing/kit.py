"""The conformance kit: which checks there are, and what each takes for granted; :class:`Kit` makes them."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fomo.config import factory
from fomo.config.plugins import check_method
from fomo.config.schema import Config
from fomo.config.several import with_one_more
from fomo.errors import check_allowed
from fomo.method import Method
from fomo.testing.checks import Kit
from fomo.testing.report import Finding, Report
from fomo.testing.watch import settings_kept
from fomo.testing.world import BATCH_SIZE, config_of, repeatable

CHECKS = {
    "contract": "is a fomo.Method whose hooks can be called",
    "training": "trains on the pocket model: finite losses and weights",
    "pools": "trains on batches without pretraining, new or buffer rows",
    "scalars": "handles the temperature and integer buffers",
    "inputs": "leaves batches as they are",
    "surroundings": "leaves random states, torch's settings and what is not trained as they are",
    "determinism": "gives the same bits again",
    "seed": "moves with the seed, and draws from it alone",
    "resume": "goes on from a checkpoint bit for bit",
    "deployment": "deploys weights: those that are stored give what is scored",
    "budget": "is charged what was planned",
    "memory": "takes no more memory with every task",
    "precision": "works in bf16 autocast",
    "pieces": "learns the same where a batch is encoded in pieces",
    "processes": "learns the same where several processes take the steps",
}
NEEDS = {
    "contract": (),
    "training": ("contract",),
    "resume": ("training", "determinism"),
    "deployment": ("training", "scalars"),
    "pieces": ("training", "determinism"),
}
"""What a check takes for granted; without it, it is not run. By default that the method trains."""

Seen = Callable[[Finding], None]


def conformance(
    method: Any,
    *overrides: str,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    seen: Seen = lambda finding: None,
    processes: int = 1,
) -> Report:
    """Check a class that derives from ``fomo.Method``.

    Args:
        method: The class.
        overrides: Choose what stands beside it and the model, as in ``trainable=lora model=pocket``.
        settings: The arguments of its constructor.
        device: Where everything computes, as torch names it; ``auto``: on a GPU where there is one.
        seen: Hears of every check when it is done.
        processes: With more than one, as many take the steps in a further check, on the CPU.

    Raises:
        FomoError: torch cannot use the device, or the processes are too many.
    """

    def parts(config: Config) -> dict[str, Method]:
        made = method(**(settings or {}))
        return with_one_more(factory.methods(config).parts, method.group, method.__name__, made)

    contract = partial(check_method, method, getattr(method, "__qualname__", repr(method)))
    return _report(contract, overrides, device, parts, seen, processes)


def conformance_of(
    overrides: Sequence[str], seen: Seen = lambda finding: None, device: str = "cpu", processes: int = 1
) -> Report:
    """Check what is configured, as in ``["method=ewc", "trainable=lora"]``, on a device, by so many processes."""
    return _report(
        lambda: None, tuple(overrides), device, lambda config: factory.methods(config).parts, seen, processes
    )


def _report(
    contract: Callable[[], None],
    overrides: tuple[str, ...],
    device: str,
    parts: Callable[[Config], dict[str, Method]],
    seen: Seen,
    processes: int,
) -> Report:
    """The report of all checks.

    Args:
        contract: The first check, which needs nothing built.
        overrides: Of the kit's configuration.
        device: Where everything computes.
        parts: Makes the method from the configuration.
        seen: Hears of every check when it is done.
        processes: Of the check that has several.
    """
    check_allowed(1 <= processes <= BATCH_SIZE, f"--processes={processes}", f"1 to {BATCH_SIZE}, the rows of a batch")
    config = config_of(overrides, device)
    findings = dict[str, Finding]()
    of_model = tuple(each for each in overrides if each.split("=")[0].split(".")[0] == "model")
    with tempfile.TemporaryDirectory() as folder, settings_kept(), repeatable(config.runtime.device):
        kit = Kit(contract, config, of_model, partial(parts, config), Path(folder), processes)
        for check in CHECKS if processes > 1 else list(CHECKS)[:-1]:
            missing = [each for each in NEEDS.get(check, ("training",)) if findings[each].status != "ok"]
            finding = Finding(check, "not run", f"it takes {missing[0]} for granted") if missing else kit.run(check)
            findings[check] = finding
            seen(finding)
    return Report(tuple(findings.values()))
