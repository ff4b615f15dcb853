"""The conformance kit: what every method has to keep, checked on the pocket model. For pytest::

from fomo.testing import conformance

def test_my_method_conforms():
    conformance(MyMethod, settings={"strength": 0.1}).require()
"""

from fomo.testing.kit import CHECKS, conformance, conformance_of
from fomo.testing.report import Finding, Report

__all__ = ["CHECKS", "Finding", "Report", "conformance", "conformance_of"]
