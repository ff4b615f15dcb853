"""What a run takes for being asked to stop."""

import os
import signal

import pytest

from fomo.errors import Stopped
from fomo.system.signals import Stop


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGUSR2, 75), (signal.SIGINT, 130)],
)
def test_a_signal_stops_with_its_status(number: signal.Signals, status: int) -> None:
    with Stop().listening(), pytest.raises(Stopped, match=f"stopped by {number.name}") as stopped:
        os.kill(os.getpid(), number)
        signal.pause()
    assert stopped.value.status == status
