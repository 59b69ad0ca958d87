"""A small virtual machine with an RDMA card made of software: python3 tests/rdma/vm.py COMMAND...

Runs COMMAND in a guest of QEMU that has the device rxe0 (soft-RoCE, Linux's RDMA over UDP), and
sees this machine's files: the root is mounted as it is, what is written goes into memory and
vanishes. The exit status is COMMAND's. No /dev/kvm is needed: QEMU translates the guest's code.

What is not here is fetched by apt, so this takes Debian 12 or newer, root or sudo, and a network
the first time; the kernel is unpacked into the cache and never installed. Where that cannot be, one
line says what is missing; the status is then 3, or 0 with CI set in the environment: a machine
that cannot boot a guest says nothing about the code.

For the standard library alone: it runs before any package of the tests is there.
"""

import functools
import glob
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicaffe/rdma-vm"
KERNEL = "linux-image-amd64"  # has rdma_rxe and 9p; the cloud kernel has neither
SECONDS = 900  # that a guest may live

# What must be here, and the package of Debian that brings it.
NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86",
    "cpio": "cpio",
    "modprobe": "kmod",
    "rdma": "iproute2",
    "/usr/lib/*/libibverbs/librxe-rdmav*.so": "ibverbs-providers",
}
# What is only unpacked: installing pyverbs would bring udev and the system's own Python along, and
# busybox-static would take busybox's place.
UNPACKED = ("python3-pyverbs", "busybox-static")

MODULES = """
    virtio_pci 9pnet_virtio 9p overlay crc32_pclmul crc32_generic dummy ib_uverbs rdma_rxe
"""
FOLDERS_OF_MODULES = """
    drivers/infiniband/core drivers/infiniband/sw/rxe drivers/virtio drivers/net net/9p net/ipv4
    net/ipv6 fs/9p fs/netfs fs/fscache fs/overlayfs fs/configfs crypto arch/x86/crypto
"""

# The guest's first program: modules, the host's root with a layer of memory over it, then GUEST.
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in $($B cat /modules/order); do $B insmod /modules/$m 2>/dev/null; done
stop() { echo "vm: the guest has no $*"; $B poweroff -f; }
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /lower || stop root
$B mount -t tmpfs -o mode=755 tmpfs /upper; $B mkdir -p /upper/files /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /newroot ||
    stop overlay
for d in proc sys dev; do $B mount --move /$d /newroot/$d; done
exec $B switch_root /newroot /bin/bash $GUEST
"""

# The second: a card, and COMMAND; its exit status goes out by a folder of the host.
GUEST = """
mkdir -p /run/out /dev/shm /dev/pts
mount -t 9p -o trans=virtio,version=9p2000.L out /run/out
mount -t tmpfs tmpfs /dev/shm; mount -t devpts devpts /dev/pts
ulimit -l unlimited
card() {{  # NAME ADDRESS: a card of software, over a network of its own
    ip link add $1-eth type dummy && ip link set $1-eth mtu 9000 up &&
    ip addr add $2/24 dev $1-eth && rdma link add $1 type rxe netdev $1-eth
}}
ip link set lo up; card rxe0 10.77.0.1 && card rxe1 10.77.1.1 || echo "vm: the guest has no rxe0"
for try in $(seq 50); do
    cat /sys/class/infiniband/rxe[01]/ports/1/gids/1 | grep -c ffff: | grep -q 2 && break; sleep 0.1
done
echo "vm: Linux $(uname -r) is up after $(cut -d' ' -f1 /proc/uptime) s;" \\
    "rxe0 $(cat /sys/class/infiniband/rxe0/ports/1/state)"
cd {folder} && {command} </dev/null
echo $? >/run/out/status; sync; {busybox} poweroff -f
"""


class Missing(Exception):
    """What this machine lacks, and the remedy."""


def say(*words: object) -> None:
    """A line of this script."""
    print("vm:", *words, file=sys.stderr, flush=True)


def call(command: list[str], **options: object) -> str:
    """What a command prints. Raises Missing with its last line when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Missing(f"{shlex.join(command)} failed: {''.join(last)}")
    return str(done.stdout)


def is_there(name: str) -> bool:
    """Whether a command, or a file by its pattern, is here."""
    if "/" in name:
        return bool(glob.glob(name))
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


