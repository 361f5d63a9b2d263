"""Keeps the world worth playing in: what a client took out of the fleet comes back, and what there is is counted.

Why not the clients: what they do must depend on their seed and on the server's answers alone.
"""
import collections
import json
import threading

import wire
from world import Refused

EVERY_SECS = 1
COUNTED = {"services": ("ListServices", "serviceArns"), "tasks": ("ListTasks", "taskArns"), "daemons": ("ListDaemons", "daemonSummariesList"),
           "clusters": ("ListClusters", "clusterArns"), "providers": ("DescribeCapacityProviders", "capacityProviders")}


class Keeper(threading.Thread):
    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.over = world, threading.Event()
        self.counts = {}
        """Records by kind, as they were last seen."""
        self.problem = None

    def run(self):
        while not self.over.wait(EVERY_SECS):
            try:
                self.recover()
                self.counts = self.count()
            except Exception as error:
                self.problem = repr(error)

    def fleet(self, verb=None, **body):
        method, path = ("POST", f"/_cove/v1/fleet/{verb}") if verb else ("GET", "/_cove/v1/fleet")
        status, _, text = self.world.request(method, path, json.dumps(body) if verb else None, {**wire.signed("cove"), "Content-Type": "application/json"})
        assert status == 200 or verb, (status, text)
        return json.loads(text).get("instances", [])

    def recover(self):
        gone = [one["id"] for one in self.fleet() if one["status"] == "INACTIVE" and one["origin"] == "declared"]
        if gone:
            self.fleet("recover", instances=gone)

    def count(self):
        ecs = self.world.ecs
        counts = collections.Counter(instances=len(self.fleet()))
        for kind, (op, member) in COUNTED.items():
            counts[kind] = sum(len(page[member]) for page in self.pages(op))
        counts["stopped tasks"] = sum(len(page["taskArns"]) for page in self.pages("ListTasks", desiredStatus="STOPPED"))
        services = ({"op": "ListServiceDeployments", "service": service} for service in ecs("ListServices", maxResults=100)["serviceArns"])
        counts["deployments of a service"] = self.most(services, "serviceDeployments")
        daemons = ({"op": "ListDaemonDeployments", "daemonArn": daemon["daemonArn"]} for daemon in ecs("ListDaemons", maxResults=100)["daemonSummariesList"])
        counts["deployments of a daemon"] = self.most(daemons, "daemonDeployments")
        return dict(counts)

    def most(self, requests, member):
        """The longest of the listings; what is deleted meanwhile has none."""
        longest = 0
        for request in requests:
            try:
                longest = max(longest, sum(len(page[member]) for page in self.pages(**request)))
            except Refused:
                pass
        return longest

    def pages(self, op, **input):
        token = {}
        while True:
            page = self.world.ecs(op, **input, **token)
            yield page
            if not page.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}
