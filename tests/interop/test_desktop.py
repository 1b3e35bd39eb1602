"""Three clients of other projects, on one screen: Romeo has Dino, Juliet Gajim, Tybalt Profanity in a terminal.

Romeo and Juliet write to each other with OMEMO, see each other's picture, that the other types, and when the other was
there last. Tybalt, whom Juliet has blocked, sees nothing of her. Persons' second clients (slixmpp) stand in for what these
can't do without a mouse: the phone book, pictures. SCREENSHOTS=FOLDER keeps what could be seen.
"""

import contextlib
import re
import struct
import tempfile
import time
import zlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import desktop
from clients import Slixmpp
from desktop import Dino, Gajim, Profanity, Screen
from server import Server
from test_uploads import fetch

pytestmark = pytest.mark.skipif(bool(desktop.missing()), reason=str(desktop.missing()))

ROMEO, JULIET, TYBALT = "+15550101001", "+15550101002", "+15550101003"
NOBODY = "+15550101009"
NAMES = {ROMEO: "Romeo", JULIET: "Juliet", TYBALT: "Tybalt"}
DESKTOPS, EVERYTHING = "1600x680+0+0", "1600x1000+0+0"
SECRET = "But soft, what light through yonder window breaks"
ANSWER = "O Romeo, Romeo, wherefore art thou Romeo"
# Begun while Romeo is there, finished when he isn't.
BEGUN, REST = "What man art thou", " that thus bescreened in night so stumblest on my counsel"
SIDE = 96
# Of AES-GCM, behind the file.
TAG_BYTES = 16


def address(phone):
    return f"{phone}@localhost"


def picture(colour):
    """A PNG: a disc of this colour on white."""
    middle = SIDE / 2
    rows = b""
    for y in range(SIDE):
        inside = [(x - middle) ** 2 + (y - middle) ** 2 < (middle - 6) ** 2 for x in range(SIDE)]
        rows += b"\0" + b"".join(colour if within else b"\xff\xff\xff" for within in inside)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


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
    """Somebody's second client, for a moment: `with second(ROMEO) as client:`."""

    @contextlib.contextmanager
    def client(phone):
        one = Slixmpp(server, *keys[phone], resource="second", priority=-1)
        yield one
        one.leave()

    return client


@pytest.fixture(scope="module")
def friends(server, second):
    """Everybody has everybody in the phone book, and that's all: no request, no consent."""
    with second(ROMEO) as romeo, second(JULIET) as juliet, second(TYBALT) as tybalt:
        clients = {ROMEO: romeo, JULIET: juliet, TYBALT: tybalt}
        for phone, client in clients.items():
            others = [other for other in NAMES if other != phone]
            assert client.sync_phone_book(*others, NOBODY) == {other: address(other) for other in others}
        for phone, client in clients.items():
            others = [other for other in NAMES if other != phone]
            server.wait_until(lambda: all(client.subscription(address(one)) == "both" for one in others), "contacts")
            for other in others:
                client.name(address(other), NAMES[other])


@pytest.fixture(scope="module")
def screen(server):
    with tempfile.TemporaryDirectory(prefix="chaski-desktop-") as directory:
        with Screen(directory, server.ca, EVERYTHING.split("+")[0]) as screen:
            yield screen


@pytest.fixture(scope="module")
def romeo(screen, keys, friends):
    client = Dino(screen, "romeo", *keys[ROMEO], peer=address(JULIET)).start()
    client.expect("urn:xmpp:sm:3}:enabled")
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


@pytest.fixture(scope="module")
def tybalt(screen, keys, friends):
    client = Profanity(screen, "tybalt", *keys[TYBALT]).start()
    client.expect("logged in successfully|RECV: <enabled")
    client.place(0, 690, 1200, 280)
    yield client
    client.close()


def test_they_see_each_other(romeo, juliet):
    romeo.expect(rf"presence [^>]*from='\{address(JULIET)}/gajim'")
    juliet.expect(rf"<presence [^>]*from='\{address(ROMEO)}/dino'")


def test_pictures(second, romeo, juliet):
    with second(ROMEO) as client:
        romeos = client.publish_avatar(picture(b"\x1f\x5f\xbf"), SIDE)
    with second(JULIET) as client:
        juliets = client.publish_avatar(picture(b"\xc0\x1c\x28"), SIDE)
    desktop.wait_until(lambda: juliets in romeo.avatars(), "picture of Juliet in Dino")
    desktop.wait_until(lambda: romeos in juliet.avatars(), "picture of Romeo in Gajim")


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
    screen.show("conversation", DESKTOPS)
    kept = [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]
    assert any(b"eu.siacs.conversations.axolotl" in content for content in kept), "what is there can be searched"
    for text in (SECRET, ANSWER):
        assert not any(text[:20].encode() in content for content in kept), "the server knows what was said"


def test_typing(screen, romeo, juliet):
    before = juliet.mark()
    romeo.open_chat()
    romeo.type("Shall I hear more", enter=False)
    juliet.expect("<composing xmlns='http://jabber.org/protocol/chatstates'", before)
    before = romeo.mark()
    juliet.open_chat()
    juliet.type(BEGUN, enter=False)
    romeo.expect("chatstates}:composing", before)
    screen.show("typing", DESKTOPS)


