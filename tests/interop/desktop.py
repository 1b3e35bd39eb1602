"""Desktop and terminal clients of other projects on a virtual display: Dino, Gajim and Profanity, as Debian has them.

Each starts with its account set up already, in a home, a D-Bus session and a mount namespace of its own, in which the
system's certificate authorities have the development CA among them. Words are typed by xdotool into the window that
has the focus. What happened is read from the clients' own logs of stanzas and from their databases, never from
pixels; screenshots are for people.
"""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

from server import PATIENCE_S

PROGRAMS = ["Xvfb", "openbox", "xterm", "xdotool", "dbus-daemon", "gdbus", "unshare", "openssl"]
# Debian's packages, of which these versions' settings and databases are known here.
KNOWN = {"dino-im": "0.4.", "gajim": "1.7.", "gajim-omemo": "2.9.", "profanity": "0.13."}
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# Gajim does not start as root, so all are somebody else. $0 is the bundle of certificate authorities.
AS_SOMEBODY = (
    f'mount --bind "$0" {AUTHORITIES} && exec unshare --user --map-user=1000 --map-group=1000 -- "$@"'
)


def missing():
    """What keeps these clients from running here, or None."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    for package, version in KNOWN.items():
        query = ["dpkg-query", "--show", "--showformat=${Version}", package]
        found = subprocess.run(query, capture_output=True, text=True).stdout if shutil.which("dpkg-query") else ""
        if not found.startswith(version):
            absent.append(f"{package} {version}x")
    if absent:
        return f"wants {', '.join(absent)}, which can't be found here"
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        return "wants a network of its own, in which clients find port 5222 and no name server: ./test interop makes one"
    probe = ["unshare", "-rm", "sh", "-c", AS_SOMEBODY, str(AUTHORITIES), "true"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        return "namespaces for users and mounts aren't permitted here"
    return None


def wait_until(holds, what):
    """Asks until it says something true, and gives that."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"no {what() if callable(what) else what}"
        time.sleep(0.1)
    return answer


def within(seconds, holds):
    """The same, but it need not come true: None then."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer or None


class Screen:
    """A virtual display with a window manager; `with Screen(…) as screen:`."""

    def __init__(self, directory, authority, size):
        self.directory = Path(directory)
        self.authority = authority
        self.bundle = self.directory / "authorities.pem"
        self.bundle.write_text(AUTHORITIES.read_text() + "\n" + authority.read_text())
        read, write = os.pipe()
        log = (self.directory / "screen.log").open("w")
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24", "-nolisten", "tcp"]
        self.started = [subprocess.Popen(command, pass_fds=[write], stdout=log, stderr=log)]
        os.close(write)
        with os.fdopen(read) as said:
            self.display = f":{said.readline().strip()}"
        self.environment = {**os.environ, "DISPLAY": self.display, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        self.started.append(subprocess.Popen(["openbox"], env=self.environment, stdout=log, stderr=log))
        log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.terminate()
            process.wait(PATIENCE_S)

    def xdotool(self, *words):
        done = subprocess.run(["xdotool", *map(str, words)], env=self.environment, capture_output=True, text=True)
        return done.stdout.split() if done.returncode == 0 else []

    def show(self, name, area):
        """A screenshot of a part of the screen, if somebody wants them: $SCREENSHOTS is the folder."""
        if folder := os.environ.get("SCREENSHOTS"):
            # Over what may think that it is under the pointer, and away; what has arrived is still to be painted.
            self.xdotool("mousemove", 1400, 300, "sleep", 0.2, "mousemove", 1200, 200, "sleep", 0.2, "mousemove", 1500, 900)
            time.sleep(1)
            path = Path(folder, f"{name}.png")
            command = ["import", "-window", "root", "-crop", area, "+repage", "+dither", "-colors", "128", f"PNG8:{path}"]
            subprocess.run(command, env=self.environment, check=True)


def read_database(path, sql, *values):
    """The rows of a client's database, which it has open itself."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute(sql, values).fetchall()
    finally:
        database.close()


