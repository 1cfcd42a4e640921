"""A page of a report runs nothing, loads nothing and says what is missing."""

from __future__ import annotations

import html.parser
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.report.payloads import PAYLOADS

from loopline.report import ReportFile, check_report, find_browser, open_report, render_report, write_pdf
from loopline.report.markup import TAGS, safe_html

if TYPE_CHECKING:
    from tests.conftest import Browser

REPORT = """# {payload}

{payload}

## {payload}

### Question 1: {payload}

> **{payload}**
>
> Answer:

{payload}
"""


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def no_picture(address: str) -> None:
    """No address is a picture."""


def report_of(text: str, folder: Path) -> ReportFile:
    """A report's text as a file of a project."""
    return ReportFile(folder / "README.md", folder, text)


def expect_harmless(page: str, allowed: frozenset[str]) -> None:
    """No element that is not expected, no handler, no address with a scheme that runs."""
    for tag, attributes in Elements(page).found:
        assert tag in allowed, (tag, attributes)
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in ("href", "src", "action", "formaction", "data", "poster", "background"):
                plain = re.sub(r"[\s\x00-\x20]", "", value).lower()
                assert not re.match(r"(javascript|vbscript|blob|file):", plain), value
                assert not plain.startswith("data:") or (tag == "img" and re.match(r"data:image/(png|jpeg);", plain)), (
                    value
                )


OWN = ["### Question 1", "> Answer:", "# a", "- [x] b", "![a](b.png)", "```"]
PAGE = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "nav",
        "section",
        "article",
        "h1",
        "h2",
        "progress",
        "time",
    ]
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_survives(payload: str) -> None:
    """Each alone becomes what is allowed, or goes."""
    expect_harmless(safe_html(payload, picture=no_picture), TAGS)


@pytest.mark.parametrize("payload", PAYLOADS[::12])
def test_no_payload_survives_in_any_place(payload: str, tmp_path: Path) -> None:
    """In a title, a heading, a prompt, an answer; ids are the page's own, so nothing takes a heading's place."""
    page = render_report(report_of(REPORT.replace("{payload}", payload), tmp_path))
    expect_harmless(page, TAGS | PAGE)
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [tag for tag, _ in Elements(page).found].count("meta") == 4


def test_payloads_do_not_help_each_other(tmp_path: Path) -> None:
    """All of them as the answers of one report."""
    text = "".join(f"### Question {number}\n> Answer:\n\n{payload}\n\n" for number, payload in enumerate(PAYLOADS, 1))
    expect_harmless(render_report(report_of(text, tmp_path)), TAGS | PAGE)


TEXT = """---
layout: default
---
# Our report

Hello.

## Checklist

* [x] Make a repository
* [ ] Write tests

## Code

### Question 1

> **What did you log?**
>
> Answer length: 3-50 words + 1 to 2 screenshots.
>
> Example:
> *We ...*
>
> Answer:

See ![the loss](figures/plot.png) here, as we said.

```python
import torch  # fast
```

| a | b |
|---|---|
| 1 | 2 |

### Question 2

> **And why?**
>
> Answer:

--- question 2 fill here ---

### Question 3

> **More?**
>
> Answer length: 0-10 words
>
> Answer:

# Own

No ![gone](figures/gone.png).
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a report and its pictures."""
    figures = tmp_path / "reports" / "figures"
    figures.mkdir(parents=True)
    Image.new("RGB", (40, 30), "teal").save(figures / "plot.png")
    Image.effect_noise((1800, 1000), 90).save(figures / "large.png")
    Image.new("RGB", (4, 4)).save(figures / "photo.jpg")
    (figures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (figures / "notes.txt").write_text("x")
    Image.new("RGB", (4, 4)).save(tmp_path / "reports" / "loose.png")
    (tmp_path / ".git").mkdir()
    (tmp_path / "reports" / "README.md").write_text(TEXT)
    return tmp_path


def test_a_page_holds_everything(project: Path) -> None:
    """Pictures, coloured code, a table, the checklist's progress, every question with its state, headings in order."""
    page = render_report(open_report(project))
    found = Elements(page).found
    sources = [attributes["src"] for tag, attributes in found if tag == "img" and "src" in attributes]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")
    assert ("img", {"alt": "gone"}) in found
    assert '<span class="kn">import</span>' in page
    assert 'value="1" max="2" aria-label="1 of 2 ticked"' in page
    assert "☑ Make a repository" in page
    assert "☐ Write tests" in page
    assert "1 of 3 answers keep the limits" in page
    assert "No answer yet." in page
    assert "layout: default" not in page
    levels = [int(tag[1]) for tag, _ in found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    links = {
        attributes["href"][1:] for tag, attributes in found if tag == "a" and attributes.get("href", "").startswith("#")
    }
    assert links <= {attributes["id"] for _, attributes in found if "id" in attributes}
    assert {"question-1", "question-2", "question-3", "checklist", "code"} <= links


def test_large_pictures_become_smaller(project: Path) -> None:
    """A page of screenshots should still fit into a mail."""
    path = project / "reports" / "README.md"
    path.write_text(path.read_text().replace("figures/plot.png", "figures/large.png"))
    original = (project / "reports" / "figures" / "large.png").stat().st_size
    page = render_report(open_report(project))
    assert "data:image/jpeg;base64," in page
    assert len(page) < original


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("figures/plot.png", None),
        ("./figures/plot.png", None),
        ("/reports/figures/plot.png", None),
        ("figures\\plot.png", None),
        ("figures/photo.jpg", None),
        ("figures/gone.png", "does not exist"),
        ("figures/broken.png", "damaged"),
        ("figures/notes.txt", "no picture of the kinds"),
        ("loose.png", "not in a folder 'figures'"),
        ("https://example.org/a.png", "no file of the project"),
        ("data:image/png;base64,AAAA", "no file of the project"),
        ("../../../../../../etc/hostname", "does not exist"),
        ("figures/" + "a" * 300 + ".png", "does not exist"),
    ],
)
def test_a_picture_counts_where_a_reader_sees_it(project: Path, address: str, problem: str | None) -> None:
    """And what keeps it from counting is said."""
    path = project / "reports" / "README.md"
    path.write_text(path.read_text().replace("figures/plot.png", f"<{address}>"))
    answer = check_report(open_report(project)).answers[0]
    sentences = " ".join(found.sentence for found in answer.problems)
    assert (answer.num_images == 1) == (problem is None)
    assert problem is None or problem in sentences