def test_last_seen(screen, keys, romeo, juliet):
    """Juliet's terminal asks when Romeo was there."""
    before = juliet.mark()
    romeo.leave()
    juliet.expect(rf"<presence [^>]*from='\{address(ROMEO)}/dino'[^>]*type='unavailable'", before)
    terminal = Profanity(screen, "terminal", *keys[JULIET]).start()
    terminal.place(0, 690, 1200, 280)
    terminal.expect("RECV: <enabled")
    terminal.type("/clear")
    terminal.type(f"/lastactivity get {address(ROMEO)}")
    terminal.expect(r"RECV: <iq [^>]*><query [^>]*seconds=\"\d{1,2}\"")
    screen.show("last-seen", EVERYTHING)
    terminal.close()
    # What is written meanwhile waits for him, and he can read it.
    juliet.type(REST)
    romeo.start()
    romeo.place(800, 0, 800, 680)
    romeo.expect_encrypted(BEGUN + REST)


def test_privacy_by_form(screen, second, juliet):
    """Gajim shows the server's form; Juliet hides from everybody when she was there last."""
    with second(ROMEO) as client:
        assert client.last_seen(address(JULIET)) == 0, "she is there"
        # A window takes keys only when it has settled, which can't be seen from outside: so she looks and tries again.
        desktop.wait_until(lambda: hide_last_seen(screen, juliet), "form that was saved")
        assert client.last_seen(address(JULIET)) == "service-unavailable"


def hide_last_seen(screen, juliet):
    """Finds the form, fills it in and sends it; whether it was saved so."""
    before = juliet.mark()
    juliet.choose("execute-command", "localhost")
    juliet.press("Command List", "Tab", "Down", "Return")
    if desktop.within(3, lambda: juliet.titled("Stage")):
        time.sleep(1)
        # To the first field; its last choice; back, over the beginning, to the button "Complete".
        juliet.press("Stage", "Tab", "Down")
        screen.show("privacy", EVERYTHING)
        juliet.press("Stage", "shift+Tab", "Return")
    desktop.within(3, lambda: juliet.titled("Completed"))
    for title in ("Command List", "Stage", "Completed"):
        if juliet.titled(title):
            juliet.press(title, "Escape")
    submitted = re.search(r"var=.last_seen.[^>]*><value>nobody<", juliet.seen(before))
    return submitted and "status='completed'" in juliet.seen(before)


def test_who_is_blocked_sees_nothing(server, screen, second, romeo, juliet, tybalt):
    """Juliet reports Tybalt as a spammer, in Gajim, which blocks him."""
    present = rf"RECV: <presence [^>]*from=.\{address(JULIET)}/gajim"
    tybalt.expect(present)
    before = tybalt.mark()
    juliet.choose("block-contact", address(TYBALT))
    juliet.answer("Block Contact", "alt+r")
    tybalt.expect(present, before)
    gone, heard = tybalt.mark(), juliet.mark()
    # Romeo sees her new picture.
    with second(JULIET) as client:
        new = client.publish_avatar(picture(b"\x2e\xa0\x43"), SIDE)
    desktop.wait_until(lambda: new in romeo.avatars(), "new picture of Juliet in Dino")
    tybalt.type(f"/msg {address(JULIET)} Turn, villain")
    tybalt.type(f"/lastactivity get {address(JULIET)}")
    # What would come for the message comes before this.
    tybalt.expect(r"RECV: <iq [^>]*type=.error", gone)
    assert not re.search(r"RECV: <message [^>]*type=.error", tybalt.seen(gone))
    screen.show("blocked", EVERYTHING)
    stanzas = [line for line in tybalt.seen(gone).splitlines() if "RECV: <" in line and address(JULIET) in line]
    assert stanzas and all("error" in line for line in stanzas), stanzas
    assert not re.search(rf"<(message|presence) [^>]*from='\{address(TYBALT)}", juliet.seen(heard))
    server.wait_for_log("a user has reported somebody.*urn:xmpp:reporting:spam")


def test_files_with_omemo(server, tmp_path, romeo, juliet):
    """Each uploads a picture and a voice note, which the other fetches and opens; the server can't."""
    shared = []
    # Gajim fetches only what it shows.
    romeo.open_chat()
    juliet.open_chat()
    for one, other, first in ((romeo, juliet, 1), (juliet, romeo, 2)):
        for name, content in (("disc.png", picture(bytes([first, 96, 160]))), ("note.au", bytes([first, *range(256)] * 200))):
            path = tmp_path / f"{first}-{name}"
            path.write_bytes(content)
            one.upload(path)

            def came():
                return [url for url in other.received("aesgcm:") if f"/{path.name}#" in url]

            url = desktop.wait_until(came, lambda: f"URL of {path.name}:\n{other.seen()[-8000:]}")[0]
            shared.append((url, content))
            # Nor does it fetch this sound.
            if other is romeo or name == "disc.png":
                other.expect_kept(content)
    kept = [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]
    for url, content in shared:
        where, secret = url.removeprefix("aesgcm").split("#")
        vector, key = bytes.fromhex(secret[:-64]), bytes.fromhex(secret[-64:])
        stored = fetch(server, f"https{where}").read()
        assert len(stored) == len(content) + TAG_BYTES
        assert AESGCM(key).decrypt(vector, stored, None) == content
        assert any(stored in file for file in kept), "what is there can be searched"
        for unknown in (content, key, key.hex().encode()):
            assert not any(unknown in file for file in kept), "the server knows what was sent"
