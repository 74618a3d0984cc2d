"""A result that is text under the name of a secret is not recorded."""

from __future__ import annotations

import pytest

CODE = """
    import dataclasses
    import numpy as np
    import pytest

    class Login:
        def __init__(self):
            self.password = "PLANTED-attribute-1"

    @dataclasses.dataclass
    class Client:
        api_key: str = "PLANTED-field-2"

    RESULTS = {
        "key": {"a": 1.0, "password": "PLANTED-key-3"},
        "nested": {"a": [{"auth_token": ["PLANTED-nested-4"]}]},
        "bytes": {"client_secret": b"PLANTED-bytes-5"},
        "array": {"passwords": np.array(["PLANTED-array-6"])},
        "object": Login(),
        "field": [Client()],
        "usual": {"sort_key": "a", "eos_token": "</s>", "password_length": 12, "secret": "", "cookies": np.zeros(2)},
    }

    @pytest.mark.reproducible
    @pytest.mark.parametrize("name", RESULTS)
    def test_result(name):
        return RESULTS[name]

    @pytest.mark.reproducible
    def test_step(repro):
        repro.step(0, password="PLANTED-step-7")

    @pytest.mark.reproducible
    def test_capture(repro):
        repro.capture("login", {"password": "PLANTED-capture-8"})
"""


def test_text_under_the_name_of_a_secret_is_refused_wherever_it_is_in_a_result(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=CODE)
    result = pytester.runpytest("--repro-record=records", "--repro-evidence=bundle", "--tb=line", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=8)
    assert result.stdout.str().count("is text under the name of a secret") >= 8
    records = [*pytester.path.glob("records/*.json"), *pytester.path.glob("bundle/records/*.json")]
    assert len(records) == 2
    written = [*pytester.path.glob("records/**/*"), *pytester.path.glob("bundle/**/*")]
    assert [path.name for path in written if path.is_file() and b"PLANTED" in path.read_bytes()] == []
