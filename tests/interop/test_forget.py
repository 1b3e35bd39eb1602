"""Nothing is kept: a minute after the acknowledgement no byte of what was sent is in the data directory.

Runs with the intervals that everybody gets, so it takes about three minutes.
"""

import os
import sqlite3
import time

from clients import Slixmpp
from server import Server

MARKER = "Zwanzig-Boxkämpfer-7f3a9c"
# As they might be found: the text, its parts around the umlaut, UTF-16.
NEEDLES = [MARKER.encode(), b"Zwanzig-Boxk", b"mpfer-7f3a9c", MARKER.encode("utf-16-le")]
JULIET = "+15550101002@localhost"
MOVED_WITHIN_S = 120
FORGOTTEN_WITHIN_S = 60


def files_with_marker(directory):
    """Every file, also journals, write-ahead logs and logs, that has one of the needles."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                found += [(path, needle) for needle in NEEDLES if needle in content]
    return found


def wait_until_gone(server):
    """Within the promised minute."""
    deadline = time.monotonic() + FORGOTTEN_WITHIN_S
    while found := files_with_marker(server.data):
        assert time.monotonic() < deadline, found
        time.sleep(1)


def test_forget():
    with Server() as server:
        romeo = Slixmpp(server, *server.register("+15550101001"))
        juliet_key = server.register("+15550101002")

        # Acknowledged at once: in the journal only.
        juliet = Slixmpp(server, *juliet_key)
        for number in range(20):
            romeo.send(JULIET, f"{MARKER} live {number}")
        juliet.expect_body(f"{MARKER} live 19")
        server.wait_until(lambda: server.waiting("+15550101002") == 0, "acknowledgement")
        juliet.leave()
        assert files_with_marker(server.data), "the search finds what is still in the journal"
        assert server.metric("chaski_store_spilled_total") == 0
        wait_until_gone(server)

        # Away for long: moved to SQLite, then fetched and acknowledged.
        for number in range(20):
            romeo.send(JULIET, f"{MARKER} queued {number}")
        deadline = time.monotonic() + MOVED_WITHIN_S
        while server.metric("chaski_store_spilled_total") < 20:
            assert time.monotonic() < deadline, "nothing was moved to SQLite"
            time.sleep(1)
        romeo.send(JULIET, f"{MARKER} just before the return")
        juliet = Slixmpp(server, *juliet_key)
        last = juliet.expect_body(f"{MARKER} just before the return")
        arrived = [message["body"] for message in juliet.messages]
        assert arrived[:-1] == [f"{MARKER} queued {number}" for number in range(20)] and last
        server.wait_until(lambda: server.waiting("+15550101002") == 0, "acknowledgement")
        assert server.metric("chaski_store_acked_in_sqlite_total") == 20
        wait_until_gone(server)
        assert rows(server) == 0

        # Not by stopping either.
        juliet.leave()
        romeo.leave()
        assert server.end() == 0
        assert not files_with_marker(server.directory)
        assert not any(needle.decode(errors="ignore") in line for needle in NEEDLES[:3] for line in server.log)


def rows(server):
    """Messages that are in SQLite."""
    path = next(path for path in server.data.rglob("*") if is_sqlite(path))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return database.execute("select count(*) from messages").fetchone()[0]


def is_sqlite(path):
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"
