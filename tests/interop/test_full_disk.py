"""A full disk: senders are told, what was accepted stays, and service resumes when there is room."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from clients import Slixmpp
from server import Server

# The server keeps 32 MiB free for acknowledgements and deletions.
DISK_MIB = 48
JULIET = "+15550101002@localhost"
BODY = "x" * 30_000
# The two are strangers to each other, and this whole disk is smaller than the room that is kept for contacts.
NO_ROOM_FOR_CONTACTS_ALONE = "[limits]\ncontacts_reserve_bytes = 0"


@pytest.fixture
def small_disk():
    """A tmpfs, as root or within a user namespace."""
    with tempfile.TemporaryDirectory(prefix="chaski-interop-") as directory:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", directory]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("mounting isn't permitted here")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "-l", directory], check=True)


def fill(path):
    """Takes every byte that is left."""
    with path.open("wb", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    ballast.write(b"\0" * size)
            except OSError:
                pass


def test_full_disk(small_disk):
    with Server(directory=small_disk, extra=NO_ROOM_FOR_CONTACTS_ALONE) as server:
        romeo = Slixmpp(server, *server.register("+15550101001"))
        juliet_key = server.register("+15550101002")
        accepted = [romeo.send(JULIET, f"before {number}") for number in range(3)]

        ballast = small_disk / "ballast"
        fill(ballast)
        # The journal may have room of its own: send until there is none.
        refused = []
        for number in range(1000):
            text = f"{number} {BODY}"
            sent = romeo.send(JULIET, text)
            if error := romeo.error_of(sent):
                refused.append(sent)
                assert error in ("internal-server-error", "resource-constraint"), error
                if len(refused) == 3:
                    break
            else:
                assert not refused, "accepted again without room"
                accepted.append(sent)
        assert len(refused) == 3, f"{len(accepted)} accepted and none refused"
        assert server.process.poll() is None, "it runs"
        with pytest.raises((AssertionError, OSError)):
            server.register("+15550101003")

        ballast.unlink()
        server.wait_until(lambda: probe(romeo, accepted), "service after there was room")
        romeo.leave()

        juliet = Slixmpp(server, *juliet_key)
        juliet.expect(lambda message: message["id"] == accepted[-1])
        arrived = [message["id"] for message in juliet.messages]
        assert arrived == accepted, "all that was accepted, in order, and nothing else"
        juliet.leave()
        assert server.end() == 0


def probe(romeo, accepted):
    """Whether a message is accepted now."""
    sent = romeo.send(JULIET, "after")
    if romeo.error_of(sent):
        return False
    accepted.append(sent)
    return True
