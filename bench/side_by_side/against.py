"""`bench/compare --against REV`: is this tree dearer than that one?

Two builds of Chaski under the same loads, in pairs: both are up with fresh data, and each load goes to one, the other, the other, the one
(the next pair the other way round). What counts is the ratio within a pair, since the machine's speed changes from minute to minute. Of the
ratios of all pairs: the median, and the interval in which the true median lies with at least 95 % confidence (by order statistics: nothing
is assumed of the noise). Both are loaded by the same generator, the new build's. With --floors the floor relay, without and with
acknowledgements, has its turn in the middle of each pair's messages, and the new build's ratio to either is told. Afterwards each build once more under callgrind, which
counts instructions: what they cost in instructions doesn't depend on the machine's mood.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import subprocess
import tempfile

import accounts
import instructions
import loads
import machine
import servers

# What "not dearer" means: the upper end of the interval is at most this.
BOUND = 1.05
CONFIDENCE = 0.95
SIZE = dataclasses.replace(loads.SHORT, pairs_seconds=3, open_seconds=3)
HOSTS = {"new": "127.0.77.9", "old": "127.0.77.10", "floor": "127.0.77.11", "floor-acks": "127.0.77.12"}
FLOORS = (servers.Floor, servers.FloorWithAcks)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a report, of which less is better."""

    load: str
    name: str
    title: str
    unit: str


FIGURES = (
    Figure("pairs-4", "server_cpu_us_per_message", "CPU per message, 500 pairs, 4 in flight", "µs"),
    Figure("pairs-1", "server_cpu_us_per_message", "CPU per message, 500 pairs, 1 in flight", "µs"),
    Figure("open", "server_cpu_us_per_message", "CPU per message, 1,000 sessions, 4,000/s", "µs"),
    Figure("idle-plain", "server_cpu_us_per_login", "CPU per login, plain", "µs"),
    Figure("idle-tls", "server_cpu_us_per_login", "CPU per login, TLS 1.3", "µs"),
    Figure("idle-plain", "server_resident_bytes_per_session", "bytes per session, plain", "B"),
    Figure("idle-tls", "server_resident_bytes_per_session", "bytes per session, TLS 1.3", "B"),
)


