"""`tools/count_tests.py`: an environment that executed no test fails, whatever pytest's exit status was."""

from __future__ import annotations

from tools import count_tests


def write(folder, name, tests, failures=0, errors=0, skipped=0):
    suite = f'<testsuite tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"/>'
    (folder / f"{name}.xml").write_text(f"<testsuites>{suite}</testsuites>", encoding="utf-8")


def test_the_last_line_gives_the_sums(tmp_path, capsys):
    write(tmp_path, "a", tests=10, failures=1, errors=1, skipped=3)
    write(tmp_path, "b", tests=5)
    assert count_tests.main([str(tmp_path), "a", "b"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a: 5 passed, 2 failed, 3 skipped",
        "b: 5 passed, 0 failed, 0 skipped",
        "10 passed, 2 failed, 3 skipped",
    ]


def test_an_environment_that_skipped_all_tests_fails(tmp_path, capsys):
    write(tmp_path, "a", tests=10)
    write(tmp_path, "b", tests=4, skipped=4)
    assert count_tests.main([str(tmp_path), "a", "b"]) == 1
    assert "no test ran in: b" in capsys.readouterr().err


def test_an_environment_without_a_report_fails(tmp_path, capsys):
    write(tmp_path, "a", tests=10)
    assert count_tests.main([str(tmp_path), "a", "missing"]) == 1
    assert "no test ran in: missing" in capsys.readouterr().err
