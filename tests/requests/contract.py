"""Every operation of the tables, one after the other: a request that makes sense is carried out and answered in the model's
shape, an empty and a garbage one are refused as the model says. Those that are not there refuse every request.
"""
import re
import time

import model
import mutate
import daemons
import recipes
import wire

TRIES = 150
"""Requests that make sense until one is carried out: what they name may have gone meanwhile."""
REFRESH = 20
"""After so many refusals what others rest on is put in order, and it is looked up again what lives."""
PAUSE_SECS = 0.02
"""Between tries that wait for something to begin."""
ORDER = ["CreateCluster", "Register", "CreateCapacity", "PutCluster", "CreateService", "Create", "Initiate", "Upload", "Complete", "Put", "Run", "Start", "Tag", "List", "Describe", "Get"]
"""What fills the server comes first, what empties it last."""
SET = [("CreateService", recipes.external), ("CreateTaskSet", None)]
LAYER = [("CreateRepository", None), ("InitiateLayerUpload", None), ("UploadLayerPart", None), ("CompleteLayerUpload", None)]
BEFORE = {
    ("ecs", "DeleteCluster"): [("CreateCluster", None)],
    ("ecs", "StopServiceDeployment"): [("CreateService", recipes.blue), ("UpdateService", recipes.blue_again)],
    ("ecs", "ContinueServiceDeployment"): [("CreateService", recipes.blue), ("UpdateService", recipes.blue_again), ("DescribeServiceDeployments", recipes.latest_deployment)],
    ("ecs", "UpdateService"): [("CreateService", None)], ("ecs", "DeleteService"): [("CreateService", None)],
    ("ecs", "DeleteTaskDefinitions"): [("RegisterTaskDefinition", None), ("DeregisterTaskDefinition", None)],
    ("ecs", "CreateTaskSet"): SET[:1], **{("ecs", op): SET for op in ("UpdateTaskSet", "DeleteTaskSet", "DescribeTaskSets", "UpdateServicePrimaryTaskSet")},
    ("ecs", "DescribeDaemonRevisions"): [("DescribeDaemonDeployments", None)],
    **{("ecs", op): [("CreateDaemon", None)] for op in ("UpdateDaemon", "DeleteDaemon", "DescribeDaemon", "ListDaemonDeployments")},
    ("ecs", "DeleteDaemonTaskDefinition"): [("RegisterDaemonTaskDefinition", None)],
    ("ecs", "UpdateCapacityProvider"): [("CreateCapacityProvider", None)], ("ecs", "DeleteCapacityProvider"): [("CreateCapacityProvider", None)],
    ("ecs", "ExecuteCommand"): [("RunTask", recipes.run_reachable)],
    ("ecr", "UploadLayerPart"): LAYER[:2], ("ecr", "CompleteLayerUpload"): LAYER[:3], ("ecr", "PutImage"): LAYER, ("ecr", "GetDownloadUrlForLayer"): LAYER,
    **{("ecr", op): LAYER[:1] for op in ("TagResource", "UntagResource", "ListTagsForResource", "DeleteRepository")},
    **{("ecr", op): LAYER[:1] for op in ("PutImageTagMutability", "PutLifecyclePolicy", "SetRepositoryPolicy")},
    **{("ecr", op): [*LAYER, ("PutImage", None)] for op in ("UpdateImageStorageClass", "DescribeImageSigningStatus", "ListImageReferrers", "StartImageScan")},
    ("ecr", "DescribeImageScanFindings"): [*LAYER, ("PutImage", None), ("StartImageScan", None)],
    **{("ecr", op): [*LAYER[:1], ("PutLifecyclePolicy", None)] for op in ("GetLifecyclePolicy", "DeleteLifecyclePolicy", "StartLifecyclePolicyPreview")},
    ("ecr", "GetLifecyclePolicyPreview"): [*LAYER[:1], ("PutLifecyclePolicy", None), ("StartLifecyclePolicyPreview", None)],
    **{("ecr", op): [*LAYER[:1], ("SetRepositoryPolicy", None)] for op in ("GetRepositoryPolicy", "DeleteRepositoryPolicy")},
    **{("ecr", op): [("PutRegistryPolicy", None)] for op in ("GetRegistryPolicy", "DeleteRegistryPolicy")},
    **{("ecr", op): [("PutSigningConfiguration", None)] for op in ("GetSigningConfiguration", "DeleteSigningConfiguration")},
    ("ecr", "RegisterPullTimeUpdateExclusion"): [("DeregisterPullTimeUpdateExclusion", None)],
    ("ecr", "DeregisterPullTimeUpdateExclusion"): [("RegisterPullTimeUpdateExclusion", None)],
    ("ecr", "DescribeImageReplicationStatus"): [*LAYER, ("PutImage", None)],
    **{("ecr", op): [("CreateRepositoryCreationTemplate", None)] for op in ("UpdateRepositoryCreationTemplate", "DeleteRepositoryCreationTemplate")},
    **{("ecr", op): [("CreatePullThroughCacheRule", None)]
       for op in ("UpdatePullThroughCacheRule", "DeletePullThroughCacheRule", "ValidatePullThroughCacheRule", "DescribePullThroughCacheRules")},
    **{("secretsmanager", op): [("CreateSecret", None)] for op in model.service("secretsmanager").operation_names},
    ("ec2", "TerminateInstances"): [("DescribeInstances", lambda _: {})],
    ("secretsmanager", "GetSecretValue"): [("CreateSecret", None), ("PutSecretValue", None)],
    **{("logs", op): [("CreateLogGroup", None)] for op in model.service("logs").operation_names},
    **{("logs", op): [("CreateLogGroup", None), ("CreateLogStream", None)] for op in ("DeleteLogStream", "PutLogEvents", "GetLogEvents")},
    **{("events", op): [("PutRule", None)] for op in model.service("events").operation_names},
    **{("monitoring", op): [("PutMetricAlarm", None)] for op in model.service("monitoring").operation_names},
}
"""What is done first, in each try after the first, and by which recipe if not by its own: the operation needs something that lives, or has just begun."""
AGENTS = "no agent of another host is connected here, so there is no task to report (`blackbox ecs::agent` has one)"
WAITING = {("ecs", "ListServicesByNamespace"): "there are no namespaces of Service Connect yet",
           ("ecs", "UpdateContainerAgent"): "there is no package to update agents to",
           **{("ecs", op): AGENTS for op in ("SubmitAttachmentStateChanges", "SubmitContainerStateChange", "SubmitTaskStateChange")}}
