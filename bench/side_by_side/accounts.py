"""The accounts of a comparison: the generator's own numbers and keys, in the form that each server keeps.

Every server stores SCRAM-SHA-256 keys with the same number of iterations, so a login is the same work for each.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import subprocess

ITERATIONS = 4096
SALT = b"side by side ..."


def listed(binary, count):
    """(number, key) of the first accounts, as the generator will use them."""
    command = [binary, "bench", "accounts", "--count", str(count)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [tuple(line.split(",", 1)) for line in lines]


def _derive(account):
    number, key = account
    salted = hashlib.pbkdf2_hmac("sha256", key.encode(), SALT, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return number, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def derived(accounts):
    """(number, StoredKey, ServerKey) of each (RFC 5802, section 3). One salt for all: it changes nothing of a server's work."""
    with concurrent.futures.ProcessPoolExecutor() as pool:
        return list(pool.map(_derive, accounts, chunksize=256))


def write_erlang(derived_accounts, domain, path):
    """Terms for mnesia's table of accounts, read by file:consult/1."""
    def text(data):
        return base64.b64encode(data).decode()

    with open(path, "w", encoding="ascii") as file:
        for number, stored_key, server_key in derived_accounts:
            scram = f'{{scram,<<"{text(stored_key)}">>,<<"{text(server_key)}">>,<<"{text(SALT)}">>,sha256,{ITERATIONS}}}'
            file.write(f'{{passwd,{{<<"{number}">>,<<"{domain}">>}},{scram}}}.\n')


def write_prosody(derived_accounts, directory):
    """One file an account, named as Prosody's datamanager encodes names."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, stored_key, server_key in derived_accounts:
        name = "".join(char if char.isalnum() else f"%{ord(char):02x}" for char in number)
        (directory / f"{name}.dat").write_text(
            "return {\n"
            f'\t["iteration_count"] = {ITERATIONS};\n'
            f'\t["salt"] = "{SALT.decode()}";\n'
            f'\t["stored_key"] = "{stored_key.hex()}";\n'
            f'\t["server_key"] = "{server_key.hex()}";\n'
            "};\n",
            encoding="ascii",
        )
