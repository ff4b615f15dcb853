"""Counting FLOPs: torch's formulas, and more for what they do not cover (``formulas.py``).

A multiply-add is 2 FLOPs. Counted are matrix products, convolutions and fused attention, forward and backward: the
convention of Roth et al. 2024 (arXiv 2408.14471), whose figures it gives to all printed digits. Decompositions (SVD,
QR, …) are counted apart and charged too; element-wise arithmetic is neither.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch._C import DispatchKey
from torch.utils._python_dispatch import TorchDispatchMode

from fomo.budget.formulas import DECOMPOSITIONS, FORMULAS, WITHOUT_FORMULA, refuse

Meter = Callable[[str], AbstractContextManager[None]]
"""``with meter("optimizer"): …`` notes what is done inside under that name."""


class Flops(NamedTuple):
    """``counted`` in products, ``decomposed`` by the formulas of matrix decompositions; both are charged."""

    counted: int
    decomposed: int

    @property
    def charged(self) -> int:
        """What the budget pays."""
        return self.counted + self.decomposed

    def plus(self, other: "Flops", times: int = 1) -> "Flops":
        """The sum with ``other``, taken ``times``."""
        return Flops(self.counted + other.counted * times, self.decomposed + other.decomposed * times)


Phases = Mapping[str, Flops]
NOTHING = Flops(0, 0)


def unmetered(name: str) -> AbstractContextManager[None]:
    """A meter that counts nothing."""
    return nullcontext()


def charged(phases: Phases) -> int:
    """FLOPs of all phases that the budget pays."""
    return sum(flops.charged for flops in phases.values())


def counted(phases: Phases) -> int:
    """FLOPs of all phases by torch's counter alone, the published convention."""
    return sum(flops.counted for flops in phases.values())


DEVICE = torch.ops.prim.device.default
"""What torch asks of every fake tensor more often than it computes with it: it is answered at once."""
_open = 0
"""Counters that are active, of any thread: a backward pass computes in threads of its own."""


def is_counting() -> bool:
    """Whether FLOPs are counted now. The protocol's computation is to be done then, not a shorter one."""
    return _open > 0


class _Counter(TorchDispatchMode):
    """While active, adds up FLOPs by operation.

    What torch's ``FlopCounterMode`` does, without following modules and without trying to decompose every operation,
    which makes a counted step half as long again.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.by_operation: dict[Any, int] = {}

    def __enter__(self) -> Any:
        """Count from here on."""
        global _open
        _open += 1
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Count no more."""
        global _open
        _open -= 1
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        if func is DEVICE:
            return args[0].device
        kwargs = kwargs or {}
        _, kind, formula = _known.get(id(func)) or _look_up(func)
        if formula is None:
            return self._without_formula(kind, func, args, kwargs)
        result = func(*args, **kwargs)
        operation = getattr(func, "overloadpacket", func)
        flops = int(formula(*args, **kwargs, out_val=result))
        self.by_operation[operation] = self.by_operation.get(operation, 0) + flops
        return result

    def _without_formula(self, kind: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Nothing to count, or made of others: inference mode gives such operations whole."""
        if kind == "refused":
            raise refuse(str(func))
        if kind == "composed":
            with self:
                return func.decompose(*args, **kwargs)
        return func(*args, **kwargs)


_known: dict[int, tuple[Any, str, Callable[..., int] | None]] = {}
"""Operations, the kind of each and its formula, by id: they hash in Python, which takes as long as a small one."""


def _look_up(func: Any) -> tuple[Any, str, Callable[..., int] | None]:
    formula = FORMULAS.get(getattr(func, "overloadpacket", func))
    found = (func, "counted" if formula else _kind(func), formula)
    _known[id(func)] = found
    return found


def _kind(func: Any) -> str:
    if not isinstance(func, torch._ops.OpOverload) or func.overloadpacket.__name__ in WITHOUT_FORMULA:
        return "refused"
    composed = func.namespace == "aten" and func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
    return "composed" if composed else "free"


class FlopMeter:
    """Counts what is done inside ``with meter(name)``, by name. Names may come again; they add up."""

    def __init__(self) -> None:
        self.phases: dict[str, Flops] = {}
        self._counter: _Counter | None = None
        self._repeated = NOTHING

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count a phase."""
        self._repeated = NOTHING
        with _Counter() as self._counter:
            yield
        flops = self.so_far()
        self._counter = None
        total = self.phases.get(name, NOTHING).plus(flops)
        if total.charged:
            self.phases[name] = total

    def so_far(self) -> Flops:
        """What the phase at hand has cost until now."""
        if self._counter is None:
            return NOTHING
        by_operation = self._counter.by_operation
        decomposed = sum(flops for operation, flops in by_operation.items() if operation in DECOMPOSITIONS)
        return Flops(sum(by_operation.values()) - decomposed, decomposed).plus(self._repeated)

    def repeat(self, flops: Flops, times: int) -> None:
        """Charge the phase at hand ``times`` more for work that is known to cost the same."""
        self._repeated = self._repeated.plus(flops, times)

    def declare(self, name: str, flops: int) -> None:
        """Note a phase that is not run, by what it is said to cost."""
        if flops:
            self.phases[name] = Flops(self.phases.get(name, NOTHING).counted + flops, 0)
