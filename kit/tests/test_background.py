import threading

from flask import Flask, current_app

from shopkit import background, stopping


def test_jobs_run_again_and_again_in_the_apps_context_until_the_process_stops(monkeypatch):
    monkeypatch.setattr(stopping, "_callbacks", [])
    app, names, enough = Flask("jobs"), [], threading.Event()

    def job():
        names.append(current_app.name)
        if len(names) == 3:
            enough.set()
        raise ValueError("one failure is not the end")

    background.every(app, 0.001, job)
    background.start(app)
    assert enough.wait(10)
    stopping.stop()
    for thread in threading.enumerate():
        if thread.name == "job":
            thread.join(10)
            assert not thread.is_alive()

    assert set(names) == {"jobs"}
