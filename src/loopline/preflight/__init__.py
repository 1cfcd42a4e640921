"""What would go wrong in a cloud, found out on the laptop, in seconds, before anything is built or paid."""

from loopline.preflight.facts import Facts, ImageFacts
from loopline.preflight.inspection import TARGETS, preflight

__all__ = ["TARGETS", "Facts", "ImageFacts", "preflight"]
