"""Express services with boto3: from an image to answers and logs, an update while it answers, the end."""
from harness import Case, http_get, until

ROLES = "arn:aws:iam::000000000000:role/"
#: Says its colour to whoever asks, and that it is there to its log.
WEB = "trap 'exit 0' TERM; echo $COLOUR > /tmp/index.html; echo colour $COLOUR; httpd -p 8080 -h /tmp; while :; do sleep 0.1; done"


class Express(Case):
    def container(self, colour):
        return {"image": self.image(), "containerPort": 8080, "command": ["sh", "-c", WEB],
                "environment": [{"name": "COLOUR", "value": colour}]}

    def colours(self):
        """What the tasks that run answer, under their own addresses."""
        arns = self.ecs.list_tasks(serviceName="shop")["taskArns"]
        tasks = self.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        addresses = [container["networkInterfaces"][0]["privateIpv4Address"] for task in tasks
                     for container in task["containers"] if container["lastStatus"] == "RUNNING"]
        return sorted(filter(None, map(self.answer, addresses)))

    @staticmethod
    def answer(address):
        try:
            return http_get(f"http://{address}:8080/index.html").strip()
        except OSError:
            return None  # not yet, or not any more

    def express(self, arn):
        return self.ecs.describe_express_gateway_service(serviceArn=arn)["service"]

    def test_an_image_becomes_a_service_that_answers_is_updated_and_ends(self):
        made = self.ecs.create_express_gateway_service(
            serviceName="shop", executionRoleArn=ROLES + "ecsTaskExecutionRole", cpu="256", memory="512",
            infrastructureRoleArn=ROLES + "ecsInfrastructureRoleForExpressServices",
            primaryContainer=self.container("blue"), scalingTarget={"minTaskCount": 2})["service"]
        arn = made["serviceArn"]
        waiter = self.ecs.get_waiter("services_stable")
        waiter.wait(services=["shop"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        until(lambda: self.colours() == ["blue", "blue"], "both answer")
        logs = self.express(arn)["activeConfigurations"][0]["primaryContainer"]["awsLogsConfiguration"]
        events = self.server.client("logs").filter_log_events(logGroupName=logs["logGroup"])["events"]
        self.assertEqual([event["message"] for event in events], ["colour blue", "colour blue"])
        self.assertTrue(all(event["logStreamName"].startswith("ecs/Main/") for event in events))

        self.ecs.update_express_gateway_service(serviceArn=arn, primaryContainer=self.container("green"))
        until(lambda: self.colours() == ["green", "green"], "both answer anew", seconds=40)
        until(lambda: len(self.express(arn)["activeConfigurations"]) == 1, "one configuration is left", seconds=40)

        self.ecs.delete_express_gateway_service(serviceArn=arn)
        until(lambda: self.express(arn)["status"]["statusCode"] == "INACTIVE", "the service has ended")
        with self.assertRaises(self.ecs.exceptions.ServiceNotActiveException):
            self.ecs.delete_express_gateway_service(serviceArn=arn)
