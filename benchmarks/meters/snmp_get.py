"""SNMP GET and nothing else: one engine for some agents of one community or user.

The engine and its event loop live as long as the meter and run only inside a request, so that nothing of it wakes the
processor between two readings. SNMPv2c sends its community in clear; v3 signs (RFC 3414) and can encrypt (RFC 3826).
Source: RFC 3416 for the operation and its errors; the API of pysnmp 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from perwatt.benchmarks.meters.meter import Status, Unavailable
from perwatt.benchmarks.meters.secret import secret

INSTALL = "pip install 'perwatt[snmp]'"
CREDENTIALS = (
    "set PERWATT_SNMP_PASSWORD to the read-only community (v2c), or PERWATT_SNMP_USER and PERWATT_SNMP_PASSWORD to the "
    "user and the authentication password (v3), or name a file with secret_file"
)
IN_ONE_REQUEST = 16  # objects: an answer should fit into one datagram
AUTH = {
    "md5": "HMAC96_MD5",
    "sha": "HMAC96_SHA",
    "sha224": "HMAC128_SHA224",
    "sha256": "HMAC192_SHA256",
    "sha384": "HMAC256_SHA384",
    "sha512": "HMAC384_SHA512",
}
PRIVACY = {"des": "CBC56_DES", "aes128": "CFB128_AES", "aes192": "CFB192_AES", "aes256": "CFB256_AES"}
# error-status of RFC 3416 (any other is a fault of the agent), and what an engine finds wrong with a user
STATUS: dict[int, Status] = {2: "unsupported", 6: "no_permission", 16: "no_permission"}
REFUSED = {
    *("UnknownUserName", "UnknownSecurityName", "UnknownCommunityName", "UnsupportedSecurityLevel", "NotInView"),
    *("WrongDigest", "AuthenticationError", "AuthenticationFailure", "NoAuthentication", "NoAccessEntry"),
    *("NoEncryption", "DecryptionError", "NoGroupName"),
}
_NAMES: dict[str, Any] = {}  # pysnmp's tables of names, which take a good part of a second to make: once a process
ABSENT = {"NoSuchObject", "NoSuchInstance", "EndOfMibView"}


class Trouble(Exception):
    """A request without an answer that counts: the status of the reading and the reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


class Snmp:
    """Agents on ``hosts``, all at one ``port`` and with the same credentials."""

    def __init__(self, hosts: Sequence[str], port: int, timeout_s: float) -> None:
        """Import pysnmp and make an engine. Raises :class:`Unavailable`."""
        try:
            from pysnmp.hlapi.v3arch import asyncio as api
        except ImportError:
            raise Unavailable("pysnmp is not installed", INSTALL) from None
        self._api: Any = api
        self._hosts, self._port, self._timeout_s = hosts, port, timeout_s
        self._objects: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        # a malformed answer raises inside the loop; it is a request without an answer, not a message on the terminal
        self._loop.set_exception_handler(lambda *_: None)
        self._engine: Any = None

    def connect(self, version: str, files: tuple[str | None, str | None], ways: tuple[str, str], context: str) -> None:
        """Take the credentials (``files`` of the secret and of the privacy key, ``ways`` to sign and to encrypt) and
        resolve the hosts. Raises :class:`Unavailable`."""
        self._user = self._credentials(version, files, ways)
        self._context = self._api.ContextData(contextName=context.encode())
        self._loop.run_until_complete(self._reach())

    def _credentials(self, version: str, files: tuple[str | None, str | None], ways: tuple[str, str]) -> Any:
        api, found = self._api, secret("snmp", files[0])
        if found is None:
            raise Unavailable("no SNMP community and no user is set", CREDENTIALS)
        if version == "v2c":
            return api.CommunityData(found.password, mpModel=1)
        if not found.user:
            raise Unavailable("SNMP v3 needs a user", CREDENTIALS)
        key = secret("snmp_privacy", files[1])
        if key is not None:
            try:
                import cryptography  # noqa: F401
            except ImportError:
                raise Unavailable("SNMP privacy needs the package cryptography", INSTALL) from None
        return api.UsmUserData(
            found.user,
            authKey=found.password,
            privKey=key.password if key else None,
            authProtocol=getattr(api, f"USM_AUTH_{AUTH[ways[0]]}"),
            privProtocol=getattr(api, f"USM_PRIV_{PRIVACY[ways[1]]}") if key else api.USM_PRIV_NONE,
        )

    async def _reach(self) -> None:
        from pysnmp.error import PySnmpError
        from pysnmp.hlapi.varbinds import MibViewControllerManager

        self._engine = self._api.SnmpEngine()
        self._view = MibViewControllerManager.get_mib_view_controller(_NAMES)
        self._engine.cache.update(_NAMES)
        create = self._api.UdpTransportTarget.create
        try:
            # pysnmp keeps time in coarse ticks and may give up early: its own limit is longer, asyncio's decides
            made = [create((host, self._port), timeout=self._timeout_s + 1, retries=0) for host in self._hosts]
            self._targets = await asyncio.wait_for(asyncio.gather(*made), self._timeout_s)
        except (PySnmpError, OSError) as error:
            raise Unavailable(
                f"{', '.join(self._hosts)}: {error}", "set meter.snmp.host to a name that resolves"
            ) from None

    def get(self, oids: Sequence[Sequence[str]]) -> list[list[Any]]:
        """The values of some objects of each host in turn, None for an object that is absent. Raises
        :class:`Trouble` after at most the timeout a request."""
        objects = [[self._object(oid) for oid in asked] for asked in oids]
        return self._loop.run_until_complete(self._all(objects))

    async def _all(self, objects: Sequence[Sequence[Any]]) -> list[list[Any]]:
        calls = (self._one(i, asked) for i, asked in enumerate(objects))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    def _object(self, oid: str) -> Any:
        if oid not in self._objects:
            one = self._api.ObjectType(self._api.ObjectIdentity(oid))
            self._objects[oid] = one.resolve_with_mib(self._view)
        return self._objects[oid]

    async def _one(self, index: int, objects: Sequence[Any]) -> list[Any]:
        host, target, values = self._hosts[index], self._targets[index], []
        for first in range(0, len(objects), IN_ONE_REQUEST):
            asked = objects[first : first + IN_ONE_REQUEST]
            call = self._api.get_cmd(self._engine, self._user, target, self._context, *asked, lookupMib=False)
            try:
                wrong, status, _, got = await asyncio.wait_for(call, self._timeout_s)
            except TimeoutError:
                raise Trouble("lost", f"{host}:{self._port} does not answer within {self._timeout_s:g} s") from None
            if wrong:
                refused = type(wrong).__name__ in REFUSED
                raise Trouble("no_permission" if refused else "lost", f"{host}:{self._port}: {wrong}")
            if int(status):
                raise Trouble(STATUS.get(int(status), "lost"), f"{host}:{self._port}: error-status {int(status)}")
            if len(got) != len(asked):
                raise Trouble("lost", f"{host}:{self._port}: answers {len(got)} of {len(asked)} objects")
            values += [None if type(value).__name__ in ABSENT else value for _, value in got]
        return values

    def close(self) -> None:
        """Close the socket and the loop."""
        if self._loop.is_closed():
            return
        self._loop.run_until_complete(self._leave())
        self._loop.close()

    async def _leave(self) -> None:
        if self._engine is not None:
            self._engine.close_dispatcher()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
