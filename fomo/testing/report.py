"""What came of the checks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What came of a check."""

    check: str
    status: Literal["ok", "failed", "not run"]
    why: str = ""


@dataclass(frozen=True)
class Report:
    """What came of all checks."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every check was run and is ok."""
        return all(finding.status == "ok" for finding in self.findings)

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [finding.check for finding in self.findings if finding.status == "failed"]

    def require(self) -> None:
        """Raise an AssertionError that lists what failed and why."""
        if not self.passed:
            raise AssertionError("\n".join(f"{f.check}: {f.status}: {f.why}" for f in self.findings if f.why))
