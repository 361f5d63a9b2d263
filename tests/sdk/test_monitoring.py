"""CloudWatch as boto3 and both AWS CLIs speak to it: CBOR with compressed bodies, and the alarm waiter."""
import datetime
import json
import os
import subprocess
import unittest

import botocore.exceptions

from harness import REGION, Case, until


class Monitoring(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cloudwatch = cls.server.client("cloudwatch")

    def test_boto3_puts_a_large_batch_and_reads_it_back(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        data = [{"MetricName": f"m{number:03}", "Dimensions": [{"Name": "number", "Value": str(number)}],
                 "Timestamp": now, "Values": [1.0, 2.5, 4.0], "Counts": [1.0, 2.0, 1.0], "Unit": "Bytes/Second"}
                for number in range(200)]
        # More than 10 KiB: botocore packs it with gzip.
        self.cloudwatch.put_metric_data(Namespace="Large", MetricData=data)
        listed = [metric for page in self.cloudwatch.get_paginator("list_metrics").paginate(Namespace="Large")
                  for metric in page["Metrics"]]
        self.assertEqual(len(listed), 200)
        hour = datetime.timedelta(hours=1)
        got = self.cloudwatch.get_metric_statistics(
            Namespace="Large", MetricName="m007", Dimensions=[{"Name": "number", "Value": "7"}], StartTime=now - hour,
            EndTime=now + hour, Period=60, Statistics=["Sum", "Average", "SampleCount", "Minimum", "Maximum"])
        point, = got["Datapoints"]
        self.assertEqual([point[name] for name in ("Sum", "Average", "SampleCount", "Minimum", "Maximum")],
                         [10.0, 2.5, 4.0, 1.0, 4.0])
        self.assertEqual(point["Unit"], "Bytes/Second")
        self.assertEqual(point["Timestamp"], now.replace(second=0, microsecond=0))
        stat = {"Metric": {"Namespace": "Large", "MetricName": "m007", "Dimensions": [{"Name": "number", "Value": "7"}]},
                "Period": 60, "Stat": "p50"}
        result, = self.cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "a", "MetricStat": stat}], StartTime=now - hour, EndTime=now + hour,
        )["MetricDataResults"]
        self.assertEqual((result["Values"], result["StatusCode"]), ([2.5], "Complete"))

    def test_errors_have_the_codes_that_programs_know(self):
        for call, code in ((lambda: self.cloudwatch.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="x"), "ResourceNotFound"),
                           (lambda: self.cloudwatch.put_metric_data(Namespace="AWS/ECS", MetricData=[{"MetricName": "m", "Value": 1}]), "InvalidParameterValue"),
                           (lambda: self.cloudwatch.list_dashboards(), "UnsupportedOperationException")):
            with self.assertRaises(botocore.exceptions.ClientError) as raised:
                call()
            self.assertEqual(raised.exception.response["Error"]["Code"], code)

    def test_boto3_waits_for_an_alarm(self):
        self.cloudwatch.put_metric_alarm(
            AlarmName="waited", Namespace="A", MetricName="m", Statistic="Average", Period=60, EvaluationPeriods=1,
            Threshold=1, ComparisonOperator="GreaterThanThreshold")
        self.cloudwatch.set_alarm_state(AlarmName="waited", StateValue="ALARM", StateReason="by hand")
        self.cloudwatch.get_waiter("alarm_exists").wait(AlarmNames=["waited"], WaiterConfig={"Delay": 1, "MaxAttempts": 5})
        alarm, = self.cloudwatch.describe_alarms(StateValue="ALARM", AlarmNamePrefix="wai")["MetricAlarms"]
        self.assertEqual((alarm["StateReason"], alarm["Period"], alarm["Threshold"]), ("by hand", 60, 1.0))
        summaries = [item["HistorySummary"] for page in self.cloudwatch.get_paginator("describe_alarm_history").paginate(
            AlarmName="waited", HistoryItemType="StateUpdate") for item in page["AlarmHistoryItems"]]
        self.assertEqual(summaries, ["Alarm updated from INSUFFICIENT_DATA to ALARM"])

    def test_both_command_lines(self):
        for program in (os.environ.get("AWS"), os.environ.get("AWS2")):
            if not program:
                continue
            with self.subTest(program=program):
                def aws(*words):
                    done = subprocess.run([program, "cloudwatch", *words, "--region", REGION], capture_output=True, text=True,
                                          env=self.server.environment())
                    self.assertEqual(done.returncode, 0, done.stderr)
                    return json.loads(done.stdout) if done.stdout.strip() else None
                aws("put-metric-data", "--namespace", "Cli", "--metric-name", "m", "--value", "3", "--dimensions", "a=b")
                listed = aws("list-metrics", "--namespace", "Cli")
                self.assertEqual(listed["Metrics"], [{"Namespace": "Cli", "MetricName": "m", "Dimensions": [{"Name": "a", "Value": "b"}]}])
                aws("put-metric-alarm", "--alarm-name", "cli", "--namespace", "Cli", "--metric-name", "m", "--statistic",
                    "Maximum", "--period", "60", "--evaluation-periods", "2", "--threshold", "1", "--comparison-operator",
                    "GreaterThanThreshold", "--treat-missing-data", "notBreaching")
                alarm, = aws("describe-alarms", "--alarm-names", "cli")["MetricAlarms"]
                self.assertEqual((alarm["TreatMissingData"], alarm["EvaluationPeriods"]), ("notBreaching", 2))
                aws("delete-alarms", "--alarm-names", "cli")
                self.assertEqual(aws("describe-alarms", "--alarm-names", "cli")["MetricAlarms"], [])

    def test_a_cluster_is_measured_every_minute(self):
        def measured():
            listed = self.cloudwatch.list_metrics(Namespace="AWS/ECS", Dimensions=[{"Name": "ClusterName", "Value": "default"}])
            names = {metric["MetricName"] for metric in listed["Metrics"] if len(metric["Dimensions"]) == 1}
            return {"CPUReservation", "MemoryReservation", "CPUUtilization", "MemoryUtilization"} <= names
        until(measured, "two full minutes of measurements", seconds=130)


if __name__ == "__main__":
    unittest.main()
