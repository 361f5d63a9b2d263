"""Requests that make sense, for operations of which a random input hardly ever does.

Each takes a `Maker` and gives an input; what it refers to is taken from the pool, or is a name that no one has.
"""
import json
import string
import time

IMAGE = "bb:1"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]})
NAMES = 12
"""Names of a kind: few, so that requests meet."""


class Maker:
    def __init__(self, choose, pool, network=None):
        self.choose, self.pool, self.network = choose, pool, network

    def name(self, prefix):
        return f"{prefix}{self.choose.randrange(NAMES)}"

    def any(self, kind, otherwise="none"):
        found = self.pool.any(kind, self.choose)
        return otherwise if found is None else found

    def home(self):
        """A cluster, mostly the one that has instances."""
        return self.any("cluster", "default") if self.choose.random() < 0.15 else "default"

    def some(self, kind, most=3):
        return list({self.any(kind) for _ in range(self.choose.randrange(1, most + 1))})

    def within(self, kind, member, many=False):
        """Something that lives in a cluster, with that cluster."""
        found = self.any(kind, f"arn:aws:ecs:us-east-1:000000000000:{kind}/default/none")
        parts = found.split("/")
        short = self.choose.random() < 0.3 and kind in ("service", "task", "container-instance")
        named = parts[-1] if short else found
        return {"cluster": parts[1], member: [named] if many else named}

    def maybe(self, **members):
        return {name: value for name, value in members.items() if self.choose.random() < 0.4}

    def tags(self):
        return [{"key": f"k{n}", "value": "".join(self.choose.choices(string.ascii_letters, k=5))} for n in range(self.choose.randrange(1, 4))]

    def containers(self):
        command = self.choose.choice(["true", "exit 3", "sleep 2", "sleep 30"])
        first = {"name": "main", "image": self.choose.choice([IMAGE, "000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1"]), "memory": 16,
                 "command": ["sh", "-c", command], "stopTimeout": 2,
                 **self.maybe(environment=[{"name": "A", "value": "b"}], cpu=10, portMappings=[{"containerPort": 80}],
                              healthCheck={"command": ["CMD-SHELL", "true"]}, dockerLabels={"a": "b"}, ulimits=[{"name": "nofile", "softLimit": 64, "hardLimit": 128}])}
        second = {"name": "side", "image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1", "memory": 16, "essential": False}
        return [first, second][:self.choose.choice([1, 1, 2])]


def definition(m):
    return {"family": m.name("f"), "containerDefinitions": m.containers(), **m.maybe(tags=m.tags(), networkMode=m.choose.choice(["bridge", "none", "host"][:1]), memory="64")}


def run_task(m):
    return {"taskDefinition": m.any("task-definition"), "cluster": m.home(), "count": m.choose.choice([1, 1, 2]),
            **m.maybe(tags=m.tags(), startedBy=m.name("who"), group=m.name("g"), enableECSManagedTags=True, clientToken=m.name("t") + str(m.choose.random()),
                      overrides={"containerOverrides": [{"name": "main", "environment": [{"name": "B", "value": "c"}]}]},
                      placementStrategy=[{"type": "spread", "field": "instanceId"}])}


PAUSING = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]}


def create_service(m):
    if m.choose.random() < 0.2:
        return {"serviceName": m.name("blue"), "taskDefinition": m.any("task-definition"), "desiredCount": 1, "deploymentConfiguration": PAUSING}
    if m.choose.random() < 0.2:
        return {"serviceName": m.name("x"), "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}}
    return {"serviceName": m.name("s"), "cluster": m.home(), "taskDefinition": m.any("task-definition"),
            "desiredCount": m.choose.choice([0, 1, 1, 2]), **m.maybe(tags=m.tags(), deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 50}, enableECSManagedTags=True)}


def update_service(m):
    return {**m.within("service", "service"), **m.maybe(desiredCount=m.choose.randrange(3), taskDefinition=m.any("task-definition"), forceNewDeployment=True)}


def create_set(m):
    return {**m.within("controlled", "service"), "taskDefinition": m.any("task-definition"), "scale": {"value": m.choose.choice([0.0, 50.0, 100.0]), "unit": "PERCENT"}}


def of_set(m, member, **more):
    """A task set with its service and cluster."""
    parts = m.any("task-set", "arn:aws:ecs:us-east-1:000000000000:task-set/default/none/ecs-svc/0").split("/")
    return {"cluster": parts[1], "service": parts[2], member: "/".join(parts) if m.choose.random() < 0.6 else parts[-2] + "/" + parts[-1], **more}


def provider(m):
    return {"name": m.name("cp"), "autoScalingGroupProvider": {"autoScalingGroupArn": m.choose.choice(GROUPS)}, **m.maybe(tags=m.tags())}


def stop_deployment(m):
    """One that goes on, or with luck one that has just begun."""
    arn = m.any("paused", ("none", "none"))[0] if m.choose.random() < 0.5 else m.any("service-deployment")
    return {"serviceDeploymentArn": arn, "stopType": m.choose.choice(["ABORT", "ROLLBACK"])}


