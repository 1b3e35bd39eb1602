"""Two phone numbers, registered as people register, converse with clients of different make."""

import pytest

from clients import Chat, GoSendxmpp, Slixmpp
from server import Server

ROMEO, JULIET, NURSE = "+15550101001", "+15550101002", "+15550101003"
WORLD = "Ой у лузі · 你好，世界 · שלום · नमस्ते · e\u0301 · 👩‍👩‍👧‍👦 <&>\"'"
GEO = "geo:40.748433,-73.985656"
LOCATION = (
    "<geoloc xmlns='http://jabber.org/protocol/geoloc'><accuracy>20</accuracy>"
    "<lat>40.748433</lat><lon>-73.985656</lon></geoloc>"
)
VOICE_NOTE = "https://localhost/media/u1/note.ogg"
LINK = f"<x xmlns='jabber:x:oob'><url>{VOICE_NOTE}</url></x>"
NS = {
    "oob": "{jabber:x:oob}x/{jabber:x:oob}url",
    "lat": "{http://jabber.org/protocol/geoloc}geoloc/{http://jabber.org/protocol/geoloc}lat",
    "delay": "{urn:xmpp:delay}delay",
    "stanza_id": "{urn:xmpp:sid:0}stanza-id",
}


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server
        assert server.end() == 0


@pytest.fixture(scope="module")
def keys(server):
    return {phone: server.register(phone) for phone in (ROMEO, JULIET)}


@pytest.fixture
def client(server, keys):
    """Makes slixmpp clients that are gone after the test."""
    made = []

    def make(phone, **options):
        made.append(Slixmpp(server, *keys[phone], **options))
        return made[-1]

    yield make
    for one in made:
        if one.client.is_connected():
            one.leave()


@pytest.fixture
def go(server, keys):
    """Makes go-sendxmpp clients that are gone after the test."""
    made = []

    def make(phone):
        made.append(GoSendxmpp(server, *keys[phone]))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def chat(server):
    """Makes terminal clients that are gone after the test."""
    made = []

    def make(phone):
        made.append(Chat(server, phone))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def address(phone):
    return f"{phone}@localhost"


def test_registration_gives_the_address_of_the_number(keys):
    assert keys[ROMEO][0] == address(ROMEO)
    assert len(keys[ROMEO][1]) >= 43, "a key has 256 bits"


@pytest.mark.parametrize("text", ["hello", WORLD, GEO], ids=["text", "non-latin", "geo"])
def test_slixmpp_to_slixmpp(client, text):
    romeo, juliet = client(ROMEO), client(JULIET)
    sent = romeo.send(address(JULIET), text)
    message = juliet.expect_body(text)
    assert message["id"] == sent
    assert message["from"] == f"{address(ROMEO)}/slixmpp"
    assert message.xml.find(NS["delay"]) is None, "it was delivered live"
    ids = message.xml.findall(NS["stanza_id"])
    assert [one.get("by") for one in ids] == [address(JULIET)]


def test_receipt_and_marker(client):
    romeo, juliet = client(ROMEO), client(JULIET)
    sent = romeo.send(address(JULIET), "seen?")
    message = juliet.expect_body("seen?")
    juliet.receipt(message)
    romeo.expect_marker("received", sent)
    juliet.displayed(message)
    romeo.expect_marker("displayed", sent)


def test_location_and_voice_note(client):
    romeo, juliet = client(ROMEO), client(JULIET)
    romeo.send(address(JULIET), GEO, LOCATION)
    message = juliet.expect_body(GEO)
    assert message.xml.findtext(NS["lat"]) == "40.748433"
    romeo.send(address(JULIET), VOICE_NOTE, LINK)
    assert juliet.expect_body(VOICE_NOTE).xml.findtext(NS["oob"]) == VOICE_NOTE


def test_away_and_back_with_all_check_marks(client):
    """The three check marks while never both are online, each waiting for its owner's return."""
    romeo = client(ROMEO)
    first = romeo.send(address(JULIET), "while you are away 1")
    second = romeo.send(address(JULIET), "while you are away 2")
    romeo.leave()

    juliet = client(JULIET)
    late = juliet.expect_body("while you are away 2")
    early = juliet.expect_body("while you are away 1")
    assert juliet.messages.index(early) < juliet.messages.index(late), "in the order in which they were sent"
    assert late.xml.find(NS["delay"]) is not None, "it says that it is late"
    for message in (early, late):
        juliet.receipt(message)
        juliet.displayed(message)
    juliet.leave()

    romeo = client(ROMEO)
    for sent in (first, second):
        romeo.expect_marker("received", sent)
        romeo.expect_marker("displayed", sent)