@functools.cache
def updated() -> None:
    """apt's lists, as new as they are."""
    call([*as_root(), "apt-get", "update", "-qq"], timeout=120)


def as_root() -> list[str]:
    """How root's commands begin. Raises Missing."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and not subprocess.run(["sudo", "-n", "true"]).returncode:
        return ["sudo", "-n"]
    packages = " ".join(sorted({NEEDED[name] for name in NEEDED if not is_there(name)}))
    raise Missing(f"packages are installed by root: sudo apt-get install {packages or KERNEL}")


def install() -> None:
    """The packages that must be installed. Raises Missing."""
    if platform.machine() != "x86_64" or not shutil.which("apt-get"):
        raise Missing("the guest's kernel is Debian's for x86_64, and apt-get fetches it")
    packages = sorted({NEEDED[name] for name in NEEDED if not is_there(name)})
    if packages:
        say("installs", *packages)
        updated()
        quiet = "-qq -y --no-install-recommends -o DPkg::Lock::Timeout=300"
        command = [*as_root(), "apt-get", "install", *quiet.split(), *packages]
        call(command, timeout=300, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def fetched(package: str) -> Path:
    """The package's file, in the cache. Raises Missing."""
    folder = CACHE / "packages"
    for again in (False, True):
        found = sorted(folder.glob(f"{package}_*.deb"))
        if found:
            return found[-1]
        if again:
            updated()
        folder.mkdir(parents=True, exist_ok=True)
        say("fetches", package)
        download = ["apt-get", "download", "-qq", package]
        done = subprocess.run(download, cwd=folder, capture_output=True, text=True, timeout=300)
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        raise Missing(f"apt-get download {package} failed: {done.stderr.strip()[-200:]}")
    return found[-1]


def unpacked(package: str) -> Path:
    """The folder of a package's files."""
    deb = fetched(package)
    folder = CACHE / deb.stem
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            made = Path(temporary) / "made"
            call(["dpkg", "-x", str(deb), str(made)])
            keep(made, folder)
    return folder


