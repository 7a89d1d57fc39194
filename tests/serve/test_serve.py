"""The page over HTTP: a picture in, bars out; files stay closed, and mistakes are one sentence."""

import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import uuid
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from red_faces import draw

from au_jax import serve
from au_jax.errors import UserError
from au_jax.export.run import export
from au_jax.serve import run as run_module
from au_jax.serve.upload import Limits


def test_gradio_is_asked_for_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'needs Gradio; install it with: pip install "au-jax\[dem'):
        run_module.serve(tmp_path)


def test_ports_in_use_and_strange_addresses_are_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"listen at 127\.0\.0\.1:{port} \(Address already in"):
            run_module.usable_port("127.0.0.1", port)
    assert run_module.usable_port("127.0.0.1", 0) > 0
    with pytest.raises(UserError, match=r"cannot listen at 203\.0\.113\.1:7860 "):
        run_module.usable_port("203.0.113.1", 7860)


@pytest.mark.parametrize("exported", [False, True])
def test_runs_and_exported_folders_are_served(networks, red, exported, tmp_path, monkeypatch):
    place, stage = networks, ", stage chosen"
    if exported:
        place, stage = tmp_path / "run", ""
        export(networks, place, formats=["jax"])
    built = []
    page = SimpleNamespace(block_thread=lambda: None, close=lambda: None)
    web = SimpleNamespace(build=lambda *given: built.append(given) or page, start=lambda *_: None)
    monkeypatch.setattr(serve, "page", web, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for variable in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(variable, "to be restored")
    run_module.serve(place, port=0)
    ((model, head, _),) = built
    assert model.aus == ("AU01", "AU12", "AU25")
    assert f"Model: run{stage}: 3 trained networks, 3 action units (AUs)." in head
    with pytest.raises(UserError, match="no stages" if exported else "finished stage in"):
        run_module.serve(place, port=0, stage="none")


class Browser:
    """What a browser asks of the page, one request at a time."""

    def __init__(self, port: int):
        self.port = port

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json"):
        """Returns the status, the headers and the contents."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(
            "POST" if body is not None else "GET", path, body, {"Content-Type": kind}
        )
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read().decode("utf-8", "replace")
        connection.close()
        return result

    def upload(self, name: str, contents: bytes):
        edge = uuid.uuid4().hex
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + contents + f"\r\n--{edge}--\r\n".encode()
        return self.ask("/gradio_api/upload", body, f"multipart/form-data; boundary={edge}")

    def look(self, path: str, name: str, source: int = 0) -> list:
        """What the page shows of an uploaded file (source 0) or camera's picture (source 1)."""
        config = json.loads(self.ask("/config")[2])
        event = config["dependencies"][source]
        values = {part["id"]: part["props"].get("value") for part in config["components"]}
        given = {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
        session = uuid.uuid4().hex
        joined = {
            "data": [given, *(values[part] for part in event["inputs"][1:])],
            "fn_index": event["id"],
            "session_hash": session,
        }
        assert self.ask("/gradio_api/queue/join", json.dumps(joined).encode())[0] == 200
        _, _, stream = self.ask(f"/gradio_api/queue/data?session_hash={session}")
        messages = [json.loads(line[5:]) for line in stream.splitlines() if line[:5] == "data:"]
        (done,) = (m for m in messages if m["msg"] == "process_completed")
        assert done["success"], done
        return done["output"]["data"]


@pytest.fixture
def browser(model, tmp_path, monkeypatch):
    """The page in a thread, which takes uploads of 100 kB at most."""
    pytest.importorskip("gradio", reason="Gradio is not installed")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    from au_jax.serve import page as web

    limits = Limits(image_bytes=50_000, video_bytes=100_000)
    page = web.build(model, "<h1>Head</h1>", limits)
    port = run_module.usable_port("127.0.0.1", 0)
    web.start(page, "127.0.0.1", port, limits)
    yield Browser(port)
    page.close()


def files_in(folder: Path) -> list[Path]:
    """Those that hold something; Gradio leaves an empty one for each upload, until the end."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_page(browser, tmp_path):
    status, headers, text = browser.ask("/")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "Action units of faces" in text

    jpeg = cv2.imencode(".jpg", draw((5, 5, 30), (90, 20, 60))[..., ::-1])[1].tobytes()
    status, _, said = browser.upload("two <b>.jpg", jpeg)
    assert status == 200
    (path,) = json.loads(said)
    assert files_in(tmp_path / "uploads") == [Path(path)]
    outputs = browser.look(path, "two.jpg")
    assert files_in(tmp_path / "uploads") == []  # deleted as soon as it was looked at
    _, _, _, notice, picture, bars, curves, table, face, _ = outputs
    assert (notice, curves) == ("", "")
    assert ">0</text>" in picture
    assert ">1</text>" in picture
    assert bars.count('role="row"') == 3
    assert "data:text/csv" in table
    assert [value for _, value in face["choices"]] == [0, 1]

    (path,) = json.loads(browser.upload("image.png", cv2.imencode(".png", draw())[1].tobytes())[2])
    assert "No face is found" in browser.look(path, "image.png", source=1)[5]
    assert files_in(tmp_path / "uploads") == []

    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", tmp_path / "uploads" / "link.txt")
    for target in (
        "/etc/passwd",
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        str(tmp_path / "secret.txt"),
        str(tmp_path / "uploads" / "link.txt"),
        "http://127.0.0.1:1/",
    ):
        for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/GRADIO_API/file="):
            status, _, said = browser.ask(route + target)
            assert status in (403, 404), (route, target)
            assert "root:" not in said
            assert "secret" not in said
    assert browser.ask("/gradio_api/proxy=http://127.0.0.1:1/")[0] == 403

    for other in (str(tmp_path / "secret.txt"), "/etc/passwd"):
        with pytest.raises(AssertionError, match="success"):
            browser.look(other, "a.jpg")
    assert (tmp_path / "secret.txt").exists()

    status, _, said = browser.upload("large.avi", bytes(200_000))
    assert status == 413
    for contents, sentence in (
        (b"\xff\xd8\xff" + bytes(60_000), "bad.jpg has 0.1 MB, and a picture may have 0.05 MB"),
        (b"\xff\xd8\xff", "bad.jpg is no image ("),
        (b"#EXTM3U\n/etc/passwd", "bad.jpg is neither a picture"),
    ):
        (path,) = json.loads(browser.upload("bad.jpg", contents)[2])
        notice = browser.look(path, "bad.jpg")[3]
        assert sentence in re.sub(r"\s+", " ", notice)
    assert [p.name for p in files_in(tmp_path / "uploads")] == ["link.txt"]
