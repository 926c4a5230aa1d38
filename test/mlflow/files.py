"""Files of each type that MLflow's client labels as text go up and come back; says which are not byte for byte the same.

Arguments: the tracking URI, and the folder of the server's artifacts.
"""
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import pandas
import requests
from mlflow import MlflowClient
from mlflow.utils.mime_type_utils import _guess_mime_type, get_text_extensions

BIG = 3 * (1 << 20)
TEXT = "first line\r\nsecond: déjà vu, \N{SNOWMAN}\n"
CONTENTS = {
    "empty": b"",
    "binary": bytes(range(256)) * 5,
    "latin-1": TEXT.replace("\N{SNOWMAN}", "\xff").encode("latin-1"),
    "utf-16": TEXT.encode("utf-16"),
    "utf-8": b"\xef\xbb\xbf" + TEXT.encode(),
    "big": os.urandom(BIG),
}
OTHERS = ["bin", "html", "png", "gz", "js.map", "svg", "unknown", "zip", "parquet", "css", "pdf"]
uri, artifacts = sys.argv[1], Path(sys.argv[2])


def name_of(extension, content):
    """MLmodel and MLproject are labelled as text by their whole name."""
    return f"{content}/{extension}" if extension.startswith("ML") else f"{content}/a file.{extension}"


def sums_of(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


mlflow.set_tracking_uri(uri)
client = MlflowClient()
experiment = client.create_experiment(f"files-{time.time_ns()}")
mlflow.set_experiment(experiment_id=experiment)
text_types = get_text_extensions()
assert all(_guess_mime_type(name_of(extension, "x")) == "text/plain" for extension in text_types)

with tempfile.TemporaryDirectory() as folder:
    for extension in text_types + OTHERS:
        for content, data in CONTENTS.items():
            path = Path(folder, name_of(extension, content))
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    sent = sums_of(folder)
    run = client.create_run(experiment)
    run_id = run.info.run_id
    client.log_artifacts(run_id, folder)

on_disk = sums_of(artifacts / experiment / run_id / "artifacts")
with tempfile.TemporaryDirectory() as folder:
    downloaded = sums_of(client.download_artifacts(run_id, "", folder))

# The UI's own way of download; some of each kind.
ui = {}
session = requests.Session()
for name in [name_of(extension, content) for extension in ["json", "csv", "MLmodel", "png"] for content in CONTENTS]:
    answer = session.get(f"{uri}/get-artifact", params={"path": name, "run_uuid": run_id}, timeout=60)
    ui[name] = hashlib.sha256(answer.content).hexdigest()

dictionary = {f"key {i}": "ä" * 30 for i in range(30_000)}
client.log_dict(run_id, dictionary, "big.json")
table = {"number": list(range(60_000)), "text": [f"row {i} ü" for i in range(60_000)]}
client.log_table(run_id, table, "big-table.json")
loaded = mlflow.load_table("big-table.json", run_ids=[run_id])
big = [(artifacts / experiment / run_id / "artifacts" / name).stat().st_size for name in ["big.json", "big-table.json"]]

print(json.dumps({
    "files": len(sent),
    "damagedOnDisk": [name for name in sent if on_disk.get(name) != sent[name]],
    "damagedDownload": [name for name in sent if downloaded.get(name) != sent[name]],
    "damagedInUi": [name for name in ui if ui[name] != sent[name]],
    "dictionary": mlflow.artifacts.load_dict(f"runs:/{run_id}/big.json") == dictionary,
    "table": loaded.equals(pandas.DataFrame(table)),
    "overOneMebibyte": [size > 1 << 20 for size in big],
}))
