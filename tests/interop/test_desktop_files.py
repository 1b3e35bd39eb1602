"""Dino and Gajim show a picture that slixmpp has uploaded: they fetch it by themselves, over HTTPS, as a chat does."""

import hashlib
import tempfile

import pytest

import desktop
from clients import Slixmpp
from desktop import Dino, Gajim, Screen, wait_until
from server import Server
from test_desktop import picture
from test_files import send_url, trust
from test_uploads import upload

pytestmark = pytest.mark.skipif(bool(desktop.missing()), reason=str(desktop.missing()))

SENDER = "+15550101041"
PHONES = {Dino: "+15550101042", Gajim: "+15550101043"}


@pytest.mark.parametrize("program", [Dino, Gajim])
def test_a_picture_is_fetched_and_kept(program):
    content = picture(b"\x20\x60\xc0")
    with tempfile.TemporaryDirectory() as directory, Server(standard_ports=True) as server:
        trust(server)
        keys = {phone: server.register(phone) for phone in (SENDER, PHONES[program])}
        sender = Slixmpp(server, *keys[SENDER])
        other = Slixmpp(server, *keys[PHONES[program]], resource="second", priority=-1)
        sender.sync_phone_book(PHONES[program])
        other.sync_phone_book(SENDER)
        with Screen(directory, server.ca, "1600x1000") as screen:
            client = program(screen, "desk", *keys[PHONES[program]], keys[SENDER][0])
            try:
                client.start()
                client.open_chat()
                url = upload(sender, "disc.png", content)
                send_url(sender, url, PHONES[program])
                client.expect("disc.png")
                digest = hashlib.sha256(content).digest()

                def kept():
                    files = [path for path in client.home.rglob("*") if path.is_file() and path.stat().st_size == len(content)]
                    return [path for path in files if hashlib.sha256(path.read_bytes()).digest() == digest]

                wait_until(kept, lambda: f"picture in {client.home}:\n{client.seen()[-3000:]}")
            finally:
                client.close()
