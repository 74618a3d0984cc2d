"""The HTML report in Chromium, where that is installed: closed to the network, readable in the dark and on paper."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.records.evidence import Context
from tests.unit.reporting.html.reading import case, difference, document, full_case, render

HOSTILE = "\"'><script>alert(1)</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"
#: Debian's and Ubuntu's start script prints warnings of its own; the program behind it is better asked directly.
PROGRAMS = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome")
PROGRAM = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None or os.name != "posix", reason="needs Chromium")


class Browser:
    """Chromium over its debugging pipe: no port, no driver."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def take_pipes() -> None:
            # The protocol reads from descriptor 3 and writes to 4; a copy first, for one may be the other.
            reading, writing = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self._process = subprocess.Popen(
            [
                *(PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
                *("--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=take_pipes,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb", buffering=0), os.fdopen(ours_out, "wb", buffering=0)
        os.set_blocking(ours_in, False)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        self._out.close()
        self._process.kill()
        self._process.wait()
        self._in.close()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its answer. Events that arrive meanwhile are appended to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, "the browser does not answer"
            chunk = self._in.read(1 << 16)
            if chunk == b"":
                pytest.fail("the browser ended")
            self._buffer += chunk or b""
            if chunk is None:
                time.sleep(0.01)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path) -> None:
        """Load a file and wait until it is whole."""
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def tell(self, expression: str) -> Any:
        """Return what an expression is in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    many = [{"run": 2, **difference(artifact=f"layer/{n}.weight")} for n in range(40)]
    # Figures that do not apply, far to the right: their words are hidden from the eye, and must take no room.
    many.append({"run": 2, **difference(kind="missing", max_ulp=None, max_abs=None, norm_rel=None, first_index=None)})
    tests = [full_case(HOSTILE), case("t.py::test_wide", "diverged", divergences=many), case("t.py::" + "long" * 200)]
    facts = {"environment": {"python": {"version": "3"}}, "code": {"commit": "abc"}}
    path = tmp_path_factory.mktemp("page") / "report.html"
    found = {**document(*tests), **facts}
    path.write_text(render(found, Context({"user": HOSTILE}, "b")), encoding="utf-8")
    return path


def test_it_loads_without_an_error_and_asks_the_network_for_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening")
    assert [event for event in browser.events if event.get("method") in kinds] == []
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert browser.tell("document.images.length") == 0
    assert browser.tell("document.getElementById('tools') !== null"), "the policy stops the page's own script"


def test_the_policy_stops_what_is_not_the_page_s_own(browser: Browser, page: Path) -> None:
    spoilt = page.with_name("spoilt.html")
    added = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x'>"
    spoilt.write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{added}"), encoding="utf-8")
    browser.open(spoilt)
    assert browser.tell("document.title").startswith("Reproducibility")
    told = [e["params"]["entry"]["text"] for e in browser.events if e.get("method") == "Log.entryAdded"]
    assert sum("Content Security Policy" in text for text in told) >= 2, told


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_does_not_scroll_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(page)
    browser.tell("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    root = "document.documentElement"
    assert browser.tell(f"{root}.scrollWidth - {root}.clientWidth") == 0
    browser.ask("Emulation.clearDeviceMetricsOverride")


def test_the_words_of_verdicts_and_matrix_are_whole_on_paper(browser: Browser, tmp_path: Path) -> None:
    axes = ("hash_seed", "threads", "isa", "file_order", "device", "schedule", "cwd", "clock", "locale", "memory")
    cells = ("identical", "diverged", "unstable", "within_tolerance", "not_isolated", "not_varied", "not_available")
    matrix = {axis: cells[n % len(cells)] for n, axis in enumerate(axes)}
    path = tmp_path / "report.html"
    path.write_text(render(document(case("t.py::test_" + "long" * 60, matrix=matrix))), encoding="utf-8")
    browser.ask("Emulation.setDeviceMetricsOverride", width=1030, height=700, deviceScaleFactor=1, mobile=False)
    browser.open(path)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    marks = "[...document.querySelectorAll('table .mark')]"
    assert browser.tell(f"{marks}.length") > len(axes)
    assert (
        browser.tell(f"{marks}.filter((m) => m.offsetHeight > 2 * parseFloat(getComputedStyle(m).fontSize)).length")
        == 0
    )
    assert browser.tell("document.documentElement.scrollWidth") <= 1030
    browser.ask("Emulation.setEmulatedMedia", media="")
    browser.ask("Emulation.clearDeviceMetricsOverride")


def test_captions_of_wide_tables_are_whole_on_a_small_screen(browser: Browser, page: Path) -> None:
    browser.ask("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(page)
    browser.tell("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    ends = "[...document.querySelectorAll('caption > span')].map((told) => told.getBoundingClientRect().right)"
    assert 200 < browser.tell(f"Math.max(...{ends})") <= 360
    browser.ask("Emulation.clearDeviceMetricsOverride")


def test_dark_is_dark_and_paper_is_light_with_everything_open(browser: Browser, page: Path) -> None:
    browser.open(page)
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.ask("Emulation.setEmulatedMedia", features=light)
    assert browser.tell(colour) == "rgb(255, 255, 255)"
    browser.ask("Emulation.setEmulatedMedia", features=dark)
    assert browser.tell(colour) == "rgb(14, 17, 22)"
    shut = "[...document.querySelectorAll('details:not([open]) table')]"
    assert browser.tell(f"{shut}.filter((t) => !t.checkVisibility()).length") > 3
    browser.ask("Emulation.setEmulatedMedia", media="print", features=dark)
    assert browser.tell(colour) == "rgb(255, 255, 255)"
    assert browser.tell(f"{shut}.filter((t) => !t.checkVisibility()).length") == 0
    browser.ask("Emulation.setEmulatedMedia", media="", features=[])


def test_the_table_of_verdicts_is_filtered_and_sorted_by_its_controls(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown = "[...document.querySelectorAll('#verdicts-table tbody tr')].filter((r) => !r.hidden).length"
    assert browser.tell(shown) == 3
    choose = "document.querySelector('#tools select')"
    browser.tell(f"{choose}.value = 'identical'; {choose}.dispatchEvent(new Event('change'))")
    assert browser.tell(shown) == 1
    assert browser.tell("document.querySelector('#tools output').textContent") == "1 of 3 shown"
    browser.tell("document.querySelectorAll('#verdicts-table thead button')[4].click()")
    assert browser.tell("document.querySelectorAll('#verdicts-table thead th')[4].ariaSort") == "ascending"
    first = "document.querySelector('#verdicts-table tbody tr').dataset.verdict"
    assert browser.tell(first) == "identical"
    browser.tell("document.querySelectorAll('#verdicts-table thead button')[4].click()")
    assert browser.tell(first) == "diverged"
