"""The page: what its files say, and what it does in a browser where one is installed."""

from __future__ import annotations

import base64
import fcntl
import io
import itertools
import json
import os
import re
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.codec import Codec
from gancodec.evaluation.metrics import ms_ssim, psnr
from service.access import CONTENT_SECURITY
from service.app import PAGE
from tests.service.conftest import SOON, TINY, Service, serving

PHOTO = Path(__file__).parents[2] / "examples" / "chelsea.png"
SCRIPTS = sorted(PAGE.glob("*.js"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CONTROLS = {"input", "select", "textarea", "button", "a", "output"}
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Element:
    def __init__(self, tag: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.tag, self.attributes, self.parent, self.text = tag, attributes, parent, ""

    def inside(self, tag: str) -> Element | None:
        above = self.parent
        while above is not None and above.tag != tag:
            above = above.parent
        return above

    def __repr__(self) -> str:
        return f"<{self.tag} {self.attributes}>"


class Document(HTMLParser):
    """Elements with their text, that of all that is in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: Element | None = None
        self.feed(text)
        self.close()
        assert self._open is None, f"{self._open} is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open)
        self.elements.append(element)
        if tag not in VOID:
            self._open = element

    def handle_endtag(self, tag: str) -> None:
        assert self._open is not None and self._open.tag == tag, f"</{tag}> closes {self._open}"
        self._open = self._open.parent

    def handle_data(self, data: str) -> None:
        above = self._open
        while above is not None:
            above.text += data
            above = above.parent

    def ids(self) -> list[str]:
        return [each.attributes["id"] for each in self.elements if "id" in each.attributes]


@pytest.fixture(scope="module")
def document() -> Document:
    return Document((PAGE / "index.html").read_text(encoding="utf-8"))


# Its files


def test_all_that_the_page_refers_to_is_there(document: Document) -> None:
    named = [each.attributes[name] for each in document.elements for name in ("src", "href") if name in each.attributes]
    assert named
    for address in named:
        assert address.startswith("page/") and (PAGE / address.removeprefix("page/")).is_file(), address


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_all_that_a_script_imports_is_there(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    for address in re.findall(r'(?:from |import |new URL\()"([^"]+)"', text):
        assert address.startswith("./") and (PAGE / address).is_file(), address


def test_nothing_is_inline(document: Document) -> None:
    assert "unsafe" not in CONTENT_SECURITY
    for element in document.elements:
        assert element.tag != "style", element
        assert element.tag != "script" or ("src" in element.attributes and not element.text.strip()), element
        for name, value in element.attributes.items():
            assert name != "style" and not name.startswith("on") and "javascript:" not in value, element


def test_nothing_comes_from_elsewhere() -> None:
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|[\"'(]//|@import|url\((?!#)", text), path.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_data_never_becomes_markup_or_code(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_ids_are_unique_and_those_meant_are_there(document: Document) -> None:
    ids = document.ids()
    assert len(ids) == len(set(ids))
    for element in document.elements:
        for name in ("for", "aria-labelledby", "aria-describedby"):
            for meant in element.attributes.get(name, "").split():
                assert meant in ids, (element, meant)
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        for meant in re.findall(r'(?:byId|getElementById)\("([^"]+)"\)', text):
            assert meant in ids, (script.name, meant)


def test_every_control_is_labelled(document: Document) -> None:
    labelled = {each.attributes.get("for") for each in document.elements if each.tag == "label" and each.text.strip()}
    for element in document.elements:
        attributes = element.attributes
        if element.tag not in CONTROLS and attributes.get("role") not in ("slider", "img", "group", "region"):
            continue
        wrapped = element.inside("label")
        named = attributes.get("aria-label") or attributes.get("aria-labelledby") or attributes.get("id") in labelled
        assert named or element.text.strip() or (wrapped and wrapped.text.strip()), element
    assert all("alt" in each.attributes for each in document.elements if each.tag == "img")
    for fieldset in (each for each in document.elements if each.tag == "fieldset"):
        assert any(each.tag == "legend" and each.parent is fieldset for each in document.elements), fieldset


def test_the_page_says_what_realism_and_privacy_are(document: Document) -> None:
    [honest] = [each.text for each in document.elements if each.attributes.get("id") == "honest"]
    assert "generated" in honest and "not what the camera saw" in honest
    [welcome] = [each.text for each in document.elements if each.attributes.get("id") == "welcome"]
    assert "sent to this server" in welcome and "neither stored nor logged" in welcome


def test_the_page_is_served_with_its_policy(service: Service) -> None:
    import httpx

    with httpx.Client(base_url=service.url) as client:
        answers = {path: client.get(path) for path in ("/", *(f"/page/{each.name}" for each in PAGE.iterdir()))}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert {answer.headers["content-security-policy"] for answer in answers.values()} == {CONTENT_SECURITY}
    assert answers["/page/main.js"].headers["content-type"].startswith(("text/javascript", "application/javascript"))


# In a browser


class Browser:
    """One tab of Chromium, driven by its DevTools protocol over a pipe: needs no package."""

    def __init__(self, program: str, folder: Path) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        # Chromium reads from 3 and writes to 4: the ends must not lie there already.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        quiet = [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
        pipes = [(os.POSIX_SPAWN_DUP2, end, number) for end, number in zip(ends, (3, 4), strict=True)]
        options = (
            "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--no-sandbox",
            "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900",
        )  # fmt: skip
        self._pid = os.posix_spawn(
            program, [program, *options, "about:blank"], os.environ, file_actions=[*quiet, *pipes], setpgroup=0
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        message = {"id": next(self._numbers), "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == message["id"]:
                assert "error" not in heard, (method, heard["error"])
                result: dict[str, Any] = heard["result"]
                return result

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], SOON)
            more = os.read(self._in, 1 << 16) if ready else b""
            assert more, "the browser does not answer"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(line)
        told = heard.get("params", {})
        match heard.get("method"):
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.problems.append(str([each.get("value", each.get("description")) for each in told["args"]]))
            case "Runtime.exceptionThrown":
                self.problems.append(str(told["exceptionDetails"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.problems.append(str(told["entry"]))
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
        return heard

    def run(self, expression: str) -> Any:
        told = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def text(self, element: str) -> str:
        return str(self.run(f"document.getElementById({json.dumps(element)}).textContent"))

    def until(self, expression: str) -> None:
        wait(lambda: self.run(expression), expression)

    def key(self, element: str, key: str, code: int) -> None:
        self.run(f"document.getElementById({json.dumps(element)}).focus()")
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def choose(self, path: Path) -> None:
        found = self.send("Runtime.evaluate", expression="document.getElementById('file')")
        self.send("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def close(self) -> None:
        for end in (self._out, self._in):  # it ends when nobody is there any more
            os.close(end)
        deadline = time.monotonic() + SOON
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.killpg(self._pid, signal.SIGKILL)
                deadline += SOON
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)  # what it started


def wait(happened: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline, f"not within {SOON:g} s: {what}"
        time.sleep(0.03)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    opened = Browser(program, folder)
    try:
        yield opened
    finally:
        opened.close()


DROP = """
((name, text) => {
  const file = new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name);
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(file);
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
  }
})(%s, %s)
"""
DONE = """
document.getElementById("status").textContent.startsWith("Done") && document.getElementById("progress").hidden &&
!document.getElementById("rows").textContent.includes("…")
"""


@pytest.mark.slow
def test_a_photo_goes_there_and_back_in_a_browser(tmp_path: Path, photo_codec: Codec) -> None:
    with serving(codecs=["photo"]) as service, browser(tmp_path) as page:
        page.send("Page.navigate", url=service.url + "/")
        page.until("document.getElementById('codec')?.value === 'photo'")

        page.run(DROP % (json.dumps(PHOTO.name), json.dumps(base64.b64encode(PHOTO.read_bytes()).decode())))
        page.until(DONE)
        assert page.text("picture-name") == PHOTO.name
        assert page.run("getComputedStyle(document.querySelector('.shot.right img')).display") == "block"

        before = page.text("result-size")
        for _ in range(2):
            page.key("quality-slider", "ArrowLeft", 37)
        assert page.run("document.getElementById('quality').value") == "58"
        page.until(f"document.getElementById('result-size').textContent !== {json.dumps(before)}")
        page.until(DONE)
        assert "quality 58" in page.text("caption-right")

        page.key("split", "ArrowRight", 39)
        assert page.run("document.getElementById('split').getAttribute('aria-valuenow')") == "52"

        encoded = sum("/v1/compress" in each for each in page.requests)
        page.key("realism-slider", "End", 35)
        page.until("document.getElementById('caption-right').textContent.includes('generated')")
        page.until(DONE)
        assert sum("/v1/compress" in each for each in page.requests) == encoded, "realism alone was compressed again"
        assert any("realism=1" in each for each in page.requests)

        stored = tmp_path / "chelsea.gnc"
        page.run("document.getElementById('download-gnc').click()")
        wait(lambda: stored.is_file() and stored.stat().st_size, "the .gnc is there")
        data = stored.read_bytes()
        original = Image.open(PHOTO).convert("RGB")
        made = np.asarray(Image.open(io.BytesIO(service.client().decompress(data, realism=1).data)).convert("RGB"))
        cells = page.run("[...document.querySelectorAll('#rows tr:nth-child(2) td')].map((cell) => cell.textContent)")
        assert cells[0] == f"{len(data) / 1000:.1f} kB"
        assert float(cells[2].split()[0]) == pytest.approx(psnr(np.asarray(original), made), abs=0.006)
        assert float(cells[3]) == pytest.approx(ms_ssim(np.asarray(original), made), abs=6e-5)

        page.run("document.querySelector('#choose-left input[value=webp]').click()")
        page.until(DONE + "&& document.getElementById('caption-left').textContent.includes('dB')")
        assert page.text("caption-left").startswith("WebP")

        page.choose(stored)
        page.until("document.getElementById('picture-name').textContent === 'chelsea.gnc'")
        page.until("document.getElementById('facts').textContent.includes('compute')")
        facts = page.text("facts")
        assert "451 × 300, RGB" in facts and photo_codec.entry.model_id.hex() in facts
        page.until("document.querySelector('.shot.right img')?.naturalWidth === 451")

        assert not page.problems
        assert all(each.startswith((service.url + "/", f"blob:{service.url}/")) for each in page.requests)


def drop(page: Browser, name: str, data: bytes) -> None:
    page.run(DROP % (json.dumps(name), json.dumps(base64.b64encode(data).decode())))


SHOWN = "document.querySelector('.shot.right img')?.src"
PROBLEM = "!document.getElementById('notice').hidden"


@pytest.mark.slow
def test_a_wrong_file_leaves_the_bench_as_it_was(tmp_path: Path) -> None:
    photo = PHOTO.read_bytes()
    with serving(codecs=[TINY], max_pixels=300_000) as service, browser(tmp_path) as page:
        page.send("Page.navigate", url=service.url + "/")
        page.until("document.getElementById('codec')?.value === 'tiny'")
        drop(page, "wrong.png", b"no picture")
        page.until(PROBLEM)
        assert not page.run("document.getElementById('welcome').hidden")

        drop(page, "first.png", photo)
        page.until(DONE)
        shown, size = page.run(SHOWN), page.text("result-size")
        assert not page.run(PROBLEM)
        buffer = io.BytesIO()
        Image.new("RGB", (800, 800)).save(buffer, "PNG")
        wrong = {"wrong.png": b"no picture", "wrong.gnc": b"no file", "large.png": buffer.getvalue()}
        for name, data in wrong.items():
            drop(page, name, data)
            page.until(PROBLEM)
            assert page.text("notice-title").startswith(f"{name}: ")
            assert page.text("picture-name") == "first.png" and page.run(SHOWN) == shown
            assert page.text("result-size") == size and page.text("status").startswith("Done")
            page.key("picture-name", "Escape", 27)
            page.until(f"!({PROBLEM})")

        drop(page, "second.png", photo)
        page.until("document.getElementById('picture-name').textContent === 'second.png'")
        page.until(DONE)
        assert page.run(SHOWN) != shown
        page.problems = [each for each in page.problems if "Failed to load resource" not in each]
        assert not page.problems


HOLD = """
(() => {
  const real = window.fetch;
  window.released = new Promise((release) => (window.release = release));
  window.fetch = async (url, options) => {
    const answer = await real(url, options);
    if (String(url).includes("/v1/compress") && window.held === undefined) {
      window.held = true;
      await window.released;
    }
    return answer;
  };
})()
"""


@pytest.mark.slow
def test_the_answer_for_an_older_file_never_overtakes(tmp_path: Path) -> None:
    photo = PHOTO.read_bytes()
    with serving(codecs=[TINY]) as service, browser(tmp_path) as page:
        page.send("Page.navigate", url=service.url + "/")
        page.until("document.getElementById('codec')?.value === 'tiny'")
        drop(page, "first.png", photo)
        page.until(DONE)
        page.run(HOLD)
        drop(page, "slow.png", photo)
        page.until("window.held")
        assert page.text("status") == "Compressing slow.png…" and page.text("picture-name") == "first.png"
        drop(page, "quick.png", photo)
        page.until("document.getElementById('picture-name').textContent === 'quick.png'")
        page.run("window.release()")
        page.until(DONE)
        time.sleep(0.3)
        assert page.text("picture-name") == "quick.png" and page.text("status").startswith("Done")

        # Controls that are moved while a file is on its way count for it.
        page.run("delete window.held; void (window.released = new Promise((release) => (window.release = release)))")
        drop(page, "moved.png", photo)
        page.until("window.held")
        page.key("quality-slider", "Home", 36)
        time.sleep(0.5)
        page.run("window.release()")
        page.until("document.getElementById('picture-name').textContent === 'moved.png'")
        page.until(DONE)
        assert "quality 0" in page.text("caption-right")
        assert not page.problems


COUNT = """
(() => {
  window.urls = new Set();
  const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
  URL.createObjectURL = (blob) => { const url = make.call(URL, blob); urls.add(url); return url; };
  URL.revokeObjectURL = (url) => { urls.delete(url); revoke.call(URL, url); };
})()
"""


@pytest.mark.slow
def test_files_that_are_gone_are_let_go_of(tmp_path: Path) -> None:
    photo = PHOTO.read_bytes()
    unseen = io.BytesIO()
    Image.open(PHOTO).convert("RGB").resize((40, 30)).save(unseen, "TIFF")
    with serving(codecs=[TINY]) as service, browser(tmp_path) as page:
        page.send("Page.navigate", url=service.url + "/")
        page.until("document.getElementById('codec')?.value === 'tiny'")
        page.run(COUNT)
        counts = []
        for round_ in range(3):
            drop(page, f"unseen{round_}.tif", unseen.getvalue())
            page.until(f"document.getElementById('picture-name').textContent === 'unseen{round_}.tif'")
            page.until(DONE)
            drop(page, "wrong.png", b"no picture")
            page.until(PROBLEM)
            drop(page, f"photo{round_}.png", photo)
            page.until(f"document.getElementById('picture-name').textContent === 'photo{round_}.png'")
            page.until(DONE)
            counts.append(page.run("urls.size"))
        assert counts[0] == counts[1] == counts[2]
