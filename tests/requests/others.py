"""Recipes of the services around ECS."""
import base64
import hashlib
import json
import time

import registry
from maker import ACCOUNT, POLICY, TRUST

DIGEST = "sha256:" + "0" * 64
RULE = {"source": ["aws.ecs"]}
KINDS = {"ecr": "repository/r", "logs": "log-group:g", "events": "rule/rule", "cloudwatch": "alarm:alarm"}
"""Of what a service lets tag: the resource of its ARN, up to the name's number."""

NEEDED_ROLES = ["ecsTaskExecutionRole", "ecsInfrastructureRole", "ecsInfrastructureRoleForExpressServices"]
"""What uses them fails while some client has deleted them."""


def arn(m, service):
    """Of one that is there, with luck."""
    return f"arn:aws:{service}:{ACCOUNT}:{m.name(KINDS[service])}"


def part(m):
    """Few different ones, so that layers meet as well."""
    repository, upload = m.latest("upload", ("none", "none"))
    content = b"layer %d" % m.choose.randrange(20)
    return {"repositoryName": repository, "uploadId": upload, "partFirstByte": 0, "partLastByte": len(content) - 1, "layerPartBlob": base64.b64encode(content).decode()}


def digest_of(value):
    """Of the part that a request brings."""
    return "sha256:" + hashlib.sha256(base64.b64decode(value["layerPartBlob"])).hexdigest()


def complete(m):
    repository, upload, digest = m.latest("uploaded", ("none", "none", DIGEST))
    return {"repositoryName": repository, "uploadId": upload, "layerDigests": [digest]}


def layer(m):
    repository, digest = m.any("layer", ("bb", DIGEST))
    return {"repositoryName": repository, "layerDigest": digest}


def image(m):
    """Of one layer, which is its configuration too."""
    repository, digest = m.any("layer", ("none", DIGEST))
    blob = {"digest": digest, "size": len("layer 0")}
    kind = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": {"mediaType": kind + "config.v1+json", **blob},
                "layers": [{"mediaType": kind + "layer.v1.tar", **blob}], "annotations": {"n": m.name("n")}}
    return {"repositoryName": repository, "imageManifest": json.dumps(manifest), **m.maybe(imageTag=m.name("t"))}


def log_events(m):
    return {**stream(m), "logEvents": [{"timestamp": int(time.time() * 1000) + n, "message": f"line {n}"} for n in range(m.choose.randrange(1, 5))]}


def stream(m):
    group, name = m.any("stream", (m.name("g"), "none"))
    return {"logGroupName": group, "logStreamName": name}


def event(m):
    told = {"version": "0", "id": "1", "detail-type": "ECS Task State Change", "source": m.choose.choice(["aws.ecs", "mine"]), "account": "000000000000",
            "time": "2026-01-01T00:00:00Z", "region": "us-east-1", "resources": [], "detail": {"a": 1}}
    return {"EventPattern": json.dumps(RULE), "Event": json.dumps(told)}


def queries(m):
    stat = {"Metric": {"Namespace": m.name("n"), "MetricName": m.name("m")}, "Period": 60, "Stat": m.choose.choice(["Sum", "Average"])}
    return {"MetricDataQueries": [{"Id": "a", "MetricStat": stat}], **last_minutes()}


def last_minutes():
    now = int(time.time())
    return {"StartTime": now - 600, "EndTime": now}


