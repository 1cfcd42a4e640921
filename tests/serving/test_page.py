"""The page, used in a real browser: upload, answer, feedback, an error in words. Needs chromium and chromedriver."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopline.prediction_log import open_log
from loopline.serving.keys import make_key
from loopline.serving.page import _ASSETS, _FOLDER

if TYPE_CHECKING:
    from tests.conftest import Browser

# How WebDriver spells keys that are no characters.
CONTROL_ENTER = "\ue009\ue007"

Serving = Callable[..., AbstractContextManager[Any]]


def test_a_person_uploads_corrects_and_meets_an_error(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, tmp_path: Path, picture: bytes
) -> None:
    """Two files at once: a picture gets an answer that can be corrected, a text file the server's own sentence."""
    (tmp_path / "shape.png").write_bytes(picture)
    (tmp_path / "notes.txt").write_text("this is no picture")
    with server("--num-workers", "1", command="ui") as process:
        browser.open(process.url)
        assert browser.wait("document.getElementById('state').dataset.state === 'ready'")
        assert browser.wait("document.getElementById('facts').textContent.startsWith('3 labels')")
        browser.type("#files", f"{tmp_path / 'shape.png'}\n{tmp_path / 'notes.txt'}")
        label = browser.wait("document.querySelector('.label')?.textContent")
        refusal = browser.wait("document.querySelector('.refusal')?.textContent")
        assert "that is no picture given; expected PNG" in refusal
        assert browser.run("document.querySelectorAll('.bars li').length") == 3
        request_id = browser.run("document.querySelector('.figures code').textContent")
        true = next(name for name in ("circle", "cross", "square") if name != label)
        browser.type(".feedback select", true)
        browser.click(".feedback button")
        assert (
            browser.wait("document.querySelector('.feedback-said').textContent") == f"Kept: it is {true}, not {label}."
        )
        # Nothing inline was refused, nothing failed in the script.
        assert browser.complaints() == []
        assert process.stop() == 0
        with open_log(process.log) as log:
            (row,) = log.read()
    assert (row.request_id, row.predicted, row.label) == (request_id, label, true)


def check_description(browser: Browser, url: str) -> None:
    """/docs lists every route with its fields and a command, from the server alone; on a telephone, too."""
    browser.narrow(390)
    browser.open(f"{url}/docs")
    assert browser.wait("document.querySelectorAll('.route pre').length") == 7
    text = browser.run("document.querySelector('main').textContent")
    assert f"curl -F file=@FILE {url}/predict" in text
    assert "ValuePrediction" in text
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]


def test_numbers_are_typed_and_corrected(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, value_folder: Path, tmp_path: Path
) -> None:
    """The box holds an example; the value stands on a scale with its interval; /docs describes it offline."""
    (tmp_path / "row.json").write_text("[9, 10, 11]")
    with server("--num-workers", "1", command="ui", bundle=value_folder) as process:
        browser.open(process.url)
        browser.wait("document.getElementById('example').value.startsWith('[')")
        assert browser.run("document.getElementById('example-words').textContent") == "JSON: numbers of 3"
        browser.type("#example", CONTROL_ENTER)
        label = browser.wait("document.querySelector('.label')?.textContent")
        assert label.endswith(" kg")
        assert "in 90\u00a0% of cases" in browser.run("document.querySelector('.confidence').textContent")
        assert browser.run("document.querySelector('.between').getBoundingClientRect().width") > 5
        browser.type(".feedback input", "1000")
        browser.click(".feedback button")
        said = browser.wait("document.querySelector('.feedback-said').textContent")
        assert said.endswith("too low, outside the interval.")
        browser.type("#files", str(tmp_path / "row.json"))
        browser.wait("document.querySelectorAll('.label').length === 2")
        browser.run("document.getElementById('example').value = '[1, 2'")
        browser.click("#box button")
        assert "no JSON" in browser.wait("document.getElementById('notice').textContent")
        check_description(browser, process.url.removesuffix("/ui/"))
        assert browser.complaints() == []
        assert process.stop() == 0
        with open_log(process.log) as log:
            assert [row.label for row in log.read()] == ["1000.0", None]


