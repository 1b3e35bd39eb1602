"""A call between two phone numbers: a proposal that rings, one that waited, and a relay that lets both in."""

import re
import shutil
import socket
import subprocess
import time

import pytest
from slixmpp.xmlstream import ET

from clients import Slixmpp
from server import PATIENCE_S, Server

CALLER, CALLEE = "+15550101011", "+15550101012"
SECRET = "a secret of two servers"
RELAY_PORT = 34780
CALLS = "{urn:xmpp:jingle-message:0}"
EXTDISCO = "{urn:xmpp:extdisco:2}"
RELAY = f"""
listening-ip=127.0.0.1
relay-ip=127.0.0.1
listening-port={RELAY_PORT}
realm=localhost
use-auth-secret
static-auth-secret={SECRET}
allow-loopback-peers
no-cli
no-tls
no-dtls
log-file=stdout
simple-log
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("turnserver") and shutil.which("turnutils_uclient")), reason="Debian's package coturn is not there"
)


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A coturn that knows the server's secret."""
    directory = tmp_path_factory.mktemp("coturn")
    config = directory / "turnserver.conf"
    config.write_text(RELAY + f"userdb={directory}/turndb\npidfile={directory}/pid\n")
    log = (directory / "log").open("w")
    process = subprocess.Popen(["turnserver", "-c", config], stdout=log, stderr=subprocess.STDOUT, cwd=directory)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", RELAY_PORT), 1).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.1)
    yield directory / "log"
    process.terminate()
    process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def server(relay):
    extra = f"""
[calls]
relays = ["stun:127.0.0.1:{RELAY_PORT}", "turn:127.0.0.1:{RELAY_PORT}?transport=udp"]
secret = "{SECRET}"
"""
    with Server(extra=extra) as server:
        yield server
        assert server.end() == 0


@pytest.fixture(scope="module")
def keys(server):
    return {phone: server.register(phone) for phone in (CALLER, CALLEE)}


def services(client):
    """What the server names for calls, as attributes."""

    async def ask():
        iq = client.client.make_iq_get(ito="localhost")
        iq.xml.append(ET.fromstring("<services xmlns='urn:xmpp:extdisco:2'/>"))
        return await iq.send()

    found = client._run(ask()).xml.findall(f"{EXTDISCO}services/{EXTDISCO}service")
    return {service.get("type"): dict(service.attrib) for service in found}


def said(name, call):
    """Whether a message says this of a call."""
    return lambda message: any(child.tag == CALLS + name and child.get("id") == call for child in message.xml)


def say(client, to, name, call, inner=""):
    client.send(to, None, f"<{name} xmlns='urn:xmpp:jingle-message:0' id='{call}'>{inner}</{name}>", receipt=False)


def allocate(service, user=None):
    """Has two allocations exchange packets through the relay, with coturn's own client; whether all came, and what it says."""
    command = ["turnutils_uclient", "-y", "-c", "-n", "2", "-m", "2", "-p", service["port"]]
    command += ["-u", user or service["username"], "-w", service["password"], service["host"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    heard = done.stdout + done.stderr
    return done.returncode == 0 and "tot_send_msgs=4, tot_recv_msgs=4" in heard, heard


AUDIO = "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"


def test_a_call_is_proposed_and_both_get_through_the_relay(server, relay, keys):
    caller = Slixmpp(server, *keys[CALLER], resource="caller")
    callee = Slixmpp(server, *keys[CALLEE], resource="callee")
    try:
        say(caller, keys[CALLEE][0], "propose", "call-1", AUDIO)
        proposal = callee.expect(said("propose", "call-1"))
        assert proposal.xml.find("{urn:xmpp:delay}delay") is None, "it rings now"
        say(callee, proposal["from"], "proceed", "call-1")
        caller.expect(said("proceed", "call-1"))
        logins = [services(caller), services(callee)]
        for login in logins:
            assert login["stun"] == {"type": "stun", "host": "127.0.0.1", "port": str(RELAY_PORT), "transport": "udp"}
            turn = login["turn"]
            assert not re.search(r"1555010101\d", str(turn)), "no number for the relay"
            came, heard = allocate(turn)
            assert came, heard + relay.read_text()
        came, heard = allocate(turn, user=turn["username"].replace(":", "0:"))
        assert not came and "Cannot complete Allocation" in heard, "a login is good for its own time only"
        assert logins[0]["turn"]["username"] != logins[1]["turn"]["username"]
    finally:
        caller.leave()
        callee.leave()


def test_a_call_that_was_missed_comes_with_its_end_and_its_time(server, keys):
    caller = Slixmpp(server, *keys[CALLER], resource="caller")
    try:
        say(caller, keys[CALLEE][0], "propose", "call-2", AUDIO)
        say(caller, keys[CALLEE][0], "retract", "call-2")
        callee = Slixmpp(server, *keys[CALLEE], resource="callee")
        try:
            for name in ("propose", "retract"):
                message = callee.expect(said(name, "call-2"))
                assert message.xml.find("{urn:xmpp:delay}delay").get("from") == "localhost"
            names = [child.tag for message in callee.messages for child in message.xml if child.tag.startswith(CALLS)]
            assert names.index(CALLS + "propose") + 1 == names.index(CALLS + "retract"), names
        finally:
            callee.leave()
    finally:
        caller.leave()
