"""Runs the end-to-end tests of slixmpp and aioxmpp, unmodified, against a fresh server, and compares with expected/.

    python suites.py fetch
    python suites.py slixmpp|aioxmpp [--write]

Each list in expected/ names every test with its outcome: pass, or fail or skip with the reason. The list must be
true: a test that does better than its line is as wrong as one that does worse. `--write` makes the list anew from
what happened and keeps the reasons that it has. The clients need the standard ports (slixmpp's tests look for
nothing else), so this wants a network namespace of its own: `unshare -rn` and `ip link set lo up`, as ./test does.
"""

import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

from clients import Slixmpp
from server import Server

HERE = Path(__file__).resolve().parent
SOURCES = Path(os.environ.get("SUITES", HERE.parent.parent / ".venv" / "suites"))
PASSWORD = "correct-horse-battery"
SUITE_TIMEOUT_S = 900
AIOXMPP_ACCOUNTS = 160

SLIXMPP = ("slixmpp", "1.17.0", "slixmpp-1.17.0.tar.gz", "05257ee0f2aecb42d6479f6071c89ad3c734fda0ee753eb4625ecdc6114d90b1")
AIOXMPP = (
    "python-aioxmpp",
    "0.13.3",
    "python-aioxmpp_0.13.3.orig.tar.gz",
    "b8f06c21a8429286bf2ef26e4617a2e772df74566a0aa3d4c9501f8f50b6735a",
)


# Sources.


def fetch_slixmpp():
    """slixmpp's source archive, by pip."""
    name, version, file, digest = SLIXMPP
    archive = SOURCES / file
    if not archive.exists():
        words = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", SOURCES, f"{name}=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    return unpack(archive, digest, "slixmpp")


