"""Questions and answers are found however a team left them; every text here is made up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.report import Prose, Question, count, parse_report
from loopline.report.document import Limits, Range
from loopline.report.limits import read_limits

PLAIN = """# A report

## Coding

> In the following section we ask about code.

### Question 1

> **Which framework did you choose?**
>
> Answer length: 5-20 words.
>
> Example:
> *We used ... because ...*
>
> Answer:

{}

## Cloud

> In the following section we ask about the cloud.

### Question 2
> **How did you deploy?**
>
> Answer:

By hand.
"""


def first(text: str) -> Question:
    return parse_report(text).questions[0]


# What may stand where an answer belongs, and what of it is the answer.
ANSWERS = {
    "plain": ("We used a framework.", "We used a framework."),
    "dashes around": ("--- We used it. ---", "We used it."),
    "dashes on lines of their own": ("---\n\nWe used it.\n\n---", "We used it."),
    "escaped dashes": ("\\--- We used it.\n\n\\---", "We used it."),
    "dashes in code": ("--- We used it.\n\n` `---", "We used it."),
    "one dash left": ("We used it. ---", "We used it."),
    "a placeholder and an answer": ("We used it.\n\n--- question 1 fill here ---", "We used it."),
    "an answer in the quote": ("> We used it.\n> And more.", "We used it.\nAnd more."),
    "own headings": ("# Setup\n\nWe used it.\n\n## More\n\nOf it.", "# Setup\n\nWe used it.\n\n## More\n\nOf it."),
    "a heading that repeats the question": ("# Question 1\n\nWe used it.", "# Question 1\n\nWe used it."),
    "a question in a sentence": ("As in question 3:\n\nwe used it.", "As in question 3:\n\nwe used it."),
    "a comment in code": ("```bash\n# Question 2\nrun\n```", "```bash\n# Question 2\nrun\n```"),
    "a list": ("- first\n- second", "- first\n- second"),
    "a table": ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
    "emphasis": ("*We used it.*", "*We used it.*"),
    "nothing": ("", ""),
    "only a placeholder": ("--- question 1 fill here ---", ""),
    "only dashes": ("---\n\n---", ""),
    "only a comment": ("<!-- to do -->", ""),
}


@pytest.mark.parametrize(("given", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_found_whatever_stands_around_it(given: str, expected: str) -> None:
    """And neither the next section's head nor the next question becomes a part of it."""
    report = parse_report(PLAIN.format(given))
    assert [question.answer for question in report.questions] == [expected, "By hand."]
    assert [question.section for question in report.questions] == ["Coding", "Cloud"]
    assert report.questions[0].limits == Limits(words=Range(5, 20))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: "---\nlayout: default\ntitle: x\n---\n\n" + text,
        lambda text: text.replace("### Question 1", "**Question 1**").replace("### Question 2", "**Question 2**"),
        lambda text: text.replace("### Question", "### question").replace("Answer:", "**Answer:**"),
        lambda text: text.replace("> ", " ").replace(">\n", "\n"),
        lambda text: text.replace("> Answer:\n\n", "> Answer: "),
        lambda text: text.replace("> Answer:\n", ">\n"),
        lambda text: text.replace("### Question 1", "<h3>Question 1</h3>").replace("### Question 2", "Question 2:"),
        lambda text: text.replace("> Answer:\n\nWe used it.", "\nWe used it.\n\n> Answer:\n"),
        lambda text: text.replace("> Answer:\n\nWe used it.", "> We used it.\n>\n> Answer:\n"),
    ],
    ids=[
        "CRLF",
        "CR",
        "byte-order mark",
        "front matter",
        "bold headings",
        "bold markers",
        "no quotes",
        "on the marker's line",
        "no marker",
        "other headings",
        "above the marker",
        "in the quote above the marker",
    ],
)
def test_a_report_is_read_however_it_is_formatted(wrap: object) -> None:
    """The same two answers come out of every formatting that the corpus shows."""
    text = wrap(PLAIN.format("We used it."))  # type: ignore[operator]  # a lambda from the table above
    report = parse_report(text)
    assert [(question.label, question.answer) for question in report.questions] == [
        ("1", "We used it."),
        ("2", "By hand."),
    ]


def test_a_fence_that_nobody_closed_hides_no_question() -> None:
    """An open fence would swallow everything below it."""
    report = parse_report(PLAIN.format("```bash\nrun"))
    assert [question.label for question in report.questions] == ["1", "2"]


def test_extra_questions_and_letters_are_questions() -> None:
    """A report may have its own."""
    text = PLAIN.format("We used it.") + "\n### Question 3b: The meme\n\nA picture says more.\n"
    last = parse_report(text).questions[-1]
    assert (last.label, last.title, last.answer) == ("3b", "The meme", "A picture says more.")


