"""Files between people's clients: slixmpp sends pictures and voice notes, plain and as OMEMO's clients send them.

Also go-sendxmpp, which uploads and sends the URL in one run, and Chromium, in which a page of another origin uploads and
fetches: both are skipped where Debian's package isn't there. What is uploaded is fetched as others fetch it, over HTTPS.
"""

import json
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp.connector
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clients import Chat, GoSendxmpp, Slixmpp
from server import PATIENCE_S, Server
from test_uploads import fetch, upload

SENDER, RECIPIENT, SCRIPT, TERMINAL = (f"+1555010103{n}" for n in range(1, 5))
# Each byte says where it is.
PICTURE = bytes(n % 251 for n in range(400_000))
# go-sendxmpp looks at a file's first bytes, and not at its name, for the type.
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + PICTURE
VOICE_NOTE = bytes(n % 241 for n in range(90_001))
FILES = [("sunset.jpg", PICTURE, "image/jpeg"), ("note.m4a", VOICE_NOTE, "audio/mp4")]
TAG_BYTES = 16


def trust(server):
    """slixmpp uploads by aiohttp, which has made its context when it was imported."""
    aiohttp.connector._SSL_CONTEXT_VERIFIED = ssl.create_default_context(cafile=server.ca)


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        trust(server)
        yield server
        assert server.end() == 0


@pytest.fixture(scope="module")
def sender(server):
    return Slixmpp(server, *server.register(SENDER))


@pytest.fixture(scope="module")
def recipient(server):
    return Slixmpp(server, *server.register(RECIPIENT))


def send_url(sender, url, to=RECIPIENT):
    """A message as clients write it: the URL is text and element (0066)."""
    sender.send(f"{to}@localhost", url, f"<x xmlns='jabber:x:oob'><url>{url}</url></x>")


@pytest.mark.parametrize("name, content, kind", FILES)
def test_what_one_sends_is_what_the_other_fetches(server, sender, recipient, name, content, kind):
    url = upload(sender, name, content)
    send_url(sender, url)
    came = recipient.expect_body(url)
    assert came["oob"]["url"] == url
    answer = fetch(server, came["oob"]["url"])
    assert answer.headers["Content-Type"] == kind
    assert answer.read() == content


@pytest.mark.parametrize("name, content, kind", FILES)
def test_what_omemo_encrypts_is_kept_and_fetched_as_it_was_put(server, sender, recipient, name, content, kind):
    """`aesgcm:` has the initialization vector and the key behind `#`, which no client sends to a server."""
    key, vector = AESGCM.generate_key(256), bytes(range(12))
    url = upload(sender, name, AESGCM(key).encrypt(vector, content, None))
    shared = f"aesgcm{url.removeprefix('https')}#{vector.hex()}{key.hex()}"
    send_url(sender, shared)
    address, secret = recipient.expect_body(shared)["oob"]["url"].split("#")
    answer = fetch(server, f"https{address.removeprefix('aesgcm')}")
    assert int(answer.headers["Content-Length"]) == len(content) + TAG_BYTES
    opened = AESGCM(bytes.fromhex(secret[24:])).decrypt(bytes.fromhex(secret[:24]), answer.read(), None)
    assert opened == content


def test_a_download_that_broke_off_goes_on_where_it_was(server, sender):
    url = upload(sender, "long.jpg", PICTURE)
    with fetch(server, url) as answer:
        etag, begun = answer.headers["ETag"], answer.read(123_457)
    rest = fetch(server, url, Range=f"bytes={len(begun)}-", **{"If-Range": etag})
    assert rest.status == 206
    assert rest.headers["Content-Range"] == f"bytes {len(begun)}-{len(PICTURE) - 1}/{len(PICTURE)}"
    assert begun + rest.read() == PICTURE