def fetch_aioxmpp():
    """aioxmpp's source as Debian keeps it (the archive for pip has no tests), by apt from the machine's mirror."""
    name, version, file, digest = AIOXMPP
    archive = SOURCES / file
    if not archive.exists():
        words = ["--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]
        found = subprocess.run(["apt-get", "indextargets", *words], check=True, capture_output=True, text=True)
        mirrors = [line for line in found.stdout.split() if "security" not in line]
        url = f"{mirrors[0].rstrip('/')}/pool/main/p/{name}/{file}"
        partial = archive.with_suffix(".partial")
        subprocess.run(
            ["/usr/lib/apt/apt-helper", "download-file", url, partial, f"SHA256:{digest}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        partial.rename(archive)
    return unpack(archive, digest, "aioxmpp")


def unpack(archive, digest, name):
    """The directory with the archive's files, checked."""
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != digest:
        sys.exit(f"{archive} is not the file that was expected: its SHA-256 is {actual}")
    target = SOURCES / name
    if not target.exists():
        scratch = SOURCES / f"{name}.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(scratch)
        inner = list(scratch.iterdir())
        (inner[0] if len(inner) == 1 else scratch).rename(target)
    return target


# Runs.


def run_slixmpp(server, results):
    """Its tests import the installed slixmpp, not the source tree: only `itests` is on the path."""
    source = fetch_slixmpp()
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "itests").symlink_to(source / "itests")
        environment = {
            **os.environ,
            "SSL_CERT_FILE": str(server.ca),
            "CI_ACCOUNT1": server.add_account("romeo", PASSWORD),
            "CI_ACCOUNT1_PASSWORD": PASSWORD,
            "CI_ACCOUNT2": server.add_account("juliet", PASSWORD),
            "CI_ACCOUNT2_PASSWORD": PASSWORD,
            "CI_MUC_SERVER": "rooms.localhost",
        }
        befriend(server, environment["CI_ACCOUNT1"], environment["CI_ACCOUNT2"])
        pytest(["itests"], scratch, environment, results)


def befriend(server, *jids):
    """Makes them contacts of each other: strangers don't see profiles, and its tests want to."""
    clients = [Slixmpp(server, jid, PASSWORD, resource="friend") for jid in jids]
    for client, friend in zip(clients, reversed(jids)):
        client.befriend(friend, "friend")
    server.wait_until(lambda: all(c.subscription(j) == "both" for c, j in zip(clients, reversed(jids))), "contacts")
    for client in clients:
        client.leave()


def run_aioxmpp(server, results):
    """New accounts for each test."""
    source = fetch_aioxmpp()
    names = [f"player-{number}" for number in range(AIOXMPP_ACCOUNTS)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: server.add_account(name, PASSWORD), names))
    accounts = [(name, PASSWORD) for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "e2e.ini")
        config.write_text(
            "[global]\nprovisioner=fresh_accounts.FreshAccounts\ntimeout=5\n"
            "[fresh_accounts.FreshAccounts]\n"
            f"host=localhost\nport={server.port('STARTTLS')}\nno_verify=true\naccounts={accounts!r}\n"
        )
        tests = sorted(str(path.relative_to(source)) for path in source.glob("tests/**/test_e2e.py"))
        words = ["-p", "aioxmpp.e2etest", f"--e2etest-config={config}", *tests]
        pytest(words, source, {**os.environ, "PYTHONPATH": str(HERE)}, results)


def pytest(words, directory, environment, results):
    """Whether they pass is read from the results, so a failure is no error here."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    log = results.with_suffix(".log").open("w")
    subprocess.run(
        [*command, f"--junitxml={results}", *words],
        cwd=directory,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        timeout=SUITE_TIMEOUT_S,
    )


# Comparison.


def outcomes(results):
    """Name of each test -> (pass|fail|skip, what was said)."""
    found = {}
    for case in xml.parse(results).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        outcome, said = "pass", ""
        for kind, tag in (("fail", "failure"), ("fail", "error"), ("skip", "skipped")):
            if (element := case.find(tag)) is not None:
                outcome, said = kind, element.get("message", "").splitlines()[:1]
                break
        found[name] = (outcome, "".join(said))
    return found


def expected(path):
    """Name of each test -> (outcome, reason) from the list."""
    listed = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            outcome, name, *reason = re.split(r"\s+", line.strip(), maxsplit=2)
            listed[name] = (outcome, reason[0].lstrip("# ") if reason else "")
    return listed


def write(path, head, found, listed):
    """The list anew; a reason that is missing says so."""
    lines = [head]
    for name in sorted(found):
        outcome, _ = found[name]
        reason = listed.get(name, ("", ""))[1] or "reason missing"
        lines.append(f"{outcome}  {name}" + (f"  # {reason}" if outcome != "pass" else ""))
    path.write_text("\n".join(lines) + "\n")


def compare(found, listed):
    """Every difference, as lines."""
    wrong = []
    for name in sorted(found.keys() | listed.keys()):
        happened, said = found.get(name, ("not run", ""))
        wanted, reason = listed.get(name, ("not listed", ""))
        if happened != wanted:
            wrong.append(f"{name}: expected {wanted}, but {happened} {said}".rstrip())
        elif wanted != "pass" and not reason:
            wrong.append(f"{name}: the list gives no reason")
    return wrong


def main():
    name = sys.argv[1]
    SOURCES.mkdir(parents=True, exist_ok=True)
    if name == "fetch":
        fetch_slixmpp()
        fetch_aioxmpp()
        return
    run = {"slixmpp": run_slixmpp, "aioxmpp": run_aioxmpp}[name]
    list_path = HERE / "expected" / f"{name}.txt"
    results = SOURCES / f"{name}.xml"
    results.unlink(missing_ok=True)
    with Server(standard_ports=name == "slixmpp") as server:
        run(server, results)
        SOURCES.joinpath(f"{name}-server.log").write_text("\n".join(server.log))
        code = server.end()
    found, listed = outcomes(results), expected(list_path)
    if "--write" in sys.argv:
        head = f"# {name}'s own end-to-end tests against Chaski. See suites.py and docs/interop.md."
        write(list_path, head, found, listed)
        listed = expected(list_path)
    wrong = compare(found, listed) + ([f"the server ended with {code}"] if code else [])
    for line in wrong:
        print(line)
    kinds = [outcome for outcome, _ in found.values()]
    counts = ", ".join(f"{kinds.count(kind)} {word}" for kind, word in (("pass", "pass"), ("fail", "fail"), ("skip", "skip")))
    as_listed = len(found) - len([line for line in wrong])
    print(f"{name}: {counts}; {max(as_listed, 0)} passed, {len(wrong)} failed against the list")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
