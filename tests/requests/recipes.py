"""Requests that make sense, for operations of which a random input hardly ever does.

Each takes a `Maker` and gives an input; what it refers to is taken from the pool, or is a name that no one has.
"""
import daemons
import others
from maker import ACCOUNT, IMAGE, RUN_ON


CALM = "calm"
"""A family whose tasks run on: of them are deployments that reach their pause, and tasks to look at."""


def definition(m):
    if m.chance(0.1):
        return {"family": CALM, "containerDefinitions": m.containers(calm=True)}
    return {"family": m.name("f"), "containerDefinitions": m.containers(), **m.maybe(tags=m.tags(), networkMode="bridge", memory="64")}


def runs(m):
    """A definition, often one whose tasks run on."""
    return CALM if m.chance(0.3) else m.any("task-definition")


def run_task(m):
    if m.chance(0.15):
        return daemons.run_managed(m)
    return {"taskDefinition": runs(m), "cluster": m.home(), "count": m.choose.choice([1, 1, 2]),
            **m.maybe(tags=m.tags(), startedBy=m.name("who"), group=m.name("g"), enableECSManagedTags=True, clientToken=m.name("t") + str(m.choose.random()),
                      overrides={"containerOverrides": [{"name": "main", "environment": [{"name": "B", "value": "c"}]}]},
                      placementStrategy=[{"type": "spread", "field": "instanceId"}]),
            **({"enableExecuteCommand": True} if m.chance(0.1) else {})}


def run_calm(_):
    return {"taskDefinition": CALM}


def run_reachable(_):
    return {"taskDefinition": CALM, "enableExecuteCommand": True}


PAUSING = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]}


BLUE, EXTERNAL = 8, 3
"""Names of services whose deployments pause, and of those that have task sets."""


def blue(m):
    return {"serviceName": m.name("blue", BLUE), "taskDefinition": CALM, "desiredCount": 1, "deploymentConfiguration": PAUSING}


def blue_again(m):
    return {"service": m.name("blue", BLUE), "taskDefinition": CALM, "desiredCount": 1, "forceNewDeployment": True, "deploymentConfiguration": PAUSING}


def external(m):
    return {"serviceName": m.name("x", EXTERNAL), "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}}


def create_service(m):
    kind = m.choose.random()
    if kind < 0.5:
        return blue(m) if kind < 0.3 else external(m)
    return {"serviceName": m.name("s"), "cluster": m.home(), "taskDefinition": m.any("task-definition"),
            "desiredCount": m.choose.choice([0, 1, 1, 2]), **m.maybe(tags=m.tags(), deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 50}, enableECSManagedTags=True)}


def update_service(m):
    if m.chance(0.3):
        return blue_again(m)
    if m.chance(0.2):
        return {**m.within("controlled", "service"), "desiredCount": m.choose.randrange(3)}
    return {**m.within("service", "service"), **m.maybe(desiredCount=m.choose.randrange(3), taskDefinition=runs(m), forceNewDeployment=True)}


def create_set(m):
    return {**m.within("controlled", "service"), "taskDefinition": runs(m), "scale": {"value": m.choose.choice([0.0, 50.0, 100.0]), "unit": "PERCENT"}}


def of_set(m, member, **more):
    """A task set with its service and cluster."""
    parts = m.any("task-set", f"arn:aws:ecs:{ACCOUNT}:task-set/default/none/ecs-svc/0").split("/")
    return {"cluster": parts[1], "service": parts[2], member: "/".join(parts) if m.chance(0.6) else parts[-2] + "/" + parts[-1], **more}


def own_cluster(_):
    return {"cluster": "default", "capacityProviders": [daemons.PROVIDER, "FARGATE"], "defaultCapacityProviderStrategy": []}


def provider(m):
    if m.chance(0.2):
        return daemons.own()
    if m.chance(0.4):
        return {"name": daemons.managed_name(m), "cluster": "default", "managedInstancesProvider": daemons.managed(m), **m.maybe(tags=m.tags())}
    return {"name": m.name("cp"), "autoScalingGroupProvider": {"autoScalingGroupArn": m.choose.choice(GROUPS)}, **m.maybe(tags=m.tags())}


