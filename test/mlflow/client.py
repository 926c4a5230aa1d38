"""What people do with MLflow's Python client; fails loudly where it does not work.

Arguments: the tracking URI, and "otlp" where the server takes OTLP traces (by gunicorn, MLflow 3.17 has no such route).
"""
import hashlib
import json
import os
import sys
import tempfile
import time

import mlflow
import requests
from mlflow import MlflowClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

MEGABYTE = 1 << 20
BIG = "big file ä.bin"
uri, has_otlp = sys.argv[1], sys.argv[2] == "otlp"


def write_big(path):
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(100):
            block = os.urandom(MEGABYTE)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def traces(experiment, expected):
    """Traces are exported in the background."""
    for _ in range(50):
        found = mlflow.search_traces(locations=[experiment], return_type="list")
        if len(found) == expected:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{len(found)} traces, expected {expected}")


mlflow.set_tracking_uri(uri)
client = MlflowClient()
name = f"client-{time.time_ns()}"
experiment = client.create_experiment(name)
mlflow.set_experiment(name)

with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
    mlflow.log_params({"a": 1, "b": "x y/ä"})
    for step in range(5):
        mlflow.log_metric("m", step * 0.5, step=step)
    mlflow.log_text("hello", "a.txt")
    digest = write_big(os.path.join(folder, BIG))
    mlflow.log_artifact(os.path.join(folder, BIG), "sub dir")

with tempfile.TemporaryDirectory() as folder:
    copy = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=f"sub dir/{BIG}", dst_path=folder)
    with open(copy, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == digest, "the artifact is another one"
    assert os.path.getsize(copy) == 100 * MEGABYTE
assert sorted(artifact.path for artifact in client.list_artifacts(run.info.run_id)) == ["a.txt", "sub dir"]

runs = client.search_runs([experiment], "params.a = '1'")
assert [found.data.params["b"] for found in runs] == ["x y/ä"]
assert [metric.value for metric in client.get_metric_history(run.info.run_id, "m")] == [0, 0.5, 1, 1.5, 2]


@mlflow.trace
def traced(x):
    return x + 1


assert traced(1) == 2
traces(experiment, 1)

now = time.time_ns()
span = Span(trace_id=os.urandom(16), span_id=os.urandom(8), name="otlp", start_time_unix_nano=now - 10**6, end_time_unix_nano=now)
export = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
headers = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
response = requests.post(f"{uri}/v1/traces", data=export.SerializeToString(), headers=headers, timeout=30)
assert response.status_code == (200 if has_otlp else 404), (response.status_code, response.text)
traces(experiment, 2 if has_otlp else 1)

client.delete_run(run.info.run_id)
client.restore_run(run.info.run_id)
print(json.dumps({"experiment": experiment, "name": name, "run": run.info.run_id}))
