"""The clients that converse in the tests, each behind the same few words.

`Slixmpp` is a whole client that tells everything. `GoSendxmpp` is Debian's command-line client (Go, another XML
parser, another TLS, another SASL): it sends one message a run, or listens and prints what comes. `Chat` is our own
`chaski chat`, which registers by itself.
"""

import asyncio
import os
import re
import subprocess
import threading
import time

import slixmpp
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from server import BINARY, PATIENCE_S

PLUGINS = ["xep_0012", "xep_0030", "xep_0066", "xep_0080", "xep_0084", "xep_0184", "xep_0198", "xep_0199", "xep_0203"]
PLUGINS += ["xep_0333", "xep_0359"]


# All slixmpp clients live on one event loop, beside the tests.
LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


class Slixmpp:
    """One account online with slixmpp."""

    def __init__(self, server, jid, key, resource="slixmpp", priority=0):
        self.messages = []
        self._arrived = threading.Condition()
        self._run(self._connect(server, jid, key, resource, priority))

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(PATIENCE_S)

    async def _connect(self, server, jid, key, resource, priority):
        self.client = client = slixmpp.ClientXMPP(f"{jid}/{resource}", key)
        client.ca_certs = server.ca
        for plugin in PLUGINS:
            client.register_plugin(plugin)
        # This test answers and marks by itself, when it wants to.
        client["xep_0184"].auto_ack = client["xep_0184"].auto_request = False
        # Its "message" event leaves out what has no text.
        client.register_handler(Callback("every message", StanzaPath("message"), self._on_message))
        ready = LOOP.create_future()
        client.add_event_handler("session_start", lambda _: ready.done() or ready.set_result(None))
        client.add_event_handler("failed_all_auth", lambda _: ready.done() or ready.set_exception(PermissionError(jid)))
        client.connect(host="127.0.0.1", port=server.port("STARTTLS"))
        await asyncio.wait_for(ready, PATIENCE_S)
        client.send_presence(ppriority=priority)

    def _on_message(self, message):
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    def expect(self, matches, what="message"):
        """The first message, in all that came, that `matches` says yes to."""
        deadline = time.monotonic() + PATIENCE_S
        with self._arrived:
            while True:
                for message in self.messages:
                    if matches(message):
                        return message
                if not self._arrived.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no such {what}; came: {[str(message) for message in self.messages]}")

    def expect_body(self, text):
        """The message with this text."""
        return self.expect(lambda message: message["body"] == text, f"message {text!r}")

    def expect_marker(self, name, of):
        """The marker or receipt `name` for the message with the id `of`."""

        def matches(message):
            return any(child.tag.endswith("}" + name) and child.get("id") == of for child in message.xml)

        return self.expect(matches, f"{name} of {of}")

    def error_of(self, sent):
        """The condition with which the message with this id came back, if it did."""
        with self._arrived:
            for message in self.messages:
                if message["type"] == "error" and message["id"] == sent:
                    return message["error"]["condition"]
        return None

    def send(self, to, text, *children, receipt=True):
        """Sends a chat message and waits until the server has accepted it (0198); its id."""
        return self._run(self._send(to, text, children, receipt))

    async def _send(self, to, text, children, receipt):
        message = self.client.make_message(mto=to, mbody=text, mtype="chat")
        message["id"] = self.client.new_id()
        if receipt:
            message.xml.append(ET.fromstring("<request xmlns='urn:xmpp:receipts'/>"))
            message.xml.append(ET.fromstring("<markable xmlns='urn:xmpp:chat-markers:0'/>"))
        for child in children:
            message.xml.append(ET.fromstring(child))
        await self._accepted(message)
        return message["id"]

    def reply_with(self, message, *children):
        """Answers a message with these elements and no text, as receipts and markers are."""

        async def go():
            reply = self.client.make_message(mto=message["from"], mtype="chat")
            reply["id"] = self.client.new_id()
            for child in children:
                reply.xml.append(ET.fromstring(child))
            await self._accepted(reply)

        self._run(go())

    async def _accepted(self, stanza):
        """Sends it, and waits until the server's <a/> covers it."""
        sm = self.client["xep_0198"]
        number = sm.seq + 1
        stanza.send()
        deadline = time.monotonic() + PATIENCE_S
        while sm.last_ack < number:
            assert time.monotonic() < deadline, "the server does not accept"
            if sm.seq >= number:
                sm.request_ack()
            await asyncio.sleep(0.02)

    def receipt(self, message):
        """The second check mark."""
        self.reply_with(message, f"<received xmlns='urn:xmpp:receipts' id='{message['id']}'/>")

    def displayed(self, message):
        """The blue check marks."""
        self.reply_with(message, f"<displayed xmlns='urn:xmpp:chat-markers:0' id='{message['id']}'/>")

    def befriend(self, jid, name):
        """Puts somebody into the roster under this name, and asks for presence; who asks is granted it."""

        async def go():
            await self.client.get_roster()  # From now on it is told of changes.
            await self.client.update_roster(jid, name=name)
            self.client.send_presence_subscription(jid)

        self._run(go())

    def sync_phone_book(self, *numbers):
        """Tells the server the phone book, as Quicksy's app does; number -> JID of those who are registered."""
        space = "im.quicksy.synchronization:0"

        async def go():
            await self.client.get_roster()
            request = self.client.make_iq_get(ito=self.client.boundjid.domain)
            entries = "".join(f"<entry number='{number}'/>" for number in numbers)
            request.append(ET.fromstring(f"<phone-book xmlns='{space}'>{entries}</phone-book>"))
            return await request.send()

        entries = self._run(go()).xml.findall(f"{{{space}}}phone-book/{{{space}}}entry")
        return {entry.get("number"): entry.findtext(f"{{{space}}}jid") for entry in entries}

    def name(self, jid, name):
        """Gives a contact a name."""

        async def go():
            await self.client.update_roster(jid, name=name)

        self._run(go())

    def subscription(self, jid):
        """To this contact."""
        return self.client.client_roster[jid]["subscription"]

    def publish_avatar(self, png, side):
        """Sets the account's picture (0084), a PNG with sides of so many pixels; its SHA-1."""

        async def go():
            avatar = self.client["xep_0084"]
            await avatar.publish_avatar(png)
            digest = avatar.generate_id(png)
            about = {"id": digest, "type": "image/png", "bytes": str(len(png)), "width": str(side), "height": str(side)}
            await avatar.publish_avatar_metadata([about])
            return digest

        return self._run(go())

    def last_seen(self, jid):
        """Seconds since somebody was there (0012), or the condition with which that isn't told."""

        async def go():
            try:
                answer = await self.client["xep_0012"].get_last_activity(jid)
            except slixmpp.exceptions.IqError as error:
                return error.condition
            return answer["last_activity"]["seconds"]

        return self._run(go())

    def leave(self):
        """Logs out properly."""

        async def go():
            await asyncio.wait_for(self.client.disconnect(wait=2), PATIENCE_S)

        self._run(go())

    def vanish(self):
        """Loses its network: the socket goes without a word."""

        async def go():
            self.client.abort()

        self._run(go())


