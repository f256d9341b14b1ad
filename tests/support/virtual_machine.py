"""A virtual machine with a kernel of its own, for what this system's kernel lacks; its root is this system's.

The file system is shared read-only, with what the machine writes over it in its memory, so that whatever is
installed here runs there. It is emulated (no KVM is asked for), and so some ten times slower.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_KERNEL = _ROOT / ".kernel"
# Modules that reach the shared root, in this order; the others are found there.
_NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_BUSYBOX = "/bin/busybox"
_STATUS = re.compile(r"^VM STATUS (\d+)\r?$", re.MULTILINE)

_INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devices /dev
for module in {needed}; do modprobe $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /lower
mount -t tmpfs upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
mount -t tmpfs run /root/run
mkdir -p /root/dev/pts /root/dev/shm /root/lib/modules/{version}
mount -t devpts terminals /root/dev/pts
mount -t tmpfs shared /root/dev/shm
mount --bind /root{kernel}/lib/modules/{version} /root/lib/modules/{version}
cp /bin/busybox /script /root/run
exec switch_root /root /run/busybox sh /run/script
"""
_SCRIPT = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ip link set lo up
# The kernel asks for modules itself: for what nft uses, for schedulers of IPVS.
printf '#!/run/busybox sh\nexec /run/busybox modprobe "$@"\n' > /run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe > /proc/sys/kernel/modprobe
for module in {modules}; do /run/busybox modprobe $module || echo "no module $module"; done
cd {folder}
{command}
echo VM STATUS $?
/run/busybox poweroff -f
"""


def run(command: Sequence[str], modules: Sequence[str], timeout: float) -> tuple[int, str]:
    """Exit status and console of the command, run as root in a new machine, in this repository's folder.

    :raises RuntimeError: when the machine does not get as far in time, with its console.
    """
    installer = _ROOT / "tests" / "support" / "install_kernel.sh"
    subprocess.run([str(installer), str(_KERNEL)], check=True, timeout=300)
    with tempfile.TemporaryDirectory(prefix="lbdvm") as folder:
        image = Path(folder) / "initrd.gz"
        _write_image(image, Path(folder) / "tree", shlex.join(command), modules)
        log = Path(folder) / "console"
        with log.open("wb") as output, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                _machine(image), stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=timeout, check=False
            )
        console = log.read_text(errors="replace")
    found = _STATUS.search(console)
    if found is None:
        raise RuntimeError(console)
    return int(found[1]), console


def _machine(image: Path) -> list[str]:
    share = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
    words = "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr"
    return [
        "qemu-system-x86_64",
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"),
        *("-nographic", "-no-reboot", "-nic", "none"),
        *("-kernel", str(_KERNEL / "vmlinuz"), "-initrd", str(image), "-append", words),
        *("-virtfs", share),
    ]


def _write_image(image: Path, tree: Path, command: str, modules: Sequence[str]) -> None:
    (version,) = (path.name for path in (_KERNEL / "lib" / "modules").iterdir())
    for folder in ("bin", "proc", "sys", "dev", "lower", "upper", "root"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(_BUSYBOX, tree / "bin" / "busybox")
    for module in _files(_KERNEL / "lib" / "modules" / version):
        target = tree / "lib" / "modules" / version / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_KERNEL / "lib" / "modules" / version / module, target)
    subprocess.run([_BUSYBOX, "depmod", "-b", str(tree), version], check=True, timeout=60)
    texts = {
        "init": _INIT.format(needed=" ".join(_NEEDED), version=version, kernel=_KERNEL),
        "script": _SCRIPT.format(modules=" ".join(modules), folder=shlex.quote(str(_ROOT)), command=command),
    }
    for name, text in texts.items():
        (tree / name).write_text(text)
        (tree / name).chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    archive = subprocess.run(
        [_BUSYBOX, "cpio", "-o", "-H", "newc"], cwd=tree, input=names.encode(), capture_output=True, check=True
    )
    image.write_bytes(gzip.compress(archive.stdout, 1))


def _files(folder: Path) -> Iterator[str]:
    """Files of the needed modules and of what they need."""
    found: dict[str, None] = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        module, _, needs = line.partition(":")
        if Path(module).stem in _NEEDED:
            found |= dict.fromkeys((module, *needs.split()))
    yield from found
