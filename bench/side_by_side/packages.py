"""The peers come as Debian packages. Installing them must start nothing, now or at the next boot."""

import contextlib
import os
import pathlib
import shutil
import subprocess

from servers import Failed

NEEDED = ("ejabberd", "prosody", "openssl")
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


def missing():
    def is_there(package):
        command = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"

    return [package for package in NEEDED if not is_there(package)]


def install():
    """Installs what is missing; says what stands in the way."""
    if not shutil.which("dpkg-query"):
        raise Failed("the peers are installed from Debian packages, and this is no Debian; use --only chaski,floor")
    packages = missing()
    if not packages:
        return
    if os.geteuid() != 0:
        raise Failed(
            f"{' and '.join(packages)} are not installed, and installing needs root: run\n"
            f"  sudo apt-get install --no-install-recommends {' '.join(packages)}\n"
            "first (and stop what that starts), or this program as root once, or with --only chaski,floor"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _nothing_starts():
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", *packages]):
            done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0 and command[1] == "install":
                raise Failed(f"apt-get could not install {' and '.join(packages)}: {done.stderr.strip()[-1000:]}")
    if shutil.which("systemctl"):
        services = [package for package in packages if package != "openssl"]
        subprocess.run(["systemctl", "disable", "--quiet", *services], capture_output=True, check=False)


@contextlib.contextmanager
def _nothing_starts():
    """policy-rc.d is how Debian is told not to start a service that is being installed."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
