"""Checks of the machine itself: versions, driver, threads, load, clock, processes that talk to each other."""

import math
from collections.abc import Sequence
from datetime import datetime, timezone

from packaging.specifiers import SpecifierSet

from fomo.doctor.facts import Clock, Cpu, Driver, Network, Package, Repeated
from fomo.doctor.verdict import Level, Verdict, judged

EARLIEST = datetime(2024, 8, 26, tzinfo=timezone.utc).timestamp()
"""The benchmark's paper appeared: no clock that is right shows less."""
SLACK = 60.0
"""Seconds by which the clock of a file server may differ."""
DAY = 86_400.0
"""Seconds by which no clock may differ."""


def versions(packages: Sequence[Package]) -> Verdict:
    """Whether everything that pyproject.toml asks for is there, and new enough."""
    wrong = [each for each in packages if not _is_fit(each)]
    shown = wrong or packages[:2]
    found = ", ".join(f"{each.name} {each.installed or 'missing'}" for each in shown)
    rest = "" if wrong else f" and {len(packages) - len(shown)} more"
    expected = ", ".join(f"{each.name}{each.wanted}" for each in wrong) or "as pyproject.toml asks"
    upgrade = " ".join(f"'{each.name}{each.wanted}'" for each in wrong if each.name != "python")
    newer = "a newer Python; " if any(each.name == "python" for each in wrong) else ""
    advice = f"{newer}pip install --upgrade {upgrade}" if upgrade else newer.rstrip("; ")
    return judged("versions", found + rest, expected, Level.RED if wrong else Level.GREEN, advice)


def _is_fit(package: Package) -> bool:
    # A pre-release, as vendors ship them in containers, may do.
    return package.installed is not None and SpecifierSet(package.wanted).contains(package.installed, prereleases=True)


def driver(facts: Driver) -> Verdict:
    """Whether torch can use the GPUs that are in the machine."""
    check = "GPU driver"
    expected = f"{facts.num_cards} usable" if facts.num_cards else "no GPU needed"
    if facts.num_usable:
        built = f"torch for {facts.built_for}" + (f", driver up to CUDA {facts.offered}" if facts.offered else "")
        return judged(check, f"{facts.num_usable} usable, {built}", "usable", Level.GREEN, "")
    if facts.asked == "cpu" or not facts.num_cards:
        return judged(check, f"{facts.num_cards} GPUs, the job runs on the CPU", expected, Level.GREEN, "")
    if facts.built_for is None:
        advice = "this torch knows no GPU: take a build with CUDA or ROCm (https://pytorch.org/get-started/locally)."
        return judged(check, f"{facts.num_cards} GPUs, torch for the CPU", expected, Level.RED, advice)
    if facts.offered and _major(facts.offered) < _major(facts.built_for):
        found = f"torch for CUDA {facts.built_for}, driver up to {facts.offered}"
        return judged(check, found, expected, Level.RED, "update the driver, or take torch built for an older CUDA.")
    advice = "look at `nvidia-smi`, at CUDA_VISIBLE_DEVICES, and whether the container was given the GPU."
    return judged(check, f"{facts.num_cards} GPUs, none usable", expected, Level.RED, advice)


def _major(version: str) -> int:
    return int(version.split(".")[0])


def cpu_threads(cpu: Cpu, on_gpu: bool) -> Verdict:
    """Threads against cores: too many threads wait for each other, too few leave a job on a CPU slow."""
    cores = max(1, math.ceil(cpu.cores))
    level = Level.GREEN
    advice = f"OMP_NUM_THREADS={max(1, math.floor(cpu.cores))}: "
    if cpu.num_threads > cores:
        level = Level.RED if cpu.num_threads > 2 * cores else Level.YELLOW
        advice += "threads beyond the cores that the process may use wait for each other."
    elif not on_gpu and cpu.num_threads < cpu.cores / 2:  # half: torch takes one of two hyper-threads
        level = Level.YELLOW
        advice += "most cores stand idle."
    limit = f" (a quota of {cpu.quota:g})" if cpu.quota and cpu.quota < cpu.num_allowed else ""
    return judged("CPU threads", f"{cpu.num_threads}", f"up to {cores} cores{limit}", level, advice)


def load(cpu: Cpu) -> Verdict:
    """Whether others are using the machine."""
    level = Level.YELLOW if cpu.load > cpu.cores / 2 else Level.GREEN
    advice = "other programs are running: what is measured here is less than the machine can do."
    return judged("load", f"{cpu.load:.1f} cores busy", f"up to {cpu.cores / 2:g}", level, advice)


def clock(facts: Clock) -> Verdict:
    """Whether times will mean something: events carry them, and files are told apart by them."""
    behind = facts.newest - facts.now
    jump = abs(facts.jump)
    now = datetime.fromtimestamp(facts.now, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    level = Level.GREEN
    found = now
    if facts.now < EARLIEST:
        level = Level.RED
    elif behind > SLACK:
        level = Level.RED if behind > DAY else Level.YELLOW
        found = f"{now}, {behind:,.0f} s before the time of {facts.newest_file}"
    elif jump > 1:
        level = Level.RED if jump > SLACK else Level.YELLOW
        found = f"{now}, jumped by {facts.jump:+.1f} s during the checks"
    advice = "set the clock and let it be kept (timedatectl set-ntp true): times in events and cards will be wrong."
    return judged("clock", found, "after the newest file, steady", level, advice)


def network(facts: Network) -> Verdict:
    """Whether processes of one run could talk to each other; one process alone does without."""
    level = Level.GREEN if not facts.failure else Level.RED if facts.num_gpus > 1 else Level.YELLOW
    found = f"{facts.backend}: {facts.failure}" if facts.failure else f"{facts.backend}: a group of one came up"
    advice = "runs of several processes will fail: see NCCL_DEBUG=INFO, NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME."
    return judged("network backend", found, "comes up on this machine", level, advice)


def same_bits(repeated: Sequence[Repeated]) -> Verdict:
    """Whether the same work gives the same bits each time."""
    wrong = [each for each in repeated if each.differing]
    stuck = [each for each in repeated if each.failure]
    times = ", ".join(f"{each.times:,} × {each.what}" for each in repeated)
    found = "; ".join(
        [f"{each.differing:,} of {each.times:,} differ: {each.what}" for each in wrong]
        + [f"{each.what}: {each.failure}" for each in stuck]
    )
    advice = (
        "a core or its memory corrupts what it computes, and says nothing: no result of this machine can be trusted. "
        "Run `fomo doctor --seconds 600` alone on it, look at `dmesg` and, of a GPU, `nvidia-smi -q -d ECC` and "
        "`dcgmi diag -r 3`; undo overclocking; take another device and have this one replaced."
        if wrong
        else "the device cannot do this in the job's precision, or not the same way each time: runtime.precision=fp32, "
        "or another device."
    )
    return judged(
        "same bits", found or times, "the same bits each time", Level.RED if wrong or stuck else Level.GREEN, advice
    )
