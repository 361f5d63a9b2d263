"""The measurements behind `scripts/bench`: Cove's rows and its peers', back to back in one run."""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

import cove as ours
import figures
import peers
from figures import WORK, emit

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN_ADDRESS = "198.51.100.1"
"""Another address of this host than 127.0.0.1; from a range for documentation."""


def rows(options, rootfs, archive, server):
    """By name, in the order in which they are taken."""
    cove = ours.Cove()
    state = {}

    def start():
        ours.ready(cove)
        cove.start("--dev")
        time.sleep(1)
        state["empty"] = figures.pss_mib([cove.process.pid])
        cove.push(archive)

    def many():
        state["arns"] = ours.throughput(cove, 50)
        ours.memory(cove, state["arns"], state["empty"])
        ours.restart(cove, state["arns"], 5)
        ours.execute(cove, state["arns"][0], options.n)
        cove.stop_tasks(state["arns"])
    return cove, start, {
        "latency": lambda: (peers.crun(rootfs, options.n), ours.latency(cove, options.n)),
        "many": many,
        "replaced": lambda: ours.replacement(cove, 5),
        "crowd": lambda: ours.crowd(cove),
        "logs": lambda: (peers.bare_pipe(3), ours.logs(cove, 3)),
        "ports": lambda: (peers.flat_network(server, OWN_ADDRESS), ours.ports(cove, server, OWN_ADDRESS)),
        "rates": lambda: (cove.register("many", ["sleep", "1000"]), ours.rates(cove)),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", action="store_true", help="docker and podman beside us")
    parser.add_argument("--rows", help="only these of ours, separated by commas: latency, many, replaced, crowd, logs, ports, rates")
    parser.add_argument("-n", type=int, default=20, help="repetitions of latency rows")
    options = parser.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", f"{OWN_ADDRESS}/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=False)
    # crun, podman's default too, refuses hybrid hosts; this mount namespace is our own.
    subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False, capture_output=True)
    figures.own_group()
    archive = WORK / "busybox.tar"
    subprocess.run([sys.executable, ROOT / "images/build.py", "busybox", archive], check=True)
    rootfs = WORK / "rootfs"
    rootfs.mkdir()
    subprocess.run(f"tar -xOf {archive} layer.tar | tar -xC {rootfs}", shell=True, check=True)
    (rootfs / "f").mkdir(exist_ok=True)
    server = WORK / "server" / "server"
    server.parent.mkdir()
    subprocess.run(["gcc", "-O2", "-static", "-o", server, ROOT / "scripts/measure/server.c"], check=True)
    cove, start, all_rows = rows(options, rootfs, archive, server)
    wanted = options.rows.split(",") if options.rows else list(all_rows)
    try:
        emit("binary", "cove", [os.path.getsize(ours.BINARY) / 1e6], "MB")
        start()
        for name in wanted:
            all_rows[name]()
    finally:
        cove.down()
    if options.peers:
        peers.docker(rootfs, server, OWN_ADDRESS, options.n)
        peers.podman(rootfs, server, OWN_ADDRESS, options.n)
    figures.table()
    figures.leave_group()
    shutil.rmtree(WORK, ignore_errors=True)


main()
