"""Rates of the machine, measured: matrix products, copies, the disk; a group of one process, brought up."""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from fomo.doctor.facts import Compute, Disk, Network, Rate
from fomo.system.devices import device_name, least_seconds, listed_rate, measured_peak
from fomo.system.runtime import PRECISIONS

MIB = 2**20
GIB = 2**30
DISK_BYTES = 64 * MIB
"""Written to a disk at most."""
BLOCK_BYTES = 8 * MIB
"""Written and synced at a time."""
LONGEST_WRITING = 3.0
"""Seconds after which no further block is written."""


def compute(device: str, precision: str, available: int) -> Compute:
    """Rates of the job's device, beside those that its maker lists.

    ``available`` are the bytes of memory of the host that the process can take: copies use a part of it.
    """
    on_gpu = device.startswith("cuda")
    name = device_name(device)
    host_bytes = min(256 * MIB, max(MIB, available // 16))
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else None
    device_bytes = min(GIB, max(MIB, free // 16)) if free else host_bytes
    found = Compute(
        device=device,
        name=name,
        precision=precision,
        matmul={each: rate for each in PRECISIONS if (rate := _matmul(device, name, each))},
        copy=_beside_listed(copy_rate(device, device_bytes), name, "memory"),
        native_bf16=torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else True,
        upload=_beside_listed(upload_rate(device, host_bytes), name, "bus") if on_gpu else None,
        free_bytes=free,
    )
    if on_gpu:
        torch.cuda.empty_cache()
    return found


def _beside_listed(measured: float, name: str, quantity: str) -> Rate:
    return Rate(measured, *(listed_rate(name, quantity) or ()))


def _matmul(device: str, name: str, precision: str) -> Rate | None:
    """The rate of matrix products; ``None`` where the device cannot compute in this precision."""
    try:
        return _beside_listed(measured_peak(device, precision), name, precision)
    except RuntimeError:
        return None


def copy_rate(device: str, num_bytes: int) -> float:
    """Bytes read and written per second within the device's memory."""
    source = torch.ones(num_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / least_seconds(lambda: target.copy_(source), device)


def upload_rate(device: str, num_bytes: int) -> float:
    """Bytes per second from page-locked memory of the host to a GPU."""
    source = torch.ones(num_bytes, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(num_bytes, dtype=torch.uint8, device=device)
    return num_bytes / least_seconds(lambda: target.copy_(source, non_blocking=True), device)


def disk(folder: Path, speed: bool = True) -> Disk:
    """The disk that ``folder`` lies on, or will, and its ``speed`` if wanted.

    Nothing is left behind: the folder is not made, and the file that is written has no name.
    """
    there = existing(folder)
    free = shutil.disk_usage(there).free
    if not speed:
        return Disk(str(folder), free)
    try:
        return Disk(str(folder), free, *disk_rates(there, min(DISK_BYTES, free // 4)))
    except OSError as error:
        return Disk(str(folder), free, problem=error.strerror or str(error))


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def disk_rates(folder: Path, num_bytes: int) -> tuple[float, float]:
    """Bytes per second that are written, each block synced, and read back; at most ``num_bytes`` are written."""
    block = os.urandom(min(BLOCK_BYTES, max(num_bytes, 1)))  # what can be compressed would be written faster
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        start = time.perf_counter()
        while not file.tell() or (file.tell() < num_bytes and time.perf_counter() - start < LONGEST_WRITING):
            file.write(block)
            os.fsync(file.fileno())
        written = file.tell()
        writing = time.perf_counter() - start
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read the disk, not the memory
        file.seek(0)
        start = time.perf_counter()
        while file.read(BLOCK_BYTES):
            pass
        return written / writing, written / (time.perf_counter() - start)


def network(device: str) -> Network:
    """Bring up a group of one process on this machine alone, and take it down."""
    on_gpu = device.startswith("cuda")
    backend = "nccl" if on_gpu else "gloo"
    num_gpus = torch.cuda.device_count() if on_gpu else 0
    if not dist.is_available():
        return Network(backend, num_gpus, "torch was built without torch.distributed")
    if not (dist.is_nccl_available() if on_gpu else dist.is_gloo_available()):
        return Network(backend, num_gpus, f"torch was built without {backend}")
    try:
        _group_of_one(backend, device)
    except (RuntimeError, ValueError, OSError) as error:
        return Network(backend, num_gpus, str(error).splitlines()[0])
    return Network(backend, num_gpus)


def _group_of_one(backend: str, device: str) -> None:
    with _loopback(), _standard_output_to_error():
        store = dist.TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=timedelta(seconds=20))
        try:
            total = torch.ones(1, device=device)
            dist.all_reduce(total)
            if total.item() != 1:
                raise RuntimeError(f"the sum over one process was {total.item()}")
        finally:
            dist.destroy_process_group()


@contextmanager
def _loopback() -> Iterator[None]:
    """Let the backends use the loopback interface alone during the block, unless the user named another."""
    name = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    mine = [key for key in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if name and key not in os.environ]
    os.environ.update(dict.fromkeys(mine, name or ""))
    try:
        yield
    finally:
        for key in mine:
            del os.environ[key]


@contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """Send standard output to standard error during the block.

    Some versions of gloo greet on standard output, which `--json` promises to JSON alone.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