ABROAD = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"
"""Another region of the account: pulls through the cache leave no network behind."""
UPSTREAM = {
    ("ecr", "CreateRepositoryCreationTemplate"): lambda m: {"prefix": m.name("tp"), "appliedFor": ["REPLICATION", "CREATE_ON_PUSH"]},
    ("ecr", "UpdateRepositoryCreationTemplate"): lambda m: {"prefix": m.name("tp"), "description": m.name("d")},
    ("ecr", "DeleteRepositoryCreationTemplate"): lambda m: {"prefix": m.name("tp")},
    ("ecr", "CreatePullThroughCacheRule"): lambda m: {"ecrRepositoryPrefix": m.name("pt"), "upstreamRegistryUrl": ABROAD},
    ("ecr", "UpdatePullThroughCacheRule"): lambda m: {"ecrRepositoryPrefix": m.name("pt"), "customRoleArn": "arn:aws:iam::000000000000:role/r"},
    **{("ecr", op): lambda m: {"ecrRepositoryPrefix": m.name("pt")} for op in ("DeletePullThroughCacheRule", "ValidatePullThroughCacheRule")},
    ("ecr", "DescribePullThroughCacheRules"): lambda m: m.maybe(ecrRepositoryPrefixes=[m.name("pt")]),
    ("ecr", "PutReplicationConfiguration"): lambda m: {"replicationConfiguration": {"rules": [
        {"destinations": [{"region": m.name("eu-west-"), "registryId": "000000000000"}], **m.maybe(repositoryFilters=[{"filter": "r0", "filterType": "PREFIX_MATCH"}])}]}},
    ("ecr", "DescribeImageReplicationStatus"): lambda m: {"repositoryName": m.name("r"), "imageId": {"imageTag": m.name("t")}},
}
SECRETS = {
    ("secretsmanager", "CreateSecret"): lambda m: {"Name": m.name("secret"), **m.maybe(SecretString="a value", Tags=m.key_values())},
    ("secretsmanager", "PutSecretValue"): lambda m: {"SecretId": m.name("secret"), "SecretString": m.name("value")},
    ("secretsmanager", "UpdateSecret"): lambda m: {"SecretId": m.name("secret"), **m.maybe(SecretString=m.name("value"), Description="d")},
    ("secretsmanager", "DeleteSecret"): lambda m: {"SecretId": m.name("secret"), **({"ForceDeleteWithoutRecovery": True} if m.chance(0.5) else {})},
    **{("secretsmanager", op): lambda m: {"SecretId": m.name("secret")} for op in ("GetSecretValue", "DescribeSecret", "RestoreSecret", "GetResourcePolicy", "DeleteResourcePolicy", "ListSecretVersionIds")},
    ("secretsmanager", "PutResourcePolicy"): lambda m: {"SecretId": m.name("secret"), "ResourcePolicy": POLICY, **m.maybe(BlockPublicPolicy=True)},
    ("secretsmanager", "UpdateSecretVersionStage"): lambda m: {"SecretId": m.name("secret"), "VersionStage": m.choose.choice(["blue", "AWSCURRENT"])},
    ("secretsmanager", "GetRandomPassword"): lambda m: m.maybe(PasswordLength=m.choose.choice([3, 4, 32]), ExcludeCharacters="abc", IncludeSpace=True),
    ("secretsmanager", "ListSecrets"): lambda m: m.maybe(IncludePlannedDeletion=True, Filters=[{"Key": "name", "Values": ["secret"]}]),
    ("secretsmanager", "TagResource"): lambda m: {"SecretId": m.name("secret"), "Tags": m.key_values()},
    ("secretsmanager", "UntagResource"): lambda m: {"SecretId": m.name("secret"), "TagKeys": ["k0"]},
}
RULES = {("events", op): lambda m, more=more: {"Name": m.name("rule"), **more}
         for op, more in {"DescribeRule": {}, "EnableRule": {}, "DisableRule": {}, "PutRule": {"ScheduleExpression": "rate(1 hour)", "State": "DISABLED"}}.items()}
