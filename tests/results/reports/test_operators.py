"""What operators are handed: read back by what reads it in earnest, with hosts and reasons that try to break out."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import require
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perwatt.results.fleet.nodesets import expand, fold
from perwatt.results.reports.operators import GROUPS, REASON_BYTES, Node, Status, files

HOSTILE = (
    "plain",
    'it\'s "quoted" # and $(touch pwned) `touch pwned`; touch pwned',
    "{{ lookup('pipe', 'touch pwned') }} {% raw %} {# no #} {{{",
    "a=b, [1, 2], back\\slash \\n \\x41 \\N{DIGIT ONE}",
    "line\nbreak\r\0\x1b[31m\u2028tab\t",
    "ü 漢字 😀 \ud800",
    "'",
    '"',
    '""',
    "!x !y",
    "x" * 400,
    "ü" * 300,
    "",
    "5",
    "True",
)
STATUSES: tuple[Status, ...] = ("FAIL", "MISSING", "INCONCLUSIVE", "PASS")
NODES = [
    Node(f"n{index:03}", status, (reason,))
    for index, (status, reason) in enumerate((s, r) for s in STATUSES for r in HOSTILE)
]


def drained(script: str) -> dict[str, str]:
    """What scontrol would be given: the reason of each host."""
    found = {}
    for line in script.splitlines()[2:-1]:
        words = shlex.split(line)
        assert words[:2] == ["scontrol", "update"]
        assert (words[3], words[5:]) == ("state=drain", ["||", "status=1"])
        host = words[2].removeprefix("nodename=")
        assert host not in found
        found[host] = words[4].removeprefix("reason=")
    return found


def of_ini(text: str) -> dict[str, dict[str, object]]:
    """An inventory as Ansible reads INI: words as of a shell with comments, values as Python where they are."""
    groups: dict[str, dict[str, object]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("["):
            members = groups.setdefault(line.strip("[]"), {})
            continue
        host, *variables = shlex.split(line, comments=True)
        assert len(variables) <= 1
        members[host] = ast.literal_eval(variables[0].removeprefix("reason=")) if variables else None
    return groups


def of_yaml(text: str) -> dict[str, dict[str, object]]:
    children = yaml.safe_load(text)["all"]["children"]
    return {group: {h: v.get("reason") for h, v in found["hosts"].items()} for group, found in children.items()}


def test_the_lists_are_what_srun_takes() -> None:
    made = files([Node("n1", "PASS"), Node("n2", "FAIL"), Node("n3", "MISSING"), Node("n4", "INCONCLUSIVE")])
    assert made["passing_nodes.txt"] == "n1\n"
    assert made["failing_nodes.txt"] == "n[2-3]\n"
    empty = files([])
    assert empty["failing_nodes.txt"] == empty["passing_nodes.txt"] == ""


def test_each_bad_host_is_drained_with_its_reason_in_what_slurm_keeps() -> None:
    found = drained(files(NODES)["drain.sh"])
    assert set(found) == {node.host for node in NODES if node.status in ("FAIL", "MISSING")}
    for reason in found.values():
        assert reason.startswith("perwatt: ")
        assert len(reason.encode()) <= REASON_BYTES
        assert reason.isprintable()
        assert '"' not in reason
    assert found["n000"] == "perwatt: plain"
    assert found["n012"] == "perwatt: fail"
    assert drained(files([Node("a", "FAIL", ("one", "two"))])["drain.sh"]) == {"a": "perwatt: one; two"}


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_script_is_sound_and_runs_nothing_but_scontrol(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "drain.sh"
    script.write_text(files(NODES)["drain.sh"])
    subprocess.run([shell, "-n", script], check=True)
    called = tmp_path / "scontrol"
    called.write_text('#!/bin/sh\nfor a; do printf "%s\\0" "$a"; done >> called\ncase "$2" in *001*) exit 1;; esac\n')
    called.chmod(0o755)
    done = subprocess.run([shell, script], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
    assert done.returncode == 1  # one was refused, all others were asked for
    assert not (tmp_path / "pwned").exists()
    words = (tmp_path / "called").read_text().split("\0")[:-1]
    asked = [word.removeprefix("reason=") for word in words if word.startswith("reason=")]
    assert asked == list(drained(script.read_text()).values())
    subprocess.run([shell, "-c", files([])["drain.sh"]], check=True)


def test_the_inventory_says_the_same_in_ini_and_in_yaml() -> None:
    made = files(NODES)
    ini, read = of_ini(made["inventory.ini"]), of_yaml(made["inventory.yaml"])
    assert ini == read
    assert list(read) == list(GROUPS.values())
    for node in NODES:
        reason = read[GROUPS[node.status]][node.host]
        assert (reason is None) == (node.status == "PASS")
        assert not any(mark in str(reason) for mark in ("{{", "{%", "{#"))
    assert of_yaml(files([])["inventory.yaml"]) == {group: {} for group in GROUPS.values()}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(), max_size=3))
def test_no_reason_breaks_out(reasons: list[str]) -> None:
    made = files([Node("n1", "FAIL", tuple(reasons)), Node("n2", "PASS", tuple(reasons))])
    assert set(drained(made["drain.sh"])) == {"n1"}
    assert of_ini(made["inventory.ini"]) == of_yaml(made["inventory.yaml"])


@pytest.mark.slow
def test_ansible_reads_both(tmp_path: Path) -> None:
    program = shutil.which("ansible-inventory", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    require("ansible", program is not None)
    assert program is not None
    read = []
    for name in ("inventory.ini", "inventory.yaml"):
        (tmp_path / name).write_text(files(NODES)[name])
        argv = [program, "-i", str(tmp_path / name), "--list"]
        read.append(json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))
    for found in read:
        assert {g: set(found[g]["hosts"]) for g in GROUPS.values()} == {
            g: {n.host for n in NODES if n.status == s} for s, g in GROUPS.items()
        }
    assert read[0]["_meta"] == read[1]["_meta"]
    hosts = of_yaml(files(NODES)["inventory.yaml"])
    reasons = {h: {"reason": r} for group in hosts.values() for h, r in group.items() if r is not None}
    assert read[0]["_meta"]["hostvars"] == reasons


@pytest.mark.parametrize(
    "host", ["", "a b", "a;rm", "$(x)", "-n", "a/../b", "n[1-2]", "@all", "a,b", "é", "a\n", "x" * 300]
)
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"^host: found ") as error:
        files([Node(host, "PASS")])
    assert "\n" not in str(error.value)


def test_a_host_is_given_once() -> None:
    with pytest.raises(ValueError, match=r"^nodes: found 'a' twice; allowed each once$"):
        files([Node("a", "PASS"), Node("a", "FAIL")])


@given(st.lists(st.from_regex(r"[a-z]{1,3}[0-9]{0,3}(\.[a-z]{1,2}[0-9]{0,2})?", fullmatch=True), max_size=30))
def test_what_is_folded_expands_to_the_same(hosts: list[str]) -> None:
    text = fold(hosts)
    assert set(expand(text)) == set(hosts)
    # Slurm takes brackets at the end of a name alone
    assert all(part.endswith("]") or "[" not in part for part in text.replace("],", "]\n").splitlines() if "]" in part)


def test_folding_as_operators_know_it() -> None:
    assert fold(expand("n[001-064],login1")) == "login1,n[001-064]"
    assert fold(["n1.dc", "n2.dc"]) == "n1.dc,n2.dc"
    assert fold(["r1n1", "r1n2", "r2n1"]) == "r1n[1-2],r2n1"
    assert expand("") == ()
    with pytest.raises(ValueError, match=r"^hosts: found 'n\[1-3': missing bracket"):
        expand("n[1-3")
