"""A FastAPI server by uvicorn, with MLflow's own security middleware or without: mlflow_server.py PORT [protected]"""
import sys

import uvicorn
from fastapi import FastAPI
from mlflow.server.fastapi_security import init_fastapi_security

app = FastAPI()
runs = [{"run_id": f"run-{i}", "status": "FINISHED", "metrics": {"loss": i / 10}} for i in range(20)]


@app.get("/runs")
async def get_runs():
    return {"runs": runs}


if sys.argv[2:] == ["protected"]:
    init_fastapi_security(app)

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
