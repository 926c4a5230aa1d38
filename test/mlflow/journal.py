"""What ordinary people do with MLflow's Python client, and what came of each step, failures included.

Arguments: the tracking URI, and a name that nobody else uses. Prints a list of [step, outcome]; what is another one each time (ids,
times) is left out, so that two runs can be compared. Start it with MLFLOW_HTTP_REQUEST_MAX_RETRIES=0: what fails here is not to be hidden.
"""
import json
import os
import re
import sys
import tempfile
import time

import matplotlib

matplotlib.use("Agg")
import mlflow
import mlflow.sklearn
import numpy
import pandas
from matplotlib import pyplot
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from sklearn.linear_model import LinearRegression

uri, own = sys.argv[1], sys.argv[2]
journal = []
NAMES = [
    "..hidden", "v1..", "a...b", "...", ".", "..", "a/b", "a//b", "/a", "a/", "a%2Fb", "100%", "x#y", "x?y=z", "a\\b", "a;b", "a+b c", "ä/ö",
    "a:b", "a&b", "'\"", "@home",
]
# Ids, temporary folders, the number of an experiment in a path.
IDS = re.compile(r"\b(?:[mt]r?-)?[0-9a-f]{32}\b|\b\d{12,}\b|(?<=/tmp/)\w+|(?<=/artifacts/)\d+(?=/)")


def plain(value):
    """Without ids, times, the address of the server and the name of this run of the script."""
    text = json.dumps(value, default=str, sort_keys=True).replace(uri.rstrip("/"), "<uri>").replace(own, "<own>")
    return json.loads(IDS.sub("<id>", text))


def step(name, action):
    try:
        outcome = action()
    except Exception as error:
        outcome = {"error": type(error).__name__, "code": getattr(error, "error_code", None), "message": plain(str(error))[:80]}
    journal.append([name, plain(outcome)])


def artifact(name):
    """Writes, lists and reads an artifact of this name."""
    client.log_text(run_id, f"text of {name}", name)
    return [sorted(info.path for info in client.list_artifacts(run_id)), mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")]


def artifact_folder(name):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "in a folder.txt")
        with open(path, "w") as file:
            file.write(name)
        client.log_artifact(run_id, path, f"folders/{name}")
        with open(client.download_artifacts(run_id, f"folders/{name}/in a folder.txt", folder)) as file:
            return file.read()


def named_experiment(name):
    found = client.get_experiment(client.create_experiment(f"{own}{name}"))
    again = client.get_experiment_by_name(f"{own}{name}")
    searched = client.search_experiments(filter_string=f"name = '{own}{name}'") if "'" not in name else []
    client.set_experiment_tag(found.experiment_id, "who", name)
    return [found.name, again.name, [one.name for one in searched], client.get_experiment(found.experiment_id).tags["who"]]


def bare_experiment(name):
    """A name that consists of dots: experiments are in one store, so it is there already the second time."""
    found = client.get_experiment_by_name(name) or client.get_experiment(client.create_experiment(name))
    return found.name


def run_of_all():
    client.log_batch(run_id, [Metric(f"m{i}", i / 3, i, i) for i in range(900)], [Param("p.x/y-z", "ü" * 500)], [RunTag("tag", "<&>")])
    client.set_tag(run_id, "mlflow.note.content", "# note\n..")
    client.delete_tag(run_id, "tag")
    client.update_run(run_id, "FINISHED", "another name")
    run = client.get_run(run_id)
    return [run.info.status, run.info.run_name, len(run.data.metrics), run.data.params, run.data.tags]


def searched_runs():
    found = client.search_runs([experiment], "params.`p.x/y-z` LIKE 'ü%' AND metrics.m3 >= 1", ViewType.ALL, 5, ["metrics.m1 DESC"])
    frame = mlflow.search_runs([experiment])
    return [[run.info.run_name for run in found], list(frame["tags.mlflow.note.content"])]


def deleted():
    client.delete_run(run_id)
    stage = client.get_run(run_id).info.lifecycle_stage
    client.restore_run(run_id)
    other = client.create_experiment(f"{own}-deleted")
    client.delete_experiment(other)
    gone = client.get_experiment(other).lifecycle_stage
    client.restore_experiment(other)
    client.rename_experiment(other, f"{own}-renamed")
    return [stage, client.get_run(run_id).info.lifecycle_stage, gone, client.get_experiment(other).name]


