"""EventBridge as boto3 and both AWS CLIs speak to it: scheduled tasks, and ECS's own events in a log group."""
import json
import os
import subprocess
import unittest

import botocore.exceptions

from harness import REGION, Case, until

ROLE = "arn:aws:iam::000000000000:role/ecsEventsRole"


class EventBridge(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.events = cls.server.client("events")
        cls.busybox = cls.image()

    def logged(self, group):
        found = self.logs.filter_log_events(logGroupName=group)["events"]
        return [json.loads(event["message"]) for event in found]

    def test_a_tasks_life_is_in_a_log_group(self):
        self.logs.create_log_group(logGroupName="/aws/events/tasks")
        pattern = {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"], "detail": {"startedBy": ["observed"]}}
        self.events.put_rule(Name="tasks", EventPattern=json.dumps(pattern))
        answer = self.events.put_targets(Rule="tasks", Targets=[
            {"Id": "log", "Arn": f"arn:aws:logs:{REGION}:000000000000:log-group:/aws/events/tasks"}])
        self.assertEqual(answer["FailedEntryCount"], 0)
        arn = self.run_one(self.register({"name": "main", "image": self.busybox, "command": ["true"]}), startedBy="observed")
        self.wait(arn, "STOPPED")

        def complete():
            seen = sorted(self.logged("/aws/events/tasks"), key=lambda event: event["detail"]["version"])
            return seen if seen and seen[-1]["detail"]["lastStatus"] == "STOPPED" else None
        seen = until(complete, "the last event")
        self.assertEqual([event["detail"]["version"] for event in seen], list(range(1, len(seen) + 1)))
        self.assertEqual(seen[-1]["detail"]["stopCode"], "EssentialContainerExited")
        self.assertEqual(seen[-1]["resources"], [arn])

    def test_a_task_runs_on_a_schedule(self):
        definition = self.register({"name": "main", "image": self.busybox, "command": ["true"]})
        self.events.put_rule(Name="each-minute", ScheduleExpression="rate(1 minute)")
        self.events.put_targets(Rule="each-minute", Targets=[{
            "Id": "task", "Arn": f"arn:aws:ecs:{REGION}:000000000000:cluster/default", "RoleArn": ROLE,
            "EcsParameters": {"TaskDefinitionArn": definition, "TaskCount": 2}}])

        def ran():
            tasks = self.ecs.list_tasks(startedBy="events-rule/each-minute", desiredStatus="STOPPED")["taskArns"]
            return tasks if len(tasks) == 2 else None
        tasks = until(ran, "the scheduled tasks", seconds=90)
        for task in self.ecs.describe_tasks(tasks=tasks)["tasks"]:
            self.assertEqual((task["taskDefinitionArn"], task["containers"][0]["exitCode"]), (definition, 0))
        self.events.disable_rule(Name="each-minute")

    def test_errors_have_the_codes_that_programs_know(self):
        for call, code in ((lambda: self.events.describe_rule(Name="none"), "ResourceNotFoundException"),
                           (lambda: self.events.put_rule(Name="r", EventPattern="{}"), "InvalidEventPatternException"),
                           (lambda: self.events.put_rule(Name="r", ScheduleExpression="cron(1 2)"), "ValidationException"),
                           (lambda: self.events.create_archive(ArchiveName="a", EventSourceArn="arn:aws:events:a:b:c"), "UnsupportedOperationException")):
            with self.assertRaises(botocore.exceptions.ClientError) as raised:
                call()
            self.assertEqual(raised.exception.response["Error"]["Code"], code)

    def test_both_command_lines(self):
        for number, program in enumerate((os.environ["AWS"], os.environ["AWS2"])):
            with self.subTest(program=program):
                def aws(*words):
                    done = subprocess.run([program, "events", *words, "--region", REGION], capture_output=True, text=True,
                                          env=self.server.environment())
                    self.assertEqual(done.returncode, 0, done.stderr)
                    return json.loads(done.stdout) if done.stdout.strip() else None
                name = f"cli-{number}"
                made = aws("put-rule", "--name", name, "--event-pattern", '{"source": ["cli"]}')
                self.assertTrue(made["RuleArn"].endswith(f":rule/{name}"))
                aws("put-targets", "--rule", name, "--targets",
                    f"Id=1,Arn=arn:aws:logs:{REGION}:000000000000:log-group:none")
                put = aws("put-events", "--entries", '[{"Source": "cli", "DetailType": "t", "Detail": "{}"}]')
                self.assertEqual(put["FailedEntryCount"], 0)
                self.assertEqual([rule["Name"] for rule in aws("list-rules", "--name-prefix", name)["Rules"]], [name])
                dead = until(lambda: [line for line in self.server.cove("events", "--dead").stdout.splitlines() if name in line],
                             "a dead letter")
                self.assertIn("log group does not exist", dead[0])
                aws("remove-targets", "--rule", name, "--ids", "1")
                aws("delete-rule", "--name", name)


if __name__ == "__main__":
    unittest.main()
