"""Cutting a line of text into sentences: one that was trained on sentences translates a paragraph one by one.

A small rule in the spirit of the splitter of Europarl (Koehn, 2005): a sentence ends at `.`, `!`, `?` or `…`, together
with closing quotes and brackets, where white space and then a capital letter, a digit or an opening quote follow, and
the dot belongs to no abbreviation or initial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# English and German; the ones after which a capital letter or a number goes on with the sentence.
_ABBREVIATION = re.compile(
    r"mr|mrs|ms|dr|prof|rev|gen|col|lt|sgt|capt|st|jr|sr|vs|etc|approx|vol|eq|dept|inc|ltd|co|corp"
    r"|jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec|bzw|ca|evtl|ggf|inkl|nr|tel|usw|vgl|hr|fr"
    r"|z\.b|d\.h|u\.a|e\.g|i\.e|u\.s|u\.k|a\.m|p\.m",
    re.IGNORECASE,
)
# Closing marks belong to the sentence that they end.
_END = re.compile(r"([.!?…]+[\"'”’»)\]]*)\s+(?=[\"'“‘«„(\[¿¡]*[^\W_a-zß-öø-ÿ])")
_LAST_WORD = re.compile(r"(\S+?)\.+[\"'”’»)\]]*$")


def split_sentences(line: str) -> Iterator[str]:
    """The sentences of one line, in order, without the white space around them; their texts are not changed."""
    start = 0
    for match in _END.finditer(line):
        sentence = line[start : match.end(1)]
        if not _ends_in_abbreviation(sentence):
            yield sentence.strip()
            start = match.end()
    rest = line[start:].strip()
    if rest:
        yield rest


def _ends_in_abbreviation(sentence: str) -> bool:
    found = _LAST_WORD.search(sentence)
    if found is None:
        return False
    word = found[1].lstrip("\"'“‘«„([")
    # A single letter is an initial, as in `J. S. Bach`, unless it is the pronoun that often ends a sentence.
    return bool(_ABBREVIATION.fullmatch(word)) or (len(word) == 1 and word.isalpha() and word != "I")
