"""Which loads are put on which servers, and how large."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a comparison is."""

    idle_sessions: int
    pairs: int
    pairs_seconds: int
    open_sessions: int
    open_per_s: int
    open_per_s_prosody: int
    open_seconds: int
    half_seconds: int
    presence_accounts: int
    presence_per_s: int
    presence_seconds: int

    def accounts(self):
        return max(self.idle_sessions, 2 * self.pairs, self.open_sessions, self.presence_accounts)


SHORT = Size(
    idle_sessions=1000,
    pairs=500,
    pairs_seconds=4,
    open_sessions=1000,
    open_per_s=4000,
    open_per_s_prosody=1000,
    open_seconds=4,
    half_seconds=4,
    presence_accounts=204,
    presence_per_s=100,
    presence_seconds=10,
)
FULL = Size(
    idle_sessions=8000,
    pairs=1000,
    pairs_seconds=15,
    open_sessions=16000,
    open_per_s=20000,
    open_per_s_prosody=2700,
    open_seconds=20,
    half_seconds=20,
    presence_accounts=1000,
    presence_per_s=200,
    presence_seconds=20,
)


@dataclasses.dataclass(frozen=True)
class Load:
    """One load: its name in the results, what people read, what the generator is told."""

    name: str
    title: str
    arguments: tuple
    # The generator's log-ins and grace take their time, which this bounds together with the measuring.
    seconds_max: int

    def is_tls(self):
        return "--tls" in self.arguments


def idle(size, tls):
    arguments = ("idle", "--sessions", str(size.idle_sessions)) + (("--tls",) if tls else ())
    return Load("idle-tls" if tls else "idle-plain", "TLS 1.3" if tls else "plain", arguments, 120)


def pairs(size, in_flight):
    arguments = ("pairs", "--pairs", str(size.pairs), "--in-flight", str(in_flight), *_measured(size.pairs_seconds))
    return Load(f"pairs-{in_flight}", f"{size.pairs:,} pairs, {in_flight} in flight each", arguments, 60 + size.pairs_seconds)


def open_loop(size, server):
    per_s = size.open_per_s_prosody if server == "prosody" else size.open_per_s
    arguments = ("pairs", "--pairs", str(size.open_sessions // 2), "--rate", str(per_s), *_measured(size.open_seconds))
    title = f"{size.open_sessions:,} sessions, {size.open_per_s:,}/s (Prosody {size.open_per_s_prosody:,}/s)"
    return Load("open", title, arguments, 150 + size.open_seconds)


def half(size, most_per_s):
    """Half of what the server could do, to see what waiting for the disk costs."""
    per_s = max(1, int(most_per_s / 2))
    arguments = ("pairs", "--pairs", str(size.pairs), "--rate", str(per_s), *_measured(size.half_seconds))
    return Load("half", f"half load, {per_s:,}/s", arguments, 60 + size.half_seconds)


def presence(size, server):
    """Everybody has 50 contacts, made by asking and agreeing before anything is measured. The peers are slow at that."""
    acquaint = ("--acquaint-rate", str({"chaski": 2000, "ejabberd": 250}.get(server, 120)))
    arguments = ("presence", "--accounts", str(size.presence_accounts), "--rate", str(size.presence_per_s), *acquaint, "--seconds", str(size.presence_seconds))
    title = f"{size.presence_accounts:,} accounts, 50 contacts each, {size.presence_per_s:,} updates/s"
    return Load("presence", title, arguments, 400 + size.presence_seconds)


def _measured(seconds):
    return ("--seconds", str(seconds), "--body", "100")
