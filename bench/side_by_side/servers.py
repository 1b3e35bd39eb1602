"""The servers: how each is set up in a directory of its own, started, and ended by its process id.

Each listens on its own loopback addresses. A server that is stopped may be started again on the same data.
"""

import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import accounts

DOMAIN = "localhost"
READY_SECONDS = 90
PLAIN_PORT = 5222
TLS_PORT = 5223


class Failed(Exception):
    """A server did not do what a run needs."""


class Server:
    """What they have in common."""

    name = ""
    title = ""
    has_tls = True
    # Whether its clients use stream management.
    has_acks = False

    def __init__(self, host, directory):
        self.host = host
        self.directory = pathlib.Path(directory) / self.name
        self.directory.mkdir(parents=True)
        self.process = None
        self.log = self.directory / "output.log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Starts it and waits until it takes connections."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment()},
                cwd=self.directory,
                start_new_session=True,
            )
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None:
                raise Failed(f"{self.title} ended while starting; its output:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise Failed(f"{self.title} did not start within {READY_SECONDS} s; its output:\n{self.tail()}")
            time.sleep(0.1)

    def is_ready(self):
        try:
            socket.create_connection((self.host, PLAIN_PORT), timeout=1).close()
            return True
        except OSError:
            return False

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self):
        """Ends it, and what it started, by process id."""
        if self.process is None:
            return
        group = self.process.pid
        try:
            for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
                os.killpg(group, number)
                try:
                    self.process.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except ProcessLookupError:
            self.process.wait()
        self.process = None

    def pid(self):
        return self.process.pid

    def certificate_authority(self):
        """None: self-signed, which the generator takes from loopback."""
        return None

    def environment(self):
        return {}

    def command(self):
        raise NotImplementedError

    def import_accounts(self, listed, derived):
        """Makes the accounts before the first start."""

    def version(self):
        raise NotImplementedError

    def settings(self):
        """What is said about it in the results."""
        return ""


class Chaski(Server):
    name = "chaski"
    title = "Chaski"
    has_acks = True

    def __init__(self, host, directory, binary, shards):
        super().__init__(host, directory)
        self.binary = binary
        self.config = self.directory / "chaski.toml"
        self.config.write_text(
            f'data = "{self.directory}/data"\nshards = {shards}\n'
            f'[[c2s]]\nlisten = "{host}:{PLAIN_PORT}"\ntls = "terminated"\n'
            f'[[c2s]]\nlisten = "{host}:{TLS_PORT}"\ntls = "direct"\n'
            f'[http]\nlisten = "{host}:8080"\nprivate_listen = ""\n'
            '[log]\nlevel = "warn"\n'
        )

    def command(self):
        return [self.binary, "serve", "--config", str(self.config)]

    def is_ready(self):
        return "Ready." in self.tail() and super().is_ready()

    def start(self):
        self.log.write_bytes(b"")
        super().start()

    def certificate_authority(self):
        return self.directory / "data/tls/ca.pem"

    def import_accounts(self, listed, derived):
        path = self.directory / "accounts.csv"
        path.write_text("".join(f"{number},{key}\n" for number, key in listed))
        run([self.binary, "ctl", "--config", str(self.config), "account", "import", str(path)])

    def version(self):
        return run([self.binary, "--version"]).strip()

    def settings(self):
        return "every message stored durably before it is accepted; SCRAM-SHA-256; stream management"


class Floor(Server):
    name = "floor"
    title = "Floor relay"
    has_tls = False

    def __init__(self, host, directory, binary, threads):
        super().__init__(host, directory)
        self.binary = binary
        self.threads = threads

    def command(self):
        listen = f"{self.host}:{PLAIN_PORT}"
        acks = ["--acks"] if self.has_acks else []
        return [self.binary, "bench", "floor", "--listen", listen, "--threads", str(self.threads), *acks]

    def version(self):
        return run([self.binary, "--version"]).strip()

    def settings(self):
        return f"{self.threads} threads; the login has canned answers; no parsing, no storage, no TLS, no stream management"


class FloorWithAcks(Floor):
    name = "floor-acks"
    title = "Floor with acks"
    has_acks = True

    def settings(self):
        return "the same; answers <r/> once a turn and asks behind messages, at most every 2 s a connection; nothing is kept for it"


