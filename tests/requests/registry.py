"""Recipes of ECR's policies and settings, of which a random text is never one."""
import json

from maker import ACCOUNT

PROFILE = f"arn:aws:signer:{ACCOUNT}:/signing-profiles/one"
SCANNER = "arn:aws:iam::000000000000:role/scanner"
SETTINGS = {"BLOB_MOUNTING": ["ENABLED", "DISABLED"], "REGISTRY_POLICY_SCOPE": ["V1", "V2"], "BASIC_SCAN_TYPE_VERSION": ["AWS_NATIVE"]}


def repository(m, **more):
    return {"repositoryName": m.name("r"), **more}


def mutability(m):
    """With filters where the word needs them, and now and then where it has none."""
    word = m.choose.choice(["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"])
    filters = [{"filterType": "WILDCARD", "filter": m.name("t") + "*"}]
    wanted = word.endswith("EXCLUSION") != m.chance(0.1)
    return {"imageTagMutability": word, **({"imageTagMutabilityExclusionFilters": filters} if wanted else {})}


def rule(m, priority):
    tags = m.choose.choice([{"tagStatus": "untagged"}, {"tagStatus": "tagged", "tagPrefixList": [m.name("t")]}, {"tagStatus": "tagged", "tagPatternList": [m.name("t") + "*"]}])
    count = m.choose.choice([{"countType": "imageCountMoreThan", "countNumber": m.choose.randrange(1, 5)}, {"countType": "sinceImagePulled", "countUnit": "days", "countNumber": 30}])
    action = m.choose.choice([{"type": "expire"}, {"type": "transition", "targetStorageClass": "archive"}])
    return {"rulePriority": priority, "description": "made at random", "selection": {**tags, **count}, "action": action}


def lifecycle(m):
    return json.dumps({"rules": [rule(m, priority) for priority in range(1, m.choose.randrange(2, 4))]})


def policy(m, **more):
    principal = m.choose.choice(["*", {"AWS": "111111111111"}, {"AWS": ["arn:aws:iam::000000000000:role/app"]}, {"Service": "lambda.amazonaws.com"}])
    actions = m.choose.choice(["ecr:*", ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]])
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "a", "Effect": "Allow", "Principal": principal, "Action": actions, **more}]})


def known_image(m):
    name, digest = m.any("image", (m.name("r"), "sha256:" + "0" * 64))
    return {"repositoryName": name, "imageId": {"imageDigest": digest}}


def setting(m):
    name = m.choose.choice(list(SETTINGS))
    return {"name": name, "value": m.choose.choice(SETTINGS[name])}


def subject(m):
    found = known_image(m)
    return {"repositoryName": found["repositoryName"], "subjectId": found["imageId"]}


RECIPES = {("ecr", op): recipe for op, recipe in {
    "PutImageTagMutability": lambda m: repository(m, **mutability(m)),
    "PutLifecyclePolicy": lambda m: repository(m, lifecyclePolicyText=lifecycle(m)),
    "GetLifecyclePolicy": repository,
    "DeleteLifecyclePolicy": repository,
    "StartLifecyclePolicyPreview": lambda m: repository(m, **m.maybe(lifecyclePolicyText=lifecycle(m))),
    "GetLifecyclePolicyPreview": repository,
    "SetRepositoryPolicy": lambda m: repository(m, policyText=policy(m)),
    "GetRepositoryPolicy": repository,
    "DeleteRepositoryPolicy": repository,
    "PutRegistryPolicy": lambda m: {"policyText": policy(m, Resource="arn:aws:ecr:us-east-1:000000000000:repository/*")},
    "UpdateImageStorageClass": lambda m: {**known_image(m), "targetStorageClass": m.choose.choice(["ARCHIVE", "STANDARD"])},
    "DescribeImageSigningStatus": known_image,
    "ListImageReferrers": subject,
    "StartImageScan": known_image,
    "DescribeImageScanFindings": known_image,
    "PutAccountSetting": setting,
    "GetAccountSetting": lambda m: {"name": setting(m)["name"]},
    "RegisterPullTimeUpdateExclusion": lambda m: {"principalArn": SCANNER + m.name("")},
    "DeregisterPullTimeUpdateExclusion": lambda m: {"principalArn": SCANNER + m.name("")},
    "PutSigningConfiguration": lambda m: {"signingConfiguration": {"rules": [{"signingProfileArn": PROFILE, **m.maybe(repositoryFilters=[{"filter": "r*", "filterType": "WILDCARD_MATCH"}])}]}},
}.items()}