def run(root, binary, revision, options, say):
    """The whole comparison. Gives whether no figure is dearer than the bound allows."""
    commit = _git(root, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    old = _built(root, commit, say)
    rows = []
    if not options.instructions_only:
        rows = _pairs({"new": binary, "old": old}, binary, options, say)
    counts = {} if options.no_instructions else instructions.compare({"new": binary, "old": old}, binary, say)
    _write(root, commit, options, rows, counts, say)
    return all(row["upper"] <= BOUND for row in rows)


def _git(root, *arguments):
    return servers.run(["git", "-C", str(root), *arguments])


def _built(root, commit, say):
    """That revision's program, built once and kept beside the other builds."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    place = target / "against" / commit[:12]
    binary = place / "chaski"
    if binary.exists():
        return str(binary)
    say(f"building {commit[:12]} (once, kept in {place})")
    source = place / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    archive = subprocess.Popen(["git", "-C", str(root), "archive", commit], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(source)], stdin=archive.stdout, check=True)
    archive.stdout.close()
    if archive.wait() != 0:
        raise servers.Failed(f"git could not give the tree of {commit}")
    build = target / "against" / "build"
    subprocess.run(
        ["cargo", "build", "--release", "-p", "chaski"], cwd=source, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(build)}
    )
    shutil.copy2(build / "release" / "chaski", binary)
    shutil.rmtree(source)
    return str(binary)


def _pairs(builds, generator, options, say):
    """Loads both builds in turns; gives a row for each figure."""
    listed = accounts.listed(generator, SIZE.accounts())
    floors = FLOORS if options.floors else ()
    taken = {side: [] for side in ("new", "old", *(floor.name for floor in floors))}
    for pair in range(options.pairs):
        say(f"pair {pair + 1} of {options.pairs}")
        order = ("new", "old") if pair % 2 == 0 else ("old", "new")
        for side, values in _pair(builds, generator, listed, options.threads, order, floors).items():
            taken[side].append(values)
    return [row for figure in FIGURES if (row := _row(figure, taken))]


def _pair(builds, generator, listed, threads, order, floors):
    """Both builds under all loads, and the floors under messages: {side: {(load, figure): value}}."""
    values = {side: {} for side in (*order, *(floor.name for floor in floors))}
    with tempfile.TemporaryDirectory(prefix="chaski-against-") as directory:
        up = {side: servers.Chaski(HOSTS[side], pathlib.Path(directory) / side, builds[side], threads) for side in order}
        for server in up.values():
            server.import_accounts(listed, None)
        beside = {floor.name: floor(HOSTS[floor.name], pathlib.Path(directory), generator, threads) for floor in floors}
        for group, others in (((loads.idle(SIZE, False),), {}), ((loads.idle(SIZE, True),), {}), (_messages(), beside)):
            with contextlib.ExitStack() as running:
                both = up | others
                for server in both.values():
                    running.enter_context(server)
                for load in group:
                    runs = {side: [] for side in both}
                    for side in (*order, *others, *reversed(order)):
                        runs[side].append(_load(both[side], generator, load))
                    for side in both:
                        values[side].update(_joined(load, *runs[side]))
    return values


def _joined(load, first, second=None):
    """Two runs of one load: the mean, but of memory the first, for which nothing was there already. Or one."""
    joined = {}
    second = second or first
    for name, value in first.items():
        if isinstance(value, (int, float)) and isinstance(second.get(name), (int, float)):
            joined[load.name, name] = value if "bytes" in name else (value + second[name]) / 2
    return joined


def _messages():
    return (loads.pairs(SIZE, 4), loads.pairs(SIZE, 1), loads.open_loop(SIZE, "chaski"))


def _load(server, generator, load):
    port = servers.TLS_PORT if load.is_tls() else servers.PLAIN_PORT
    target = ["--server", f"{server.host}:{port}", "--pid", str(server.pid()), "--domain", servers.DOMAIN]
    if load.is_tls():
        target += ["--ca", str(server.certificate_authority())]
    if not server.has_acks:
        target.append("--no-sm")
    report = json.loads(servers.run([generator, "bench", "--json", *load.arguments, *target]))
    if report.get("complaints"):
        raise servers.Failed(f"{load.title}: {report['complaints']}")
    return report["figures"]


def _row(figure, taken):
    key = (figure.load, figure.name)
    pairs = [(new[key], old[key]) for new, old in zip(taken["new"], taken["old"]) if new.get(key) and old.get(key)]
    if not pairs:
        return None
    ratios = sorted(new / old for new, old in pairs)
    lower, upper = interval(ratios)
    return {
        "figure": figure.title,
        "unit": figure.unit,
        "new": median(sorted(new for new, _ in pairs)),
        "old": median(sorted(old for _, old in pairs)),
        "ratio": median(ratios),
        "lower": lower,
        "upper": upper,
        "ratios": ratios,
        "floors": {floor.name: _to_floor(key, taken, floor.name) for floor in FLOORS if taken.get(floor.name)},
    }


def _to_floor(key, taken, floor):
    """The new build's ratio to a floor: the median of all pairs'. None: that is not measured."""
    ratios = sorted(new[key] / low[key] for new, low in zip(taken["new"], taken[floor]) if new.get(key) and low.get(key))
    return median(ratios) if ratios else None


def median(ordered):
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval(ordered):
    """The narrowest pair of order statistics that holds the true median with at least the wanted confidence."""
    count = len(ordered)
    outside, rank = 0.0, 0
    # P(fewer than rank + 1 of count fall below the median), both sides.
    while rank < (count - 1) // 2:
        outside += 2 * math.comb(count, rank) / 2**count
        if 1 - outside < CONFIDENCE:
            break
        rank += 1
    rank = max(rank - 1, 0)
    return ordered[rank], ordered[count - 1 - rank]


def _write(root, commit, options, rows, counts, say):
    results = root / "bench" / "results"
    results.mkdir(exist_ok=True)
    new = _git(root, "rev-parse", "HEAD").strip()
    page = [f"# {new[:12]} against {commit[:12]}", "", f"{machine.now()}, {options.pairs} alternating pairs.", ""]
    page += _table(rows) + [""] + instructions.table(counts)
    path = results / f"against-{commit[:12]}.json"
    path.write_text(json.dumps({"new": new, "old": commit, "machine": machine.facts(), "figures": rows, "instructions": counts}, indent=1) + "\n")
    path.with_suffix(".md").write_text("\n".join(page) + "\n")
    print("\n".join(page))
    say(f"wrote {path}, and .md beside it")


def _table(rows):
    if not rows:
        return []
    floors = [floor for floor in FLOORS if any(floor.name in row["floors"] for row in rows)]
    heads = ["figure", "new", "old", "new / old, median", "95 % interval", "at most 1.05", *(f"new / {floor.title}" for floor in floors)]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        said = "yes" if row["upper"] <= BOUND else "no"
        lines.append(
            f"| {row['figure']} | {row['new']:.1f} {row['unit']} | {row['old']:.1f} {row['unit']} | {row['ratio']:.3f} "
            f"| {row['lower']:.3f} to {row['upper']:.3f} | {said} |"
            + "".join(f" {row['floors'][floor.name]:.2f} |" if row["floors"].get(floor.name) else " – |" for floor in floors)
        )
    return lines