def test_a_lost_connection_loses_no_message(server, client):
    """What is sent to a socket that is gone without a word comes with the next login, once."""
    romeo, juliet = client(ROMEO), client(JULIET)
    juliet.vanish()
    sent = romeo.send(address(JULIET), "are you still there?")
    juliet = client(JULIET)
    assert juliet.expect_body("are you still there?")["id"] == sent
    juliet.leave()
    again = client(JULIET)
    romeo.send(address(JULIET), "the end")
    again.expect_body("the end")
    assert [message["body"] for message in again.messages] == ["the end"]


def test_go_sendxmpp_hears_slixmpp(client, go):
    romeo, juliet = client(ROMEO), go(JULIET)
    juliet.listen()
    for text in ("hello", WORLD, GEO, VOICE_NOTE):
        romeo.send(address(JULIET), text)
        juliet.expect(text if text != WORLD else "你好，世界 · שלום")


def test_slixmpp_hears_go_sendxmpp(client, go):
    romeo, juliet = go(ROMEO), client(JULIET)
    for text in ("hello", WORLD, GEO):
        romeo.send(address(JULIET), text)
        juliet.expect_body(text)


def test_what_go_sendxmpp_sends_waits(client, go):
    go(ROMEO).send(address(JULIET), "from a client that is gone again")
    message = client(JULIET).expect_body("from a client that is gone again")
    assert message.xml.find(NS["delay"]) is not None


def test_what_waits_for_go_sendxmpp_comes_once(server, client, go):
    """It has no stream management: written and confirmed by TCP is acknowledged."""
    romeo, juliet = client(ROMEO), go(JULIET)
    romeo.send(address(JULIET), "wait for go")
    juliet.listen()
    juliet.expect("wait for go")
    juliet.stop()
    server.wait_until(lambda: server.waiting(JULIET) == 0, "an empty mailbox")


def test_receipt_and_marker_from_go_sendxmpp(client, go):
    """Raw stanzas of the other make, with a location and a link beside them."""
    romeo, juliet = client(ROMEO), go(JULIET)
    sent = romeo.send(address(JULIET), "mark this")
    ROMEO_JID = address(ROMEO)
    for element in (
        f"<received xmlns='urn:xmpp:receipts' id='{sent}'/>",
        f"<displayed xmlns='urn:xmpp:chat-markers:0' id='{sent}'/>",
    ):
        juliet.send(ROMEO_JID, f"<message to='{ROMEO_JID}' type='chat' id='go-{sent}'>{element}</message>", raw=True)
    romeo.expect_marker("received", sent)
    romeo.expect_marker("displayed", sent)
    raw = f"<message to='{ROMEO_JID}' type='chat'><body>{VOICE_NOTE}</body>{LINK}{LOCATION}</message>"
    juliet.send(ROMEO_JID, raw, raw=True)
    message = romeo.expect_body(VOICE_NOTE)
    assert message.xml.findtext(NS["oob"]) == VOICE_NOTE
    assert message.xml.findtext(NS["lat"]) == "40.748433"


def test_chaski_chat_and_slixmpp(client, chat):
    """Our own client registers by itself, and shows the true marks."""
    romeo, nurse = client(ROMEO), chat(NURSE).start(register=True)
    nurse.type(f"{ROMEO} {WORLD}")
    message = romeo.expect_body(WORLD)
    number = nurse.expect(r"#(\d+) to .*" + WORLD[:5])[1]
    nurse.expect(rf"✓ .*#{number} accepted")
    romeo.receipt(message)
    nurse.expect(rf"✓✓ .*#{number} delivered")
    romeo.displayed(message)
    nurse.expect(rf"✓✓ .*#{number} read")

    nurse.type("/place 40.748433,-73.985656")
    romeo.expect_body(GEO)
    nurse.type(f"/link {VOICE_NOTE}")
    assert romeo.expect_body(VOICE_NOTE).xml.findtext(NS["oob"]) == VOICE_NOTE

    sent = romeo.send(address(NURSE), WORLD.replace("Ой", "Гей"))
    nurse.expect("Гей")
    romeo.expect_marker("received", sent)
    romeo.send(address(NURSE), GEO, LOCATION)
    nurse.expect("location 40.748433, -73.985656")
    romeo.send(address(NURSE), VOICE_NOTE, LINK)
    nurse.expect("voice note: " + VOICE_NOTE)
    nurse.quit()

    sent = romeo.send(address(NURSE), "while the terminal was closed")
    nurse.start()
    nurse.expect(r"\[.*, .*\] while the terminal was closed")
    romeo.expect_marker("received", sent)
    nurse.quit()


def test_chaski_chat_and_go_sendxmpp(go, chat):
    juliet, nurse = go(JULIET), chat(NURSE).start()
    juliet.send(address(NURSE), "from go")
    nurse.expect(r"\] from go")
    juliet.listen()
    nurse.type(f"{JULIET} to go {WORLD[:20]}")
    juliet.expect("to go Ой")
    nurse.quit()
