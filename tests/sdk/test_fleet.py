"""The fleet as the AWS CLI shows it, and what the CLI says of what is not there."""
import subprocess

import harness
from harness import Case


class Fleet(Case):
    def test_instances_types_and_groups_are_described(self):
        self.server.cove("fleet", "add", "--type", "t3.nano", "--asg", "seen", "--asg-max", "2")
        group, = self.server.aws("autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", "seen", "none")["AutoScalingGroups"]
        self.assertEqual((group["DesiredCapacity"], group["MaxSize"], group["Instances"][0]["LifecycleState"]), (1, 2, "InService"))
        member = group["Instances"][0]["InstanceId"]
        page = self.server.aws("ec2", "describe-instances", "--filters", "Name=tag:aws:autoscaling:groupName,Values=seen")
        instance, = page["Reservations"][0]["Instances"]
        self.assertEqual((instance["InstanceId"], instance["InstanceType"], instance["State"]["Name"]), (member, "t3.nano", "running"))
        kind, = self.server.aws("ec2", "describe-instance-types", "--instance-types", "t3.nano")["InstanceTypes"]
        self.assertEqual((kind["VCpuInfo"]["DefaultVCpus"], kind["MemoryInfo"]["SizeInMiB"]), (2, 512))
        ended, = self.server.aws("ec2", "terminate-instances", "--instance-ids", member)["TerminatingInstances"]
        self.assertEqual(ended["PreviousState"]["Name"], "running")
        self.server.aws("ec2", "wait", "instance-terminated", "--instance-ids", member)

    def test_what_is_not_there_is_named_with_where_to_look(self):
        for words, code, named in (
            ("s3 ls", "NotImplemented", "`s3`"),
            ("lambda list-functions", "UnknownOperationException", "`lambda`"),
            ("ec2 run-instances --image-id ami-1", "InvalidAction", "RunInstances"),
            ("elbv2 describe-load-balancers", "InvalidAction", "`elasticloadbalancing`"),
            (f"sqs list-queues --endpoint-url {self.server.url}", "UnknownOperationException", "`sqs`"),
            ("dynamodb list-tables", "UnknownOperationException", "`dynamodb`"),
            ("autoscaling set-desired-capacity --auto-scaling-group-name a --desired-capacity 1", "InvalidAction", "SetDesiredCapacity"),
        ):
            done = subprocess.run([harness.AWS, *words.split()], capture_output=True, text=True, env=self.server.environment())
            said = done.stderr.strip()
            self.assertNotEqual(done.returncode, 0, words)
            self.assertIn(f"({code})", said, words)
            self.assertIn(named, said, words)
            self.assertIn("`cove ops` lists what is", said, words)
