"""Whatever is asked of the service's API, it answers, and never with an error of its own."""

import schemathesis
from airbyte_testing import connection_of, declare
from hypothesis import HealthCheck, given, settings

EXAMPLES = 12


def test_no_request_makes_the_service_fail(new_service, database, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    service = new_service(**declare(tmp_path / "connections.yaml", database, [connection_of("numbers")])).start()
    root = service.base.removesuffix("/api/public/v1")
    headers = {"Authorization": service.client.headers["Authorization"]}
    document = schemathesis.openapi.from_url(f"{root}/openapi.json")
    operations = [each.ok() for each in document.get_all_operations()]
    assert len(operations) >= 25
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def answers(case):
            answer = case.call(base_url=root, headers=headers)
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)

        answers()
    assert service.sync("numbers")["status"] == "succeeded"