def test_headings_with_a_length_are_questions_where_none_says_question() -> None:
    """Another course's template need not number."""
    text = "# Essay\n\n## Why?\nAnswer length: 10-20 words\n\nBecause.\n\n## How?\nMaximum length: 50 words\n\nSo.\n"
    found = parse_report(text).questions
    assert [(q.title, q.answer, q.limits.words) for q in found] == [
        ("Why?", "Because.", Range(10, 20)),
        ("How?", "So.", Range(0, 50)),
    ]


def test_a_placeholder_is_told_from_an_answer() -> None:
    """Both may stand side by side."""
    left = first(PLAIN.format("--- question 1 fill here ---"))
    assert (left.has_placeholder, left.answer) == (True, "")
    assert first(PLAIN.format("Done.\n\\-\\-\\- question 1 fill here \\-\\-\\-")).has_placeholder
    assert not first(PLAIN.format("Done.")).has_placeholder


def test_lines_are_those_of_the_file() -> None:
    """Front matter counts; the slot is where an answer stands, from marker to section."""
    lines = ("---\na: b\n---\n" + PLAIN.format("We used it.")).split("\n")
    question = first("\n".join(lines))
    assert lines[question.line - 1] == "### Question 1"
    assert lines[question.answer_line - 1] == "We used it."
    start, end = question.slot
    assert lines[start - 2] == "> Answer:"
    assert lines[end - 1] == "## Cloud"


def test_nothing_of_the_text_is_lost() -> None:
    """Title, section and checklist are prose between the questions, one after the last included."""
    report = parse_report(PLAIN.format("We used it.") + "\n## Appendix\n\nMore.\n")
    prose = [part.text.split("\n")[0] for part in report.parts if isinstance(part, Prose)]
    assert prose == ["# A report", "## Cloud", "## Appendix"]


@pytest.mark.parametrize(
    ("text", "words", "images"),
    [
        ("Answer length: 100-200 words.", Range(100, 200), None),
        ("Recommended answer length: 200-300 words + 1 to 3 screenshots.", Range(200, 300), Range(1, 3)),
        ("Answer length: between 50 and 100 words", Range(50, 100), None),
        ("Answer length: 100–200", Range(100, 200), None),
        ("Maximum length: 150 words", Range(0, 150), None),
        ("Length: at least 50 words", Range(50, None), None),
        ("Write at most 80 words.", Range(0, 80), None),
        ("Insert 1-2 images of your bucket.", None, Range(1, 2)),
        ("Upload one image of your registry.", None, Range(1, 1)),
        ("Include a figure that shows the system. See this figure.", None, Range(1, 1)),
        ("Answer length: 1 to 3 screenshots", None, Range(1, 3)),
        ("Include at least two plots", None, Range(2, None)),
        ("Explain an image that you like.", None, None),
        ("Say why words matter.", None, None),
    ],
)
def test_limits_are_read_from_the_text(text: str, words: Range | None, images: Range | None) -> None:
    """In every wording of the templates, and some more."""
    assert read_limits(text) == Limits(words=words, images=images)


@pytest.mark.parametrize(
    ("text", "num_words", "addresses"),
    [
        ("Two **w**ords.", 2, []),
        ("See [the run](https://example.org/a) at https://example.org/b now", 5, []),
        ("| a | b |\n|---|---|\n| c | d |", 4, []),
        ("![a picture](figures/a%20b.png) one", 1, ["figures/a b.png"]),
        ("![x](figures/my plot.png)", 0, ["figures/my plot.png"]),
        ('<img src="figures/a.png" alt="x"> one <b>two</b>', 2, ["figures/a.png"]),
        ("<!-- ![hidden](figures/a.png) hidden --> seen", 1, []),
        ("```bash\nuv sync\n```", 2, []),
        ("```curl -X POST\nurl\n```", 4, []),
        ("1. one\n2. two\n\n---\n", 2, []),
        ("`![x](figures/a.png)`", 1, []),
        ("non\\-stop \\*bold\\* &amp; more", 3, []),
        ("<script>one two</script>three", 1, []),
        ("~~gone~~ – — …", 1, []),
    ],
)
def test_words_and_pictures_are_counted_as_a_reader_counts(text: str, num_words: int, addresses: list[str]) -> None:
    """No markup, no addresses, nothing hidden."""
    counted = count(text)
    assert (counted.num_words, [image.address for image in counted.images]) == (num_words, addresses)


PIECES = st.sampled_from(
    [
        "### Question 1",
        "**Question 2**",
        "> Answer:",
        "Answer: x",
        "---",
        "```",
        "~~~",
        ">",
        "> > a",
        "<!--",
        "<div>",
        "- [x] a",
        "| a |",
        "|-|",
        "![a](b)",
        "\\",
        "*",
        "1.",
        "\t",
        "Answer length: 5 words",
        "# h",
        "&#0;",
    ]
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("\n".join)))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    """And every slot lies in the text, in order."""
    report = parse_report(text)
    num_lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    last = 1
    for question in report.questions:
        start, end = question.slot
        assert last <= question.line < start <= end <= num_lines + 1
        last = end
        count(question.answer)