def pictures():
    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    client.log_figure(run_id, figure, "pictures/figure.png")
    client.log_figure(run_id, figure, "pictures/figure.svg")
    client.log_image(run_id, numpy.arange(48, dtype=numpy.uint8).reshape(4, 4, 3), "pictures/image.png")
    client.log_image(run_id, numpy.zeros((4, 4, 3), dtype=numpy.uint8), key="step", step=1, synchronous=True)
    image = mlflow.artifacts.load_image(f"runs:/{run_id}/pictures/image.png")
    return [sorted(info.path for info in client.list_artifacts(run_id, "pictures")), list(image.getdata())]


def model():
    with mlflow.start_run(run_id=run_id):
        frame = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(frame, [2.0, 4.0, 6.0]), name="model", registered_model_name=f"{own}.model..v1", input_example=frame,
            pip_requirements=["scikit-learn"], skops_trusted_types=[],
        )
        mlflow.log_input(mlflow.data.from_pandas(frame, name="data..set"), context="training")
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    return [[round(value, 6) for value in loaded.predict(frame)], [one.name for one in mlflow.search_logged_models([experiment], output_format="list")]]


def registry():
    name = f"{own}.model..v1"
    client.set_registered_model_alias(name, "champion", 1)
    client.set_model_version_tag(name, "1", "checked", "ja/nein")
    client.update_model_version(name, "1", "described\n" * 200)
    version = client.get_model_version_by_alias(name, "champion")
    predicted = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(pandas.DataFrame({"x": [5.0]}))
    client.delete_registered_model_alias(name, "champion")
    found = [one.name for one in client.search_registered_models(f"name = '{name}'")]
    client.rename_registered_model(name, f"{own}-renamed")
    client.delete_model_version(f"{own}-renamed", "1")
    client.delete_registered_model(f"{own}-renamed")
    return [version.tags, version.description, round(float(predicted[0]), 6), found]


def prompts():
    mlflow.genai.register_prompt(f"{own}-prompt", "Hello {{name}}, ä", tags={"a": "b"})
    return mlflow.genai.load_prompt(f"prompts:/{own}-prompt/1").format(name="..")


@mlflow.trace(name="outer..span", attributes={"a": "ü"})
def traced(x):
    with mlflow.start_span("inner") as span:
        span.set_inputs({"x": x})
        span.set_outputs({"bytes": "\u0000\u0001", "long": "y" * 300_000})
    return x + 1


def traces():
    traced(1)
    mlflow.flush_trace_async_logging()
    for _ in range(100):
        found = mlflow.search_traces(locations=[experiment], return_type="list")
        if found:
            break
        time.sleep(0.1)
    trace = client.get_trace(found[0].info.trace_id)
    client.set_trace_tag(trace.info.trace_id, "who", "..hidden")
    mlflow.log_feedback(trace_id=trace.info.trace_id, name="good", value=True)
    again = client.get_trace(trace.info.trace_id)
    spans = [[span.name, span.inputs, len(json.dumps(span.outputs))] for span in again.data.spans]
    return [spans, again.info.tags["who"], [one.name for one in again.info.assessments], client.delete_traces(experiment, trace_ids=[trace.info.trace_id])]


mlflow.set_tracking_uri(uri)
client = MlflowClient()
experiment = client.create_experiment(own)
mlflow.set_experiment(experiment_id=experiment)
run_id = client.create_run(experiment, run_name="r").info.run_id

step("run", run_of_all)
step("search", searched_runs)
step("delete and restore", deleted)
for name in NAMES:
    step(f"artifact {name}", lambda: artifact(name))
    step(f"artifact folder {name}", lambda: artifact_folder(name))
    step(f"experiment {name}", lambda: named_experiment(name))
for name in ["..hidden", "v1..", "a...b", "...", ".", ".."]:
    step(f"bare experiment {name}", lambda: bare_experiment(name))
step("pictures", pictures)
step("model", model)
step("registry", registry)
step("prompts", prompts)
step("traces", traces)
step("no such run", lambda: client.get_run("no such run"))
step("the name is taken", lambda: client.create_experiment(own))
step("a filter that is none", lambda: client.search_runs([experiment], "this is no filter"))
step("no such artifact", lambda: mlflow.artifacts.load_text(f"runs:/{run_id}/no such.txt"))
step("no such folder", lambda: client.list_artifacts(run_id, "no such folder"))
step("a parameter cannot change", lambda: client.log_param(run_id, "p.x/y-z", "other"))
print(json.dumps(journal))
