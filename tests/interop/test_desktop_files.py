"""Dino and Gajim exchange files with slixmpp: each fetches by itself what came, over HTTPS, and uploads what it is told to.

Here nothing is encrypted but by TLS; files with OMEMO are in test_desktop.py.
"""

import tempfile
from types import SimpleNamespace

import pytest

import desktop
from clients import Slixmpp
from desktop import Dino, Gajim, Screen
from server import Server
from test_desktop import picture
from test_files import VOICE_NOTE, send_url, trust
from test_uploads import fetch, upload

pytestmark = pytest.mark.skipif(bool(desktop.missing()), reason=str(desktop.missing()))

FRIEND = "+15550101041"
PHONES = {Dino: "+15550101042", Gajim: "+15550101043"}
# Gajim knows no type for `.m4a`, and stops for 15 seconds over sound that it would play, where GStreamer's plugins aren't.
FILES = [("a disc.png", picture(b"\xc0\x60\x20"), "image/png"), ("a note.au", VOICE_NOTE, "audio/basic")]


@pytest.fixture(scope="module", params=PHONES)
def desk(request):
    """Somebody's desk with this client, and a friend with slixmpp."""
    phone = PHONES[request.param]
    with tempfile.TemporaryDirectory() as directory, Server(standard_ports=True) as server:
        trust(server)
        keys = {number: server.register(number) for number in (FRIEND, phone)}
        friend = Slixmpp(server, *keys[FRIEND])
        second = Slixmpp(server, *keys[phone], resource="second", priority=-1)
        friend.sync_phone_book(phone)
        second.sync_phone_book(FRIEND)
        with Screen(directory, server.ca, "1600x1000") as screen:
            client = request.param(screen, "desk", *keys[phone], keys[FRIEND][0], omemo=False)
            try:
                client.start()
                # Gajim looks only when a chat is opened whether there is somewhere to upload to.
                client.expect("http:upload:0.*max-file-size|max-file-size.*http:upload:0")
                client.open_chat()
                yield SimpleNamespace(server=server, friend=friend, client=client, phone=phone)
            finally:
                client.close()
        assert server.end() == 0


def test_a_picture_is_fetched_and_kept(desk):
    content = picture(b"\x20\x60\xc0")
    url = upload(desk.friend, "disc.png", content)
    send_url(desk.friend, url, desk.phone)
    desk.client.expect("disc.png")
    desk.client.expect_kept(content)


@pytest.mark.parametrize("name, content, kind", FILES)
def test_what_it_uploads_is_what_the_friend_fetches(desk, tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    desk.client.upload(path)
    end = "/" + name.replace(" ", "%20")
    came = desk.friend.expect(lambda message: message["body"].endswith(end), f"URL of {name}")
    assert came["from"].user == desk.phone
    assert came["oob"]["url"] == came["body"]
    assert came["body"].startswith(desk.server.web + "/media/")
    answer = fetch(desk.server, came["body"])
    assert answer.headers["Content-Type"] == kind
    assert answer.read() == content