class Ejabberd(Server):
    """Run as a plain Erlang process without distribution: no epmd, no cookie, nothing but the process is left to end."""

    name = "ejabberd"
    title = "ejabberd"

    def __init__(self, host, directory, certificate):
        super().__init__(host, directory)
        self.libraries = glob.glob("/usr/lib/*/ejabberd-*")
        if not self.libraries:
            raise Failed("ejabberd is not installed")
        self.terms = self.directory / "accounts.terms"
        listener = f"module: ejabberd_c2s\n    ip: \"{host}\"\n    backlog: 4096\n    shaper: none\n    access: all"
        (self.directory / "ejabberd.yml").write_text(f"""
hosts: ["{DOMAIN}"]
loglevel: error
certfiles: ["{certificate}"]
registration_timeout: infinity
auth_method: [mnesia]
auth_password_format: scram
auth_scram_hash: sha256
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
listen:
  - port: {PLAIN_PORT}
    {listener}
  - port: {TLS_PORT}
    tls: true
    {listener}
modules:
  mod_blocking: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
""")

    def environment(self):
        return {
            "EJABBERD_CONFIG_PATH": str(self.directory / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
            "ERL_CRASH_DUMP": str(self.directory / "crash.dump"),
            "ERL_LIBS": str(pathlib.Path(self.libraries[0]).parent),
            "ERL_MAX_PORTS": "65536",
            "HOME": str(self.directory),
        }

    def command(self):
        fill = (
            "{ok, Accounts} = file:consult(\"" + str(self.terms) + "\"),"
            "lists:foreach(fun(Account) -> mnesia:dirty_write(Account) end, Accounts),"
            "file:write_file(\"" + str(self.directory / "filled") + "\", <<>>)."
        )
        database = f'"{self.directory}/database"'
        return [
            # As Debian's ejabberdctl starts it.
            "erl", "-noinput", "+K", "true", "+P", "250000",
            "-mnesia", "dir", database,
            "-s", "ejabberd", "-eval", fill,
        ]  # fmt: skip

    def start(self):
        (self.directory / "filled").unlink(missing_ok=True)
        super().start()

    def is_ready(self):
        return (self.directory / "filled").exists() and super().is_ready()

    def tail(self):
        log = self.directory / "ejabberd.log"
        return super().tail() + (log.read_text(errors="replace")[-2000:] if log.exists() else "")

    def import_accounts(self, listed, derived):
        accounts.write_erlang(derived, DOMAIN, self.terms)

    def version(self):
        return package_version("ejabberd") + ", " + package_version("erlang-base")

    def settings(self):
        return (
            "backlog 4096, registration_timeout infinity, shaper none; modules roster, offline, stream_mgmt, disco, ping, "
            "privacy, blocking; keys in mnesia, SCRAM-SHA-256; no stream management; a message to a user who is online is not stored"
        )


class Prosody(Server):
    name = "prosody"
    title = "Prosody"

    def __init__(self, host, directory, certificate):
        super().__init__(host, directory)
        self.binary = shutil.which("prosody")
        if not self.binary:
            raise Failed("Prosody is not installed")
        self.config = self.directory / "prosody.cfg.lua"
        self.config.write_text(f"""
run_as_root = true
data_path = "{self.directory}/data"
pidfile = "{self.directory}/prosody.pid"
log = {{ error = "{self.directory}/prosody.log" }}
network_backend = "epoll"
network_settings = {{ tcp_backlog = 4096 }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "ping", "offline", "smacks", "blocklist" }}
modules_disabled = {{ "s2s" }}
authentication = "internal_hashed"
password_hash = "SHA-256"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
interfaces = {{ "{host}" }}
c2s_ports = {{ {PLAIN_PORT} }}
c2s_direct_tls_ports = {{ {TLS_PORT} }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
certificates = "{self.directory}"
ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
VirtualHost "{DOMAIN}"
""")

    def command(self):
        return [self.binary, "--config", str(self.config), "-F"]

    def tail(self):
        log = self.directory / "prosody.log"
        return super().tail() + (log.read_text(errors="replace")[-2000:] if log.exists() else "")

    def import_accounts(self, listed, derived):
        accounts.write_prosody(derived, self.directory / "data" / DOMAIN / "accounts")

    def version(self):
        return package_version("prosody") + ", " + package_version("lua5.4")

    def settings(self):
        return (
            "network_backend epoll, tcp_backlog 4096; modules roster, offline, smacks, disco, ping, blocklist; keys in files, "
            "SCRAM-SHA-256; no stream management; a message to a user who is online is not stored; one thread"
        )


def package_version(package):
    said = run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package])
    return said.strip()


def make_certificate(directory):
    """A self-signed P-256 certificate and its key in one file."""
    path = pathlib.Path(directory) / "certificate.pem"
    key = pathlib.Path(directory) / "key.pem"
    run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}", "-keyout", str(key), "-out", str(path),
    ])  # fmt: skip
    path.write_text(path.read_text() + key.read_text())
    path.chmod(0o600)
    key.unlink()
    return path


def run(command):
    """Runs to the end, and gives what it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]} {command[1]} failed: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout
