"""The same bytes from the same command on the same machine, on a GPU too: torch's deterministic algorithms."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fomo.errors import FomoError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
NOT_DETERMINISTIC = "not deterministic"
"""The caveat of a result that another run of the same command need not give to the last bit."""
WORKSPACES = (":4096:8", ":16:8")
"""Those with which cuBLAS adds in one order."""
_REFUSED = re.compile(r"(\S+) does not have a deterministic (?:\w+ )?implementation")


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """While open, every operation gives the same bits for the same input, or is refused (:func:`refused`).

    Fused attention then takes a backend whose backward pass adds in one order. With ``enabled=False`` nothing changes.
    """
    if not enabled:
        yield
        return
    os.environ.setdefault(WORKSPACE, WORKSPACES[0])  # cuBLAS reads it when it is used first
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic
    found = fills.fill_uninitialized_memory, cudnn.deterministic, cudnn.benchmark  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    fills.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it costs time; nothing reads such memory
    cudnn.deterministic = True
    cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        fills.fill_uninitialized_memory, cudnn.deterministic, cudnn.benchmark = found  # type: ignore[attr-defined]


def check_workspace() -> None:
    """Refuse a workspace of cuBLAS that somebody has chosen, if products on a GPU would not be deterministic with it.

    Raises:
        FomoError: they would not.
    """
    chosen = os.environ.get(WORKSPACE, WORKSPACES[0])
    if chosen not in WORKSPACES:
        raise FomoError(
            f"runtime.deterministic=true: the environment has {WORKSPACE}={chosen}, with which products on a GPU are "
            f"not deterministic. Unset it, or let it be {WORKSPACES[0]} or {WORKSPACES[1]}; or take "
            "runtime.deterministic=false, which marks the result."
        )


def refused(error: BaseException) -> FomoError | None:
    """The error to show for an operation that torch has no deterministic algorithm for; ``None`` for other errors."""
    found = _REFUSED.search(str(error))
    if not found:
        return None
    return FomoError(
        f"runtime.deterministic=true: torch has no deterministic algorithm for {found[1]} on this device. Write it "
        "with other operations, or take runtime.deterministic=false, which marks the result."
    )
