import threading

from flask import Flask, current_app

from shopkit import background
from shopkit.server import shutdown_hooks


def test_jobs_run_again_and_again_in_the_apps_context_until_the_process_stops(monkeypatch):
    monkeypatch.setattr(shutdown_hooks, "_callbacks", [])
    app, names, enough = Flask("jobs"), [], threading.Event()

    def job():
        names.append(current_app.name)
        if len(names) == 3:
            enough.set()
        raise ValueError("one failure is not the end")

    background.every(app, 0.001, job)
    background.start(app)
    assert enough.wait(10)
    shutdown_hooks.run()
    for thread in threading.enumerate():
        if thread.name == "job":
            thread.join(10)
            assert not thread.is_alive()

    assert set(names) == {"jobs"}


def test_a_job_can_be_asked_to_run_before_its_time_and_ends_with_its_process(monkeypatch):
    monkeypatch.setattr(shutdown_hooks, "_callbacks", [])
    app, has_run = Flask("jobs"), threading.Event()

    def patient_job():
        has_run.set()

    background.every(app, 3600, patient_job)
    background.start(app)
    [thread] = [each for each in threading.enumerate() if each.name == "patient_job"]

    background.run_soon(app, print)
    assert not has_run.wait(0.05)
    background.run_soon(app, patient_job)
    assert has_run.wait(10)

    shutdown_hooks.run()
    thread.join(10)
    assert not thread.is_alive()
