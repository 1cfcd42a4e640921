"""The whole loop on Fashion-MNIST, as `make demo` runs it: real data, a real server, real requests, one page."""

from loopline.demo.evidence import StageRow
from loopline.demo.walk import DemoReport, demo

__all__ = ["DemoReport", "StageRow", "demo"]
