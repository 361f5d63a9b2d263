"""What the server costs while it is played with: resident memory, open files, threads, records of each kind."""
import os
import pathlib
import threading
import time

TELL_SECS = 20
GROWTH = {"MiB": (1.25, 24), "files": (1.5, 80), "threads": (1.5, 24)}
"""In the last quarter of the requests there may be so many times as much as in the second one, and so much more."""
RECORDS_GROWTH = (1.5, 60)
"""The same for records of one kind, in a run that is long enough for the server to forget some."""
LONG_SECS = 60


class Watch(threading.Thread):
    def __init__(self, pid, progress, counts):
        super().__init__(daemon=True)
        self.pid, self.progress, self.counts = pid, progress, counts
        self.samples, self.over, self.began = [], threading.Event(), time.monotonic()
        """(requests so far, what there is by kind)."""

    def run(self):
        told = time.monotonic()
        while not self.over.wait(0.1):
            self.samples.append((self.progress(), {**cost(self.pid), **self.counts()}))
            if time.monotonic() - told > TELL_SECS:
                told = time.monotonic()
                done, seen = self.samples[-1]
                print(f"{done} requests, {', '.join(f'{count:.0f} {kind}' for kind, count in seen.items())}", flush=True)

    def growth(self):
        """(kind, median of the second quarter of the requests, of the last one, the most that it may be). The first one fills the server."""
        most = max((done for done, _ in self.samples), default=0)
        kinds = self.samples[-1][1] if self.samples else {}
        if time.monotonic() - self.began < LONG_SECS:
            kinds = [kind for kind in kinds if kind in GROWTH]
        for kind in kinds:
            middle, last = (median([seen[kind] for done, seen in self.samples if low * most <= done <= (low + 0.25) * most and kind in seen]) for low in (0.25, 0.75))
            times, more = GROWTH.get(kind, RECORDS_GROWTH)
            yield kind, middle, last, middle * times + more


def median(values):
    return sorted(values)[len(values) // 2] if values else 0


def cost(pid):
    """Zeros for a dead process."""
    try:
        home = pathlib.Path(f"/proc/{pid}")
        pages = int((home / "statm").read_text().split()[1])
        return {"MiB": pages * os.sysconf("SC_PAGE_SIZE") / 2**20, "files": len(os.listdir(home / "fd")), "threads": len(os.listdir(home / "task"))}
    except (OSError, ValueError):
        return dict.fromkeys(GROWTH, 0)
