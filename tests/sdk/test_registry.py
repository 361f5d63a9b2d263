"""ECR's policies and settings as boto3 speaks to them: its waiter, its paginators and its exceptions."""
import hashlib
import json
import unittest

from harness import Case

KIND = "application/vnd.oci.image."
ACCOUNT = "000000000000"


def policy(selection, action):
    return json.dumps({"rules": [{"rulePriority": 1, "description": "by a test", "selection": selection, "action": action}]})


class Registry(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ecr = cls.server.client("ecr")

    def blob(self, repository, content):
        upload = self.ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
        self.ecr.upload_layer_part(repositoryName=repository, uploadId=upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest])
        return {"digest": digest, "size": len(content)}

    def push(self, repository, tag):
        config, layer = self.blob(repository, json.dumps({"tag": tag}).encode()), self.blob(repository, f"layer {tag}".encode())
        manifest = json.dumps({"schemaVersion": 2, "mediaType": KIND + "manifest.v1+json", "config": {"mediaType": KIND + "config.v1+json", **config},
                               "layers": [{"mediaType": KIND + "layer.v1.tar", **layer}]})
        return self.ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag=tag)["image"]["imageId"]["imageDigest"], manifest

    def test_a_preview_is_waited_for_and_paged_through(self):
        self.ecr.create_repository(repositoryName="previewed")
        pushed = [self.push("previewed", str(number))[0] for number in range(4)]
        text = policy({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}, {"type": "expire"})
        self.ecr.put_lifecycle_policy(repositoryName="previewed", lifecyclePolicyText=text)
        self.ecr.start_lifecycle_policy_preview(repositoryName="previewed")
        self.ecr.get_waiter("lifecycle_policy_preview_complete").wait(repositoryName="previewed", WaiterConfig={"Delay": 1})
        pages = self.ecr.get_paginator("get_lifecycle_policy_preview").paginate(repositoryName="previewed", PaginationConfig={"PageSize": 2})
        results = [result for page in pages for result in page["previewResults"]]
        self.assertEqual({result["imageDigest"] for result in results}, set(pushed[:3]))
        with self.assertRaises(self.ecr.exceptions.LifecyclePolicyNotFoundException):
            self.ecr.create_repository(repositoryName="bare")
            self.ecr.get_lifecycle_policy(repositoryName="bare")

    def test_an_excluded_tag_moves_and_others_do_not(self):
        self.ecr.create_repository(repositoryName="fixed", imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
                                   imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}])
        for tag in ("dev-1", "1"):
            self.push("fixed", tag)
        _, manifest = self.push("fixed", "other")
        self.ecr.put_image(repositoryName="fixed", imageManifest=manifest, imageTag="dev-1")
        with self.assertRaises(self.ecr.exceptions.ImageTagAlreadyExistsException):
            self.ecr.put_image(repositoryName="fixed", imageManifest=manifest, imageTag="1")

    def test_the_archive_keeps_an_image_from_being_pulled(self):
        self.ecr.create_repository(repositoryName="archived")
        digest, _ = self.push("archived", "1")
        moved = self.ecr.update_image_storage_class(repositoryName="archived", imageId={"imageTag": "1"}, targetStorageClass="ARCHIVE")
        self.assertEqual(moved["imageStatus"], "ARCHIVED")
        got = self.ecr.batch_get_image(repositoryName="archived", imageIds=[{"imageTag": "1"}])
        self.assertEqual(got["failures"][0]["failureCode"], "ImageInaccessible")
        shown = self.ecr.describe_images(repositoryName="archived", filter={"imageStatus": "ARCHIVED"})["imageDetails"]
        self.assertEqual([one["imageDigest"] for one in shown], [digest])
        moved = self.ecr.update_image_storage_class(repositoryName="archived", imageId={"imageDigest": digest}, targetStorageClass="STANDARD")
        self.assertEqual(moved["imageStatus"], "ACTIVE")

    def test_policies_and_settings_come_back_as_they_were_put(self):
        self.ecr.create_repository(repositoryName="shared")
        statement = {"Effect": "Allow", "Principal": {"AWS": "222222222222"}, "Action": ["ecr:BatchGetImage"]}
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.ecr.set_repository_policy(repositoryName="shared", policyText=text)
        self.assertEqual(self.ecr.get_repository_policy(repositoryName="shared")["policyText"], text)
        self.ecr.delete_repository_policy(repositoryName="shared")
        with self.assertRaises(self.ecr.exceptions.RepositoryPolicyNotFoundException):
            self.ecr.get_repository_policy(repositoryName="shared")
        arn = f"arn:aws:iam::{ACCOUNT}:role/scanner"
        self.assertEqual(self.ecr.register_pull_time_update_exclusion(principalArn=arn)["principalArn"], arn)
        self.assertEqual(self.ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"], [arn])
        rules = [{"signingProfileArn": f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-profiles/one"}]
        self.ecr.put_signing_configuration(signingConfiguration={"rules": rules})
        self.assertEqual(self.ecr.get_signing_configuration()["signingConfiguration"]["rules"], rules)
        self.assertEqual(self.ecr.describe_registry()["replicationConfiguration"]["rules"], [])


if __name__ == "__main__":
    unittest.main()
