"""Files by XEP-0363: slixmpp's plugin uploads as it does everywhere, and another account fetches what it was sent."""

import asyncio
import hashlib
import io
import signal
import sqlite3
import ssl
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import aiohttp.connector
import pytest
from slixmpp.plugins.xep_0363.http_upload import FileTooBig, PurposeNotSupported
from slixmpp.xmlstream import ET

from clients import Slixmpp
from server import PATIENCE_S, Server

SLOTS = 300

SENDER, RECIPIENT = "+15550101021", "+15550101022"
# Longer than a few pieces, and each byte says where it is.
PICTURE = bytes(n % 251 for n in range(300_000))
LARGEST = 1_000_000
MEDIA = "{urn:chaski:media:0}"


@pytest.fixture(scope="module")
def server():
    with Server(extra=f"[media]\nmax_file_bytes = {LARGEST}\n") as server:
        # aiohttp has made its own when it was imported.
        aiohttp.connector._SSL_CONTEXT_VERIFIED = ssl.create_default_context(cafile=server.ca)
        yield server
        assert server.end() == 0


@pytest.fixture(scope="module")
def sender(server):
    return Slixmpp(server, *server.register(SENDER))


def upload(client, name, content, **more):
    client.client.register_plugin("xep_0363")
    plugin = client.client["xep_0363"]
    return client._run(plugin.upload_file(name, input_file=io.BytesIO(content), timeout=PATIENCE_S, **more))


def fetch(server, url, **headers):
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, context=server.tls_context(), timeout=PATIENCE_S)


def test_a_picture_goes_from_one_number_to_another(server, sender):
    url = upload(sender, "Grüße aus Köln.jpg", PICTURE)
    assert url.startswith(server.web + "/media/"), url
    assert url.endswith("/Gr%C3%BC%C3%9Fe%20aus%20K%C3%B6ln.jpg")
    recipient = Slixmpp(server, *server.register(RECIPIENT))
    sender.send(f"{RECIPIENT}@localhost", url, f"<x xmlns='jabber:x:oob'><url>{url}</url></x>")
    came = recipient.expect_body(url)
    answer = fetch(server, came["oob"]["url"] or came["body"])
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert int(answer.headers["Content-Length"]) == len(PICTURE)
    assert answer.read() == PICTURE
    rest = fetch(server, url, Range="bytes=299990-")
    assert rest.status == 206 and rest.read() == PICTURE[-10:]


def test_what_is_too_large_or_not_kept_as_it_is_meant_is_not_sent(server, sender):
    with pytest.raises(FileTooBig):
        upload(sender, "film.mp4", bytes(LARGEST + 1))
    with pytest.raises(PurposeNotSupported):
        upload(sender, "a.png", PICTURE, purpose="permanent")
    assert upload(sender, "me.png", PICTURE, purpose="profile").endswith("/me.png")


def test_forwarding_uploads_nothing(server, sender):
    url = upload(sender, "again.jpg", PICTURE)

    async def ask():
        iq = sender.client.make_iq_get(ito="upload.localhost")
        request = ET.fromstring(
            f"<request xmlns='urn:xmpp:http:upload:0' filename='b.jpg' size='{len(PICTURE)}' content-type='image/jpeg'>"
            f"<content xmlns='urn:chaski:media:0' url='{url}'/></request>"
        )
        iq.append(request)
        return await iq.send(timeout=PATIENCE_S)

    slot = sender._run(ask())
    assert slot.xml.find(f".//{MEDIA}finished") is not None
    other = slot.xml.find(".//{urn:xmpp:http:upload:0}get").get("url")
    assert other != url and fetch(server, other).read() == PICTURE


def test_what_nobody_has_put_is_not_there(server, sender):
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(server, f"{server.web}/media/{0:032x}/a.jpg")
    assert refused.value.code == 404


def content_of(number):
    """Some hundred KB, another for each number but that every tenth is equal to the one before."""
    seed = str(number - (number % 10 == 9)).encode()
    return hashlib.sha256(seed).digest() * (2_000 + 100 * (number % 7))


def slots_of(client, count):
    """URLs to put to and to get from."""

    async def ask(number):
        iq = client.client.make_iq_get(ito="upload.localhost")
        size = len(content_of(number))
        iq.append(ET.fromstring(f"<request xmlns='urn:xmpp:http:upload:0' filename='{number}.jpg' size='{size}'/>"))
        slot = (await iq.send(timeout=PATIENCE_S)).xml
        return [slot.find(".//{urn:xmpp:http:upload:0}" + way).get("url") for way in ("put", "get")]

    async def ask_all():
        return await asyncio.gather(*(ask(number) for number in range(count)))

    return client._run(ask_all())


def index_and_folder(server):
    """The objects that the index has references for, and the files that are there."""
    with sqlite3.connect(f"file:{server.data}/chaski.sqlite3?mode=ro", uri=True) as database:
        rows = {row[0].hex() for row in database.execute("SELECT object FROM media_objects")}
        of_references = {row[0].hex() for row in database.execute("SELECT object FROM media_references")}
    assert rows == of_references
    return rows, {file.name for file in (server.data / "media").glob("*/*")}


def test_a_kill_in_the_middle_of_uploads_leaves_neither_file_nor_row_alone(tmp_path):
    extra = "[media]\nuploads = 10000\nuploads_per_hour = 0\nupload_bytes_per_hour = 0\n"
    with Server(tmp_path, extra=extra) as server:
        client = Slixmpp(server, *server.register(SENDER))
        slots = slots_of(client, SLOTS)
        context, stored, lock = server.tls_context(), set(), threading.Lock()

        def put(number):
            request = urllib.request.Request(slots[number][0], data=content_of(number), method="PUT")
            try:
                with urllib.request.urlopen(request, context=context, timeout=PATIENCE_S) as answer:
                    assert answer.status == 201
            except (OSError, urllib.error.URLError):
                return
            with lock:
                stored.add(number)

        with ThreadPoolExecutor(16) as pool:
            done = [pool.submit(put, number) for number in range(SLOTS)]
            server.wait_until(lambda: len(stored) > SLOTS / 3, "third of the uploads")
            server.end(signal.SIGKILL)
        assert all(future.exception() is None for future in done)
        assert SLOTS / 3 < len(stored) < SLOTS
        server.start()
        for number in stored:
            # The port is another one.
            url = server.web + slots[number][1][slots[number][1].index("/media/") :]
            assert fetch(server, url).read() == content_of(number)

        def agree():
            rows, files = index_and_folder(server)
            return rows == files and len(rows) < len(stored) + 17

        server.wait_until(agree, "agreement of index and folder")
        assert server.metric("chaski_media_dangling_total") == 0