class Client:
    """A program with a home of its own."""

    window_class = None
    # What it logs when it asks for a slot for a file.
    SLOT_ASKED = None

    def __init__(self, screen, name):
        self.screen = screen
        self.home = screen.directory / name
        self.home.mkdir()
        run = self.home / "run"
        run.mkdir(mode=0o700)
        (self.home / "tmp").mkdir()
        self.environment = {
            **screen.environment,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_RUNTIME_DIR": str(run),
            # Gajim leaves there what it has encrypted.
            "TMPDIR": str(self.home / "tmp"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run}/bus",
            "GDK_BACKEND": "x11",
            "GSK_RENDERER": "cairo",
            "NO_AT_BRIDGE": "1",
            "GTK_A11Y": "none",
        }
        for toolkit in ("gtk-3.0", "gtk-4.0"):
            settings = self.home / "config" / toolkit / "settings.ini"
            settings.parent.mkdir(parents=True)
            settings.write_text("[Settings]\ngtk-enable-animations=0\n")
        self.log = self.home / "log"
        self.process = None
        self.bus = self.begin(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address=unix:path={run}/bus"], "bus")
        wait_until((run / "bus").exists, "D-Bus session")

    def begin(self, command, log):
        """Starts a program as somebody who trusts the development CA."""
        whole = ["unshare", "-rm", "sh", "-c", AS_SOMEBODY, str(self.screen.bundle), *command]
        with (self.home / log).open("a") as output:
            return subprocess.Popen(whole, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def start(self):
        self.process = self.begin(self.command(), "log")
        wait_until(self.windows, f"window of {self.home.name}")
        return self

    def windows(self):
        return self.screen.xdotool("search", "--onlyvisible", "--class", self.window_class)

    def place(self, x, y, width, height):
        for window in self.windows():
            self.screen.xdotool("windowsize", window, width, height, "windowmove", window, x, y)

    def focus(self):
        # A search fails when any window goes while it looks.
        window = wait_until(self.windows, f"window of {self.home.name}")[-1]
        self.screen.xdotool("windowactivate", "--sync", window)

    def type(self, text, enter=True):
        """Types words into the client's window, as its person does."""
        self.focus()
        self.screen.xdotool("type", "--delay", 25, text)
        if enter:
            self.screen.xdotool("key", "Return")

    def titled(self, title):
        """Its windows with this title."""
        return self.screen.xdotool("search", "--onlyvisible", "--name", f"^{title}$")

    def press(self, title, *keys):
        """Presses keys, at a person's pace, in the window with this title, once it is there."""
        window = wait_until(lambda: self.titled(title), f"window {title!r}")[-1]
        self.screen.xdotool("windowactivate", "--sync", window)
        for key in keys:
            self.screen.xdotool("key", key)
            time.sleep(0.5)

    def answer(self, title, key):
        """Answers a question: presses the key until the window is gone."""
        self.press(title, key)
        wait_until(lambda: not self.titled(title) or self.press(title, key), f"answer to {title!r}")

    def seen(self, after=0):
        """What it logged, from this character on."""
        return self.log.read_text(errors="replace")[after:]

    def mark(self):
        return len(self.seen())

    def upload(self, path):
        """Sends a file to its peer: picks it, and says yes to the question whether it shall be sent."""
        before = self.mark()

        def asked():
            return re.search(self.SLOT_ASKED, self.seen(before))

        def said_yes():
            self.focus()
            self.screen.xdotool("key", "Return")
            return within(3, asked)

        # The question takes keys only when it has settled, which can't be seen from outside. Return does nothing where
        # nothing is asked and nothing is written.
        wait_until(
            lambda: self.pick(path) and (said_yes() or said_yes() or said_yes()),
            lambda: f"slot that {self.home.name} asked for:\n{self.seen(before)[-8000:]}",
        )

    def kept(self, content):
        """Its files with these bytes."""
        sized = [path for path in self.home.rglob("*") if path.is_file() and path.stat().st_size == len(content)]
        return [path for path in sized if path.read_bytes() == content]

    def expect_kept(self, content):
        """That it has fetched and kept this."""
        wait_until(lambda: self.kept(content), lambda: f"file in {self.home}:\n{self.seen()[-3000:]}")

    def expect(self, pattern, after=0):
        """The match of this pattern in the log."""
        return wait_until(
            lambda: re.search(pattern, self.seen(after), re.DOTALL),
            lambda: f"{pattern!r} in the log of {self.home.name}:\n{self.seen(after)[-8000:]}",
        )

    def leave(self):
        """Ends it as its person does, with the keys that everybody knows; it may start again."""
        self.focus()
        self.screen.xdotool("key", "ctrl+q")
        self.process.wait(PATIENCE_S)
        self.process = None

    def quit(self):
        """Ends it without a word; it may start again."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def close(self):
        """For good."""
        self.quit()
        self.bus.terminate()
        self.bus.wait(PATIENCE_S)


class Dino(Client):
    """Dino: GTK 4, Vala, its own XMPP library."""

    window_class = "dino"
    SLOT_ASKED = r"<\{urn:xmpp:http:upload:0\}:request "
    # In its database.
    RECEIVED, PLAIN, OMEMO = 0, 0, 2

    def __init__(self, screen, name, jid, key, peer, omemo=True):
        super().__init__(screen, name)
        self.peer = peer
        self.database = self.home / "data" / "dino" / "dino.db"
        self.start()  # It makes its databases.
        self.quit()
        with sqlite3.connect(self.database) as database:
            account = "insert into account (bare_jid, resourcepart, password, alias, enabled, roster_version) values (?, 'dino', ?, '', 1, '')"
            account = database.execute(account, (jid, key)).lastrowid
            peer = database.execute("insert into jid (bare_jid) values (?)", (peer,)).lastrowid
            conversation = (
                "insert into conversation (account_id, jid_id, active, last_active, type, encryption, notification, send_typing, send_marker)"
                " values (?, ?, 1, ?, 0, ?, 0, 0, 0)"
            )
            database.execute(conversation, (account, peer, int(time.time()), self.OMEMO if omemo else self.PLAIN))
        database.close()

    def command(self):
        return ["dino-im", "--print-xmpp=all"]

    def open_chat(self):
        """Shows the conversation, with the cursor in it."""
        self.begin(["dino-im", f"xmpp:{self.peer.replace('+', '%2B')}?message"], "open").wait(PATIENCE_S)

    def pick(self, path):
        """Chooses a file in GTK's window, by its path; whether that went."""
        title = "Select file"
        if not self.titled(title):
            self.focus()
            self.screen.xdotool("key", "ctrl+u")
        if not within(5, lambda: self.titled(title)):
            return False
        # A path begins with a slash, at which the window shows a field for it.
        self.press(title)
        self.screen.xdotool("type", "--delay", 25, path)
        time.sleep(0.5)
        self.screen.xdotool("key", "Return")
        if within(5, lambda: not self.titled(title)):
            return True
        # First what it suggests, then itself.
        self.screen.xdotool("key", "Escape", "Escape")
        return False

    def query(self, sql, *values):
        return read_database(self.database, sql, *values)

    def received(self, beginning):
        """The texts that came and begin so."""
        sql = "select body from message where direction = ? and body like ? order by id"
        return [text for (text,) in self.query(sql, self.RECEIVED, beginning + "%")]

    def expect_encrypted(self, text):
        """That this arrived and was encrypted with OMEMO."""
        sql = "select encryption from message where body = ? and direction = ?"
        rows = wait_until(lambda: self.query(sql, text, self.RECEIVED), lambda: f"{text!r} in Dino:\n{self.seen()[-8000:]}")
        assert rows == [(self.OMEMO,)], rows

    def avatars(self):
        """SHA-1 of the pictures that it has of others."""
        return [hash for (hash,) in self.query("select hash from contact_avatar")]


class Gajim(Client):
    """Gajim: GTK 3, Python, nbxmpp; OMEMO by its plugin."""

    window_class = "gajim"
    SLOT_ASKED = r"<request xmlns=.urn:xmpp:http:upload:0. "
    # In its database.
    RECEIVED = 4

    def __init__(self, screen, name, jid, key, peer, omemo=True):
        super().__init__(screen, name)
        self.peer = peer
        self.profile = self.home / "profile"
        self.profile.mkdir()
        user, host = jid.split("@")
        application = {
            "autoaway": False,
            "autoxa": False,
            "chat_handle_position": 230,
            "check_for_update": False,
            "confirm_on_window_delete": False,
            "dark_theme": 0,
            "remote_control": True,
            "save_main_window_position": False,
            "show_help_start_chat": False,
            "show_notifications": False,
            "show_trayicon": False,
            "sounds_on": False,
            "use_keyring": False,
        }
        chat = {"account": name, "jid": peer, "type": "chat", "pinned": False, "position": -1}
        workspace = {"name": "Chats", "color": "rgb(18,140,126)", "avatar_sha": "", "chats": [chat]}
        account = {
            "account": {
                "account_label": name,
                "active": True,
                "hostname": host,
                "name": user,
                "password": key,
                "resource": "gajim",
                "savepass": True,
                "send_chatstate_default": "all",
            },
            "contact": {peer: {"encryption": "OMEMO" if omemo else ""}},
            "group_chat": {},
        }
        parts = {
            "app": application,
            "plugins": {"omemo": {"active": True}},
            "proxies": {},
            "soundevents": {},
            "status_presets": {},
            "workspaces": {"one": workspace},
        }
        with sqlite3.connect(self.profile / "settings.sqlite") as database:
            database.execute("create table settings (name text unique, settings text)")
            database.execute("create table account_settings (account text unique, settings text)")
            database.execute("pragma user_version = 5")
            for part in parts.items():
                database.execute("insert into settings values (?, ?)", (part[0], json.dumps(part[1])))
            database.execute("insert into account_settings values (?, ?)", (name, json.dumps(account)))
        database.close()

    def command(self):
        return ["gajim", "--verbose", "--config-path", str(self.profile)]

    def open_chat(self):
        """Shows the conversation, with the cursor in it."""
        uri = f"xmpp:{self.peer}?message"
        self.begin(["gajim", "--config-path", str(self.profile), uri], "open").wait(PATIENCE_S)

    def expect_encrypted(self, text):
        """That this arrived and was encrypted with OMEMO."""

        def found():
            return self.query("select additional_data from logs where message = ?", text)

        rows = wait_until(found, lambda: f"{text!r} in Gajim:\n{self.seen()[-8000:]}")
        assert len(rows) == 1, rows
        assert json.loads(rows[0][0])["encrypted"]["name"] == "OMEMO", rows

    def query(self, sql, *values):
        return read_database(self.profile / "logs.db", sql, *values)

    def received(self, beginning):
        """The texts that came and begin so."""
        sql = "select message from logs where kind = ? and message like ? order by log_line_id"
        return [text for (text,) in self.query(sql, self.RECEIVED, beginning + "%")]

    def choose(self, action, target):
        """What its person does in a menu."""
        self.act("/org/gajim/Gajim", f"{self.home.name}-{action}", f"<'{target}'>")

    def pick(self, path):
        """What is done when a file is pasted, or is dragged into the window: it asks whether to send it."""
        self.act("/org/gajim/Gajim/window/1", "send-file", f"<['{path.as_uri()}']>")
        return True

    def act(self, where, action, target):
        call = ["gdbus", "call", "--session", "--dest", "org.gajim.Gajim", "--object-path", where]
        call += ["--method", "org.gtk.Actions.Activate", action, f"[{target}]", "{}"]
        assert self.begin(call, "menu").wait(PATIENCE_S) == 0

    def avatars(self):
        """SHA-1 of the pictures that it has."""
        return [path.name for path in (self.profile / "avatars").iterdir()]


class Profanity(Client):
    """Profanity in a terminal: C, libstrophe."""

    window_class = "xterm"

    def __init__(self, screen, name, jid, key):
        super().__init__(screen, name)
        certificates = self.home / "certificates"
        certificates.mkdir()
        shutil.copy(screen.authority, certificates / "ca.pem")
        subprocess.run(["openssl", "rehash", certificates], check=True)
        for path, lines in {
            "config/profanity/profrc": ["[connection]", f"tls.certpath={certificates}", "[ui]", "splash=false"],
            "data/profanity/accounts": [
                f"[{name}]",
                "enabled=true",
                f"jid={jid}",
                f"password={key}",
                "resource=profanity",
                "tls.policy=force",
            ],
        }.items():
            path = self.home / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
        self.account = name

    def command(self):
        profanity = ["profanity", "--account", self.account, "--log", "DEBUG", "--logfile", str(self.log)]
        return ["xterm", "-fa", "Monospace", "-fs", "10", "-geometry", "150x18", "-e", *profanity]

    def begin(self, command, log):
        # It writes its log itself.
        return super().begin(command, "terminal" if log == "log" else log)

    def seen(self, after=0):
        return super().seen(after) if self.log.exists() else ""
