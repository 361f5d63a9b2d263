"""Kills of the server at random moments of pushes, deletions, collections, scrubs, scans, replication and pulls through it.

`registry.py [--rounds N] [--seed S]`. A round: clients push and delete, archive and restore, have images scanned and replicated, and
pull through the server what another one has; the server dies in the middle, once or twice, and comes back; they
finish what they had begun; then all that was acknowledged is read back, every blob file is hashed, and nobody may see half a blob. Every so
many rounds the storm waits for a collection: what no image needs must be gone, and nothing else.
"""
import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
# Read by the server. Short, so that collections meet pushes; a push that is slower than the grace is made again.
os.environ.update(COVE_COLLECT_SECS="1", COVE_COLLECT_GRACE_SECS="2", COVE_UPLOAD_EXPIRY_SECS="3", COVE_SCRUB_MIB_PER_SEC="1000")
import actors
import points
from repository import Repository
from world import COVE, World, until

WORKERS = 4
COLLECT_EVERY = 10
"""Rounds between two waits for a collection."""


class Storm:
    def __init__(self, world, upstream, seed):
        self.world, self.choose = world, random.Random(seed)
        self.repositories = [Repository(world, f"r{number}", seed) for number in range(WORKERS)]
        kinds = {"copied": actors.Replicated, "shelf": actors.Archived, "scanned": actors.Scanned}
        self.repositories += [kind(world, name, seed) for name, kind in kinds.items()]
        self.through = actors.Through(world, upstream, seed)
        self.clients = [*self.repositories, self.through]
        self.resting = threading.Event()
        self.problems, self.kills = [], 0

    def work(self, what):
        try:
            while not self.resting.is_set():
                what()
        except BaseException:
            self.problems.append(traceback.format_exc())
            self.resting.set()

    def scrub(self):
        """Whether it is answered does not matter here; that it never finds anything does."""
        command = [COVE, "--endpoint", f"http://127.0.0.1:{self.world.port}", "--data-dir", self.world.home / "data", "scrub", "--now", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.stdout:
            assert json.loads(done.stdout)["damaged"] == [], done.stdout
        time.sleep(0.05)

    def kill(self):
        time.sleep(min(self.choose.expovariate(1 / 0.25), 1.5))
        with self.world.lock:
            self.world.process.kill()
            self.world.process.wait()
        self.kills += 1
        time.sleep(self.choose.random() * 0.05)
        self.world.revive()

    def round(self):
        self.resting.clear()
        threads = [threading.Thread(target=self.work, args=(one.step,)) for one in self.clients]
        threads.append(threading.Thread(target=self.work, args=(self.scrub,)))
        for thread in threads:
            thread.start()
        for _ in range(self.choose.choice([1, 1, 2])):
            self.kill()
        self.resting.set()
        for thread in threads:
            thread.join()
        assert not self.problems, "\n".join(self.problems)
        for client in self.clients:
            client.check()
        for path in self.files():
            # A collection may be faster.
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                assert hashlib.file_digest(file, path.parts[-3]).hexdigest() == path.name, f"{path} is no whole blob"

    def files(self):
        return [path for algorithm in ("sha256", "sha512") for path in (self.world.home / "data/blobs" / algorithm).glob("*/*")]

    def collected(self):
        """Exactly what the images need is there."""
        def is_clean():
            # What is being fetched may yet be recorded, so it is asked each time.
            needed = set().union(*(client.needed() for client in self.clients))
            found = {f"{path.parts[-3]}:{path.name}" for path in self.files()}
            uploads = [path.name for path in (self.world.home / "data/uploads").iterdir()]
            aside = [path.name for path in (self.world.home / "data/blobs/damaged").iterdir()]
            self.left = (found - needed, uploads, aside)
            assert needed <= found, f"lost: {needed - found}"
            return found == needed and not uploads and not aside
        until(is_clean, lambda: f"left over: {self.left}")
        for client in self.clients:
            client.check()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}, {options.rounds} rounds, {COVE}", flush=True)
    upstream = World("u" + os.urandom(4).hex())
    world = World("g" + os.urandom(4).hex(), config=actors.CONFIG.replace("PORT", str(upstream.port)))
    began, failed, number = time.monotonic(), None, 0
    try:
        upstream.start()
        world.start()
        storm = Storm(world, upstream, seed)
        for number in range(1, options.rounds + 1):
            storm.round()
            if number % COLLECT_EVERY == 0 or number == options.rounds:
                storm.collected()
                counts = {kind: sum(one.counts[kind] for one in storm.clients) for kind in ("push", "delete", "again")}
                print(f"{number} rounds, {storm.kills} kills, {time.monotonic() - began:.0f} s, {counts}, {len(storm.files())} files", flush=True)
        points.clean(world)
        world.remove()
    except BaseException:
        failed = True
        world.keep(f"in round {number}, seed {seed}")
    upstream.down()
    upstream.remove()
    print(f"{0 if failed else 1} passed, {1 if failed else 0} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