def test_the_bands_of_a_plot_are_chosen_together(
    server: Callable[..., AbstractContextManager[Any]],
    browser: Browser,
    band_folder: Path,
    plot: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """Four files make one request; one that lacks its others gets the server's sentence."""
    for name, raw in plot.items():
        (tmp_path / name).write_bytes(raw)
    names = [str(tmp_path / name) for name in plot if name != "plot.tif"]
    with server("--num-workers", "1", "--ui", bundle=band_folder) as process:
        browser.narrow(390)
        browser.open(process.url)
        browser.type("#files", "\n".join(names))
        assert browser.wait("document.querySelector('.label')?.textContent").endswith(" kg N/ha")
        assert browser.run("document.querySelector('.name').textContent").startswith("4 files: plot_7_green.tif, ")
        browser.type("#files", "\n".join(names[:3]))
        assert "missing" in browser.wait("document.querySelector('.refusal')?.textContent")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        assert browser.complaints() == []


def test_a_text_is_translated_as_it_is_typed(
    shouting_server: Callable[..., AbstractContextManager[Any]], browser: Browser
) -> None:
    """Two panes: typing translates, a thumb and a correction reach the log, an example replaces the text."""
    with shouting_server() as process:
        browser.narrow(390)
        browser.open(process.url)
        browser.wait("document.querySelectorAll('.example').length === 5")
        browser.type("#question", "a dog runs.")
        browser.wait("document.getElementById('answer').value === 'A DOG RUNS.'")
        assert "ms on the server" in browser.run("document.getElementById('latency').textContent")
        request_id = browser.run("document.getElementById('request-id').textContent")
        browser.click("#down")
        browser.wait("document.getElementById('rating-said').textContent === 'Kept: your rating.'")
        assert browser.run("document.getElementById('down').ariaPressed") == "true"
        browser.click("#edit")
        browser.type("#answer", " OR WALKS.")
        browser.click("#send")
        browser.wait("document.getElementById('rating-said').textContent === 'Kept: your correction.'")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        browser.click(".example")
        browser.wait("document.getElementById('answer').value.startsWith('[')")
        browser.click("#clear")
        assert browser.wait("document.getElementById('rating').hidden")
        assert browser.complaints() == []
        assert process.stop() == 0
        with open_log(process.log) as log:
            (row,) = [row for row in log.read() if row.request_id == request_id]
    assert (row.predicted, row.label, row.rating) == ("A DOG RUNS.", "A DOG RUNS. OR WALKS.", "down")


def test_a_telephone_with_a_key_and_a_camera(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, tmp_path: Path, picture: bytes
) -> None:
    """The page asks for a key once; nothing scrolls sideways; the browser's own test camera stands for a real one."""
    key, entry = make_key("alice")
    file = tmp_path / "a-rather-long-name-of-a-file-that-somebody-has-photographed.png"
    file.write_bytes(picture)
    with server("--num-workers", "1", "--api-key", str(entry), command="ui") as process:
        browser.narrow(390)
        browser.open(process.url)
        browser.answer_prompt(key)
        assert browser.wait("document.getElementById('facts').textContent.startsWith('3 labels')")
        browser.type("#files", str(file))
        browser.wait("document.querySelector('.label')?.textContent")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        browser.click("#camera-open")
        browser.wait("document.getElementById('video').videoWidth > 0")
        browser.click("#camera-take")
        assert browser.wait("document.querySelectorAll('.label').length === 2")
        browser.click("#camera-close")
        assert browser.run("document.getElementById('camera').hidden")
        assert browser.complaints() == []


def test_the_page_loads_nothing_from_elsewhere(serving: Serving) -> None:
    """A strict policy comes with each of its files, and none of them names another host or runs inline."""
    with serving(ui=True) as client:
        assert str(client.http.get("/").url).endswith("/ui/")
        for path in ("/ui/", "/docs", *(f"/ui/{name}" for name in _ASSETS)):
            response = client.http.get(path)
            assert response.status_code == 200
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            text = response.text.replace("http://www.w3.org/2000/svg", "")
            for foreign in ("http://", "https://", "onclick", ' style="', "{{"):
                assert foreign not in text, path
        assert client.error(client.http.get("/ui/settings.py"), 404)["code"] == "not_found"


def test_without_ui_there_is_no_page(serving: Serving) -> None:
    with serving() as client:
        assert client.http.get("/ui/").status_code == 404


def test_every_file_of_the_page_is_served() -> None:
    """The closed table and the folder agree."""
    parts = {path.name for path in _FOLDER.iterdir() if path.suffix not in {".py", "", ".html"}}
    assert parts == set(_ASSETS)
