"""What a user of MLflow's basic-auth app may do. Arguments: the tracking URI, a name. MLFLOW_TRACKING_USERNAME and _PASSWORD say who it is."""
import json
import sys

import mlflow
from mlflow import MlflowClient

mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
try:
    experiment = client.create_experiment(sys.argv[2])
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, "déjà vu", "..hidden.txt")
    outcome = mlflow.artifacts.load_text(f"runs:/{run_id}/..hidden.txt")
except mlflow.MlflowException as error:
    outcome = str(error)
print(json.dumps(outcome))
