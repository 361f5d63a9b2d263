"""Recipes of daemons, and of the agents of other hosts."""
import json

from maker import ACCOUNT, IMAGE, RUN_ON

PROVIDER = "agents"
"""A capacity provider of managed instances that stay, which the default cluster has from the start."""
DAEMONS = 3
"""Names of daemons: each has a task on every instance of the provider."""


MANAGED, MANAGED_PROVIDERS = "managed", 2
"""A family that managed instances can run, and names of providers of them."""
SUBNETS = []
"""Those of the default network; known once the server runs."""


def definition(m):
    command = m.choose.choice([RUN_ON, RUN_ON, "exit 1"])
    container = {"name": "main", "image": IMAGE, "memory": 8, "stopTimeout": 2, "command": ["sh", "-c", command], **m.maybe(cpu=16, essential=True)}
    return {"family": m.name("d", DAEMONS), "containerDefinitions": [container], **m.maybe(tags=m.tags())}


def workload(m):
    return {"daemonTaskDefinitionArn": m.latest("daemon-task-definition"), "capacityProviderArns": [f"arn:aws:ecs:{ACCOUNT}:capacity-provider/{PROVIDER}"],
            **m.maybe(propagateTags="DAEMON", enableECSManagedTags=True, deploymentConfiguration={"drainPercent": 50.0})}


def instance(m):
    """An agent tells of its host; sometimes of one that it has told of before."""
    document = {"instanceId": f"i-0{m.choose.randrange(16**8):08x}", "availabilityZone": "us-east-1a", "instanceType": "m5.large"}
    before = m.pool.any("agent-instance", m.choose) if m.chance(0.3) else None
    return {"cluster": before.split("/")[1] if before else m.home(), "instanceIdentityDocument": json.dumps(document), "instanceIdentityDocumentSignature": "none",
            "totalResources": [{"name": "CPU", "type": "INTEGER", "integerValue": 1024}, {"name": "MEMORY", "type": "INTEGER", "integerValue": 2048},
                               {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "51678"]}, {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []}],
            **({"containerInstanceArn": before} if before else {}),
            **m.maybe(versionInfo={"agentVersion": "1.80.0", "agentHash": "abcdef", "dockerVersion": "DockerVersion: 24.0"}, attributes=[{"name": m.name("a"), "value": "v"}],
                      tags=[] if before else m.tags())}


def task_change(m, **more):
    return {**m.within("task", "task"), "status": m.choose.choice(["RUNNING", "STOPPED"]), **more}


def deregister(m):
    """Rarely one of the fleet: those do not come back by themselves."""
    kind = m.choose.choices(["agent-instance", "container-instance", "gone-instance"], [80, 2, 18])[0]
    return {**m.within(kind, "containerInstance"), "force": True}