def go_on(m):
    arn, hook = m.any("paused", ("none", "none"))
    return {"serviceDeploymentArn": arn, "hookId": hook, "action": "CONTINUE"}


def start_task(m):
    return {**m.within("container-instance", "containerInstances", True), "taskDefinition": m.any("task-definition")}


def tagged(m, **more):
    arns = m.pool.all_arns()
    return {"resourceArn": m.choose.choice([arn for arn in arns if arn.startswith("arn:aws:ecs")] or ["none"]), **more}


def attributes(m):
    found = m.any("container-instance").split("/")
    return {"cluster": found[1] if len(found) > 1 else "default",
            "attributes": [{"name": m.name("a"), "value": m.name("v"), "targetType": "container-instance", "targetId": found[-1]}]}


def events(m):
    return {"logGroupName": m.any("logGroupName"), "logStreamName": m.any("logStreamName"),
            "logEvents": [{"timestamp": int(time.time() * 1000) + n, "message": f"line {n}"} for n in range(m.choose.randrange(1, 5))]}


GROUPS = [f"group{n}" for n in range(8)]
"""Of the configured fleet. A provider takes one that no other has."""
SETTINGS = ["containerInsights", "taskLongArnFormat", "awsvpcTrunking"]


def setting(m):
    name = m.choose.choice(SETTINGS)
    return {"name": name, "value": "disabled" if name == "containerInsights" else "enabled"}


