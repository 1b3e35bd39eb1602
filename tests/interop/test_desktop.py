"""Three clients of other projects, on one screen: Romeo has Dino, Juliet Gajim, Tybalt Profanity in a terminal.

Romeo and Juliet write to each other with OMEMO, see each other's picture, that the other types, and when the other was
there last. Tybalt, whom Romeo has blocked, sees nothing of it. Persons' second clients (slixmpp) stand in for what needs
the mouse: the phone book, pictures, blocking. SCREENSHOTS=FOLDER keeps what could be seen.
"""

import hashlib
import os
import struct
import tempfile
import zlib

import pytest

import desktop
from clients import Slixmpp
from desktop import Dino, Gajim, Profanity, Screen
from server import Server

pytestmark = pytest.mark.skipif(bool(desktop.missing()), reason=str(desktop.missing()))

ROMEO, JULIET, TYBALT = "+15550101001", "+15550101002", "+15550101003"
NAMES = {ROMEO: "Romeo", JULIET: "Juliet", TYBALT: "Tybalt"}
SIZE = "1600x680"
SECRET = "But soft, what light through yonder window breaks"
ANSWER = "O Romeo, Romeo, wherefore art thou Romeo"


def address(phone):
    return f"{phone}@localhost"


@pytest.fixture(scope="module")
def server():
    with Server(standard_ports=True) as server:
        yield server
        assert server.end() == 0


@pytest.fixture(scope="module")
def keys(server):
    return {phone: server.register(phone) for phone in NAMES}


@pytest.fixture(scope="module")
def second(server, keys):
    """Everybody's second client, which only does what it is told."""
    clients = {phone: Slixmpp(server, *keys[phone], resource="second", priority=-1) for phone in NAMES}
    yield clients
    for client in clients.values():
        client.leave()


@pytest.fixture(scope="module")
def friends(server, second):
    """Everybody has everybody in the phone book."""
    for phone, client in second.items():
        for other, name in NAMES.items():
            if other != phone:
                client.befriend(address(other), name)
    for phone, client in second.items():
        others = [address(other) for other in NAMES if other != phone]
        server.wait_until(lambda: all(client.subscription(other) == "both" for other in others), "contacts")


@pytest.fixture(scope="module")
def screen(server):
    with tempfile.TemporaryDirectory(prefix="chaski-desktop-") as directory, Screen(directory, server.ca, SIZE) as screen:
        yield screen


@pytest.fixture(scope="module")
def romeo(screen, keys, friends):
    client = Dino(screen, "romeo", *keys[ROMEO], peer=address(JULIET)).start()
    client.expect("resourcepart|urn:xmpp:sm:3}:enabled")
    client.place(800, 0, 800, 680)
    yield client
    client.close()


@pytest.fixture(scope="module")
def juliet(screen, keys, friends):
    client = Gajim(screen, "juliet", *keys[JULIET], peer=address(ROMEO)).start()
    client.expect("<enabled xmlns='urn:xmpp:sm:3'")
    client.place(0, 0, 796, 656)
    yield client
    client.close()


def test_they_see_each_other(romeo, juliet):
    romeo.expect(rf"presence [^>]*from='\{address(JULIET)}/gajim'")
    juliet.expect(rf"<presence [^>]*from='\{address(ROMEO)}/dino'")


def test_omemo(server, screen, romeo, juliet):
    """Encrypted both ways; the server has had only what can't be read."""
    romeo.expect(r"OUT.*eu.siacs.conversations.axolotl.bundles")
    juliet.expect(r"eu.siacs.conversations.axolotl.bundles")
    romeo.open_chat()
    romeo.type(SECRET)
    juliet.expect_encrypted(SECRET)
    juliet.open_chat()
    juliet.type(ANSWER)
    romeo.expect_encrypted(ANSWER)
    screen.show("omemo")
    kept = [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]
    assert any(b"eu.siacs.conversations.axolotl" in content for content in kept), "what is there can be searched"
    for text in (SECRET, ANSWER):
        assert not any(text[:20].encode() in content for content in kept), "the server knows what was said"


def test_typing(screen, romeo, juliet):
    before = juliet.mark()
    romeo.open_chat()
    romeo.type("Shall I hear more", enter=False)
    juliet.expect("<composing xmlns='http://jabber.org/protocol/chatstates'|<composing", before)
    screen.show("typing")
    before = romeo.mark()
    juliet.open_chat()
    juliet.type("What man art thou", enter=False)
    romeo.expect("chatstates}:composing", before)
    screen.show("typing-back")
