"""What recipes are made of: names that few have, things that live, values by chance."""
import json
import string

IMAGE = "bb:1"
"""The image that runs. Its repository is no one's to play with: `pool.KEPT_BACK`."""
NONE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1"
"""An image that is nowhere."""
RUN_ON = "trap exit TERM; sleep 1000 & wait"
"""A command that runs on, and ends when it is told to: a broken request may have asked for any time to stop in."""
ACCOUNT = "us-east-1:000000000000"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": ["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]}, "Action": "sts:AssumeRole"}]})
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]})
NAMES = 6
"""Names of a kind: few, so that requests meet."""


class Maker:
    def __init__(self, choose, pool):
        self.choose, self.pool = choose, pool

    def chance(self, share):
        return self.choose.random() < share

    def name(self, prefix, names=NAMES):
        return f"{prefix}{self.choose.randrange(names)}"

    def any(self, kind, otherwise="none"):
        found = self.pool.any(kind, self.choose)
        return otherwise if found is None else found

    def latest(self, kind, otherwise="none"):
        """One of the last few that were named."""
        found = self.pool.latest(kind, self.choose)
        return otherwise if found is None else found

    def home(self):
        """A cluster, mostly the one that has instances."""
        return self.any("cluster", "default") if self.chance(0.15) else "default"

    def some(self, kind, most=3):
        return list({self.any(kind) for _ in range(self.choose.randrange(1, most + 1))})

    def within(self, kind, member, many=False):
        """Something that lives in a cluster, with that cluster."""
        found = self.any(kind, f"arn:aws:ecs:{ACCOUNT}:{kind}/default/none")
        parts = found.split("/")
        short = self.chance(0.3) and parts[0].rsplit(":", 1)[-1] in ("service", "task", "container-instance")
        named = parts[-1] if short else found
        return {"cluster": parts[1], member: [named] if many else named}

    def maybe(self, **members):
        return {name: value for name, value in members.items() if self.chance(0.4)}

    def tags(self):
        return [{"key": f"k{n}", "value": "".join(self.choose.choices(string.ascii_letters, k=5))} for n in range(self.choose.randrange(1, 4))]

    def key_values(self):
        """Tags as most services outside of ECS have them."""
        return [{"Key": one["key"], "Value": one["value"]} for one in self.tags()]

    def containers(self, calm=False):
        command = RUN_ON if calm else self.choose.choice(["true", "exit 3", "sleep 2", "sleep 30", "sleep 30"])
        first = {"name": "main", "image": IMAGE if calm else self.choose.choice([IMAGE, IMAGE, NONE]), "memory": 16,
                 "command": ["sh", "-c", command], "stopTimeout": 2,
                 **self.maybe(environment=[{"name": "A", "value": "b"}], cpu=10, portMappings=[{"containerPort": 80}],
                              healthCheck={"command": ["CMD-SHELL", "true"]}, dockerLabels={"a": "b"}, ulimits=[{"name": "nofile", "softLimit": 64, "hardLimit": 128}])}
        second = {"name": "side", "image": NONE, "memory": 16, "essential": False}
        return [first] if calm else [first, second][:self.choose.choice([1, 1, 2])]