def test_chaski_chat_sends_a_file_and_gets_one(server, recipient, tmp_path):
    """`/file` is fetched by slixmpp's side, and `/get` has what slixmpp's side sends."""
    path = tmp_path / "holiday.jpg"
    path.write_bytes(JPEG)
    chat = Chat(server, TERMINAL).start(register=True)
    try:
        chat.type(f"{RECIPIENT} Look!")
        recipient.expect_body("Look!")
        chat.type(f"/file {path}")
        came = recipient.expect(lambda message: message["from"].user == TERMINAL and message["oob"]["url"], "URL of chat")
        assert fetch(server, came["oob"]["url"]).read() == JPEG
        url = upload(recipient, "answer.jpg", PICTURE)
        send_url(recipient, url, TERMINAL)
        number = chat.expect(r"answer\.jpg \(/get (\d+)\)")[1]
        chat.type(f"/get {number}")
        fetched = chat.expect(rf"file {number} is (.+answer\.jpg)")[1]
        assert Path(fetched).read_bytes() == PICTURE
        chat.quit()
    finally:
        chat.stop()


@pytest.mark.skipif(not shutil.which("go-sendxmpp"), reason="wants go-sendxmpp")
def test_go_sendxmpp_uploads_and_sends_the_url(server, recipient, tmp_path):
    script = GoSendxmpp(server, *server.register(SCRIPT))
    path = tmp_path / "from a script.jpg"
    path.write_bytes(JPEG)
    script.send_file(f"{RECIPIENT}@localhost", path)
    came = recipient.expect(lambda message: message["from"].user == SCRIPT and message["oob"]["url"], "URL of go-sendxmpp")
    assert came["body"] == came["oob"]["url"]
    answer = fetch(server, came["oob"]["url"])
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.read() == JPEG


# A page's script; it puts what it saw to the server that it came from.
PAGE = """<!doctype html><script>
const put = %s, get = %s, size = %d;
async function go() {
  const seen = {origin: location.origin};
  const bytes = Uint8Array.from({length: size}, (_, n) => n %% 251);
  // The type of a picture isn't one that a form could send: the browser asks first.
  seen.put = (await fetch(put, {method: "PUT", body: bytes, headers: {"Content-Type": "image/jpeg"}})).status;
  const whole = await fetch(get);
  const got = new Uint8Array(await whole.arrayBuffer());
  seen.same = got.length === size && got.every((byte, n) => byte === n %% 251);
  seen.etag = whole.headers.get("ETag");
  const part = await fetch(get, {headers: {Range: "bytes=1000-1999", "If-Range": seen.etag}});
  seen.range = [part.status, part.headers.get("Content-Range"), (await part.arrayBuffer()).byteLength];
  // Whatever the answer is: it is an answer, and no refusal of the browser.
  const tus = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"};
  seen.patch = (await fetch(get, {method: "PATCH", body: "", headers: tus})).status;
  return seen;
}
go().catch(error => ({error: String(error)})).then(seen => fetch("/seen", {method: "POST", body: JSON.stringify(seen)}));
</script>"""


class Origin:
    """Where the page is from; `with Origin(page) as origin:`. What the page posts is `seen`."""

    def __init__(self, page):
        self.seen, self.has_seen = None, threading.Event()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def do_POST(self):
                origin.seen = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                origin.has_seen.set()

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def slot_of(client, name, size):
    """URLs to put to and to get from."""

    async def ask():
        slot = await client.client["xep_0363"].request_slot("upload.localhost", name, size, timeout=PATIENCE_S)
        return slot["http_upload_slot"]["put"]["url"], slot["http_upload_slot"]["get"]["url"]

    client.client.register_plugin("xep_0363")
    return client._run(ask())


@pytest.mark.skipif(not shutil.which("chromium"), reason="wants chromium")
def test_a_page_of_another_origin_uploads_and_fetches(server, sender, tmp_path):
    put, get = slot_of(sender, "page.jpg", len(PICTURE))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    # The development CA is none of the system's.
    command += ["--ignore-certificate-errors", "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}"]
    with Origin(PAGE % (json.dumps(put), json.dumps(get), len(PICTURE))) as origin, (tmp_path / "log").open("w") as log:
        browser = subprocess.Popen([*command, origin.url], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            assert origin.has_seen.wait(PATIENCE_S), (tmp_path / "log").read_text()[-4000:]
        finally:
            browser.terminate()
            browser.wait(PATIENCE_S)
    seen = origin.seen
    assert "error" not in seen, seen
    assert seen["origin"] == origin.url and seen["put"] == 201 and seen["same"], seen
    assert seen["etag"], "ETag is exposed"
    assert seen["range"] == [206, f"bytes 1000-1999/{len(PICTURE)}", 1000]
    assert 400 <= seen["patch"] < 500, seen
