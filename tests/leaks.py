"""What of Cove is in the kernel and on disk: every kind of thing that a server makes, found without asking the server.

`kernel()` for a whole host or one node, `disk(home)` for the directories of a server whose tasks and images are all gone.
"""
import json
import os
import pathlib
import socket
import subprocess


def out(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def is_of(node, text, prefix="cove-"):
    """`node` None: of any node."""
    return text.startswith(prefix) if node is None else text == prefix + node or text.startswith(f"{prefix}{node}/")


def processes(node, home):
    """Servers, shims and inits; of one node by its directories, which are in the arguments."""
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        name = os.path.basename(words[0])
        if (name == "cove" or name.startswith("cove-")) and len(words) > 1 and words[1] in ("serve", "shim", "init"):
            if node is None or any(str(home) in word for word in words):
                yield f"process {directory.name}: {' '.join(words[:4])}"


def group_of(node):
    import hashlib
    return 0x0C000000 | int.from_bytes(hashlib.sha256(node.encode()).digest()[:3], "big")


def interfaces(node):
    names = set()
    for link in json.loads(out("ip", "-json", "link") or "[]"):
        if link["ifname"].startswith("cvr") and (node is None or link["ifname"].startswith(f"cvr{group_of(node) & 0xFFFFFF:06x}")):
            names.add(link["ifname"])
            yield f"interface {link['ifname']}"
    for line in out("ip", "route", "show", "table", "all").splitlines():
        words = line.split()
        if "dev" in words and words[words.index("dev") + 1] in names:
            yield f"route {line.strip()}"


def tables(node):
    for line in out("nft", "list", "tables").splitlines():
        if is_of(node, line.split()[-1]):
            yield f"nft {line}"
    if node:
        listed = json.loads(out("nft", "-j", "list", "table", "ip", f"cove-{node}") or '{"nftables": []}')["nftables"]
        for maps in (item["map"] for item in listed if "map" in item):
            for element in maps.get("elem", []):
                yield f"nft element of {maps['name']}: {element}"
    # Rules of ours in other people's chains carry the table's name as a comment.
    rules = out("nft", "list", "chain", "ip", "filter", "FORWARD")
    for line in rules.splitlines():
        if 'comment "cove-' in line and (node is None or f'comment "cove-{node}"' in line):
            yield f"nft rule in ip filter FORWARD: {line.strip()}"


def cgroups(node):
    for root, directories, _ in os.walk("/sys/fs/cgroup"):
        for name in list(directories):
            if is_of(node, name):
                yield f"cgroup {root}/{name}"
                directories.remove(name)
        if root.count("/") > 5:
            directories.clear()


def mounts(node, home):
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if (str(home) in point) if node else ("cove" in point):
            yield f"mount {point}"


def loop_devices(node, home):
    for line in out("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").splitlines():
        if (str(home) in line) if node else ("cove" in line):
            yield f"loop device {line}"


def sockets(node, home):
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        name = line.split(maxsplit=7)[-1] if len(line.split()) > 7 else ""
        if is_of(node, name, "@cove-node-") or (node and str(home) in name):
            yield f"socket {name}"


def kernel(node=None, home=None):
    """A list of lines, one per thing."""
    parts = (processes(node, home), interfaces(node), tables(node), cgroups(node), mounts(node, home), loop_devices(node, home),
             sockets(node, home))
    return [line for part in parts for line in part]


def held_ports(ports):
    """Published ports that a shim still holds: bound, but in none of the tables that list listeners and connections, where
    those of the host's other programs are."""
    listed = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            listed.add(int(line.split()[1].rsplit(":", 1)[1], 16))
    return [f"port {port}" for port in ports if port not in listed and not all(map(bindable, (port, port), (socket.SOCK_STREAM, socket.SOCK_DGRAM)))]


def bindable(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("0.0.0.0", port))
            return True
        except OSError:
            return False


# Directories whose files all belong to a task. An upload that its client gave up is kept until it expires, so that another
# client may go on with it.
EMPTY = ("data/exits", "data/volumes", "data/snapshots/w", "data/snapshots/trash", "run/tasks", "run/netns")


def disk(home, blobs=False):
    """Files that nobody wants when no task lives. With `blobs` no image is there either."""
    home = pathlib.Path(home)
    left = []
    for name in EMPTY:
        for path in (home / name).glob("*"):
            left.append(f"file {path.relative_to(home)}")
    for path in home.rglob("*"):
        if path.name.endswith((".tmp", ".new", ".partial")) and path.is_file():
            left.append(f"temporary file {path.relative_to(home)}")
    if blobs:
        for path in (home / "data/blobs").rglob("*"):
            if path.is_file():
                left.append(f"blob {path.relative_to(home)}")
    return left