RECIPES = {
    ("ecs", "RegisterDaemonTaskDefinition"): definition,
    ("ecs", "DescribeDaemonTaskDefinition"): lambda m: {"daemonTaskDefinition": m.any("daemon-task-definition")},
    ("ecs", "ListDaemonTaskDefinitions"): lambda m: m.maybe(familyPrefix="d", status="ACTIVE", sort="DESC"),
    # Rarely the newest: daemons are made of them.
    ("ecs", "DeleteDaemonTaskDefinition"): lambda m: {"daemonTaskDefinition": m.any("daemon-task-definition")},
    ("ecs", "CreateDaemon"): lambda m: {"daemonName": m.name("d", DAEMONS), **workload(m), **m.maybe(tags=m.tags(), clusterArn="default", clientToken=m.name("t"))},
    ("ecs", "UpdateDaemon"): lambda m: {"daemonArn": m.any("daemon"), **workload(m)},
    ("ecs", "DeleteDaemon"): lambda m: {"daemonArn": m.any("daemon")},
    ("ecs", "DescribeDaemon"): lambda m: {"daemonArn": m.any("daemon")},
    ("ecs", "ListDaemons"): lambda m: m.maybe(clusterArn="default", capacityProviderArns=[PROVIDER]),
    ("ecs", "ListDaemonDeployments"): lambda m: {"daemonArn": m.any("daemon"), **m.maybe(status=["SUCCESSFUL", "IN_PROGRESS"], maxResults=10)},
    ("ecs", "DescribeDaemonDeployments"): lambda m: {"daemonDeploymentArns": m.some("daemon-deployment")},
    ("ecs", "DescribeDaemonRevisions"): lambda m: {"daemonRevisionArns": m.some("daemon-revision")},
    ("ecs", "RegisterContainerInstance"): instance,
    ("ecs", "DeregisterContainerInstance"): deregister,
    ("ecs", "UpdateContainerAgent"): lambda m: m.within(m.choose.choice(["container-instance", "agent-instance"]), "containerInstance"),
    ("ecs", "DiscoverPollEndpoint"): lambda m: m.within("agent-instance", "containerInstance"),
    ("ecs", "SubmitTaskStateChange"): lambda m: task_change(m, **m.maybe(reason="because", containers=[{"containerName": "main", "status": "RUNNING"}])),
    ("ecs", "SubmitContainerStateChange"): lambda m: task_change(m, containerName="main", **m.maybe(exitCode=1, runtimeId="none")),
    ("ecs", "SubmitAttachmentStateChanges"): lambda m: {"cluster": "default", "attachments": [{"attachmentArn": f"arn:aws:ecs:{ACCOUNT}:attachment/default/{'0' * 32}", "status": "ATTACHED"}]},
}


PROFILE = f"arn:aws:iam::{ACCOUNT.split(':')[1]}:instance-profile/ecsInstanceRole"
ROLE = "ecsInfrastructureRole"


def own():
    """The provider that daemons run by."""
    template = {"ec2InstanceProfileArn": PROFILE, "networkConfiguration": {"subnets": SUBNETS[:1]},
                "instanceRequirements": {"vCpuCount": {"min": 2, "max": 2}, "memoryMiB": {"min": 0}}}
    return {"name": PROVIDER, "cluster": "default", "managedInstancesProvider": {
        "infrastructureRoleArn": ROLE, "instanceLaunchTemplate": template, "infrastructureOptimization": {"scaleInAfter": -1}}}


def managed(m):
    """Instances that are made for tasks; some requirements contradict themselves, or nothing meets them."""
    size = m.choose.choice([(1, 2), (2, 4), (0, None), (3, 1), (1000, None)])
    limits = lambda least, most: {"min": least, **({} if most is None else {"max": most})}
    wanted = {"vCpuCount": limits(*size), "memoryMiB": {"min": 0},
              **m.maybe(burstablePerformance="included", allowedInstanceTypes=["c5.*", "m5.large"], cpuManufacturers=["amd"], bareMetal="excluded")}
    template = {"ec2InstanceProfileArn": PROFILE,
                "networkConfiguration": {"subnets": m.choose.sample(SUBNETS, m.choose.randrange(1, len(SUBNETS) + 1))},
                **m.maybe(instanceRequirements=wanted, capacityOptionType="SPOT", monitoring="BASIC", fipsEnabled=False),
                **({"storageConfiguration": {"storageSizeGiB": 80}} if m.chance(0.1) else {})}
    return {"infrastructureRoleArn": ROLE, "instanceLaunchTemplate": template,
            **m.maybe(propagateTags="CAPACITY_PROVIDER", infrastructureOptimization={"scaleInAfter": m.choose.choice([-1, 0, 1, 30])}, autoRepairConfiguration={"actionsStatus": "ENABLED"})}


def managed_name(m):
    return m.name("mi", MANAGED_PROVIDERS)


def run_managed(m):
    provider = PROVIDER if m.chance(0.3) else managed_name(m)
    return {"taskDefinition": MANAGED, "count": m.choose.choice([1, 2, 3]), "capacityProviderStrategy": [{"capacityProvider": provider, "weight": 1}]}
