"""``fomo submit``: pack the finished runs of one experiment, a run of each seed, into one small file for a leaderboard.

It is checked first as a leaderboard checks it. What is in the file: docs/submit.md.
"""

import argparse
import re
from pathlib import Path

from fomo.cli.screen import examples, print_json
from fomo.errors import FomoError
from fomo.report.entries import BoardEntry
from fomo.report.submitted import one_entry
from fomo.results.folders import run_folders
from fomo.results.submission import SUFFIX, pack
from fomo.system.digest import json_digest
from fomo.system.text import printable

EPILOG = examples(
    "fomo submit runs/a runs/b runs/c             three seeds of one method: a file beside you",
    "fomo submit runs/a --out mine.fomo.zip       under this name",
    "fomo submit runs/a --weights                 with the deployed weights, so that others can score them again",
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo submit", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="finished runs, or folders of them")
    made.add_argument("--out", type=Path, metavar="FILE", help=f"ends with {SUFFIX} (default: named by what it holds)")
    made.add_argument("--weights", action="store_true", help="pack the deployed weights too")
    made.add_argument("--json", action="store_true", help="print JSON alone: the file and its entry on a leaderboard")
    return made


def main(arguments: list[str]) -> None:
    """Write the file and say what is in it."""
    options = parser().parse_args(arguments)
    if options.out is not None and not options.out.name.endswith(SUFFIX):
        raise FomoError(f"--out {options.out}: the name of a submission ends with {SUFFIX}.")
    if options.out is not None and not options.out.parent.is_dir():
        raise FomoError(f"--out {options.out}: there is no folder '{options.out.parent}'.")
    runs = run_folders(options.folders)
    entry = one_entry(runs)
    file = options.out or Path(name_of(entry))
    pack([Path(folder) for folder in entry.folders], file, options.weights)
    if options.json:
        print_json({"file": str(file), "bytes": file.stat().st_size, "entry": entry.to_json()})
        return
    print(printable(f"{file}: {file.stat().st_size:,} bytes\n{about(entry)}"))
    print(f"check it with: fomo leaderboard verify {printable(file)}")


def name_of(entry: BoardEntry) -> str:
    """A file's name: stream, label, and what tells apart experiments of one label."""
    stream = entry.track.partition(",")[0]
    words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{stream}-{entry.label}").strip("-.")[:60]
    return f"{words}-{json_digest([entry.track, entry.label, entry.seeds])[:6]}{SUFFIX}"


def about(entry: BoardEntry) -> str:
    """An entry in two lines."""
    seeds = f"seed{'s' * (len(entry.seeds) > 1)} {', '.join(map(str, entry.seeds))}"
    caveats = f" ({', '.join(entry.caveats)})" if entry.caveats else ""
    means = f"KA {entry.ka:.1f}, ZS {entry.zs:.1f}, GM {entry.gm:.1f}"
    return f"  {entry.label}, {seeds}: {means}{caveats}\n  {entry.track}"