class Printing:
    """A program that prints what happens; the tests wait for lines."""

    def run(self, command, environment=None, errors=subprocess.STDOUT):
        self.printed = []
        self._arrived = threading.Condition()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
        )
        threading.Thread(target=self._follow, args=(self.process.stdout,), daemon=True).start()

    def _follow(self, stdout):
        for line in stdout:
            with self._arrived:
                self.printed.append(line.rstrip("\n"))
                self._arrived.notify_all()

    def expect(self, pattern):
        """The match in the first line it printed with this pattern."""
        deadline = time.monotonic() + PATIENCE_S
        with self._arrived:
            while True:
                for line in self.printed:
                    if match := re.search(pattern, line):
                        return match
                if not self._arrived.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no {pattern!r}; printed:\n" + "\n".join(self.printed))

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process.stdin.close()
            self.process = None


class GoSendxmpp(Printing):
    """One account with Debian's go-sendxmpp."""

    def __init__(self, server, jid, key):
        self.process = None
        port = server.port("STARTTLS")
        self._command = ["go-sendxmpp", "-u", jid, "-p", key, "-j", f"localhost:{port}"]
        self._environment = {**os.environ, "SSL_CERT_FILE": str(server.ca), "HOME": str(server.directory)}

    def send(self, to, text, raw=False):
        """One run of the client: logs in, sends, logs out."""
        done = subprocess.run(
            [*self._command, *(["--raw"] if raw else []), to],
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"go-sendxmpp: {done.stdout}{done.stderr}"

    def send_file(self, to, path):
        """One run that uploads a file (0363) and sends its URL (0066)."""
        done = subprocess.run(
            [*self._command, "--http-upload", str(path), to],
            stdin=subprocess.DEVNULL,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"go-sendxmpp: {done.stdout}{done.stderr}"

    def listen(self):
        """Goes online and prints what comes, with all that is said on the wire."""
        self.run([*self._command, "-d", "-l"], self._environment)
        self.expect("<presence|<iq|session")


class Chat(Printing):
    """One number with `chaski chat`."""

    def __init__(self, server, phone):
        self.server, self.phone = server, phone
        self._command = [BINARY, "chat", phone, "--server", f"localhost:{server.port('STARTTLS')}", "--tls", "starttls"]
        self._command += ["--register-url", server.web, "--ca", server.ca, "--data", server.directory / "chat"]
        self._command += ["--downloads", server.directory]
        self.process = None

    def start(self, register=False):
        """Goes online; the first time it registers, and is told the PIN."""
        seen = len(self.server.log)
        self.run(self._command)
        if register:
            self.expect("Type its 6 digits")
            self.type(self.server.wait_for_log(rf"code for {re.escape(self.phone)}: (\d{{6}})", after=seen)[1])
        self.expect("^Connected as")
        return self

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def quit(self):
        """Stops as people stop it."""
        self.type("/quit")
        assert self.process.wait(PATIENCE_S) == 0
        self.stop()
