"""What lives on the server, as far as replies have said: names and ARNs by kind."""
import re

ARN = re.compile(r"arn:aws:ecs:[^:]*:[^:]*:([a-z-]+)/(.+)")
KEPT = 40
"""Per kind; the oldest go first."""
LATEST = 4
KEPT_BACK = {"bb"}
"""What a run cannot do without: the repository of the image that its tasks run."""
KINDS = {
    "taskArn": "task", "subnet": "subnet", "securityGroup": "security-group", "taskDefinitionFamily": "family", "familyPrefix": "family",
    "daemonTaskDefinitionArn": "daemon-task-definition", "serviceDeploymentArn": "service-deployment", "primaryTaskSet": "task-set",
    "logGroupIdentifier": "logGroupName", "logGroupNamePrefix": "logGroupName", "logStreamNamePrefix": "logStreamName",
}
OTHERS = {"logGroupName", "logStreamName", "repositoryName", "RoleName", "PolicyArn", "PolicyName", "UserName", "GroupName", "RuleName",
          "AlarmName", "imageDigest", "imageTag", "MetricName", "Namespace", "Arn", "RoleArn", "filterName", "layerDigest", "family"}
"""Members outside of ECS's ARNs whose values are kept under their own names."""


def kind_of(member):
    """What a member of an input refers to: `taskDefinitionArns` to a `task-definition`."""
    if member in OTHERS:
        return member
    word = member[:-1] if member.endswith("s") and not member.endswith("ss") else member
    if word in OTHERS or word in KINDS:
        return KINDS.get(word, word)
    word = re.sub("Arn$", "", word)
    return re.sub("[A-Z]", lambda letter: "-" + letter[0].lower(), word)

ALIVE = {"task-definition": ("RegisterTaskDefinition", "ListTaskDefinitions"), "task": ("RunTask", "StartTask", "ListTasks"),
         "service": ("CreateService", "UpdateService", "ListServices"), "cluster": ("CreateCluster", "ListClusters"),
         "daemon": ("CreateDaemon", "UpdateDaemon", "ListDaemons"), "daemon-task-definition": ("RegisterDaemonTaskDefinition", "ListDaemonTaskDefinitions"),
         "capacity-provider": ("CreateCapacityProvider", "UpdateCapacityProvider")}
"""Replies that name only what lives; others of these kinds go on for long after the end."""


class Pool:
    def __init__(self):
        self.kinds = {}

    def add(self, kind, value):
        kept = self.kinds.setdefault(kind, {})
        kept.pop(value, None)
        if value not in KEPT_BACK:
            kept[value] = True
        if len(kept) > KEPT:
            del kept[next(iter(kept))]

    def drop(self, kind, value):
        self.kinds.get(kind, {}).pop(value, None)

    def any(self, kind, choose):
        kept = self.kinds.get(kind)
        return choose.choice(list(kept)) if kept else None

    def latest(self, kind, choose):
        kept = self.kinds.get(kind)
        return choose.choice(list(kept)[-LATEST:]) if kept else None

    def count(self, kind):
        return len(self.kinds.get(kind, ()))

    def all_arns(self):
        return [value for kept in self.kinds.values() for value in kept if isinstance(value, str) and value.startswith("arn:")]

    def harvest(self, op, value, member=""):
        """Takes what a reply, or the input of a request that was carried out, names."""
        if isinstance(value, dict):
            for name, item in value.items():
                self.harvest(op, item, name)
        elif isinstance(value, list):
            for item in value:
                self.harvest(op, item, member)
        elif isinstance(value, str) and value:
            found = ARN.fullmatch(value)
            if found and op in ALIVE.get(found[1], (op,)):
                self.add(found[1], value)
            elif member in OTHERS or member.removesuffix("s") in OTHERS:
                self.add(member if member in OTHERS else member.removesuffix("s"), value)
