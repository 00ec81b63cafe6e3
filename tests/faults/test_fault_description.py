"""Random requests made from the server's own description of itself, good and bad ones."""

from __future__ import annotations

import pytest
from harmless import judge, leaves_nothing
from routes import APP, ROUTES

schemathesis = pytest.importorskip("schemathesis", reason="needs moedsr's extra soak")
hypothesis = pytest.importorskip("hypothesis")

SCHEMA = schemathesis.openapi.from_dict(APP.openapi())
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]


def test_every_route_is_described():
    described = {(op.method.upper(), op.path) for op in OPERATIONS}
    assert described | {("GET", APP.openapi_url), ("HEAD", APP.openapi_url)} == set(ROUTES)


# Hypothesis takes a thread's use of `random`, of the server or its client, for a strategy's own.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: f"{op.method} {op.path}")
def test_requests_made_from_the_description_are_answered(lab, operation, count):
    client, jobs = lab.client(), []

    @hypothesis.settings(
        max_examples=count(6, 1000), deadline=None, database=None,
        derandomize=not count(0, 1), phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=_cases(operation), of_a_job=hypothesis.strategies.booleans())
    def ask(case, of_a_job):
        if of_a_job and "job_id" in case.path_parameters and case.method.upper() != "DELETE":
            case.path_parameters["job_id"] = jobs[0]
        answer = case.call(base_url=lab.url, session=client.session, timeout=60)
        judge(answer.status_code, answer.content)

    with leaves_nothing(lab) as job:
        jobs.append(job)
        ask()


def _cases(operation):
    """Requests of an operation; half of them bad ones, where a request can be bad."""
    modes = schemathesis.GenerationMode
    good = operation.as_strategy(generation_mode=modes.POSITIVE)
    if not (operation.query or operation.headers or operation.body):
        return good  # any text may be a name or an id
    return good | operation.as_strategy(generation_mode=modes.NEGATIVE)
