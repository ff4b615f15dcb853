"""``fomo leaderboard verify``: check submissions: schema, hashes, complete, within budget, consistent; with weights in
them also whether these give the scores, for which the stream's data has to be at hand."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fomo.cli.screen import examples, print_json
from fomo.cli.submit import about
from fomo.errors import FomoError
from fomo.report.submitted import one_entry
from fomo.results.folders import results
from fomo.results.layout import WEIGHTS
from fomo.results.submission import opened
from fomo.system.text import printable

if TYPE_CHECKING:
    from fomo.running.reevaluate import Again

EPILOG = examples(
    "fomo leaderboard verify mine.fomo.zip                before you hand it in",
    "fomo leaderboard verify mine.fomo.zip --data data    datasets lie here, where the weights are scored again",
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo leaderboard verify",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="submissions, runs, folders of them")
    made.add_argument("--data", type=Path, metavar="ROOT", help="where the datasets lie (default: as the run says)")
    made.add_argument("--no-weights", action="store_true", help="do not score weights again")
    made.add_argument("--json", action="store_true", help="print JSON alone")
    return made


def main(arguments: list[str]) -> None:
    """Say of each file whether it is fit, or why not; status 2 if one is not."""
    options = parser().parse_args(arguments)
    found = [_verified(file, options.data, options.no_weights) for file in results(options.files)]
    if not found:
        raise FomoError(f"there is no run folder and no submission in {', '.join(map(str, options.files))}.")
    if options.json:
        print_json(found)
    else:
        for each in found:
            print(printable("\n".join(_lines(each))))
    unfit = [each["file"] for each in found if each["problem"]]
    if unfit:
        raise FomoError(f"{len(unfit)} of {len(found)} are not fit: {', '.join(unfit)}")


def _verified(file: Path, root: Path | None, without_weights: bool) -> dict[str, Any]:
    """What became of a file: its entry, its weights scored again, and what is wrong with it, else empty."""
    result: dict[str, Any] = {"file": str(file), "problem": "", "about": "", "entry": None, "weights": {}}
    try:
        entry = one_entry([file])
        result |= {"about": about(entry), "entry": entry.to_json()}
        if not without_weights:
            result["weights"] = _scored_again(file, root)
    except FomoError as error:
        result["problem"] = str(error)
    return result


def _scored_again(file: Path, root: Path | None) -> dict[str, Any]:
    """The scores of every run with weights, as submitted and as found.

    Raises:
        FomoError: weights do not give the scores, or cannot be scored here.
    """
    found: dict[str, list[Again]] = {}
    with opened(file) as runs:
        for name, folder in runs.items():
            if (folder / WEIGHTS).is_file():
                found[name] = _again(folder, name, root)
    return {
        name: {each.dataset: {"submitted": each.submitted, "found": each.found} for each in scores}
        for name, scores in found.items()
    }


def _again(folder: Path, name: str, root: Path | None) -> "list[Again]":
    from fomo.running.reevaluate import reevaluated

    try:
        scores = reevaluated(folder, root)
    except FomoError as error:
        raise FomoError(str(error).replace(str(folder), name)) from None
    wrong = [f"{each.dataset} {each.submitted:.2f}, found {each.found:.2f}" for each in scores if not each.agrees]
    if wrong:
        raise FomoError(f"{name}: the weights do not give the scores: {'; '.join(wrong)}.")
    return scores


def _lines(result: dict[str, Any]) -> list[str]:
    """What was found, a line each."""
    lines = [f"{result['file']}: {result['problem'] or 'fit for a leaderboard'}"]
    lines += [result["about"]] if result["about"] else []
    for name, scores in result["weights"].items():
        largest = max(abs(each["submitted"] - each["found"]) for each in scores.values())
        lines.append(f"  {name}: weights scored again, {len(scores)} datasets, at most {largest:.2g} points apart")
    return lines
