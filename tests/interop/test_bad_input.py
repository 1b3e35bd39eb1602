"""Hostile and broken peers against the real server, while two phones converse: each gets its error, nobody else notices.

The exact conditions of malformed streams are tested in crates/server/tests/edge; here stand the mixture, the forgeries
as an honest recipient sees them, and HTTP.
"""

import base64
import os
import re
import socket
import ssl

import pytest

from clients import Slixmpp
from server import PATIENCE_S, Server

ROMEO, JULIET, MALLORY = "+15550101001", "+15550101002", "+15550101003"
HEADER = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Raw:
    """A TLS connection on which anything can be said."""

    def __init__(self, server, jid=None, key=None):
        tcp = socket.create_connection(("127.0.0.1", server.port("direct TLS")), timeout=PATIENCE_S)
        self.socket = server.tls_context().wrap_socket(tcp, server_hostname="localhost")
        self.received = ""
        if jid:
            self.say(HEADER)
            self.until("</stream:features>")
            secret = base64.b64encode(f"\0{jid.split('@')[0]}\0{key}".encode()).decode()
            self.say(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
            outcome = self.until(">")
            assert "<success" in outcome, outcome + self.until("</failure>")
            self.say(HEADER)
            self.until("</stream:features>")
            self.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            self.until("</iq>")

    def say(self, text):
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def until(self, text):
        """What came up to and with this text, which must come."""
        while text not in self.received:
            data = self.socket.recv(65536)
            assert data, f"closed before {text!r}: {self.received}"
            self.received += data.decode()
        end = self.received.index(text) + len(text)
        before, self.received = self.received[:end], self.received[end:]
        return before

    def until_closed(self):
        """All that came until the server closed."""
        try:
            while data := self.socket.recv(65536):
                self.received += data.decode()
        except (ssl.SSLError, ConnectionError):
            pass
        return self.received

    def close(self):
        self.socket.close()


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server
        assert server.end() == 0


@pytest.fixture(scope="module")
def keys(server):
    return {phone: server.register(phone) for phone in (ROMEO, JULIET, MALLORY)}


@pytest.fixture
def mallory(server, keys):
    raw = Raw(server, *keys[MALLORY])
    yield raw
    raw.close()


@pytest.fixture
def friends(server, keys):
    """Two who converse; at the end they still do, on the same connections."""
    romeo, juliet = (Slixmpp(server, *keys[phone]) for phone in (ROMEO, JULIET))
    yield romeo, juliet
    text = f"still here {os.urandom(4).hex()}"
    romeo.send(f"{JULIET}@localhost", text)
    juliet.expect_body(text)
    romeo.leave()
    juliet.leave()


# What can't be framed: the stream ends, for good.
VIOLATIONS = {
    "malformed": b"<message><body></message></message>",
    "entity bomb": b"<!DOCTYPE a [<!ENTITY b 'b'><!ENTITY c '&b;&b;&b;'>]><message><body>&c;</body></message>",
    "deepest": b"<a>" * 60_000 + b"</a>" * 60_000,
    "garbage": bytes(range(1, 256)) * 10,
}

# What can be framed and is not accepted: counted and answered, and the session goes on (docs/promises.md, M8).
FAULTS = {
    "unknown entity": (b"<message to='a@localhost'><body>&c;</body></message>", "bad-request"),
    "not UTF-8": (b"<message><body>\xc3\x28</body></message>", "bad-request"),
    "illegal character": (b"<message><body>&#x1;</body></message>", "bad-request"),
    "unbound prefix": (b"<message><x:y/></message>", "bad-request"),
    "too deep": (b"<message>" + b"<a>" * 40 + b"</a>" * 40 + b"</message>", "policy-violation"),
    "too many attributes": (b"<message " + b" ".join(b"a%d='1'" % n for n in range(100)) + b"/>", "policy-violation"),
    "too large": (b"<message><body>" + b"x" * 300_000 + b"</body></message>", "policy-violation"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_answered_and_the_session_goes_on(friends, mallory, what):
    stanza, condition = FAULTS[what]
    mallory.say(stanza)
    answer = mallory.until("</message>")
    assert "type='error'" in answer and f"<{condition}" in answer, answer
    mallory.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert "type='result'" in mallory.until("id='p'") + mallory.until("iq>")


@pytest.mark.parametrize("what", VIOLATIONS)
def test_violations_end_one_stream(friends, mallory, what):
    try:
        mallory.say(VIOLATIONS[what])
    except (ssl.SSLError, ConnectionError):
        pass  # cut before it had said it all
    end = mallory.until_closed()
    assert re.search(r"<stream:error[^>]*><(not-well-formed|policy-violation|restricted-xml|bad-namespace-prefix)", end), end


def test_half_open_and_silent_connections(server, friends):
    """Hundreds that never say a word hold nobody up; the login deadline, which is tested in Rust, ends them."""
    idle = [socket.create_connection(("127.0.0.1", server.port(kind))) for kind in ("STARTTLS", "direct TLS") * 100]
    romeo, juliet = friends
    romeo.send(f"{JULIET}@localhost", "through the crowd")
    juliet.expect_body("through the crowd")
    for one in idle:
        one.close()


def test_a_forged_sender_ends_the_stream(friends, mallory):
    mallory.say(f"<message from='{ROMEO}@localhost' to='{JULIET}@localhost' type='chat'><body>forged</body></message>")
    assert "<invalid-from" in mallory.until_closed()
    romeo, juliet = friends
    romeo.send(f"{JULIET}@localhost", "not forged")
    juliet.expect_body("not forged")
    assert "forged" not in [message["body"] for message in juliet.messages]


def test_a_forged_stanza_id_is_stripped(friends, mallory):
    _, juliet = friends
    forged = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{JULIET}@localhost' id='forged'/>"
    mallory.say(f"<message to='{JULIET}@localhost' type='chat' id='f2'><body>two ids</body>{forged}</message>")
    message = juliet.expect_body("two ids")
    ids = message.xml.findall("{urn:xmpp:sid:0}stanza-id")
    assert len(ids) == 1 and ids[0].get("id") != "forged"


@pytest.mark.parametrize("to", ["+15550109999@localhost", "nobody@localhost", "+12@localhost", "+1555010100x@localhost"])
def test_addresses_of_nobody(mallory, to):
    mallory.say(f"<message to='{to}' type='chat' id='n1'><body>anyone?</body></message>")
    answer = mallory.until("</message>")
    assert "type='error'" in answer and "id='n1'" in answer, answer
    assert "<service-unavailable" in answer or "<item-not-found" in answer or "<jid-malformed" in answer, answer


@pytest.mark.parametrize("to", ["@localhost", "a b@localhost", "x@", "a" * 1100 + "@localhost", "<@localhost"])
def test_malformed_addresses(friends, mallory, to):
    """An error for the stanza or the end of the stream; never silence."""
    mallory.say(f"<message to='{to.replace('<', '&lt;')}' type='chat' id='n2'><body>anyone?</body></message>")
    try:
        answer = mallory.until("</message>")
    except AssertionError as closed:
        answer = str(closed)
    assert "<jid-malformed" in answer or "<improper-addressing" in answer, answer


def test_wrong_keys(server, keys, friends):
    for count in range(20):
        # Whoever has guessed ten times is not looked at any more for a while.
        with pytest.raises(AssertionError, match="not-authorized" if count < 10 else "temporary-auth-failure"):
            Raw(server, keys[ROMEO][0], "wrong" * 9)
    # Her own key, which nobody can guess, opens whatever was counted.
    Raw(server, *keys[ROMEO])


HTTP = [
    ("POST", "/v1/registrations", b"", 400),
    ("POST", "/v1/registrations", b"{", 400),
    ("POST", "/v1/registrations", b"[]", 400),
    ("POST", "/v1/registrations", b'{"phone": 5}', 400),
    ("POST", "/v1/registrations", b'{"phone": "+1"}', 400),
    ("POST", "/v1/registrations", b'{"phone": "15550101001", "transport": "sms"}', 400),
    ("POST", "/v1/registrations", b'{"phone": "' + b"9" * 6_000 + b'"}', 413),
    ("PUT", "/v1/registrations/nothing", b'{"code": "000000"}', 404),
    ("DELETE", "/v1/registrations", b"", 405),
    ("GET", "/../../etc/passwd", None, 404),
]


@pytest.mark.parametrize("method, path, body, wanted", HTTP)
def test_http(server, method, path, body, wanted):
    status, problem = server.http(method, path, body)
    assert status == wanted, (status, problem)
    if wanted not in (404, 405) or isinstance(problem, dict):
        assert problem["type"], problem


def test_http_wrong_media_type(server):
    status, problem = server.http("POST", "/v1/registrations", b"{}", {"Content-Type": "text/xml"})
    assert status == 415, problem


def test_wrong_late_and_repeated_pins(server):
    phone = "+15550101777"
    seen = len(server.log)
    status, begun = server.http("POST", "/v1/registrations", {"phone": phone, "transport": "sms"})
    assert status == 201
    pin = server.wait_for_log(rf"code for {re.escape(phone)}: (\d{{6}})", after=seen)[1]
    wrong = str((int(pin) + 1) % 1_000_000).zfill(6)
    path = f"/v1/registrations/{begun['id']}"
    for _ in range(5):
        status, problem = server.http("PUT", path, {"code": wrong})
        assert status in (401, 403, 404, 410, 422), problem
    status, problem = server.http("PUT", path, {"code": pin})
    assert status >= 400, "after five guesses the right one is too late"