TAGS = {
    ("ecr", "TagResource"): lambda m: {"resourceArn": arn(m, "ecr"), "tags": m.key_values()},
    ("ecr", "UntagResource"): lambda m: {"resourceArn": arn(m, "ecr"), "tagKeys": ["k0"]},
    ("ecr", "ListTagsForResource"): lambda m: {"resourceArn": arn(m, "ecr")},
    ("logs", "TagResource"): lambda m: {"resourceArn": arn(m, "logs"), "tags": {m.name("k"): "v"}},
    ("logs", "UntagResource"): lambda m: {"resourceArn": arn(m, "logs"), "tagKeys": [m.name("k")]},
    ("logs", "ListTagsForResource"): lambda m: {"resourceArn": arn(m, "logs")},
    ("logs", "TagLogGroup"): lambda m: {"logGroupName": m.name("g"), "tags": {m.name("k"): "v"}},
    ("logs", "UntagLogGroup"): lambda m: {"logGroupName": m.name("g"), "tags": [m.name("k")]},
    ("events", "TagResource"): lambda m: {"ResourceARN": arn(m, "events"), "Tags": m.key_values()},
    ("events", "UntagResource"): lambda m: {"ResourceARN": arn(m, "events"), "TagKeys": ["k0"]},
    ("events", "ListTagsForResource"): lambda m: {"ResourceARN": arn(m, "events")},
    ("monitoring", "TagResource"): lambda m: {"ResourceARN": arn(m, "cloudwatch"), "Tags": m.key_values()},
    ("monitoring", "UntagResource"): lambda m: {"ResourceARN": arn(m, "cloudwatch"), "TagKeys": ["k0"]},
    ("monitoring", "ListTagsForResource"): lambda m: {"ResourceARN": arn(m, "cloudwatch")},
}
ENDING = "t2.micro"
"""The type of the machine that may be terminated, which it stays: the others have tasks."""
RECIPES = {
    **RULES, **TAGS, **registry.RECIPES, **UPSTREAM, **SECRETS,
    ("ecr", "CreateRepository"): lambda m: {"repositoryName": m.name("r")},
    ("ecr", "DeleteRepository"): lambda m: {"repositoryName": m.name("r"), "force": True},
    ("ecr", "InitiateLayerUpload"): lambda m: {"repositoryName": m.name("r")},
    ("ecr", "UploadLayerPart"): part,
    ("ecr", "CompleteLayerUpload"): complete,
    ("ecr", "GetDownloadUrlForLayer"): layer,
    ("ecr", "PutImage"): image,
    ("logs", "CreateLogGroup"): lambda m: {"logGroupName": m.name("g")},
    ("logs", "PutRetentionPolicy"): lambda m: {"logGroupName": m.name("g"), "retentionInDays": 7},
    ("logs", "DeleteRetentionPolicy"): lambda m: {"logGroupName": m.name("g")},
    ("logs", "CreateLogStream"): lambda m: {"logGroupName": m.name("g"), "logStreamName": m.name("s")},
    ("logs", "DeleteLogStream"): stream,
    ("logs", "PutLogEvents"): log_events,
    ("logs", "GetLogEvents"): stream,
    ("ec2", "TerminateInstances"): lambda m: {"InstanceIds": [m.any("ending", "i-0")]},
    ("iam", "CreateRole"): lambda m: {"RoleName": m.choose.choice([m.name("role"), *NEEDED_ROLES]), "AssumeRolePolicyDocument": TRUST},
    ("iam", "DeleteRole"): lambda m: {"RoleName": m.name("role")},
    ("iam", "PutRolePolicy"): lambda m: {"RoleName": m.any("RoleName"), "PolicyName": m.name("p"), "PolicyDocument": POLICY},
    ("sts", "AssumeRole"): lambda m: {"RoleArn": m.any("RoleArn", "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"), "RoleSessionName": m.name("session")},
    ("events", "PutTargets"): lambda m: {"Rule": m.name("rule"), "Targets": [{"Id": "a", "Arn": arn(m, "logs")}]},
    ("events", "ListTargetsByRule"): lambda m: {"Rule": m.name("rule")},
    ("events", "RemoveTargets"): lambda m: {"Rule": m.name("rule"), "Ids": ["a"]},
    ("events", "TestEventPattern"): event,
    ("monitoring", "PutMetricData"): lambda m: {"Namespace": m.name("n"), "MetricData": [{"MetricName": m.name("m"), "Value": 1.5}]},
    ("monitoring", "GetMetricStatistics"): lambda m: {"Namespace": "n0", "MetricName": "m0", **last_minutes(), "Period": 60, "Statistics": ["Sum"]},
    ("monitoring", "GetMetricData"): queries,
    ("monitoring", "PutMetricAlarm"): lambda m: {"AlarmName": m.name("alarm"), "Namespace": "n0", "MetricName": "m0", "Statistic": "Average", "Period": 60,
                                                 "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"},
    ("monitoring", "SetAlarmState"): lambda m: {"AlarmName": m.name("alarm"), "StateValue": m.choose.choice(["OK", "ALARM"]), "StateReason": "because"},
}