def providers_of_cluster(m):
    if m.chance(0.4):
        return own_cluster(m)
    return {"cluster": m.name("c"), "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]}


def stop_deployment(m):
    """One that goes on, or with luck one that has just begun."""
    arn = m.any("paused", ("none", "none"))[0] if m.chance(0.3) else m.latest("service-deployment")
    return {"serviceDeploymentArn": arn, "stopType": m.choose.choice(["ABORT", "ROLLBACK"])}


def go_on(m):
    arn, hook = m.latest("paused", ("none", "none"))
    return {"serviceDeploymentArn": arn, "hookId": hook, "action": "CONTINUE"}


def latest_deployment(m):
    return {"serviceDeploymentArns": list({m.latest("service-deployment") for _ in range(3)})}


def start_task(m):
    return {**m.within("container-instance", "containerInstances", True), "taskDefinition": m.any("task-definition")}


TAGGABLE = ["cluster", "service", "task", "task-definition", "container-instance", "capacity-provider", "daemon"]


def tagged(m, **more):
    return {"resourceArn": m.any(m.choose.choice(TAGGABLE)), **more}


def attributes(m):
    found = m.any("container-instance").split("/")
    return {"cluster": found[1] if len(found) > 1 else "default",
            "attributes": [{"name": m.name("a"), "value": m.name("v"), "targetType": "container-instance", "targetId": found[-1]}]}


GROUPS = [f"group{n}" for n in range(8)]
"""Of the configured fleet. A provider takes one that no other has."""
ROLES = {"executionRoleArn": "arn:aws:iam::000000000000:role/ecsTaskExecutionRole", "infrastructureRoleArn": "arn:aws:iam::000000000000:role/ecsInfrastructureRoleForExpressServices"}


def express(m):
    container = {"image": IMAGE, "command": ["sh", "-c", RUN_ON], **m.maybe(containerPort=80, environment=[{"name": "A", "value": "b"}])}
    return {**ROLES, "serviceName": m.name("express", 2), "primaryContainer": container, **m.maybe(cpu="256", memory="512", tags=m.tags(), healthCheckPath="/ping")}


def execute(m):
    where = m.within("reachable", "task") if m.pool.count("reachable") and m.chance(0.8) else m.within("task", "task")
    return {**where, "container": "main", "command": m.choose.choice(["true", "sh"]), "interactive": True}

SETTINGS = ["containerInsights", "taskLongArnFormat", "awsvpcTrunking"]


def setting(m):
    name = m.choose.choice(SETTINGS)
    return {"name": name, "value": "disabled" if name == "containerInsights" else "enabled"}


RECIPES = {
    **others.RECIPES, **daemons.RECIPES,
    ("ecs", "CreateCluster"): lambda m: {"clusterName": m.name("c"), **m.maybe(tags=m.tags(), settings=[{"name": "containerInsights", "value": "enabled"}])},
    ("ecs", "DeleteCluster"): lambda m: {"cluster": m.latest("cluster")},
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
    ("ecs", "DescribeServiceDeployments"): lambda m: latest_deployment(m) if m.chance(0.5) else {"serviceDeploymentArns": m.some("service-deployment")},
    ("ecs", "DescribeServiceRevisions"): lambda m: {"serviceRevisionArns": m.some("service-revision")},
    ("ecs", "StopServiceDeployment"): stop_deployment,
    ("ecs", "CreateTaskSet"): create_set,
    ("ecs", "DescribeTaskSets"): lambda m: m.within("controlled", "service"),
    ("ecs", "UpdateTaskSet"): lambda m: of_set(m, "taskSet", scale={"value": m.choose.choice([0.0, 100.0]), "unit": "PERCENT"}),
    ("ecs", "UpdateServicePrimaryTaskSet"): lambda m: of_set(m, "primaryTaskSet"),
    ("ecs", "DeleteTaskSet"): lambda m: of_set(m, "taskSet", force=True),
    ("ecs", "CreateCapacityProvider"): provider,
    ("ecs", "UpdateCapacityProvider"): lambda m: {"name": daemons.managed_name(m), "managedInstancesProvider": daemons.managed(m)} if m.chance(0.4) else {"name": m.any("capacity-provider"), "autoScalingGroupProvider": {"managedDraining": m.choose.choice(["ENABLED", "DISABLED"])}},
    ("ecs", "DeleteCapacityProvider"): lambda m: {"capacityProvider": m.any("capacity-provider")},
    ("ecs", "PutClusterCapacityProviders"): providers_of_cluster,
    ("ecs", "ContinueServiceDeployment"): go_on,
    ("ecs", "DescribeContainerInstances"): lambda m: m.within("container-instance", "containerInstances", True),
    ("ecs", "UpdateContainerInstancesState"): lambda m: {**m.within("container-instance", "containerInstances", True), "status": m.choose.choice(["ACTIVE", "ACTIVE", "DRAINING"])},
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
    ("ecs", "CreateExpressGatewayService"): express,
    ("ecs", "UpdateExpressGatewayService"): lambda m: {"serviceArn": m.any("express"), **m.maybe(cpu="512", memory="1024", primaryContainer={"image": IMAGE, "command": ["sh", "-c", RUN_ON]})},
    ("ecs", "DescribeExpressGatewayService"): lambda m: {"serviceArn": m.any("express"), **m.maybe(include=["TAGS"])},
    ("ecs", "DeleteExpressGatewayService"): lambda m: {"serviceArn": m.any("express")},
    ("ecs", "ExecuteCommand"): execute,
}
MAKES = {"task": ("StopTask", 25), "service": ("DeleteService", 25), "agent-instance": ("DeregisterContainerInstance", 10)}
"""Kinds that cost something while they live: the operation that ends one, made more often when there are more than so many."""
