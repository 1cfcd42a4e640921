"""Writes, checks, renders and fills the Markdown report about a project."""

from __future__ import annotations

from loopline.report.check import AnswerCheck, Problem, ReportCheck, check_report
from loopline.report.count import Counted, Image, count
from loopline.report.coverage import Coverage, measure_coverage
from loopline.report.document import Limits, Prose, Question, Range, Report
from loopline.report.fill import Filled, fill_report, write_filled
from loopline.report.finding import ReportFile, open_report
from loopline.report.html import render_report
from loopline.report.parse import parse_report
from loopline.report.pdf import find_browser, write_pdf
from loopline.report.template import Box, new_report

__all__ = [
    "AnswerCheck",
    "Box",
    "Counted",
    "Coverage",
    "Filled",
    "Image",
    "Limits",
    "Problem",
    "Prose",
    "Question",
    "Range",
    "Report",
    "ReportCheck",
    "ReportFile",
    "check_report",
    "count",
    "fill_report",
    "find_browser",
    "measure_coverage",
    "new_report",
    "open_report",
    "parse_report",
    "render_report",
    "write_filled",
    "write_pdf",
]
