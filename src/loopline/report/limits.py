"""The limits that a question's own text states, in every wording that we met."""

from __future__ import annotations

import re

from loopline.report.document import Limits, Range

_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_NUMBER = r"(?:\d{1,5}|one|two|three|four|five)"
_TO = r"\s*(?:-|–|—|−|to|and|or)\s*"
_PICTURE = r"(?:screen\s?shots?|images?|figures?|pictures?|plots?|diagrams?)"
_NO_PICTURE = rf"(?!\d|(?:\s+[a-z-]+){{0,2}}\s+{_PICTURE})"
_FROM = r"(?:at least|min(?:imum|\.)?(?: of)?|no fewer than|not less than|≥|>=)"
_UP_TO = r"(?:at most|max(?:imum|\.)?(?: of)?|up to|no more than|not more than|≤|<=|within|under)"
# A line that is about the length: `Answer length: 100-200 words`, `Recommended answer length: …`, `Word limit: 200`.
LENGTH = re.compile(
    r"\b(?:(?:answer|recommended|expected|suggested|maximum|minimum)\s+)*(?:length|word (?:limit|count)|words)\s*:",
    re.I,
)


def read_limits(prompt: str) -> Limits:
    """The limits in a question's text, given without its example and without marks. Never raises."""
    length = LENGTH.search(prompt)
    about_length = prompt[length.end() :].partition("\n")[0] if length else ""
    words = _words(about_length, unit=r"(?:\s*words?)?") or _words(prompt, unit=r"\s*words?\b")
    images = _images(about_length) or _asked_images(prompt)
    return Limits(words=words, images=images)


def _words(text: str, *, unit: str) -> Range | None:
    if match := re.search(rf"(\d{{1,5}}){_TO}(\d{{1,5}}){unit}{_NO_PICTURE}", text, re.I):
        return _range(match[1], match[2])
    if match := re.search(rf"{_FROM}\s*(\d{{1,5}}){unit}{_NO_PICTURE}", text, re.I):
        return Range(int(match[1]), None)
    # `200 words` alone is the most that is asked to be read.
    if match := re.search(rf"(?:{_UP_TO}\s*)?(?<![\d.,+])(\d{{1,5}})(?!{_TO}\d){unit}{_NO_PICTURE}", text, re.I):
        return Range(0, int(match[1]))
    return None


def _images(text: str) -> Range | None:
    adjectives = r"(?:\s+[a-z-]+){0,2}?\s+"
    if match := re.search(rf"\b({_NUMBER}){_TO}({_NUMBER}){adjectives}{_PICTURE}\b", text, re.I):
        return _range(match[1], match[2])
    if match := re.search(rf"{_FROM}\s*({_NUMBER}|an?){adjectives}{_PICTURE}\b", text, re.I):
        return Range(_number(match[1]), None)
    if match := re.search(rf"{_UP_TO}\s*({_NUMBER}){adjectives}{_PICTURE}\b", text, re.I):
        return Range(0, _number(match[1]))
    if match := re.search(rf"\b({_NUMBER}|an?){adjectives}{_PICTURE}\b", text, re.I):
        return Range(_number(match[1]), _number(match[1]))
    return None


def _asked_images(prompt: str) -> Range | None:
    """Pictures count as asked for only after a verb that asks: `this figure` and `an image of` appear in many texts."""
    match = re.search(
        r"\b(?:insert|upload|include|attach|add|provide|show)\s+(?=(?:at least|at most|up to|\d|one|two|three|an?\b))"
        r"([^.?!]{0,60})",
        prompt,
        re.I,
    )
    return _images(" " + match[1]) if match else None


def _number(text: str) -> int:
    return _NUMBERS.get(text.lower()) or int(text)


def _range(low: str, high: str) -> Range:
    first, second = _number(low), _number(high)
    return Range(min(first, second), max(first, second))