def keep(made: Path, folder: Path) -> None:
    """Give a folder its name, unless somebody else has made the same meanwhile."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def pyverbs() -> Path:
    """The folder that holds the package pyverbs. Raises Missing if it is not for this Python."""
    folder = unpacked("python3-pyverbs") / "usr/lib/python3/dist-packages"
    ours = f"cpython-{sys.version_info.major}{sys.version_info.minor}-"
    built = sorted((folder / "pyverbs").glob("device.*.so"))
    if not any(ours in path.name for path in built):
        raise Missing(
            f"python3-pyverbs of this Debian is {built[-1].name if built else 'empty'}, "
            f"and this is Python {platform.python_version()}: make PYTHON=/usr/bin/python3 ..."
        )
    return folder


def busybox() -> Path:
    """A busybox that needs no library."""
    return unpacked("busybox-static") / "bin/busybox"


def guest_kernel() -> tuple[Path, Path]:
    """The kernel, and the file system that it starts with. Raises Missing."""
    name = kernel_name()
    deb = fetched(name)
    version = name.removeprefix("linux-image-")
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{deb.stem}-{recipe}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            say("unpacks", name)
            for old in CACHE.glob(f"{KERNEL.removesuffix('-amd64')}-*"):  # of other versions
                shutil.rmtree(old, ignore_errors=True)
            _unpack_kernel(deb, version, Path(temporary))
            keep(Path(temporary) / "made", folder)
    return folder / "vmlinuz", folder / "initrd"


def kernel_name() -> str:
    """The package of the newest kernel that apt knows. Raises Missing."""
    for again in (False, True):
        if again:
            updated()
        asked = ["apt-cache", "depends", "--important", KERNEL]
        depends = subprocess.run(asked, capture_output=True, text=True).stdout
        names = [word for word in depends.split() if re.match(r"linux-image-\d", word)]
        if names:
            return names[0]
    raise Missing(f"apt knows no {KERNEL}: the guest needs a kernel of Debian")


def _unpack_kernel(deb: Path, version: str, work: Path) -> None:
    """From the package to vmlinuz and initrd in work/made."""
    kernel = f"./lib/modules/{version}/kernel"
    wanted = [f"./boot/vmlinuz-{version}", f"./lib/modules/{version}/modules.*"]
    wanted += [f"{kernel}/{folder}/*" for folder in FOLDERS_OF_MODULES.split()]
    files = subprocess.Popen(["dpkg", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    # A folder that this version does not have is no failure: whether all is there, modprobe says.
    subprocess.run(
        ["tar", "-x", "-C", str(work), "--wildcards", *wanted],
        stdin=files.stdout, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    files.communicate()
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    call(["depmod", "-b", str(work), version], env=environment)
    root, made = work / "root", work / "made"
    for name in ("bin", "dev", "proc", "sys", "modules", "lower", "upper", "newroot"):
        (root / name).mkdir(parents=True)
    made.mkdir()
    shutil.copy(busybox(), root / "bin/busybox")
    order: list[str] = []
    for module in MODULES.split():
        show = ["modprobe", "-d", str(work), "-S", version, "--show-depends", module]
        for line in call(show, env=environment).splitlines():
            if not line.startswith("insmod "):  # else built in
                continue
            path = Path(line.split()[1])
            name = path.name.removesuffix(".xz")
            if name not in order:
                order.append(name)
                _copy_module(path, root / "modules" / name)
    (root / "modules/order").write_text("\n".join(order))
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with open(made / "initrd", "wb") as archive:
        pack = ["cpio", "-o", "-H", "newc", "--quiet"]
        subprocess.run(pack, cwd=root, input=names.encode(), stdout=archive, check=True)
    shutil.copy(work / f"boot/vmlinuz-{version}", made / "vmlinuz")


def _copy_module(path: Path, target: Path) -> None:
    if path.suffix == ".xz":
        import lzma

        target.write_bytes(lzma.decompress(path.read_bytes()))
    else:
        shutil.copy(path, target)


def run(command: list[str]) -> int:
    """The exit status of a command in the guest."""
    kernel, initrd = guest_kernel()
    names = ("PATH", "HOME", "LANG", "CI", "PYTHONPATH", "MINICAFFE_SHARED")
    given = {name: os.environ[name] for name in names if name in os.environ}
    given["PATH"] = f"{given.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
    given["PYTHONPATH"] = f"{pyverbs()}:{given.get('PYTHONPATH', '')}".rstrip(":")
    script = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in given.items())
    script += GUEST.format(
        folder=shlex.quote(os.getcwd()), command=shlex.join(command), busybox=busybox()
    )
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        guest, out = Path(temporary) / "guest.sh", Path(temporary) / "out"
        guest.write_text(script)
        out.mkdir()
        share = "local,security_model=none,multidevs=remap"
        arguments = f"""qemu-system-x86_64 -M q35 -accel tcg,thread=multi,tb-size=512 -cpu max
            -smp 2 -m 3072 -nodefaults -no-user-config -display none -no-reboot -nic none
            -monitor none -serial stdio -kernel {kernel} -initrd {initrd}
            -fsdev {share},id=r,path=/,readonly=on -device virtio-9p-pci,fsdev=r,mount_tag=host
            -fsdev {share},id=o,path={out} -device virtio-9p-pci,fsdev=o,mount_tag=out"""
        append = "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr tsc=reliable "
        append += f"no_timer_check GUEST={guest}"
        _boot([*arguments.split(), "-append", append])
        status = out / "status"
        if not status.exists():
            say(f"the guest did not come to its end within {SECONDS} s")
            return 4
        return int(status.read_text())


def _boot(qemu: list[str]) -> None:
    """Run the guest, and show what it prints."""
    with subprocess.Popen(
        qemu, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as guest:
        assert guest.stdout is not None
        limit = threading.Timer(SECONDS, guest.kill)
        limit.start()
        try:
            for line in guest.stdout:
                if b"TCG doesn't support requested feature" not in line:
                    sys.stdout.write(line.decode("utf-8", "replace").replace("\r", ""))
                    sys.stdout.flush()
        finally:
            limit.cancel()
            guest.kill()


def main(command: list[str]) -> int:
    """Prepare what is missing, and run."""
    if not command:
        print(__doc__)
        return 2
    began = time.monotonic()
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        install()
        status = run(command)
    except (Missing, OSError, subprocess.TimeoutExpired) as error:
        in_ci = bool(os.environ.get("CI"))
        say("NOTHING WAS TESTED OVER RDMA:", error)
        return 0 if in_ci else 3
    say(f"{shlex.join(command[:3])} ...: {status} after {time.monotonic() - began:.0f} s in all")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