def test_a_link_out_of_the_project_is_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A report must not put somebody else's files on its page."""
    outside = tmp_path_factory.mktemp("outside") / "figures"
    outside.mkdir()
    Image.new("RGB", (4, 4)).save(outside / "secret.png")
    (project / "reports" / "figures" / "plot.png").unlink()
    (project / "reports" / "figures" / "plot.png").symlink_to(outside / "secret.png")
    assert check_report(open_report(project)).answers[0].num_images == 0
    assert "data:image" not in render_report(open_report(project))


MARKDOWN = st.lists(st.one_of(st.sampled_from([*PAYLOADS, *OWN]), st.text(max_size=20)), max_size=12).map("\n".join)


@settings(max_examples=15, derandomize=True, deadline=None)
@given(MARKDOWN)
def test_no_text_makes_check_or_page_raise(text: str) -> None:
    """Nor lets anything through."""
    file = report_of(text, Path("/nonexistent"))
    check_report(file)
    expect_harmless(render_report(file), TAGS | PAGE)


@pytest.mark.parametrize(
    "text",
    [
        "> " * 2000 + "x",
        "- " * 1000 + "x",
        "[" * 1500,
        "*a_" * 1000,
        "<div>" * 1000,
        "![" * 1000,
        "-" * 5000 + " |",
        " " * 5000 + "x",
        "*" * 5000,
        "# " * 5000,
    ],
)
def test_deep_and_odd_texts_end(text: str, tmp_path: Path) -> None:
    """Nothing in a text makes the reading explode."""
    render_report(report_of(f"### Question 1\n> Answer:\n\n{text}\n", tmp_path))


@pytest.mark.skipif(find_browser() is None, reason="no browser is installed")
def test_a_page_prints_to_pdf(project: Path) -> None:
    """Through a real browser."""
    target = project / "report.pdf"
    write_pdf(render_report(open_report(project)), target)
    assert target.read_bytes().startswith(b"%PDF-")


# Before anything on a page runs: what a payload calls is written down, and links lead nowhere, but for `javascript:`.
WATCH = """
window.ran = [];
for (const name of ["alert", "confirm", "prompt", "print", "msgbox"])
  window[name] = (...given) => { window.ran.push(name); };
addEventListener("click", event => {
  const link = event.target.closest?.("a");
  if (link && !String(link.href.baseVal ?? link.href).startsWith("javascript:")) event.preventDefault();
}, true);
"""
# Whatever a reader, or the page by itself, may set off.
TOUCH = """(() => {
  const names = `load error begin start toggle focus blur input change submit click dblclick mouseover mouseenter
    pointerenter pointerover keydown copy paste scroll wheel animationstart transitionend`.split(/\\s+/);
  for (const element of document.querySelectorAll("html, body, body *"))
    for (const name of names)
      element.dispatchEvent(new (name === "click" ? MouseEvent : Event)(name, {bubbles: true, cancelable: true}));
  return new Promise(done => setTimeout(() => done(window.ran), 300));
})()"""


def read_in(browser: Browser, page: str, path: Path) -> tuple[list[str], list[str]]:
    """What ran while a page was opened and touched everywhere, and which addresses it asked for beside its own."""
    path.write_text(page, encoding="utf-8")
    browser.requested()
    browser.open(path.as_uri())
    ran = browser.run(TOUCH)
    return ran, [url for url in browser.requested() if url != path.as_uri()]


def test_nothing_runs_and_nothing_is_asked_for_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    """Neither behind the page's policy nor, sanitised alone, without it; the same payloads left raw do both."""
    browser.command("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    text = "".join(f"### Question {number}\n> Answer:\n\n{payload}\n\n" for number, payload in enumerate(PAYLOADS, 1))
    page = render_report(report_of(text, tmp_path))
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert policy.search(page)
    assert read_in(browser, page, tmp_path / "page.html") == ([], [])
    assert read_in(browser, policy.sub("", page), tmp_path / "open.html") == ([], [])
    for number, payload in enumerate(PAYLOADS[::9]):
        alone = policy.sub("", render_report(report_of(REPORT.replace("{payload}", payload), tmp_path)))
        assert read_in(browser, alone, tmp_path / f"{number}.html") == ([], []), payload
    harmful = "<img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a><img src='https://evil.example/x.png'>"
    ran, asked = read_in(browser, harmful, tmp_path / "raw.html")
    assert len(ran) >= 2
    assert "https://evil.example/x.png" in asked


def test_a_page_fits_a_telephone_and_follows_dark_and_paper(browser: Browser, project: Path) -> None:
    """No scrolling sideways, another paper in the dark, white on paper without the navigation."""
    path = project / "page.html"
    path.write_text(render_report(open_report(project)), encoding="utf-8")
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.narrow(390)
    browser.open(path.as_uri())
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    assert browser.complaints() == []
    light = browser.run(paper)
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.run(paper) != light
    browser.command("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.run(paper) == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
