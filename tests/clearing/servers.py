"""A real PostgreSQL server for tests, of Debian's packages, in a directory of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPARE_PORT = 5432  # on a socket of its own directory, so it can clash with nobody


def binaries() -> Path | None:
    """Return the directory of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: float(one.parts[-3]))
    path = found[-1] if found else shutil.which("initdb")
    return Path(path).resolve().parent if path else None


class Server:
    """One cluster; `conninfo` names it. The server refuses to run as root, so root lends it to another user."""

    def __init__(self, home: Path, tools: Path) -> None:
        self.home, self.tools = home, tools
        self.conninfo = f"host={home} port={SPARE_PORT} user=postgres dbname=postgres"
        self.user = self.lent_to() if os.geteuid() == 0 else None

    @staticmethod
    def lent_to() -> str:
        known = {one.pw_name for one in pwd.getpwall()}
        return "postgres" if "postgres" in known else "nobody"

    def make(self) -> None:
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.home, owner.pw_uid, owner.pw_gid)
        self._run(
            "initdb", "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-instructions"
        )

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.home} -p {SPARE_PORT} -c fsync=on"
        self._run("pg_ctl", "start", "--wait", "--log", str(self.home / "log"), "--options", options)

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode", mode)

    def _run(self, tool: str, *words: str) -> None:
        command = [str(self.tools / tool), "--pgdata", str(self.home / "data"), *words]
        done = subprocess.run(
            command, user=self.user, cwd=self.home, check=False, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"


@contextmanager
def running(tools: Path) -> Iterator[Server]:
    """A server that runs inside the block."""
    home = Path(tempfile.mkdtemp(prefix="crossmargin-pg-"))  # a socket's path must be short
    server = Server(home, tools)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if (home / "data" / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(home)
