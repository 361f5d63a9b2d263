"""The main job with the real AWS CLI and boto3: push an image, run tasks, read logs, stop. With --dev and with real keys."""
import socket
import subprocess
import unittest
import urllib.error

from botocore.exceptions import ClientError

from harness import AWS2, Case, archive, http_get, until

HTTPD = "mkdir -p /www && echo hello-from-$(hostname) > /www/index.html && exec httpd -f -p 8080 -h /www"


def own_address():
    """An address of this host that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return None


class MainJob(Case):
    def test_the_whole_way_with_the_cli(self):
        server = self.server
        self.assertEqual(server.aws("sts", "get-caller-identity")["Account"], "000000000000")
        uri = server.aws("ecr", "create-repository", "--repository-name", "way")["repository"]["repositoryUri"]
        server.push(archive("busybox"), f"{uri}:1")
        self.assertEqual(server.aws("ecr", "list-images", "--repository-name", "way")["imageIds"][0]["imageTag"], "1")
        network = self.network()["awsvpcConfiguration"]
        definition = f"""[{{"name":"main","image":"{uri}:1","command":["sh","-c","{HTTPD}"],
            "portMappings":[{{"containerPort":8080}}],
            "logConfiguration":{{"logDriver":"awslogs","options":{{"awslogs-group":"/way","awslogs-region":"us-east-1",
            "awslogs-stream-prefix":"t","awslogs-create-group":"true"}}}}}}]"""
        server.aws("ecs", "register-task-definition", "--family", "way", "--requires-compatibilities", "FARGATE", "--cpu", "256",
                   "--memory", "512", "--network-mode", "awsvpc", "--execution-role-arn",
                   "arn:aws:iam::000000000000:role/ecsTaskExecutionRole", "--container-definitions", definition)
        task = server.aws("ecs", "run-task", "--task-definition", "way", "--launch-type", "FARGATE", "--network-configuration",
                          f"awsvpcConfiguration={{subnets=[{network['subnets'][0]}],securityGroups=[{network['securityGroups'][0]}]}}")["tasks"][0]
        arn = task["taskArn"]
        server.aws("ecs", "wait", "tasks-running", "--tasks", arn)
        shown = self.describe(arn)
        address = shown["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
        self.assertTrue(address.startswith("172.31."), address)
        until(lambda: self.reach(f"http://{address}:8080/"), "the task's private address answers from the host")
        server.aws("ecs", "stop-task", "--task", arn, "--reason", "enough")
        server.aws("ecs", "wait", "tasks-stopped", "--tasks", arn)
        shown = self.describe(arn)
        self.assertEqual((shown["stopCode"], shown["stoppedReason"]), ("UserInitiated", "enough"))

    @staticmethod
    def reach(url):
        try:
            return http_get(url, timeout=2)
        except (urllib.error.URLError, OSError):
            return None

    def test_a_dynamic_host_port_answers_on_loopback_and_on_the_own_address(self):
        image = self.image()
        definition = self.register({"name": "main", "image": image, "command": ["sh", "-c", HTTPD],
                                    "portMappings": [{"containerPort": 8080}, {"containerPort": 9000, "protocol": "udp"}]})
        arn = self.run_one(definition)
        task = self.wait(arn, "RUNNING")
        binding = next(b for b in task["containers"][0]["networkBindings"] if b["protocol"] == "tcp")
        self.assertGreaterEqual(binding["hostPort"], 32768)
        until(lambda: self.reach(f"http://127.0.0.1:{binding['hostPort']}/"), "loopback")
        address = own_address()
        if address is None:
            self.skipTest("this host has no address but loopback")
        until(lambda: self.reach(f"http://{address}:{binding['hostPort']}/"), "own address")
        self.ecs.stop_task(task=arn)
        self.wait(arn, "STOPPED")
        self.assertIsNone(self.reach(f"http://127.0.0.1:{binding['hostPort']}/"))

    def test_logs_tail_follows_a_running_task(self):
        image = self.image()
        definition = self.register({"name": "main", "image": image, "logConfiguration": self.awslogs("/tail"),
                                    "command": ["sh", "-c", "i=0; while true; do echo line-$i; i=$((i+1)); sleep 0.2; done"]})
        arn = self.run_one(definition)
        self.wait(arn, "RUNNING")
        tail = subprocess.Popen([AWS2, "logs", "tail", "/tail", "--follow", "--format", "short"], stdout=subprocess.PIPE, text=True,
                                env=self.server.environment())
        try:
            seen = [tail.stdout.readline() for _ in range(30)]
        finally:
            tail.kill()
            tail.wait()
            tail.stdout.close()
        self.assertTrue(any("line-25" in line for line in seen), seen)
        self.ecs.stop_task(task=arn)
        self.wait(arn, "STOPPED")

    def test_an_exit_code_is_kept(self):
        arn = self.run_one(self.register({"name": "main", "image": self.image(), "command": ["sh", "-c", "exit 3"]}))
        task = self.wait(arn, "STOPPED")
        self.assertEqual(task["containers"][0]["exitCode"], 3)
        self.assertEqual(task["stopCode"], "EssentialContainerExited")
        self.assertEqual(task["stoppedReason"], "Essential container in task exited")

    def test_too_much_memory_is_killed_and_said(self):
        # tail keeps what it reads of a line without an end in memory.
        arn = self.run_one(self.register({"name": "main", "image": self.image(), "memory": 16, "command": ["sh", "-c", "tail /dev/zero"]}))
        task = self.wait(arn, "STOPPED")
        self.assertEqual(task["containers"][0]["exitCode"], 137)
        self.assertIn("OutOfMemory", task["containers"][0]["reason"])

    def test_a_missing_image_is_said(self):
        image = self.image().rsplit(":", 1)[0] + ":nope"
        task = self.wait(self.run_one(self.register({"name": "main", "image": image})), "STOPPED")
        self.assertEqual(task["stopCode"], "TaskFailedToStart")
        self.assertIn("CannotPullContainerError", task["stoppedReason"])

    def test_a_task_that_does_not_fit_is_a_failure(self):
        definition = self.register({"name": "main", "image": self.image(), "memory": 10_000_000})
        answer = self.ecs.run_task(taskDefinition=definition)
        self.assertEqual(answer["tasks"], [])
        self.assertEqual(answer["failures"][0]["reason"], "RESOURCE:MEMORY")
        self.assertIn(":container-instance/", answer["failures"][0]["arn"])

    def test_a_container_that_is_not_essential_may_end(self):
        image = self.image()
        arn = self.run_one(self.register({"name": "main", "image": image, "command": ["sleep", "600"]},
                                         {"name": "side", "image": image, "command": ["true"], "essential": False}))
        self.wait(arn, "RUNNING")
        side = until(lambda: next((c for c in self.describe(arn)["containers"] if c["name"] == "side" and c["lastStatus"] == "STOPPED"), None),
                     "the side container ends")
        self.assertEqual(side["exitCode"], 0)
        self.assertEqual(self.describe(arn)["lastStatus"], "RUNNING")
        self.ecs.stop_task(task=arn)
        self.wait(arn, "STOPPED")

    def test_boto3_in_a_task_finds_the_credentials_of_its_role(self):
        trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
        role = self.iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        definition = self.register({"name": "main", "image": self.image("python", "python"), "memory": 256, "command": ["python3", "-c", script],
                                    "logConfiguration": self.awslogs("/role")}, taskRoleArn=role)
        arn = self.run_one(definition)
        task = self.wait(arn, "STOPPED", 60)
        said = self.messages("/role", arn)
        self.assertEqual(task["containers"][0].get("exitCode"), 0, said)
        self.assertIn(":assumed-role/app/", said[-1])

    def test_the_same_client_token_starts_no_second_task(self):
        definition = self.register({"name": "main", "image": self.image(), "command": ["sleep", "600"]})
        first = self.run_one(definition, clientToken="once")
        self.assertEqual(self.run_one(definition, clientToken="once"), first)
        with self.assertRaises(self.ecs.exceptions.ConflictException):
            self.ecs.run_task(taskDefinition=definition, clientToken="once", count=2)
        self.ecs.stop_task(task=first)
        self.wait(first, "STOPPED")

    def test_exec_runs_in_the_container(self):
        arn = self.run_one(self.register({"name": "main", "image": self.image(), "command": ["sleep", "600"]}))
        self.wait(arn, "RUNNING")
        done = self.server.cove("exec", arn, "--", "sh", "-c", "echo out; echo err >&2; cat; exit 5", check=False, input="typed")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (5, "out\ntyped", "err\n"))
        self.ecs.stop_task(task=arn)
        self.wait(arn, "STOPPED")

    def test_a_cross_origin_request_of_a_browser_is_refused(self):
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                http_get(self.server.url + "/_cove/health", **headers)
            self.assertEqual(refused.exception.code, 403)
            refused.exception.close()
        self.assertTrue(http_get(self.server.url + "/_cove/health"))


class MainJobWithRealKeys(MainJob):
    dev = False

    def test_a_wrong_signature_is_refused_as_aws_refuses_it(self):
        key, _ = self.server.keys()
        with self.assertRaises(ClientError) as refused:
            self.server.client("ecs", keys=(key, "wrong")).list_clusters()
        self.assertEqual(refused.exception.response["Error"]["Code"], "InvalidSignatureException")
        with self.assertRaises(ClientError) as refused:
            self.server.client("ecs", keys=("AKIDUNKNOWN", "wrong")).list_clusters()
        self.assertEqual(refused.exception.response["Error"]["Code"], "UnrecognizedClientException")


if __name__ == "__main__":
    unittest.main()
