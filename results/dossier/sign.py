"""A detached signature over the sums of a sealed folder, by OpenSSH's own tool: keys that people have already.

What is signed is SHA256SUMS, in the namespace ``perwatt``; anybody can check it without perwatt:
``ssh-keygen -Y verify -f SIGNERS -I WHO -n perwatt -s SHA256SUMS.sig < SHA256SUMS``. See ssh-keygen(1), "ALLOWED
SIGNERS", for the file that says whose key is whose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from perwatt.results.dossier.seal import SIGNATURE, SUMS

NAMESPACE = "perwatt"


def sign(folder: Path, key: Path) -> None:
    """Sign the folder's sums with a private key, or with the public key of one that an agent holds; ssh-keygen asks
    for the passphrase itself. Raises ValueError if it could not."""
    (folder / SIGNATURE).unlink(missing_ok=True)
    done = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(folder / SUMS))
    if done.returncode or not (folder / SIGNATURE).is_file():
        raise ValueError(f"sign={key}: {_last(done.stderr)}")


def signer(folder: Path, signers: Path | None) -> tuple[bool, str]:
    """Whether the signature holds, and in words whose it is. ``signers``: the keys that are trusted and whose they
    are; None: it is only told by which key the sums were signed, which proves who signed them to nobody."""
    signature = folder / SIGNATURE
    if not signature.is_file():
        return signers is None, "not signed"
    if (folder / SUMS).is_symlink() or not (folder / SUMS).is_file():
        return False, f"the signature is of a file {SUMS}, which there is none of"
    about = ("-s", str(signature))
    if signers is None:
        done = _ssh_keygen("-Y", "check-novalidate", "-n", NAMESPACE, *about, sums=folder / SUMS)
        if done.returncode:
            return False, f"the signature does not hold: {_last(done.stderr)}"
        key = done.stdout.partition(" with ")[2].strip()
        return True, f"signed with {key}; whose key that is, signers=FILE says"
    found = _ssh_keygen("-Y", "find-principals", "-f", str(signers), *about)
    if found.returncode:
        return False, f"signed with a key that {signers} does not have"
    who = found.stdout.splitlines()[0].strip()
    done = _ssh_keygen("-Y", "verify", "-f", str(signers), "-I", who, "-n", NAMESPACE, *about, sums=folder / SUMS)
    if done.returncode:
        return False, f"the signature of {who} does not hold: {_last(done.stderr or done.stdout)}"
    return True, f"signed by {who}"


def _ssh_keygen(*arguments: str, sums: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ValueError("ssh-keygen is not installed; it comes with OpenSSH (Debian and Ubuntu: openssh-client)")
    with open(sums or os.devnull, "rb") as given:
        return subprocess.run([program, *arguments], stdin=given, capture_output=True, text=True, check=False)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "ssh-keygen gave no reason"