RECIPES = {
    ("ecs", "CreateCluster"): lambda m: {"clusterName": m.name("c"), **m.maybe(tags=m.tags(), settings=[{"name": "containerInsights", "value": "enabled"}])},
    ("ecs", "DeleteCluster"): lambda m: {"cluster": m.name("c")},
    ("ecs", "UpdateCluster"): lambda m: {"cluster": m.any("cluster"), **m.maybe(settings=[{"name": "containerInsights", "value": "disabled"}])},
    ("ecs", "UpdateClusterSettings"): lambda m: {"cluster": m.any("cluster"), "settings": [{"name": "containerInsights", "value": "enabled"}]},
    ("ecs", "DescribeClusters"): lambda m: {**m.maybe(clusters=m.some("cluster"), include=["STATISTICS", "TAGS", "SETTINGS"])},
    ("ecs", "RegisterTaskDefinition"): definition,
    ("ecs", "DescribeTaskDefinition"): lambda m: {"taskDefinition": m.any("task-definition"), **m.maybe(include=["TAGS"])},
    ("ecs", "DeregisterTaskDefinition"): lambda m: {"taskDefinition": m.any("task-definition")},
    ("ecs", "DeleteTaskDefinitions"): lambda m: {"taskDefinitions": m.some("old-definition")},
    ("ecs", "RunTask"): run_task,
    ("ecs", "StartTask"): start_task,
    ("ecs", "StopTask"): lambda m: {**m.within("task", "task"), **m.maybe(reason="enough")},
    ("ecs", "DescribeTasks"): lambda m: {**m.within("task", "tasks", True), **m.maybe(include=["TAGS"])},
    ("ecs", "ListTasks"): lambda m: {"cluster": m.choose.choice(["default", m.any("cluster")]), **m.maybe(desiredStatus=m.choose.choice(["RUNNING", "STOPPED"]), maxResults=10)},
    ("ecs", "GetTaskProtection"): lambda m: m.within("task", "tasks", True),
    ("ecs", "UpdateTaskProtection"): lambda m: {**m.within("task", "tasks", True), "protectionEnabled": m.choose.random() < 0.3, **m.maybe(expiresInMinutes=1)},
    ("ecs", "CreateService"): create_service,
    ("ecs", "UpdateService"): update_service,
    ("ecs", "DeleteService"): lambda m: {**m.within("service", "service"), "force": True},
    ("ecs", "DescribeServices"): lambda m: {**m.within("service", "services", True), **m.maybe(include=["TAGS"])},
    ("ecs", "ListServiceDeployments"): lambda m: m.within("service", "service"),
    ("ecs", "DescribeServiceDeployments"): lambda m: {"serviceDeploymentArns": m.some("service-deployment")},
    ("ecs", "DescribeServiceRevisions"): lambda m: {"serviceRevisionArns": m.some("service-revision")},
    ("ecs", "StopServiceDeployment"): stop_deployment,
    ("ecs", "CreateTaskSet"): create_set,
    ("ecs", "DescribeTaskSets"): lambda m: m.within("controlled", "service"),
    ("ecs", "UpdateTaskSet"): lambda m: of_set(m, "taskSet", scale={"value": m.choose.choice([0.0, 100.0]), "unit": "PERCENT"}),
    ("ecs", "UpdateServicePrimaryTaskSet"): lambda m: of_set(m, "primaryTaskSet"),
    ("ecs", "DeleteTaskSet"): lambda m: of_set(m, "taskSet", force=True),
    ("ecs", "CreateCapacityProvider"): provider,
    ("ecs", "UpdateCapacityProvider"): lambda m: {"name": m.name("cp"), "autoScalingGroupProvider": {"managedDraining": m.choose.choice(["ENABLED", "DISABLED"])}},
    ("ecs", "DeleteCapacityProvider"): lambda m: {"capacityProvider": m.name("cp")},
    ("ecs", "PutClusterCapacityProviders"): lambda m: {"cluster": m.name("c"), "capacityProviders": ["FARGATE"],
                                                       "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
    ("events", "PutTargets"): lambda m: {"Rule": m.name("rule"), "Targets": [{"Id": "a", "Arn": f"arn:aws:logs:us-east-1:000000000000:log-group:{m.name('g')}"}]},
    ("events", "DescribeRule"): lambda m: {"Name": m.name("rule")},
    ("events", "EnableRule"): lambda m: {"Name": m.name("rule")},
    ("events", "DisableRule"): lambda m: {"Name": m.name("rule")},
    ("events", "ListTargetsByRule"): lambda m: {"Rule": m.name("rule")},
    ("events", "RemoveTargets"): lambda m: {"Rule": m.name("rule"), "Ids": ["a"]},
    ("monitoring", "PutMetricAlarm"): lambda m: {"AlarmName": m.name("alarm"), "Namespace": "n0", "MetricName": "m0", "Statistic": "Average", "Period": 60,
                                                 "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"},
    ("monitoring", "SetAlarmState"): lambda m: {"AlarmName": m.name("alarm"), "StateValue": m.choose.choice(["OK", "ALARM"]), "StateReason": "because"},
    ("monitoring", "GetMetricStatistics"): lambda m: {"Namespace": "n0", "MetricName": "m0", "StartTime": int(time.time()) - 600, "EndTime": int(time.time()), "Period": 60, "Statistics": ["Sum"]},
    ("ecs", "ContinueServiceDeployment"): go_on,
    ("ecs", "DescribeContainerInstances"): lambda m: m.within("container-instance", "containerInstances", True),
    ("ecs", "UpdateContainerInstancesState"): lambda m: {**m.within("container-instance", "containerInstances", True), "status": m.choose.choice(["ACTIVE", "ACTIVE", "DRAINING"])},
    # Rarely one that lives: they do not come back.
    ("ecs", "DeregisterContainerInstance"): lambda m: {**m.within("container-instance" if m.choose.random() < 0.03 else "gone-instance", "containerInstance"), "force": True},
    ("ecs", "PutAttributes"): attributes,
    ("ecs", "DeleteAttributes"): attributes,
    ("ecs", "ListAttributes"): lambda m: {"targetType": "container-instance", **m.maybe(attributeName=m.name("a"))},
    ("ecs", "TagResource"): lambda m: tagged(m, tags=m.tags()),
    ("ecs", "UntagResource"): lambda m: tagged(m, tagKeys=["k0", "k1"]),
    ("ecs", "ListTagsForResource"): tagged,
    ("ecs", "PutAccountSetting"): setting,
    ("ecs", "PutAccountSettingDefault"): setting,
    ("ecs", "DeleteAccountSetting"): lambda m: {"name": m.choose.choice(SETTINGS)},
    ("ecs", "ListServicesByNamespace"): lambda m: {"namespace": m.name("n")},
    ("ecr", "CreateRepository"): lambda m: {"repositoryName": m.name("r")},
    ("ecr", "DeleteRepository"): lambda m: {"repositoryName": m.name("r"), "force": True},
    ("logs", "CreateLogGroup"): lambda m: {"logGroupName": m.name("g")},
    ("logs", "CreateLogStream"): lambda m: {"logGroupName": m.any("logGroupName"), "logStreamName": m.name("s")},
    ("logs", "PutLogEvents"): events,
    ("logs", "GetLogEvents"): lambda m: {"logGroupName": m.any("logGroupName"), "logStreamName": m.any("logStreamName")},
    ("iam", "CreateRole"): lambda m: {"RoleName": m.name("role"), "AssumeRolePolicyDocument": TRUST},
    ("iam", "PutRolePolicy"): lambda m: {"RoleName": m.any("RoleName"), "PolicyName": m.name("p"), "PolicyDocument": POLICY},
    ("sts", "AssumeRole"): lambda m: {"RoleArn": m.any("RoleArn", "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"), "RoleSessionName": m.name("session")},
    ("events", "PutRule"): lambda m: {"Name": m.name("rule"), "ScheduleExpression": "rate(1 hour)", **m.maybe(State="DISABLED")},
    ("monitoring", "PutMetricData"): lambda m: {"Namespace": m.name("n"), "MetricData": [{"MetricName": m.name("m"), "Value": 1.5}]},
}
MAKES = {"task": "StopTask", "service": "DeleteService"}
"""Kinds that cost something while they live, and the operation that is made more often as they become many."""
FULL = 25