"""Operations that the server refuses every request of, and what they wait for."""
GARBAGE = {"json": mutate.GARBAGE, "query": [b"Action=\xff\xfe", b"%", b"=&=&", b"\0" * 100]}


def rank(one):
    word = next((index for index, word in enumerate(ORDER) if one[1].startswith(word)), len(ORDER))
    return word + (20 if one[1].startswith(("Delete", "Deregister", "Remove", "Untag")) else 0), one


def restore(player):
    """A task that runs, and the default cluster's provider."""
    for op, recipe in (("RunTask", recipes.run_calm), ("CreateCapacityProvider", lambda _: daemons.own()), ("PutClusterCapacityProviders", recipes.own_cluster)):
        sensible(player, "ecs", op, recipe)
    player.prime()


def sensible(player, service, op, recipe=None):
    value = recipe(player.maker) if recipe else player.input(service, op)[0]
    return player.send(service, op, wire.written(service, op, value), False, value)


def works(player, service, op):
    """Whether one of the requests that make sense is carried out, and the refusals on the way."""
    refusals = {}
    for attempt in range(TRIES):
        if attempt % REFRESH == REFRESH - 1:
            restore(player)
        for first, recipe in BEFORE.get((service, op), ()) if attempt else ():
            sensible(player, service, first, recipe)
            time.sleep(PAUSE_SECS)
        status, code, message = sensible(player, service, op)
        if status == 200:
            return True, refusals
        text = re.sub(r"[0-9a-f]{8,}|\d+", "#", f"{code}: {message}")[:160]
        refusals[text] = refusals.get(text, 0) + 1
    return False, refusals


def refuses(player, service, op, body, what):
    """4xx, by a code that the operation may answer."""
    before = len(player.problems)
    status, code, _ = player.send(service, op, body, False)
    if not 400 <= status < 500:
        player.problem(f"{service} {op}: {what} is answered {status} {code}", f"{service} {op} {body[:300]!r}")
    return len(player.problems) == before


def carries_out(player, service, op):
    """As the list of those that wait says: neither more nor less."""
    carried_out, refusals = works(player, service, op)
    if carried_out == ((service, op) in WAITING):
        player.problem(f"{service} {op}: {'carried out, and named as waiting' if carried_out else 'nothing was carried out'}", f"{refusals}")
        return False
    return True


def run(player):
    """Gives how many checks passed."""
    passed = 0
    player.prime()
    for service, op in sorted(player.there, key=rank):
        passed += carries_out(player, service, op)
        shape = model.operation(service, op).input_shape
        if shape is not None and shape.required_members:
            passed += refuses(player, service, op, wire.written(service, op, {}), "an empty request")
        for body in GARBAGE["json" if model.speaks_json(service) else "query"]:
            passed += refuses(player, service, op, body, "garbage")
    for service, op in player.missing:
        passed += refuses(player, service, op, wire.written(service, op, {}), "an operation that is not there")
    return passed
