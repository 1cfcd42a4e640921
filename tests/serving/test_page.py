"""The page, used in a real browser: upload, answer, feedback, an error in words. Needs chromium and chromedriver."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from loopline.prediction_log import open_log
from loopline.serving.keys import make_key
from loopline.serving.page import _ASSETS, _FOLDER

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
# How WebDriver marks an element in its JSON.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# How WebDriver spells keys that are no characters.
CONTROL_ENTER = "\ue009\ue007"
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")

Serving = Callable[..., AbstractContextManager[Any]]


class Browser:
    """A headless Chromium, driven by the W3C WebDriver protocol: JSON over HTTP."""

    def __init__(self, port: int, profile: Path) -> None:
        self._port = port
        flags = (
            "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
            " --disable-component-update --disable-sync --use-fake-device-for-media-stream"
            " --use-fake-ui-for-media-stream --window-size=1280,1000"
        )
        options = {"binary": CHROMIUM, "args": [*flags.split(), f"--user-data-dir={profile}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._session = f"/session/{self._call('POST', '/session', capabilities=wanted)['sessionId']}"

    def _call(self, method: str, path: str, **body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if method == "POST" else None)
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        assert not (isinstance(value, dict) and "error" in value), value
        return value

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", url=url)

    def run(self, script: str) -> Any:
        return self._call("POST", f"{self._session}/execute/sync", script=f"return {script}", args=[])

    def wait(self, script: str) -> Any:
        """Until the expression is true; its value."""
        deadline_s = time.monotonic() + 15
        while not (value := self.run(script)):
            assert time.monotonic() < deadline_s, script
            time.sleep(0.05)
        return value

    def find(self, css: str) -> str:
        found = self._call("POST", f"{self._session}/element", using="css selector", value=css)
        return str(found[ELEMENT])

    def type(self, css: str, text: str) -> None:
        self._call("POST", f"{self._session}/element/{self.find(css)}/value", text=text)

    def click(self, css: str) -> None:
        self._call("POST", f"{self._session}/element/{self.find(css)}/click")

    def narrow(self, width_px: int) -> None:
        """Shows pages as a telephone does; a window would be at least 500 pixels wide."""
        screen = {"width": width_px, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        path = f"{self._session}/goog/cdp/execute"
        self._call("POST", path, cmd="Emulation.setDeviceMetricsOverride", params=screen)

    def answer_prompt(self, text: str) -> None:
        """Waits for a question of the page, and answers it."""
        deadline_s = time.monotonic() + 15
        while True:
            try:
                self._call("POST", f"{self._session}/alert/text", text=text)
                break
            except AssertionError:
                assert time.monotonic() < deadline_s, "the page asks nothing"
                time.sleep(0.05)
        self._call("POST", f"{self._session}/alert/accept")

    def complaints(self) -> list[str]:
        """What the browser's console holds, but for answers that are no success, which it lists as well."""
        entries = self._call("POST", f"{self._session}/se/log", type="browser")
        return [entry["message"] for entry in entries if "Failed to load resource" not in entry["message"]]

    def close(self) -> None:
        self._call("DELETE", self._session)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 15
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline_s, "chromedriver does not start"
            time.sleep(0.05)
        opened = Browser(port, tmp_path / "profile")
        yield opened
        opened.close()
    finally:
        driver.terminate()
        driver.wait(10)


@needs_browser
def test_a_person_uploads_corrects_and_meets_an_error(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, tmp_path: Path, picture: bytes
) -> None:
    """Two files at once: a picture gets an answer that can be corrected, a text file the server's own sentence."""
    (tmp_path / "shape.png").write_bytes(picture)
    (tmp_path / "notes.txt").write_text("this is no picture")
    with server(command="ui") as process:
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


@needs_browser
def test_the_page_asks_for_a_key(server: Callable[..., AbstractContextManager[Any]], browser: Browser) -> None:
    """Once, where the server needs one; then it is as every other page."""
    key, entry = make_key("alice")
    with server("--api-key", str(entry), command="ui") as process:
        browser.open(process.url)
        browser.answer_prompt(key)
        assert browser.wait("document.getElementById('facts').textContent.startsWith('3 labels')")
        assert browser.complaints() == []


@needs_browser
def test_numbers_are_typed_and_corrected(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, value_folder: Path, tmp_path: Path
) -> None:
    """The box holds an example; the value stands on a scale with its interval, and the truth is judged by it."""
    (tmp_path / "row.json").write_text("[9, 10, 11]")
    with server(command="ui", bundle=value_folder) as process:
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
        assert browser.complaints() == []
        assert process.stop() == 0
        with open_log(process.log) as log:
            assert [row.label for row in log.read()] == ["1000.0", None]


@needs_browser
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
    with server("--ui", bundle=band_folder) as process:
        browser.narrow(390)
        browser.open(process.url)
        browser.type("#files", "\n".join(names))
        assert browser.wait("document.querySelector('.label')?.textContent").endswith(" kg N/ha")
        assert browser.run("document.querySelector('.name').textContent").startswith("4 files: plot_7_green.tif, ")
        browser.type("#files", "\n".join(names[:3]))
        assert "missing" in browser.wait("document.querySelector('.refusal')?.textContent")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        assert browser.complaints() == []


@needs_browser
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


@needs_browser
def test_the_interface_is_described_offline(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, value_folder: Path
) -> None:
    """/docs lists every route with its fields and a command, from the server alone; on a telephone, too."""
    with server(bundle=value_folder) as process:
        browser.narrow(390)
        browser.open(f"{process.url}/docs")
        routes = browser.wait("document.querySelectorAll('.route pre').length")
        assert routes == 7
        text = browser.run("document.querySelector('main').textContent")
        assert f"curl -F file=@FILE {process.url}/predict" in text
        assert "ValuePrediction" in text
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        assert browser.complaints() == []


@needs_browser
def test_the_camera_takes_a_picture(server: Callable[..., AbstractContextManager[Any]], browser: Browser) -> None:
    """The browser's own test camera stands for a real one; closing ends it."""
    with server("--ui") as process:
        browser.open(process.url)
        browser.click("#camera-open")
        browser.wait("document.getElementById('video').videoWidth > 0")
        browser.click("#camera-take")
        assert browser.wait("document.querySelector('.label')?.textContent")
        browser.click("#camera-close")
        assert browser.run("document.getElementById('camera').hidden")
        assert browser.complaints() == []


@needs_browser
def test_a_narrow_screen_needs_no_scrolling_sideways(
    server: Callable[..., AbstractContextManager[Any]], browser: Browser, tmp_path: Path, picture: bytes
) -> None:
    (tmp_path / "a-rather-long-name-of-a-file-that-somebody-has-photographed.png").write_bytes(picture)
    with server("--ui") as process:
        browser.narrow(390)
        browser.open(process.url)
        browser.type("#files", str(next(tmp_path.glob("a-rather-*.png"))))
        browser.wait("document.querySelector('.label')?.textContent")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]


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
