"""Process 1 of a box: makes the box habitable, starts its command, keeps it running, reaps.

Law: it runs by file path under ``python -I -S`` with the standard library alone, imports everything
before it touches a mount, and is whole or not at all: until the complete message has arrived on
standard input it offers itself as ``making``, afterwards as ``control``; a message that ends early
ends the box. Secrets are written to memory only. When it ends, the kernel ends everything in the box.

Standard input: one line with the length, then so many bytes of JSON: ``command`` (list of text, may
be empty), ``environment``, ``files`` (absolute path -> base64). Standard output: the line ``born`` when
the namespaces can be furnished from outside, then ``ready``. Standard error: the console.
"""

from __future__ import annotations

import binascii
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

# <sys/mount.h>
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
# <linux/sockios.h>, <linux/if.h>
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
#: Settings of the network (ip-sysctl.rst): a client here can open tens of thousands of connections a
#: second; links announce their addresses (see ``links.announce``). Addresses are ours by allocation, so no
#: duplicate is looked for (RFC 4862), which would take a second.
NETWORK = {
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/conf/all/arp_notify": "1",
    "ipv6/conf/all/ndisc_notify": "1",
    "ipv6/conf/default/accept_dad": "0",
}
#: The command is started again after so many seconds, doubling up to the second figure, and at
#: once when it had lived for the third.
FIRST_PAUSE, LONGEST_PAUSE, LONG_LIFE = 0.1, 5.0, 10.0
#: Seconds that everything in the box has after SIGTERM. keepalived says its farewell (VRRP priority 0) at
#: once, which lets its peer take over; the whole second that it then waits is of no use to anybody.
FAREWELL = 0.1


def log(text: str) -> None:
    """One line on the console."""
    os.write(2, f"init: {text}\n".encode())


def tell(text: str) -> None:
    """One line to the process that is making the box; it may be gone."""
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())


class Door:
    """The socket by which others learn that this process lives, and its number in *their* view.

    They connect and ask the kernel for the peer's credentials (SO_PEERCRED, unix(7)): those are of
    the process that called listen(), so nothing in a file can go stale or be forged.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in ("making", "control"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        os.fchdir(self._folder)  # a socket address holds 107 bytes, a state folder's path may be longer
        self.listener.bind("making")
        self.listener.listen(128)
        os.chdir("/")

    def open(self) -> None:
        """From now on the box counts as running."""
        os.rename("making", "control", src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def answer(self) -> None:
        """Let callers in and out; that the connection succeeded told them what they wanted."""
        with contextlib.suppress(OSError):
            while True:
                self.listener.accept()[0].close()


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2). :raises OSError: naming the target."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {kind} on {target}: {os.strerror(number)}")


def furnish(hostname: str, hidden: str) -> None:
    """Private /proc and /run; /etc and /var/lib that can be written without the host noticing.

    What is written there lies in memory and vanishes with the box.

    :param hidden: folder that the box shall see empty (the controller's state), or "".
    """
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    Path("/run/lock").mkdir()
    Path("/run/layers").mkdir(mode=0o700)
    for target in ("/etc", "/var/lib"):
        layer = "/run/layers/" + target[1:].replace("/", "_")
        for folder in (layer, layer + "/upper", layer + "/work"):
            Path(folder).mkdir()
        mount("overlay", target, "overlay", 0, f"lowerdir={target},upperdir={layer}/upper,workdir={layer}/work")
    if hidden and Path(hidden).is_dir():
        mount("tmpfs", hidden, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=4k")
    socket.sethostname(hostname)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = fcntl.ioctl(handle, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", request)[1]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    for name, value in NETWORK.items():
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            Path("/proc/sys/net", name).write_text(value)


def receive() -> dict[str, object]:
    """The message. :raises EOFError: when the sender ended before it was complete."""
    data = b""
    while b"\n" not in data:
        data += _more()
    length, _, body = data.partition(b"\n")
    while len(body) < int(length):
        body += _more()
    message: dict[str, object] = json.loads(body)
    return message


def _more() -> bytes:
    chunk = os.read(0, 1 << 16)
    if not chunk:
        raise EOFError("the process that was making this box ended")
    return chunk


def write_files(files: dict[str, str]) -> None:
    """Write every file with mode 0600 in folders of mode 0755, following no symbolic link at the end."""
    for path, content in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(binascii.a2b_base64(content))


class Supervisor:
    """Keeps one command running, reaps whatever is orphaned, ends on SIGTERM."""

    def __init__(self, command: list[str], environment: dict[str, str], door: Door) -> None:
        self._command, self._environment, self._door = command, environment, door
        self._child, self._started, self._next, self._pause = 0, 0.0, 0.0, FIRST_PAUSE
        self._ending = False
        self._awake, wake = os.pipe()
        for end in (self._awake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, self._end)

    def start(self) -> None:
        """Start the command now, if there is one."""
        if not self._command:
            return
        self._started = time.monotonic()
        try:
            self._child = os.posix_spawn(
                self._command[0],
                self._command,
                self._environment,
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM],
            )
        except OSError as error:
            self._ended(str(error))

    def run(self) -> None:
        """Until SIGTERM."""
        while not self._ending:
            waits = bool(self._command) and not self._child
            self._sleep(max(0.0, self._next - time.monotonic()) if waits else None)
            self._reap()
            if waits and not self._ending and time.monotonic() >= self._next:
                self.start()
        self._farewell()

    def _end(self, _number: int, _frame: object) -> None:
        self._ending = True

    def _sleep(self, seconds: float | None) -> None:
        ready, _, _ = select.select([self._awake, self._door.listener.fileno()], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._awake in ready:
                os.read(self._awake, 512)
        if self._door.listener.fileno() in ready:
            self._door.answer()

    def _reap(self) -> bool:
        """Collect the dead; whether any child is left."""
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not child:
                return True
            if child == self._child:
                self._ended(f"status {os.waitstatus_to_exitcode(status)}")

    def _ended(self, how: str) -> None:
        if time.monotonic() - self._started >= LONG_LIFE:
            self._pause = FIRST_PAUSE
        self._child, self._next = 0, time.monotonic() + self._pause
        if not self._ending:
            log(f"{self._command[0]} ended: {how}; again in {self._pause:g} s")
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _farewell(self) -> None:
        deadline = time.monotonic() + FAREWELL
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGTERM)
        while self._reap() and time.monotonic() < deadline:
            self._sleep(max(0.0, deadline - time.monotonic()))


def main(folder: str, hostname: str, hidden: str) -> None:
    """Be process 1 of the box of that folder."""
    os.umask(0o022)
    door = Door(folder)
    tell("born")
    try:
        furnish(hostname, hidden)
        message = receive()
        command, environment, files = message["command"], message["environment"], message["files"]
        if not (isinstance(command, list) and isinstance(environment, dict) and isinstance(files, dict)):
            raise ValueError("malformed message")
        write_files(files)
    except (OSError, EOFError, ValueError, KeyError) as error:
        log(str(error))
        tell(f"failed: {error}")
        raise SystemExit(1) from error
    supervisor = Supervisor(command, environment, door)
    supervisor.start()
    door.open()
    tell("ready")
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    supervisor.run()


if __name__ == "__main__":
    main(*sys.argv[1:4])
