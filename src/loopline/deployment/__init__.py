"""From a bundle to something that answers at an address, and from a configuration to a machine that trains it."""

from loopline.deployment.order import Order, Outcome, Tools
from loopline.deployment.smoke import Smoke, check_smoke, http_ask, smoke
from loopline.deployment.targets import TARGETS, Target, open_target

__all__ = [
    "TARGETS",
    "Order",
    "Outcome",
    "Smoke",
    "Target",
    "Tools",
    "check_smoke",
    "http_ask",
    "open_target",
    "smoke",
]
