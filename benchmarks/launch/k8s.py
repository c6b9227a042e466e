"""Kubernetes: an indexed Job of one pod a node, the first of which leads ``perwatt run`` over ssh to all of them.

Nothing is started from here: the manifest is printed (``perwatt launch show launcher=k8s``) and applied by whoever may.

A Job, not a JobSet: since Kubernetes 1.33 a Job may succeed by its leader alone (``successPolicy``), so that nothing
has to be installed into the cluster first. Ssh, as the MPI operator does it: pods cannot start processes in each other,
and a queue of our own would be a scheduler. The image needs perwatt[fleet], an ssh client and sshd, and runs as root;
the key pair of all pods is a Secret, the working directory a claim that all pods may write.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from perwatt.benchmarks.launch.job import Command, Job, Launcher

FOLDER, KEYS = "/perwatt", "/etc/perwatt-ssh"
SSH = (
    "-i",
    f"{KEYS}/id",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
)
ENDS = (1, 2, 3, 4, 130)  # how perwatt itself ends if not well; the Job then ends, and with it the pods that serve
ELSEWHERE = "launcher=k8s: starts nothing from here; perwatt launch show launcher=k8s ... | kubectl apply -f -"
# What a login by ssh would otherwise not have of the image's variables.
KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


class K8s(Launcher):
    """``image``: what the pods run. ``gpus`` of the resource ``gpu`` a pod (nvidia.com/gpu, amd.com/gpu; 0: none) and
    further ``resources`` (rdma/ib: 1); ``claim``: a volume of many writers; ``secret``: with ``id`` and ``id.pub``;
    ``environment``: variables of the pods; ``node_selector``: labels of the nodes."""

    name = "k8s"
    remote = True

    def __init__(
        self,
        nodes: int | None = None,
        image: str | None = None,
        ranks: int | None = None,
        name: str = "perwatt",
        namespace: str | None = None,
        gpu: str = "nvidia.com/gpu",
        gpus: int = 8,
        resources: Mapping[str, Any] | None = None,
        claim: str = "perwatt",
        secret: str = "perwatt-ssh",
        environment: Mapping[str, Any] | None = None,
        node_selector: Mapping[str, Any] | None = None,
        start_timeout_s: float = 600.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(ranks, start_timeout_s, timeout_s)
        if nodes is not None and (isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1):
            raise ValueError(f"launcher.nodes: {nodes!r} is not a positive whole number")
        if isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 0:
            raise ValueError(f"launcher.gpus: found {gpus!r}; allowed the number of GPUs of a node, 0 for none")
        self.nodes, self.image, self._name, self.namespace = nodes, image, name, namespace
        self.limits = {**({gpu: gpus} if gpus else {}), **(resources or {})}
        self.claim, self.secret = claim, secret
        self.environment = {key: str(value) for key, value in (environment or {}).items()}
        self.node_selector = {key: str(value) for key, value in (node_selector or {}).items()}

    def command(self, job: Job) -> Command:
        """Raises ValueError: in the pods it is ssh that starts the ranks, and from here nothing."""
        raise ValueError(ELSEWHERE)

    def hosts(self) -> tuple[str, ...]:
        """Raises ValueError: the pods (:meth:`pods`) are not there yet."""
        raise ValueError(ELSEWHERE)

    def pods(self) -> tuple[str, ...]:
        """The pods by the names that the headless Service gives them. Raises ValueError if it is not said how many."""
        if self.nodes is None:
            raise ValueError("launcher.nodes: found null; allowed the number of pods, one a node")
        return tuple(f"{self._name}-{index}.{self._name}" for index in range(self.nodes))

    def program(self, overrides: Sequence[str]) -> list[str]:
        """What the first pod runs: the same suite, over ssh."""
        asked = [o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0] != "launcher"]
        quoted = ",".join(f"'{option}'" for option in SSH)
        own = ["launcher=ssh", f"launcher.hosts=[{','.join(self.pods())}]", f"launcher.options=[{quoted}]"]
        own += [f"launcher.ranks={self.ranks}"] if self.ranks else []
        own += [f"launcher.start_timeout_s={self.start_timeout_s:g}", f"launcher.timeout_s={self.timeout_s:g}"]
        return ["perwatt", "run", *asked, *own]

    def script(self, overrides: Sequence[str]) -> str:
        """What every pod runs: sshd; the first one leads as soon as the others answer, or the time to start is over."""
        kept = " ".join(f'{key}="${{{key}:-}}"' for key in dict.fromkeys([*KEPT, *self.environment]))
        lines = ["set -eu", "mkdir -p /run/sshd", "cat > /run/sshd/config <<END"]
        lines += [f"HostKey {KEYS}/id", f"AuthorizedKeysFile {KEYS}/id.pub", "StrictModes no", "UsePAM no"]
        lines += ["PermitRootLogin prohibit-password", "PidFile none", f"SetEnv {kept}", "END"]
        lines += ['[ "$JOB_COMPLETION_INDEX" = 0 ] || exec /usr/sbin/sshd -D -e -f /run/sshd/config']
        lines += ["/usr/sbin/sshd -e -f /run/sshd/config", f"end=$(($(date +%s) + {self.start_timeout_s:.0f}))"]
        lines += [f"for host in {' '.join(self.pods())}; do"]
        lines += [f"  until ssh {shlex.join(SSH)} -o ConnectTimeout=5 $host true"]
        lines += ["  do [ $(date +%s) -lt $end ] || break; sleep 1; done", "done"]
        return "\n".join([*lines, f"exec {shlex.join(self.program(overrides))}", ""])

    def manifest(self, overrides: Sequence[str]) -> list[dict[str, Any]]:
        """The headless Service and the Job that run ``perwatt run`` with these overrides, as the API takes them.

        A pod that is lost ends only itself (``backoffLimitPerIndex``) and is then a node that did not come back; the
        Job ends when the first pod does, well (``successPolicy``) or not (``podFailurePolicy``). Raises ValueError if
        the number of pods or the image is not said.
        """
        if not self.image:
            raise ValueError("launcher.image: found none; allowed an image that holds perwatt[fleet], ssh and sshd")
        label = {"app": self._name}
        about = {"name": self._name, **({"namespace": self.namespace} if self.namespace else {})}
        container = {
            "name": "perwatt",
            "image": self.image,
            "workingDir": FOLDER,
            "command": ["/bin/sh", "-c", self.script(overrides)],
            "env": [{"name": key, "value": value} for key, value in self.environment.items()],
            "resources": {"limits": self.limits},
            "volumeMounts": [
                {"name": "runs", "mountPath": FOLDER},
                {"name": "keys", "mountPath": KEYS, "readOnly": True},
                {"name": "shm", "mountPath": "/dev/shm"},  # NCCL and torch share more than a container's 64 MiB
            ],
        }
        apart = {"labelSelector": {"matchLabels": label}, "topologyKey": "kubernetes.io/hostname"}
        pod = {
            "subdomain": self._name,
            "restartPolicy": "Never",
            "containers": [container],
            "nodeSelector": self.node_selector,
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
            "volumes": [
                {"name": "runs", "persistentVolumeClaim": {"claimName": self.claim}},
                {"name": "keys", "secret": {"secretName": self.secret, "defaultMode": 0o400}},
                {"name": "shm", "emptyDir": {"medium": "Memory"}},
            ],
        }
        ended = {"containerName": "perwatt", "operator": "In", "values": list(ENDS)}
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": about,
                # names before the pods are ready: they look for each other while they start
                "spec": {"clusterIP": "None", "selector": label, "publishNotReadyAddresses": True},
            },
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": about,
                "spec": {
                    "completions": self.nodes,
                    "parallelism": self.nodes,
                    "completionMode": "Indexed",
                    "backoffLimitPerIndex": 0,
                    "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
                    "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": ended}]},
                    "template": {"metadata": {"labels": label}, "spec": pod},
                },
            },
        ]

    @staticmethod
    def missing() -> str:
        """Empty: the manifest can be printed anywhere."""
        return ""
