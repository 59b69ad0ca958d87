"""A browser that tests drive: Chromium without a window, by DevTools, with real clicks and keys.

    with Chromium() as browser:
        browser.open("file:///net.html#layer=conv1")
        browser.click("#prototxt .row")
        browser.value("document.title")

Commands are JSON in a pipe (--remote-debugging-pipe): neither a port nor a library is needed.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
WHY_NOT = "" if PROGRAM else "no chromium here: apt-get install --no-install-recommends chromium"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe")  # fmt: skip
READY = "document.documentElement?.dataset.ready"
SECONDS = 60  # that a command may take
KEYS = {
    "ArrowDown": 40,
    "ArrowUp": 38,
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "Tab": 9,
    "Enter": 13,
    "Home": 36,
    "End": 35,
}


class Chromium:
    """One page of one browser; `events` has what the page reported, its errors among them."""

    def __init__(self, width: int = 1400, height: int = 900) -> None:
        self.events: list[dict[str, Any]] = []
        self._number = 0
        self._unread = b""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        its_in, self._out = os.pipe()
        self._in, its_out = os.pipe()
        # It reads descriptor 3 and writes 4; bash puts them there.
        command = [PROGRAM, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        words = f'exec "$@" 3<&{its_in} 4>&{its_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", words, "bash", *command], pass_fds=(its_in, its_out),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(its_in)
        os.close(its_out)
        targets = self._send("Target.getTargets", {}, "")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        attach = {"targetId": page, "flatten": True}
        self._session = self._send("Target.attachToTarget", attach, "")["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """A command to the page, and its answer."""
        return self._send(method, given, self._session)

    def resize(self, width: int, height: int) -> None:
        """The window's size in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip

    def open(self, url: str, ready: str = READY) -> None:
        """Load a page anew, and wait until it has put itself together."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=url)
        self.wait_for(ready)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """The expression's value as soon as it is a true one."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if value := self.value(expression):
                return value
            time.sleep(0.02)
        raise AssertionError(f"never true: {expression}; {self.errors()}")

    def click(self, selector: str, number: int = 0) -> None:
        """Press and release the mouse in the middle of what is there of an element."""
        find = f"document.querySelectorAll({json.dumps(selector)})[{number}]"
        self.value(
            f"{find}?.scrollIntoView({{block: 'center'}})"
        )  # what comes into sight is laid out
        box = self.value(f"""(() => {{ const node = {find};
            if (!node) return null;
            node.scrollIntoView({{block: "center", inline: "nearest"}});
            const box = node.getBoundingClientRect();
            return [box.left + Math.min(box.width, 120) / 2, box.top + box.height / 2]; }})()""")
        assert box, f"no {selector} number {number}"
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                      clickCount=1)  # fmt: skip

    def press(self, key: str) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            given = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            if key == "Enter" and kind == "keyDown":
                given["text"] = "\r"
            self.send("Input.dispatchKeyEvent", **given)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that a selector finds."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})].map(n => n.textContent)"
        return list(self.value(found))

    def errors(self) -> list[str]:
        """What went wrong in the page so far: exceptions, refused loads."""
        self.value("1")
        wrong = []
        for event in self.events:
            about = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                wrong.append(json.dumps(about["exceptionDetails"])[:600])
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] == "error":
                wrong.append(about["entry"]["text"])
        return wrong

    def requests(self) -> list[str]:
        """The URLs that the page has asked for, but for what it holds itself."""
        self.value("1")
        urls = [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]  # fmt: skip
        return [url for url in urls if not url.startswith(("data:", "about:"))]

    def picture(self, path: Path, dark: bool = False) -> None:
        """What is seen, as a PNG."""
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def _send(self, method: str, given: Mapping[str, Any], session: str) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        """The next message, which ends with a zero byte."""
        while b"\0" not in self._unread:
            more = os.read(self._in, 1 << 16)
            assert more, "the browser has ended"
            self._unread += more
        text, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(text))
