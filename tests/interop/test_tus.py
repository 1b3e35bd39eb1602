"""Uploads that go on (tus 1.0.0) after a kill of the server: tuspy and tus-js-client as they are, with nothing but the slot's URL."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from slixmpp.xmlstream import ET
from tusclient.client import TusClient
from tusclient.uploader import Uploader

from clients import Slixmpp
from server import PATIENCE_S, Server

SENDER = "+15550101023"
NODE = Path(__file__).resolve().parent / "tus"
MIB = 1 << 20
# Each byte says where it is; the last piece is none of a round size.
FILM = b"".join(n.to_bytes(4, "big") for n in range(3 * MIB + 77))



@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))
        yield server


def slot_of(server, content):
    """A slot: URLs to put to and to get from."""
    client = Slixmpp(server, *server.register(SENDER))

    async def ask():
        iq = client.client.make_iq_get(ito="upload.localhost")
        iq.append(ET.fromstring(f"<request xmlns='urn:xmpp:http:upload:0' filename='film.mp4' size='{len(content)}'/>"))
        return (await iq.send(timeout=PATIENCE_S)).xml

    slot = client._run(ask())
    return [slot.find(".//{urn:xmpp:http:upload:0}" + way).get("url") for way in ("put", "get")]


def kill_and_start(server):
    """Ends it by force and starts it again where it was."""
    port = server.web.rsplit(":", 1)[1]
    server.end(signal.SIGKILL)
    text = server.config.read_text()
    server.config.write_text(text.replace('[http]\nlisten = "127.0.0.1:0"', f'[http]\nlisten = "127.0.0.1:{port}"'))
    server.start()
    assert server.web.endswith(port)


def fetch(server, url):
    return urllib.request.urlopen(url, context=server.tls_context(), timeout=PATIENCE_S).read()


def unfinished(server):
    return len(list((server.data / "media" / "unfinished").iterdir()))


def test_tuspy_goes_on_after_a_kill(server):
    put, get = slot_of(server, FILM)
    first = TusClient(put).uploader(file_stream=io.BytesIO(FILM), chunk_size=MIB, upload_checksum=True, metadata={"a": "b"})
    first.upload(stop_at=5 * MIB)
    assert first.url == put, "the slot's URL is the upload"
    kill_and_start(server)
    # It has forgotten everything but the URL.
    second = Uploader(file_stream=io.BytesIO(FILM), url=put, chunk_size=MIB, upload_checksum=True)
    assert second.offset == 5 * MIB, "what was acknowledged"
    second.upload()
    assert fetch(server, get) == FILM
    assert unfinished(server) == 0
    assert server.metric("chaski_media_dangling_total") == 0


def test_a_kill_in_the_middle_of_a_request_costs_little(server):
    put, get = slot_of(server, FILM)
    uploader = TusClient(put).uploader(file_stream=io.BytesIO(FILM), chunk_size=MIB)
    uploader.upload(stop_at=MIB)
    host, port = re.match(r"https://([^:/]+):(\d+)", put).groups()
    path = put.split(port, 1)[1]
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {host}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {MIB}\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(FILM) - MIB}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as tcp:
        with server.tls_context().wrap_socket(tcp, server_hostname=host) as tls:
            tls.sendall(head.encode() + FILM[MIB : 11 * MIB])
            server.wait_until(lambda: server.metric("chaski_media_received_bytes_total") >= 11 * MIB, "bytes")
            kill_and_start(server)
    rest = Uploader(file_stream=io.BytesIO(FILM), url=put, chunk_size=4 * MIB)
    assert 7 * MIB <= rest.offset <= 11 * MIB, "at most 4 MiB of what was not answered"
    rest.upload()
    assert fetch(server, get) == FILM


@pytest.mark.skipif(
    not (NODE / "node_modules").is_dir() or not shutil.which("node"), reason="wants `npm ci` in tests/interop/tus"
)
def test_tus_js_client_goes_on_after_a_kill(server, tmp_path):
    put, get = slot_of(server, FILM)
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)
    command = ["node", NODE / "upload.mjs", put, film, str(5 * MIB)]
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(server.ca)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as client:
        requests = []
        for line in client.stdout:
            said = json.loads(line)
            if "paused" in said:
                assert said["paused"] == 5 * MIB
                kill_and_start(server)
                client.stdin.write("\n")
                client.stdin.flush()
                requests.clear()
            requests.append(said)
        assert client.wait(PATIENCE_S) == 0, requests
    assert requests[-1]["done"] == put
    went_on = [said["offset"] for said in requests if said.get("method") == "PATCH"]
    assert set(went_on[:2]) == {str(5 * MIB)}, "the one that failed, and where HEAD said to go on"
    assert [said["method"] for said in requests[1:4]] == ["PATCH", "HEAD", "PATCH"]
    assert fetch(server, get) == FILM
