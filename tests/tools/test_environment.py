"""Setup asks only for what is missing."""
# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys

import environment
import pytest
from environment import DebianPackage


def test_a_package_is_there_when_any_of_its_probes_is(tmp_path):
    here = DebianPackage("here", (str(tmp_path / "none"), str(tmp_path)), "test")
    gone = DebianPackage("gone", (str(tmp_path / "none"), "no-such-command-anywhere"), "test")
    assert environment.missing_packages((here, gone)) == [gone]


def test_without_root_the_error_names_the_packages_and_the_command(monkeypatch):
    monkeypatch.setattr(environment, "_root_prefix", lambda: None)
    gone = (DebianPackage("libgone-dev", ("no-such-command-anywhere",), "holding things"),)
    with pytest.raises(environment.SetupError, match="apt-get install libgone-dev") as error:
        environment._install_debian(gone)
    assert "holding things" in str(error.value)


def test_an_optional_package_that_is_missing_is_only_noted(monkeypatch, capsys):
    monkeypatch.setattr(environment, "_root_prefix", lambda: None)
    environment._install_debian(
        (DebianPackage("gone", ("no-such-command-anywhere",), "speed", needed=False),)
    )
    assert "note: gone is not here (speed)" in capsys.readouterr().out


def test_requirements_of_another_machine_are_left_out(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("# comment\nNum_Py==1.2\nother==3; no_such_machine\n")
    assert environment._requirements(path) == {"num-py": "1.2"}


def test_every_pinned_package_of_this_environment_has_its_version(root):
    installed = environment._installed(sys.executable)
    wanted = environment._requirements(root / "tools" / "requirements" / "dev.txt")
    assert {name: installed.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("command", "setup build test demo bench peers fuzz lint docs".split())
def test_every_command_explains_itself(root, command):
    result = subprocess.run([str(root / "dev"), command, "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert len(result.stdout.split("\n\n")) >= 4, "usage, summary, description and options"


def test_a_wrong_command_is_refused_with_the_list(root):
    result = subprocess.run([str(root / "dev"), "bulid"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "build" in result.stderr
