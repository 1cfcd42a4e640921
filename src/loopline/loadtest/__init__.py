"""How much a server carries: Locust asks, the load is stepped up, and out come a table, plots and a verdict."""

from loopline.loadtest.asking import ask_model, prepare_requests, refuse_strangers
from loopline.loadtest.page import PAGE_FILE, write_load_test
from loopline.loadtest.plan import LoadSettings, Slo, parse_slo
from loopline.loadtest.running import open_web, run_load
from loopline.loadtest.summary import summarize

__all__ = [
    "PAGE_FILE",
    "LoadSettings",
    "Slo",
    "ask_model",
    "open_web",
    "parse_slo",
    "prepare_requests",
    "refuse_strangers",
    "run_load",
    "summarize",
    "write_load_test",
]
