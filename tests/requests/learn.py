"""What a client learns from a request that was carried out: what lives now, and what does not any more."""
import recipes
from others import ENDING, digest_of


def learn(pool, op, value, reply):
    """What a reply names lives; what was deleted does not. `value` is the request's, before it was broken if it was."""
    if reply:
        pool.harvest(op, reply)
    if value and not op.startswith(("Delete", "Stop", "Deregister")):
        pool.harvest(op, value)
    found = LEARNT.get(op)
    if found:
        found(pool, value or {}, reply)
    for kind, (end, _) in recipes.MAKES.items():
        if op == end and kind in reply:
            pool.drop(kind, reply[kind][f"{kind}Arn"])


def services(pool, found):
    for service in found:
        if service.get("deploymentController") == {"type": "EXTERNAL"}:
            (pool.add if service["status"] == "ACTIVE" else pool.drop)("controlled", service["serviceArn"])


def deployments(pool, _, reply):
    for deployment in reply.get("serviceDeployments", ()):
        arn = deployment["serviceDeploymentArn"]
        for hook in deployment.get("lifecycleHookDetails", ()):
            waits = hook.get("status") == "AWAITING_ACTION"
            (pool.add if waits else pool.drop)("paused", (arn, hook["hookId"]))


def deregistered(pool, _, reply):
    arn = reply["taskDefinition"]["taskDefinitionArn"]
    pool.drop("task-definition", arn)
    pool.add("old-definition", arn)


def tasks(pool, _, reply):
    for task in reply.get("tasks", ()):
        reachable = task.get("enableExecuteCommand") and task["desiredStatus"] == "RUNNING"
        (pool.add if reachable else pool.drop)("reachable", task["taskArn"])


def instance_gone(pool, _, reply):
    arn = reply["containerInstance"]["containerInstanceArn"]
    for kind in ("agent-instance", "container-instance"):
        pool.drop(kind, arn)
    pool.add("gone-instance", arn)


def uploaded(pool, value, reply):
    pool.drop("upload", (reply["repositoryName"], reply["uploadId"]))
    if "layerPartBlob" in value:
        pool.add("uploaded", (reply["repositoryName"], reply["uploadId"], digest_of(value)))


def completed(pool, value, reply):
    pool.add("layer", (reply["repositoryName"], reply["layerDigest"]))
    pool.drop("uploaded", (reply["repositoryName"], reply["uploadId"], reply["layerDigest"]))


def machines(pool, _, reply):
    for instance in (instance for reservation in reply["Reservations"] for instance in reservation["Instances"]):
        if instance.get("InstanceType") == ENDING:
            pool.add("ending", instance["InstanceId"])


LEARNT = {
    "DescribeInstances": machines,
    "RunTask": tasks,
    "DescribeTasks": tasks,
    "StopTask": lambda pool, _, reply: tasks(pool, _, {"tasks": [reply["task"]]}),
    "DescribeServices": lambda pool, _, reply: services(pool, reply["services"]),
    "CreateService": lambda pool, _, reply: services(pool, [reply["service"]]),
    "DeleteService": lambda pool, _, reply: pool.drop("controlled", reply["service"]["serviceArn"]),
    "DescribeServiceDeployments": deployments,
    "DeregisterTaskDefinition": deregistered,
    "RegisterContainerInstance": lambda pool, _, reply: pool.add("agent-instance", reply["containerInstance"]["containerInstanceArn"]),
    "DeregisterContainerInstance": instance_gone,
    "DeleteDaemon": lambda pool, _, reply: pool.drop("daemon", reply["daemonArn"]),
    "DeleteDaemonTaskDefinition": lambda pool, _, reply: pool.drop("daemon-task-definition", reply["daemonTaskDefinitionArn"]),
    "DeleteCapacityProvider": lambda pool, _, reply: pool.drop("capacity-provider", reply["capacityProvider"]["capacityProviderArn"]),
    "DeleteCluster": lambda pool, _, reply: pool.drop("cluster", reply["cluster"]["clusterArn"]),
    "CreateExpressGatewayService": lambda pool, _, reply: pool.add("express", reply["service"]["serviceArn"]),
    "InitiateLayerUpload": lambda pool, value, reply: pool.add("upload", (value.get("repositoryName", "none"), reply["uploadId"])),
    "UploadLayerPart": uploaded,
    "CompleteLayerUpload": completed,
    "PutImage": lambda pool, _, reply: pool.add("image", (reply["image"]["repositoryName"], reply["image"]["imageId"]["imageDigest"])),
    "CreateLogStream": lambda pool, value, _: pool.add("stream", (value.get("logGroupName"), value.get("logStreamName"))),
    "DeleteLogStream": lambda pool, value, _: pool.drop("stream", (value.get("logGroupName"), value.get("logStreamName"))),
}
