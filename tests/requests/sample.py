"""Inputs made from the model: right in type and limits, with names of what lives where a member wants one."""
import base64

import pool as pools

DEPTH_MAX = 6
TEXTS = ["a", "web", "default", "a/b", "256", "8080-8090", "attribute:ecs.os-type == linux", "subnet-0", "{ $.a = 1 }", "é\U0001f980", "x" * 64, "rate(5 minutes)",
         '{"Version":"2012-10-17","Statement":[]}', "arn:aws:iam::000000000000:role/ecsTaskExecutionRole", "sha256:" + "a" * 64, "/own", "ENABLED", "1.4.0"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1"
"""Of the server's own registry, which has no such image: nothing that is made at random ever runs."""
NEVER = {"nextToken", "NextToken", "Marker", "dryRun", "DryRun"}
"""Members that only make sense with a value of the reply before."""


class Sampler:
    def __init__(self, choose, pool):
        self.choose, self.pool = choose, pool

    def input(self, shape):
        value = self.value(shape, "", 0) if shape is not None else {}
        return of_one_cluster(value, self.choose)

    def value(self, shape, member, depth):
        kind, choose = shape.type_name, self.choose
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 3)
            count = max(low, min(high, choose.choice([1, 1, 1, 2, 3]))) if depth < DEPTH_MAX else low
            items = [self.value(shape.member, member, depth + 1) for _ in range(min(count, 20))]
            return items if shape.member.type_name != "string" else list(dict.fromkeys(items))
        if kind == "map":
            return {self.text(shape.key, ""): self.value(shape.value, "", depth + 1) for _ in range(choose.choice([0, 1, 2]) if depth < DEPTH_MAX else 0)}
        if kind == "string":
            return self.text(shape, member)
        if kind == "boolean":
            return choose.random() < 0.5
        if kind == "timestamp":
            return choose.choice([0, 1_700_000_000, 1_795_000_000])
        if kind == "blob":
            return base64.b64encode(choose.randbytes(choose.choice([0, 3, 40]))).decode()
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        numbers = [0, 1, 2, 5, 10, 80, 100, 256, 512] + [one for one in (low, high) if one is not None and abs(one) < 2**31]
        fit = [one for one in numbers if (low is None or one >= low) and (high is None or one <= high)]
        return choose.choice(fit or [low or 1])

    def structure(self, shape, depth):
        if getattr(shape, "is_document_type", False):
            return {"a": 1}
        # Most requests give few optional members; some give many.
        share = self.choose.choice([0, 0.1, 0.25, 0.6]) / (1 + depth / 2)
        wanted = [name for name in shape.members if name in shape.required_members or name not in NEVER and self.choose.random() < share and depth < DEPTH_MAX]
        return {name: self.value(shape.members[name], name, depth + 1) for name in wanted}

    def text(self, shape, member):
        choose = self.choose
        if shape.enum:
            return choose.choice(shape.enum)
        if member == "image":
            return IMAGE
        if member in ("resourceArn", "ResourceARN", "arn"):
            arns = self.pool.all_arns()
            return choose.choice(arns) if arns else TEXTS[0]
        if member and choose.random() < 0.9:
            known = self.pool.any(pools.kind_of(member), choose)
            if isinstance(known, str):
                return known.rsplit("/", 1)[-1] if known.startswith("arn:aws:ecs") and choose.random() < 0.3 else known
        if member in ("tag", "key", "Key", "value", "Value", "name", "Name") or not shape.metadata.get("pattern"):
            low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 1 << 20)
            return choose.choice(TEXTS)[:high].ljust(low, "a")
        return f"f{choose.randrange(30)}".ljust(shape.metadata.get("min", 0), "a")


def of_one_cluster(value, choose):
    """Says the cluster that the other names belong to: services, tasks and instances are only found in their own."""
    if isinstance(value, dict) and choose.random() < 0.9:
        for name, item in value.items():
            first = item[0] if isinstance(item, list) and item else item
            found = pools.ARN.fullmatch(first) if isinstance(first, str) else None
            if found and found[1] in ("service", "task", "container-instance", "task-set") and found[2].count("/"):
                return {**value, "cluster": found[2].split("/")[0]}
    return value
