"""What names machines and users is removed from texts."""

from __future__ import annotations

import pytest

from pytest_repro.environments.names import HostNames


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        ("ssh box", "ssh: box: refused", "ssh: <far>: refused"),
        ("ssh bob@box.example.com", "bob on box, box.example.com, boxes", "<far> on <far>, <far>, boxes"),
        ("ssh -p 2222 -l bob box", "port 2222 of bob", "port 2222 of <far>"),
        ("ssh -oUser=bob --host=box x1", "bob box x1", "<far> <far> <far>"),
        ("ssh ssh://bob@box:22", "bob box 22", "<far> <far> 22"),
        ("podman run -i team/image:1 python3", "podman run team/image:1", "podman run <far>"),
        ("env USER=bob python3", "bob env python3", "<far> env python3"),
        ("/home/bob/bin/connect gpu", "/home/bob/bin/connect gpu", "<far> <far>"),
        ("connect gpu", "connect: no gpu", "connect: no <far>"),
    ],
)
def test_the_words_of_a_command_are_hidden(command, text, shown):
    assert HostNames("far", command.split(), "/srv/project").hide(text) == shown


def test_the_project_path_of_here_stays_readable():
    names = HostNames("far", ["ssh", "bob@box"], "/home/bob/project")
    assert names.hide("/home/bob/project/test_it.py: bob") == "/home/bob/project/test_it.py: <far>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("closed by 10.1.2.3 port 22.", "closed by <far> port 22."),
        ("by fe80::1:2:3, ::1:2:3:4", "by <far>, <far>"),
        ("numpy 2.4.1, at 12:30:15", "numpy 2.4.1, at 12:30:15"),
    ],
)
def test_addresses_are_hidden_in_what_a_command_prints(text, shown):
    assert HostNames("far", ["ssh"], "/srv/project").hide_all(text) == shown
