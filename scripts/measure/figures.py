"""Figures: how they are taken, kept and printed. One JSON line each on stdout as they come, a table at the end."""
import json
import os
import pathlib
import select
import signal
import statistics
import subprocess
import tempfile
import time

WORK = pathlib.Path(tempfile.mkdtemp(prefix="cove-bench-", dir="/var/tmp"))
RESULTS = {}
"""By row and system."""

ACT = "printf x > /f/p; exec sleep 1000"
"""A container's first act, seen from outside: a byte in a bind-mounted FIFO. Neutral between systems."""

SLEEP = str(100_000 + os.getpid())
KEPT = f"printf x > /f/p; exec sleep {SLEEP}"
"""The same for a container that is to be found among all processes of the machine."""

LINE = "0123456789" * 9 + "01234567"
LINES = f"yes {LINE} | head -c 100000000"
"""100 MB in lines of 99 bytes."""


def emit(row, system, values, unit):
    values = sorted(values)
    figure = {"row": row, "system": system, "unit": unit, "n": len(values), "median": round(statistics.median(values), 3),
              "p90": round(values[min(len(values) - 1, int(len(values) * 0.9))], 3), "min": round(values[0], 3), "max": round(values[-1], 3),
              "load": os.getloadavg()[0], "at": int(time.time())}
    RESULTS[row, system] = figure
    print(json.dumps(figure), flush=True)


def table():
    print()
    width = max(len(row) for row, _ in RESULTS)
    for (row, system), figure in sorted(RESULTS.items(), key=lambda one: [row for row, _ in RESULTS].index(one[0][0])):
        ours = RESULTS.get((row, "cove"))
        ratio = "" if system == "cove" or not ours else f"cove / {system} = {ours['median'] / figure['median']:.2f}" if figure["median"] else ""
        print(f"{row:{width}}  {system:12} {figure['median']:>12,.2f} {figure['unit']:5} p90 {figure['p90']:,.2f}  min {figure['min']:,.2f}  "
              f"n={figure['n']}  {ratio}")


V1 = pathlib.Path("/sys/fs/cgroup/cpuacct")
GROUPS = V1 if V1.exists() else pathlib.Path("/sys/fs/cgroup")
OWN = GROUPS / "measure-bench"
"""Everything that we start is in here, but for what systems put into groups of their own at the top."""
THEIRS = {"cove": ["cove-bench"], "docker": ["docker"], "podman": ["libpod_parent"], "crun+netns": []}


def own_group():
    OWN.mkdir(exist_ok=True)
    (OWN / "cgroup.procs").write_text(str(os.getpid()))


def leave_group():
    (GROUPS / "cgroup.procs").write_text(str(os.getpid()))
    OWN.rmdir()


def used_ms(system):
    """CPU time of the system's processes, dead ones too: a group keeps what its gone children used."""
    total = 0
    for group in [OWN, *(GROUPS / name for name in THEIRS[system.split()[0]])]:
        try:
            if V1.exists():
                total += int((group / "cpuacct.usage").read_text()) / 1e6
            else:
                total += int((group / "cpu.stat").read_text().split()[1]) / 1e3
        except OSError:
            pass
    return total


def cpu_ms(system, work, count):
    """CPU milliseconds per item of `work`, our own calls among them, with half a second for what comes after."""
    before = used_ms(system)
    work()
    time.sleep(0.5)
    return (used_ms(system) - before) / count


def pss_mib(pids):
    total = 0
    for pid in pids:
        try:
            total += next(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
        except (OSError, StopIteration):
            pass
    return total / 1024


def processes(name, *words):
    """Pids whose program has that name and whose arguments hold the words."""
    found = []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if line and os.path.basename(line[0]).decode(errors="replace").startswith(name) and all(w.encode() in line for w in words):
            found.append(int(directory.name))
    return found


def cpu_clock(pid):
    """The clock of a process's CPU time, dead threads' too; as the C library's clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


def idle_percent(pids, seconds=20):
    """Of one core, once what came before has come to rest."""
    time.sleep(10)
    before = [time.clock_gettime(cpu_clock(pid)) for pid in pids]
    time.sleep(seconds)
    return sum(time.clock_gettime(cpu_clock(pid)) - one for pid, one in zip(pids, before)) / seconds * 100


def fifo(name):
    directory = WORK / name
    directory.mkdir(exist_ok=True)
    path = directory / "p"
    if not path.exists():
        os.mkfifo(path)
    return directory, path


def first_byte(path, start):
    """Milliseconds from `start()` until something writes to the FIFO, and what `start()` gave."""
    reader = os.open(path, os.O_RDWR)
    try:
        began = time.monotonic()
        handle = start()
        assert select.select([reader], [], [], 30)[0], "no first instruction within 30 s"
        os.read(reader, 1)
        return (time.monotonic() - began) * 1000, handle
    finally:
        os.close(reader)


def latencies(system, n, start):
    """The rows of a start, by `start(fifo directory) -> anything`."""
    directory, path = fifo(f"fifo-{system.split()[0]}")
    times = []

    def one():
        return first_byte(path, lambda: start(directory))[0]
    for _ in range(3):
        one()
    cpu = cpu_ms(system, lambda: times.extend(one() for _ in range(n)), n)
    emit("first instruction", system, times, "ms")
    emit("CPU per start", system, [cpu], "ms")


def replacements(system, n, kill_of):
    """From the kill of a container that somebody keeps to the first act of the one in its place. `kill_of(fifo directory)`
    starts one that does as `KEPT` says, and gives what finds its process at any time and what ends it for good."""
    directory, path = fifo(f"fifo-replace-{system.split()[0]}")
    times = []
    for _ in range(n):
        _, (pid, end) = first_byte(path, lambda: kill_of(directory))
        # Long enough for it to count as one that was well.
        time.sleep(1)
        victim = pid()
        times.append(first_byte(path, lambda: os.kill(victim, signal.SIGKILL))[0])
        end()
    emit("killed container replaced", system, times, "ms")


def log_throughput(system, n, run):
    """`run(fifo directory, command)` starts a container that acts, writes 100 MB to its log and acts again."""
    directory, path = fifo(f"fifo-logs-{system.split()[0]}")
    speeds = []
    for _ in range(n):
        reader = os.open(path, os.O_RDWR)
        run(directory, f"printf x > /f/p; {LINES}; printf x > /f/p")
        os.read(reader, 1)
        began = time.monotonic()
        os.read(reader, 1)
        speeds.append(100 / (time.monotonic() - began))
        os.close(reader)
    emit("log throughput", system, speeds, "MB/s")


def wrk(url, seconds=3, connections=32, script=None, inside=()):
    """Requests a second. `inside` is a command prefix that enters a network namespace."""
    words = [*inside, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    if script:
        path = WORK / "wrk.lua"
        path.write_text(script)
        words[-1:-1] = ["-s", str(path)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    return float(next(line.split()[1] for line in said.splitlines() if line.startswith("Requests/sec")))
