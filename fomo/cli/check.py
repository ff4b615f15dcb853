"""``fomo check``: does a method keep the contract? Trains, stops, resumes and counts it on the pocket model."""

import argparse
import importlib
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fomo.cli.screen import print_json
from fomo.config.compose import parse
from fomo.config.several import GROUPS, names_in
from fomo.errors import FomoError, nearest
from fomo.system.imports import many_imports
from fomo.system.text import escape

if TYPE_CHECKING:
    from fomo.testing import Finding

BESIDE = ("trainable", "regularizer", "merging", "diagnostics", "model")
"""Groups that may be set too: what the method stands beside, and on."""
MARKS = {"ok": "green", "failed": "red", "not run": "yellow"}
EPILOG = """examples:
  fomo check pull:Pull strength=0.1         class Pull of pull.py, here or installed; settings of its constructor
  fomo check pull:Pull trainable=lora       the same beside another part
  fomo check pull:Pull regularizer=[ewc]    and beside another regulariser
  fomo check ema_merge                      what method=ema_merge is
  fomo check pull:Pull --device cuda        everything on the GPU
  fomo check pull:Pull --processes 2        and once more with two processes that share every batch"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo check", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "method", metavar="MODULE:CLASS | NAME", help="a class (or MODULE.CLASS), or an option of method="
    )
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the class; other parts; model")
    made.add_argument("--device", default="cpu", help="where it computes, as torch names it (default: cpu)")
    made.add_argument(
        "--processes", type=int, default=1, metavar="N", help="also check N processes against one, on the CPU"
    )
    made.add_argument("--json", action="store_true", help="print JSON alone, a check each; the rest on standard error")
    return made


def main(arguments: list[str]) -> None:
    """Print every check; status 2 if one is not ok."""
    options = parser().parse_intermixed_args(arguments)
    if options.processes > 1 and options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # with a GPU in sight, torch's backward pass cannot be forked
    console = Console(highlight=False, soft_wrap=True, stderr=options.json)

    def seen(finding: "Finding") -> None:
        from fomo.testing import CHECKS

        why = f": {finding.why}" if finding.why else ""
        mark = f"[{MARKS[finding.status]}]{finding.status:>7}[/]"
        console.print(f"{mark}  {escape(f'{finding.check:<13} {CHECKS[finding.check]}{why}')}")

    with console.status("the pocket's images are drawn once, then cached"):
        report = checked(options.method, options.overrides, options.device, seen, options.processes)
    if options.json:
        print_json({"method": options.method, "passed": report.passed, "checks": list(map(asdict, report.findings))})
    if not report.passed:
        raise FomoError(f"{options.method} does not conform: {', '.join(report.failed)}. The contract: fomo.Method.")


def checked(method: str, overrides: list[str], device: str, seen: Any, processes: int) -> Any:
    """The report on a class, or on a named method.

    Args:
        method: ``MODULE:CLASS``, or an option of ``method=``.
        overrides: Settings of the class; other parts; the model.
        device: Where it computes.
        seen: Hears of every check when it is done.
        processes: How many take the steps in the check that has several.
    """
    if not is_target(method):
        parse([f"method={method}"])  # refuses an unknown name
        with many_imports():
            from fomo.testing import conformance_of

        return conformance_of([f"method={method}", *overrides], seen, device, processes)
    parsed = [(each, line) for each, line in zip(parse(overrides), overrides, strict=True)]
    settings = {each.key_or_group: each.value() for each, _ in parsed if not _beside(each.key_or_group)}
    found = find(method)
    from fomo.testing import conformance

    others = [line for each, line in parsed if _beside(each.key_or_group)]
    group = getattr(found, "group", "")
    for each, line in parsed:
        if each.key_or_group == group and names_in(each) is None:
            beside = f" To have both: {group}=[{each.value()}]." if group in GROUPS else ""
            raise FomoError(f"{line}: {method} is a {group} itself and would take its place. Leave it out.{beside}")
    return conformance(found, *others, settings=settings, device=device, seen=seen, processes=processes)


def _beside(key: str) -> bool:
    return key.split(".")[0] in BESIDE


def is_target(name: str) -> bool:
    """Whether it names a class, ``MODULE:CLASS`` or ``MODULE.CLASS``; no option has these signs in its name."""
    return ":" in name or ("." in name and "=" not in name)


def find(method: str) -> Any:
    """The class ``MODULE:CLASS`` or ``MODULE.CLASS``; modules of the folder at hand are found too.

    Raises:
        FomoError: there is no such module or class, or the import fails.
    """
    from fomo.config.plugins import described

    module, _, name = method.partition(":") if ":" in method else method.rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # whatever the module raises
        raise FomoError(f"{method}: '{module}' cannot be imported: {described(error)}.") from error
    if not hasattr(imported, name):
        names = [each for each in vars(imported) if isinstance(getattr(imported, each), type)]
        raise FomoError(f"{method}: {module} has no '{name}'. {nearest(name, names)}Write MODULE:CLASS.")
    return getattr(imported, name)
