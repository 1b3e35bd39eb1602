"""A real Chaski for the tests: starts the binary on a directory of its own, makes accounts, reads its log, ends it.

Everything that tests know about the server's command line, banner and log is in this file.
"""

import json
import os
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

BINARY = os.environ.get("CHASKI", "target/debug/chaski")
# Longer than anything takes on a busy machine. A test that waits this long has failed.
PATIENCE_S = int(os.environ.get("PATIENCE_S", 60))

CONFIG = """
domain = "localhost"
shards = 2
{c2s}
[http]
listen = "127.0.0.1:0"
private_listen = "127.0.0.1:0"
{extra}
"""
LISTENER = '[[c2s]]\nlisten = "127.0.0.1:{port}"\ntls = "{tls}"\n'


class Server:
    """A server with a data directory; `with Server() as server:`."""

    def __init__(self, directory=None, standard_ports=False, extra=""):
        self._owned = None if directory else tempfile.TemporaryDirectory(prefix="chaski-interop-")
        self.directory = Path(directory or self._owned.name)
        self.data = self.directory / "data"
        self.config = self.directory / "chaski.toml"
        starttls, direct = (5222, 5223) if standard_ports else (0, 0)
        listeners = [(starttls, "starttls"), (direct, "direct"), (0, "terminated")]
        c2s = "".join(LISTENER.format(port=port, tls=tls) for port, tls in listeners)
        self.config.write_text(CONFIG.format(c2s=c2s, extra=extra))
        self.process = None
        self.start()

    def start(self):
        """Starts it, or starts it again on the same data."""
        command = [BINARY, "serve", "--config", self.config, "--data", self.data]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.log = []
        self._logged = threading.Condition()
        threading.Thread(target=self._follow, args=(self.process.stderr,), daemon=True).start()
        self.banner = ""
        while "Ready." not in self.banner:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                raise AssertionError("the server did not start:\n" + self.banner + "\n".join(self.log))
            self.banner += line

    def _follow(self, stderr):
        for line in stderr:
            with self._logged:
                self.log.append(line.rstrip())
                self._logged.notify_all()

    def wait_for_log(self, pattern, after=0):
        """The match of the first line from number `after` on that has this pattern."""
        deadline = time.monotonic() + PATIENCE_S
        with self._logged:
            while True:
                for line in self.log[after:]:
                    if match := re.search(pattern, line):
                        return match
                if not self._logged.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no {pattern!r} in the log:\n" + "\n".join(self.log))

    def end(self, how=signal.SIGTERM):
        """Ends it; its exit code. A second call does nothing."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)
        if self._owned:
            self._owned.cleanup()

    # Where it listens.

    @property
    def ca(self):
        return self.data / "tls" / "ca.pem"

    def tls_context(self):
        return ssl.create_default_context(cafile=self.ca)

    def port(self, kind):
        """The port of the listener that the banner calls this: `STARTTLS`, `direct TLS`, `plain`."""
        return int(re.search(r"clients +127\.0\.0\.1:(\d+) \(" + kind, self.banner)[1])

    @property
    def web(self):
        return "https://localhost:" + re.search(r"web +https://127\.0\.0\.1:(\d+)", self.banner)[1]

    @property
    def metrics_url(self):
        return re.search(r"metrics +(\S+)", self.banner)[1]

    # Accounts.

    def ctl(self, *words):
        """`chaski ctl`, which must succeed; its JSON."""
        command = [BINARY, "ctl", "--data", self.data, "--json", *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, f"ctl {words}: {done.stderr}"
        return json.loads(done.stdout)

    def add_account(self, name, password):
        """An account that the operator makes."""
        return self.ctl("account", "add", name, "--password", password)["jid"]

    def waiting(self, name):
        """How many messages wait for this account."""
        return self.ctl("account", "show", name)["waiting_messages"]

    def metric(self, name):
        """A counter or gauge, over all shards."""
        with urllib.request.urlopen(self.metrics_url, timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rsplit(" ", 1)[1] for line in lines if re.match(rf"{name}(\{{| )", line)]
        assert values, f"no metric {name}"
        return sum(int(float(value)) for value in values)

    def wait_until(self, holds, what):
        """Asks until it holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"no {what}; the log:\n" + "\n".join(self.log)
            time.sleep(0.1)

    def http(self, method, path, body=None, headers=None):
        """A request over HTTPS; status and decoded JSON."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.web + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, context=self.tls_context(), timeout=PATIENCE_S) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def register(self, phone):
        """Registers a number as a person does, with the PIN of the SMS; the address and its key."""
        seen = len(self.log)
        status, begun = self.http("POST", "/v1/registrations", {"phone": phone, "transport": "sms"})
        assert status == 201, (status, begun)
        pin = self.wait_for_log(rf"code for {re.escape(phone)}: (\d{{6}})", after=seen)[1]
        status, done = self.http("PUT", f"/v1/registrations/{begun['id']}", {"code": pin, "device_name": "test"})
        assert status == 200, (status, done)
        return done["jid"], done["key"]
