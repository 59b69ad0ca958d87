"""Where a page about a training is shown: in the Spark UI, on a port of our own, in a notebook."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

PATH = "/minicaffe"
STATIC = "org/apache/spark/ui/static"  # a folder of Spark's own, in whose place ours is put
KINDS = {"html": "text/html; charset=utf-8", "json": "application/json"}


class Place(Protocol):
    """Somewhere that serves a few small files by name; "index.html" is the page."""

    url: str
    link: str

    def put(self, files: Mapping[str, str]) -> None:
        """Replace the files."""
        ...

    def close(self) -> None:
        """The training is over."""
        ...


def open_place(sc: Any) -> Place:
    """In the Spark UI, where there is one that takes our page, else on a port of our own."""
    with contextlib.suppress(Exception):
        return SparkPlace(sc)
    return OwnPort()


class SparkPlace:
    """Files below /minicaffe/ of the Spark UI: of the newest training, as long as the UI is there.

    Spark's static handler serves a folder of its jars; its Jetty servlet takes any other one too.
    """

    link = f"{PATH}/"

    def __init__(self, sc: Any) -> None:
        ui = sc._jsc.sc().ui().get()
        handler = sc._jvm.org.apache.spark.ui.JettyUtils.createStaticHandler(STATIC, PATH)
        self._folder = tempfile.mkdtemp(prefix="minicaffe-live-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        moved = False
        for servlet in handler.getServletHandler().getServlets():
            for name in list(servlet.getInitParameters()):
                if STATIC in servlet.getInitParameter(name):
                    servlet.setInitParameter(name, f"{Path(self._folder).as_uri()}/")
                    moved = True
        if not moved:
            raise LookupError("Spark's static handler names no folder")
        ui.detachHandler(PATH)
        ui.attachHandler(handler)
        self.url = f"{sc.uiWebUrl}{self.link}"
        sc._minicaffe_page = self  # keeps the folder until the next training, or the context's end

    def put(self, files: Mapping[str, str]) -> None:
        """Write them whole: a reader sees the old one or the new one."""
        for name, text in files.items():
            beside = os.path.join(self._folder, f".{name}")
            with open(beside, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(beside, os.path.join(self._folder, name))

    def close(self) -> None:
        """The page stays."""


class OwnPort:
    """A server of this process, for this machine alone, below a path that nobody can guess."""

    link = ""

    def __init__(self) -> None:
        self._files: Mapping[str, str] = {}
        token = secrets.token_urlsafe(18)
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix(f"/{token}/") or "index.html"
                text = place._files.get(name) if self.path.startswith(f"/{token}/") else None
                if text is None:
                    self.send_error(404)
                    return
                content = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", KINDS[name.rpartition(".")[2]])
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: Any) -> None:
                """Say nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{token}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="minicaffe-live", daemon=True
        )
        self._thread.start()

    def put(self, files: Mapping[str, str]) -> None:
        """They are served from memory."""
        self._files = dict(files)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Notebook:
    """The page below the cell that trains, drawn anew in its place."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def put(self, html: str) -> None:
        """Show, or show anew."""
        shown = self._display.HTML(html)
        if self._handle is None:
            self._handle = self._display.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def open_notebook() -> Notebook | None:
    """The notebook that this process runs for; None where it runs for none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    from IPython import display

    return Notebook(display)
