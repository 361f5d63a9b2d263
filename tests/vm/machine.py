"""What virtual machines of tests are made from: Debian's kernel, an initramfs written here, qemu without acceleration."""
import gzip
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target/vm"


def newest_kernel_package():
    shown = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=True).stdout
    return re.search(r"Depends: (linux-image-\S+)", shown).group(1)


def kernel():
    """vmlinuz and the modules, unpacked from Debian's package once."""
    WORK.mkdir(parents=True, exist_ok=True)
    root = WORK / "kernel"
    if not root.exists():
        shutil.rmtree(WORK / "partial", ignore_errors=True)
        (WORK / "partial").mkdir(parents=True)
        package = newest_kernel_package()
        print(f"downloading {package}", flush=True)
        subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], cwd=WORK / "partial", check=True)
        (deb,) = (WORK / "partial").glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", deb, WORK / "partial/root"], check=True)
        (WORK / "partial/root").rename(root)
        shutil.rmtree(WORK / "partial")
    (version,) = (root / "lib/modules").iterdir()
    subprocess.run(["depmod", "-b", root, version.name], check=True)
    return root / f"boot/vmlinuz-{version.name}", version


def module_closure(version, names):
    """Paths of the named modules and of what they need, each behind its needs."""
    needs = {}
    for line in (version / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {pathlib.Path(path).name.split(".ko")[0].replace("-", "_"): path for path in needs}
    wanted = []
    for name in names:
        path = by_name.get(name)
        if path:
            wanted += [*reversed(needs[path]), path]
    return list(dict.fromkeys(wanted))


class Cpio:
    """A newc archive, as the kernel unpacks it."""

    def __init__(self):
        self.parts, self.number = [], 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.number += 1
        path = name.encode() + b"\0"
        head = "070701" + "".join(f"{value:08x}" for value in (self.number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0))
        record = head.encode() + path
        record += b"\0" * (-len(record) % 4) + content
        self.parts.append(record + b"\0" * (-len(record) % 4))

    def directory(self, name):
        self.add(name, 0o040755)

    def file(self, name, content, mode=0o755):
        self.add(name, 0o100000 | mode, content)

    def link(self, name, target):
        self.add(name, 0o120777, target.encode())

    def busybox(self):
        """/bin with every applet, and a console."""
        self.add("dev/console", 0o020600, device=(5, 1))
        busybox = pathlib.Path(shutil.which("busybox"))
        self.file("bin/busybox", busybox.read_bytes())
        for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                self.link(f"bin/{applet}", "busybox")

    def write(self, path):
        self.add("TRAILER!!!", 0)
        path.write_bytes(gzip.compress(b"".join(self.parts), 1))
        return path


def qemu(vmlinuz, initramfs, append, *more):
    """The command line. No KVM is asked for: TCG works everywhere. The machine ends with whoever started it.
    One processor: two emulated ones have spun on each other for ever, and need more than one core of the host."""
    return ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "3072", "-nographic", "-no-reboot",
            "-nic", "none", "-kernel", vmlinuz, "-initrd", initramfs, "-append", f"console=ttyS0 panic=-1 quiet {append}", *more]
