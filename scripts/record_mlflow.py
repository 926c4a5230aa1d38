"""Records what MLflow itself decides, for test/policy/mlflow-differences.test.ts.

    python3 -m venv venv && venv/bin/pip install mlflow
    venv/bin/python scripts/record_mlflow.py > test/fixtures/mlflow-decisions.json

The decisions are those of the functions that both of MLflow's middlewares call.
"""

import json
from itertools import product

import mlflow
from mlflow.server import security_utils as security

HOST_LISTS = [
    None,
    "mlflow.company.com,192.168.1.100",
    "*.company.com,192.168.*",
    "mlflow.internal:5000,localhost:*",
    "*",
]
HOSTS = [
    "localhost", "localhost:5000", "LOCALHOST", "localhost.", "a.localhost", "localhost.evil.com", "localhost:5000@evil.com",
    "127.0.0.1", "127.0.0.1:5000", "127.0.0.2", "127.1", "2130706433", "0.0.0.0:5000", "[::1]", "[::1]:5000", "[0:0:0:0:0:0:0:1]", "[::]:5000",
    "10.0.0.1", "10.1.2.3:5000", "10.evil.com", "192.168.1.100", "192.168.1.100:5000", "192.168.7.8", "192.168.evil.com",
    "172.16.0.1", "172.31.0.1:5000", "172.32.0.1", "172.16.evil.com", "8.8.8.8", "[fd00::1]", "fd00::1", "[fc00::1]:5000", "[fd12:3456::1]",
    "mlflow.company.com", "mlflow.company.com:5000", "MLflow.Company.com", "mlflow.company.com.", "company.com", "a.b.company.com",
    "a.company.com:5000", "a.company.com.evil.com", "evil.com/.company.com", "evil.com#.company.com", "evil.com:80@x.company.com",
    "mlflow.internal", "mlflow.internal:5000", "mlflow.internal:5001", "evil.com", "evil.com:5000", "", "a,b", "a b",
]
ORIGIN_LISTS = [
    None,
    "https://app.company.com,https://notebook.company.com",
    "https://*.company.com",
    "*",
]
ORIGINS = [
    "", "http://localhost", "http://localhost:3000", "https://localhost:3000", "http://127.0.0.1:3000", "http://127.0.0.2:3000", "http://[::1]:3000",
    "http://a.localhost:3000", "http://localhost.evil.com", "http://evil.com@localhost", "http://localhost@evil.com", "ftp://localhost", "null",
    "http://mlflow.lan:5000", "https://mlflow.lan", "https://app.company.com", "http://app.company.com", "https://app.company.com:8443",
    "https://APP.company.com", "https://notebook.company.com", "https://a.b.company.com", "https://company.com", "https://evil.com",
    "https://evil.com/.company.com", "https://evil.com#.company.com", "https://app.company.com.evil.com", "https://app.company.com/",
    "http://192.168.1.10:5000", "not an origin",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]


def split(text):
    return [entry.strip() for entry in text.split(",")] if text else None


def main():
    hosts = [
        {
            "allowedHosts": entries,
            "host": host,
            "allowed": security.is_allowed_host_header(split(entries) or security.get_default_allowed_hosts(), host),
        }
        for entries, host in product(HOST_LISTS, HOSTS)
    ]
    origins = [
        {
            "corsAllowedOrigins": entries,
            "origin": origin,
            "method": method,
            "allowed": not security.should_block_cors_request(origin, method, split(entries)),
        }
        for entries, origin, method in product(ORIGIN_LISTS, ORIGINS, METHODS)
    ]
    print("{")
    print(f' "mlflow": {json.dumps(mlflow.__version__)},')
    print(f' "hosts": {lines(hosts)},')
    print(f' "origins": {lines(origins)}')
    print("}")


def lines(decisions):
    return "[\n  " + ",\n  ".join(json.dumps(decision) for decision in decisions) + "\n ]"


if __name__ == "__main__":
    main()
