import pytest

from shopkit import database


@pytest.fixture
def everybody_is_well(network):
    network.on("GET", "/health/live", {"status": "ok"})


def test_a_service_that_has_all_it_needs_is_ready(client, everybody_is_well):
    for path in ("/health", "/health/ready"):
        response = client.get(path)

        assert response.status_code == 200
        assert response.json["checks"] == {"partner-service": "ok", "database": "ok", "auth-service": "ok"}


def test_it_is_not_ready_without_a_service_it_needs_but_alive(client, network):
    network.down("GET", "/health/live")

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json["checks"] == {"partner-service": "UpstreamFailed", "auth-service": "UpstreamFailed"}
    assert client.get("/health/live").json == {"status": "ok", "service": "note-service"}


def test_it_is_not_ready_without_its_database(client, everybody_is_well, monkeypatch):
    def broken(_):
        raise OSError("disk gone, password hunter2")

    monkeypatch.setattr(database, "ping", broken)
    response = client.get("/health/ready")

    assert "hunter2" not in response.text


def test_requests_are_counted_by_rule_not_by_path(client, alice):
    for number in range(3):
        client.get(f"/notes/{number}", headers=alice)

    text = client.get("/metrics").text

    assert 'http_requests_total{method="GET",rule="/notes/<int:note_id>",status="404"} 3.0' in text
    assert 'http_request_duration_seconds_count{method="GET",rule="/notes/<int:note_id>"} 3.0' in text


def test_nonsense_does_not_make_new_labels(client):
    client.get("/nowhere/at/all")
    client.open("/notes", method="NONSENSE")

    text = client.get("/metrics").text

    assert 'rule="unmatched"' in text
    assert "nowhere" not in text
    assert "NONSENSE" not in text


def test_with_several_workers_the_metrics_are_everybodys(tmp_path):
    import subprocess
    import sys

    code = """
import os
from flask import Flask
from shopkit import auth, logs, metrics
app = Flask("x"); logs.init_app(app); metrics.init_app(app)
client = app.test_client()
if os.fork() == 0:
    client.get("/metrics"); client.get("/metrics"); os._exit(0)
os.wait()
print(client.get("/metrics").text)
"""
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)  # noqa: S603

    assert 'http_requests_total{method="GET",rule="/metrics",status="200"} 2.0' in run.stdout
