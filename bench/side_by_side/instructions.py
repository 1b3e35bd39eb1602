"""Instructions per message and per login, counted by callgrind.

A server of one shard runs under valgrind; one pair sends a message at a time, or sessions log in one after the other. Two runs are taken and
subtracted, so that the start, the end and what only the first message pays are in neither. Both runs of messages take equally long
and differ in the rate, so that what the server does by the clock (ticks, spaced commits) is in neither as well; the rates are low enough that
each message has its turn, its commit and its acknowledgement for itself. Instructions of the kernel are not counted, nor what waiting costs: for
those are the timed loads. Each count is taken several times, and its spread is told.
"""

import json
import re
import shutil
import subprocess
import tempfile

import accounts
import servers

REPEATS = 3
SECONDS = 10
# Messages per second, and numbers of logins, of the small and the large run.
RATES = (10, 110)
LOGINS = (50, 250)


class UnderCallgrind(servers.Chaski):
    """Chaski under callgrind; its total is read while it serves: at its end it reads its journal once more, whose length jumps."""

    name = "chaski"

    def command(self):
        counts = self.directory / "callgrind.out"
        return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", *super().command()]

    def total(self):
        """Instructions of the process' life until now."""
        done = subprocess.run(["callgrind_control", "--dump", str(self.process.pid)], capture_output=True, text=True, check=False)
        dump = self.directory / "callgrind.out.1"
        if done.returncode or not dump.exists():
            raise servers.Failed(f"callgrind wrote nothing down: {done.stdout} {done.stderr}")
        text = dump.read_text(errors="replace")
        totals = re.findall(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if not totals:
            raise servers.Failed("callgrind wrote no total: did the server end by itself?")
        return int(totals[-1])


def compare(builds, generator, say):
    """Counts for each build: {what: {side: [counts]}}. Empty where valgrind is missing."""
    if not shutil.which("valgrind"):
        say("valgrind is missing (apt-get install valgrind): no instructions are counted")
        return {}
    counts = {"message": {}, "login": {}}
    for side, binary in builds.items():
        for repeat in range(REPEATS):
            say(f"instructions, {side}, {repeat + 1} of {REPEATS}")
            counts["message"].setdefault(side, []).append(_difference(binary, generator, _messages, RATES, "delivered"))
            counts["login"].setdefault(side, []).append(_difference(binary, generator, _logins, LOGINS, "logins"))
    return counts


def _difference(binary, generator, load, sizes, counted):
    (short, few), (long, many) = (_count(binary, generator, load(size), counted) for size in sizes)
    return (long - short) / (many - few)


def _messages(per_s):
    return ["pairs", "--pairs", "1", "--rate", str(per_s), "--seconds", str(SECONDS), "--body", "100"]


def _logins(sessions):
    return ["idle", "--sessions", str(sessions), "--seconds", "1", "--logins-at-once", "1"]


def _count(binary, generator, load, counted):
    """One run: instructions, and how many of what is counted."""
    with tempfile.TemporaryDirectory(prefix="chaski-callgrind-") as directory:
        server = UnderCallgrind("127.0.77.8", directory, binary, 1)
        server.import_accounts(accounts.listed(generator, max(LOGINS)), None)
        with server:
            target = ["--server", f"{server.host}:{servers.PLAIN_PORT}", "--domain", servers.DOMAIN, "--threads", "1"]
            report = json.loads(servers.run([generator, "bench", "--json", *load, *target]))
            return server.total(), report["figures"][counted]


def table(counts):
    """Lines of a table."""
    if not counts:
        return []
    lines = ["| instructions, user space | new | old | new / old | spread of each |", "|---|---|---|---|---|"]
    for what, sides in counts.items():
        new, old = sorted(sides["new"]), sorted(sides["old"])
        middle = len(new) // 2
        spread = max(side[-1] / side[0] - 1 for side in (new, old))
        lines.append(f"| per {what} | {new[middle]:,.0f} | {old[middle]:,.0f} | {new[middle] / old[middle]:.3f} | {spread:.1%} |")
    return lines
