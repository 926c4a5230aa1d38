"""A small app that gunicorn starts faster than MLflow, so that its workers end more often."""


def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body) or 2))])
    return [body or b"{}"]
