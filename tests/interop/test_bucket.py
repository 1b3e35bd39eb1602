"""Files in a bucket of somebody else's making: moto's server (Apache-2.0), started here. No other test reaches it.

The suites of `crates/media` run over it as they run over folders and s3s-fs, from the programs that `cargo test` has built; and a
whole Chaski keeps files in it, from the slot until their account is removed.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from slixmpp.xmlstream import ET

from clients import Slixmpp
from server import PATIENCE_S, Server
from test_files import trust
from test_uploads import MEDIA, fetch, upload

ROOT = Path(__file__).resolve().parents[2]
SENDER = "+15550101041"
BUCKET = "chaski"
# Longer than two parts of 5 MiB, and each byte says where it is.
FILM = b"".join(n.to_bytes(4, "big") for n in range(2_700_001))


class Moto:
    """moto's server with an empty bucket."""

    def __init__(self):
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", said)):
            line = self.process.stderr.readline()
            assert line, f"moto did not start:\n{said}"
            said += line
        self.endpoint = found[1]
        # It says a line for each request.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.ask("PUT", f"/{BUCKET}")

    def ask(self, method, path):
        return urllib.request.urlopen(urllib.request.Request(self.endpoint + path, method=method), timeout=PATIENCE_S).read()

    def keys(self, prefix):
        listed = self.ask("GET", f"/{BUCKET}?list-type=2&prefix={prefix}").decode()
        return re.findall(r"<Key>([^<]+)</Key>", listed)

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def moto():
    moto = Moto()
    yield moto
    moto.end()


def repeated(client, name, content):
    """A URL for what the account has uploaded already: it says the hash, and uploads nothing."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()

    async def ask():
        iq = client.client.make_iq_get(ito="upload.localhost")
        request = (
            f"<request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='{len(content)}' content-type='video/mp4'>"
            "<content xmlns='urn:chaski:media:0'>"
            f"<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{digest}</hash></content></request>"
        )
        iq.append(ET.fromstring(request))
        return (await iq.send(timeout=PATIENCE_S)).xml

    slot = client._run(ask())
    assert slot.find(f".//{MEDIA}finished") is not None
    return slot.find(".//{urn:xmpp:http:upload:0}get").get("url")


@pytest.mark.skipif(not shutil.which("cargo"), reason="wants cargo, and what it has built")
@pytest.mark.parametrize("suite", ["backends", "transfers"])
def test_the_suites_of_backends_pass(moto, suite):
    command = ["cargo", "test", "--offline", "--quiet", "--workspace", "--test", suite, "--", "--ignored", "somebody_else"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "CHASKI_S3_ENDPOINT": moto.endpoint}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout, "and it has run"


def test_files_are_kept_in_a_bucket_until_their_account_goes(moto):
    extra = f"""
[media]
s3_bucket = "{BUCKET}"
s3_endpoint = "{moto.endpoint}"
s3_region = "us-east-1"
s3_prefix = "interop"
s3_access_key = "test"
s3_secret_key = "test"
s3_types = ["video/"]
"""
    with Server(extra=extra) as server:
        trust(server)
        sender = Slixmpp(server, *server.register(SENDER))
        url = upload(sender, "film.mp4", FILM)
        assert len(moto.keys("interop")) == 1
        assert not list((server.data / "media" / "s3" / "arriving").iterdir())
        answer = fetch(server, url, Range="bytes=10000000-10000003")
        assert (answer.status, answer.read()) == (206, FILM[10_000_000:10_000_004])
        assert fetch(server, url).read() == FILM
        assert server.metric("chaski_media_bucket_fetched_total") == 1, "read once, and kept"
        # Hash first: nothing is uploaded again.
        received = server.metric("chaski_media_received_bytes_total")
        again = repeated(sender, "again.mp4", FILM)
        assert fetch(server, again).read() == FILM
        assert server.metric("chaski_media_received_bytes_total") == received
        checked = server.ctl("media", "check")
        wrong = [checked[what] for what in ("dangling", "orphans", "wrong_sizes")]
        assert wrong == [0, 0, 0], checked
        server.ctl("account", "remove", SENDER)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(server, url)
        server.wait_until(lambda: not moto.keys("interop"), "empty bucket")
        assert server.end() == 0
