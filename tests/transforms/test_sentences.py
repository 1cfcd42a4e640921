"""Sentences are cut where one ends, and nowhere else."""

from __future__ import annotations

import pytest

from loopline.transforms.sentences import split_sentences


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("A dog runs.", ["A dog runs."]),
        ("A dog runs. Two men sit.", ["A dog runs.", "Two men sit."]),
        ("Really?! Yes… “Go!” He went.", ["Really?!", "Yes…", "“Go!”", "He went."]),
        ("He (the boy.) 3 girls.", ["He (the boy.)", "3 girls."]),
        ("Mr. Smith met Dr. Who at 5 p.m. in St. Ives.", ["Mr. Smith met Dr. Who at 5 p.m. in St. Ives."]),
        ("J. S. Bach plays. So do I. We listen.", ["J. S. Bach plays.", "So do I.", "We listen."]),
        ("A man in a U.S. Army shirt.", ["A man in a U.S. Army shirt."]),
        ("Das ist z.B. Obst. Über allem.", ["Das ist z.B. Obst.", "Über allem."]),
        ("version 2.5 is out. it works", ["version 2.5 is out. it works"]),
        ("  spaces   inside   stay.  ", ["spaces   inside   stay."]),
        ("...", ["..."]),
        ("   ", []),
        ("", []),
    ],
)
def test_cut(line: str, sentences: list[str]) -> None:
    assert list(split_sentences(line)) == sentences


def test_nothing_but_white_space_is_lost() -> None:
    line = "One. Two!  “Three?” (Four.) five. SIX. 7. " * 20
    assert "".join(split_sentences(line)).replace(" ", "") == line.replace(" ", "")
