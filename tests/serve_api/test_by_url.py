"""Images by URL: off unless hosts are listed, and then from there only, whatever names, redirects and servers say."""

import contextlib
import io
import ipaddress
import json
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from PIL import Image as Pillow
from pindet_serve.fetching.allowed import AllowList, NotAllowedError, UrlError, _is_public
from pindet_serve.fetching.fetcher import Fetcher, FetchError, TooLargeError
from pindet_serve.settings import Settings, SettingsError


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


class Elsewhere(BaseHTTPRequestHandler):
    """Another server: its paths say how it misbehaves."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        image = self.server.image
        with contextlib.suppress(OSError):  # who asked may have had enough
            if self.path.startswith("/redirect"):
                self.answer(302, b"", Location=f"http://127.0.0.1:{self.server.server_port}/image.png")
            elif self.path == "/declared":
                self.answer(200, b"\0" * 10, **{"Content-Length": str(10**12)})
            elif self.path == "/endless":
                self.answer(200, b"", **{"Content-Length": None})
                while True:
                    self.wfile.write(b"\0" * 65536)
            elif self.path == "/slow":
                self.answer(200, b"", **{"Content-Length": "1000"})
                while True:
                    self.wfile.write(b"\0")
                    time.sleep(0.05)
            elif self.path == "/short":
                self.answer(200, image[:-5], **{"Content-Length": str(len(image))})
            elif self.path == "/missing":
                self.answer(404, b"no")
            else:
                self.answer(200, image)

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def another_server(image, context=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    server.daemon_threads = True
    server.image, server.asked = image, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(scope="module")
def shared_server(picture):
    with another_server(png(picture())) as server:
        yield server


@pytest.fixture
def elsewhere(shared_server):
    shared_server.asked.clear()
    return shared_server


def fetcher(text, *, max_bytes=2**20, seconds=20.0):
    return Fetcher(AllowList(text), max_bytes, seconds)


def test_it_is_off_by_default(server):
    response = httpx.post(f"{server.url}/v1/detect", json={"urls": ["http://127.0.0.1/a.png"]})
    assert response.status_code == 415
    assert "PINDET_URL_HOSTS" in response.json()["detail"]


@pytest.fixture(scope="module")
def fetching_server(module_servers, shared_server):
    port = shared_server.server_port
    hosts = f"127.0.0.0/8:{port}, localhost:{port}"
    return module_servers(f"--url-hosts={hosts}", "--max-body-mb=1", "--max-images=8")


def by_url(server, *urls):
    return httpx.post(f"{server.url}/v1/detect", json={"urls": urls}, timeout=30)


def test_listed_hosts_are_asked_and_each_image_has_its_own_answer(fetching_server, elsewhere):
    paths = ["/parts/a.png?key=secret", "/missing", "/redirect", "/declared"]
    urls = [elsewhere.url + path for path in paths] + ["http://10.0.0.1/a.png", "file:///etc/passwd", "http://[/"]
    response = by_url(fetching_server, *urls, elsewhere.url.replace("127.0.0.1", "localhost") + "/b.png")
    assert response.status_code == 200
    first, *failed, last = response.json()["images"]
    for good, name in ((first, "a.png"), (last, "b.png")):
        assert good["name"] == name
        assert {item["label"] for item in good["detections"]} == {"red", "blue", "white"}
    assert [item["error"]["status"] for item in failed] == [424, 424, 413, 403, 422, 422]
    assert "redirect" in failed[1]["error"]["detail"]
    assert "secret" not in fetching_server.log.read_text("utf-8")
    alone = by_url(fetching_server, elsewhere.url + "/missing")
    assert (alone.status_code, alone.json()["title"]) == (424, "Image not fetched")
    assert not any(line["level"] == "error" for line in fetching_server.lines())


MANY = b'{"urls": ["http://a"' + b', "http://a"' * 8 + b"]}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[]", 400), (b"{}", 400), (b'{"urls": []}', 400), (b'{"urls": [1]}', 400),
        (b'{"urls": "http://a"}', 400), (b"[" * 100_000, 400), (MANY, 413),
        (b'{"urls": ["\\ud800"]}', 422), (b'{"urls": [""]}', 422),
    ],
)  # fmt: skip
def test_bodies_that_name_no_image(fetching_server, body, status):
    headers = {"content-type": "application/json"}
    response = httpx.post(f"{fetching_server.url}/v1/detect", content=body, headers=headers)
    assert response.status_code == status, response.text


LISTED = "images.example, 10.1.0.0/16, [2001:db8::]/32:8080, camera.example:8080"


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example/a", "https://images.example:443/a", "http://IMAGES.EXAMPLE/a", "http://10.1.2.3/a",
        "http://[2001:db8::1]:8080/a", "http://camera.example:8080/a",
    ],
)  # fmt: skip
def test_what_is_listed_is_allowed(url):
    listed = LISTED.replace("[2001:db8::]/32:8080", "[2001:db8::/32]:8080")
    assert AllowList(listed).check(url).hostname


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://other.example/a", NotAllowedError), ("http://images.example.evil.example/a", NotAllowedError),
        ("http://images.example:22/a", NotAllowedError), ("http://camera.example/a", NotAllowedError),
        ("http://images.example./a", NotAllowedError), ("http://10.2.0.1/a", NotAllowedError),
        ("http://10.1.2.3:6379/a", NotAllowedError), ("http://0x0a010203/a", NotAllowedError),
        ("http://167838211/a", NotAllowedError), ("http://10.1/a", NotAllowedError),
        ("http://[::ffff:10.1.2.3]/a", NotAllowedError), ("http://images.example@evil.example/a", UrlError),
        ("http://user:word@images.example/a", UrlError), ("http://images.example\r\nHost: b/a", UrlError),
        ("http://images.example/a b", UrlError), ("ftp://images.example/a", UrlError), ("file:///a", UrlError),
        ("gopher://images.example:80/a", UrlError), ("//images.example/a", UrlError), ("images.example", UrlError),
        ("http://images.example:99999/a", UrlError), ("http:///a", UrlError), ("http://[::1/a", UrlError),
    ],
)  # fmt: skip
def test_what_is_not_listed_is_not_asked(url, error):
    with pytest.raises(error):
        AllowList("images.example, 10.1.0.0/16, camera.example:8080").check(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "ff02::1", "240.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address, monkeypatch):
    assert not _is_public(ipaddress.ip_address(address))
    led = [(0, 0, 0, "", ("8.8.8.8", 80)), (0, 0, 0, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: led)
    allowed = AllowList("images.example")
    with pytest.raises(NotAllowedError, match="neither public nor listed") as refused:
        allowed.resolve(allowed.check("http://images.example/a"))
    assert address not in str(refused.value)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_that_are_public(address):
    assert _is_public(ipaddress.ip_address(address))


def test_a_listed_name_that_leads_to_this_machine_is_not_asked(elsewhere):
    with pytest.raises(NotAllowedError, match="neither public nor listed"):
        fetcher(f"localhost:{elsewhere.server_port}").fetch(f"http://localhost:{elsewhere.server_port}/a")
    assert elsewhere.asked == []


def test_a_name_is_asked_for_once_and_that_address_is_the_one_connected_to(elsewhere, monkeypatch):
    """A name that leads elsewhere the second time gains nothing."""
    asked = []

    def rebinding(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port))]

    connected = []

    def connect(address, timeout):
        connected.append(address)
        made = socket.socket()
        made.settimeout(timeout)
        made.connect(address)  # a literal address, for which nobody is asked
        return made

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    port = elsewhere.server_port
    data = fetcher(f"images.example:{port}, 127.0.0.1:{port}").fetch(f"http://images.example:{port}/a")
    assert data == elsewhere.image
    assert asked == ["images.example"] and connected == [("127.0.0.1", port)]
    assert elsewhere.asked == [("/a", f"images.example:{port}")]


def test_redirects_are_not_followed(elsewhere):
    with pytest.raises(FetchError, match="redirect"):
        fetcher(f"127.0.0.1:{elsewhere.server_port}").fetch(elsewhere.url + "/redirect")
    assert [path for path, _ in elsewhere.asked] == ["/redirect"]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/declared", TooLargeError, "exceeds 1 MiB"),
        ("/endless", TooLargeError, "exceeds 1 MiB"),
        ("/short", FetchError, "no whole answer"),
        ("/missing", FetchError, "answers 404"),
        ("/slow", FetchError, "not within 0.5 s"),
    ],
)
def test_servers_that_misbehave(elsewhere, path, error, message):
    seconds = 0.5 if path == "/slow" else 20
    with pytest.raises(error, match=message):
        fetcher(f"127.0.0.1:{elsewhere.server_port}", seconds=seconds).fetch(elsewhere.url + path)


def test_nobody_there(unused_port=9):
    with pytest.raises(FetchError, match="can not be reached"):
        fetcher(f"127.0.0.1:{unused_port}").fetch(f"http://127.0.0.1:{unused_port}/a")
    with pytest.raises(FetchError, match="can not be reached"):
        fetcher("nowhere.invalid").fetch("http://nowhere.invalid/a")


def test_a_certificate_that_no_one_vouches_for_is_refused(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made = subprocess.run([*command, "-keyout", key, "-out", certificate], capture_output=True)
    if made.returncode:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with another_server(b"", context) as server:
        with pytest.raises(FetchError, match=r"can not be reached: .*certificate"):
            fetcher(f"127.0.0.1:{server.server_port}").fetch(server.url.replace("http", "https") + "/a")
        assert server.asked == []


@pytest.mark.parametrize("text", ["images.example:0", "10.0.0.0/33", "http://images.example", "a b", "x:y"])
def test_a_list_that_is_none_is_named(text):
    with pytest.raises(SettingsError, match="url_hosts is"):
        Settings(url_hosts=text)


@pytest.mark.parametrize("url", ["http://a\ud800b/x", "http://127.0.0.1/\ud800", "http://a\ud800\u2100b/x"])
def test_half_a_sign_in_a_url_costs_only_its_image(fetching_server, elsewhere, url):
    body = json.dumps({"urls": [url, elsewhere.url + "/a.png"]})
    response = httpx.post(
        f"{fetching_server.url}/v1/detect", content=body, headers={"content-type": "application/json"}, timeout=30
    )
    assert response.status_code == 200, response.text
    failed, found = response.json()["images"]
    assert failed["error"]["status"] in (403, 422)
    assert len(found["detections"]) == 3
