"""The secret store of this host: files in one folder, in the layout of Octavia's local certificate manager.

A reference is a file's name without its ending. ``www`` stands for ``www.crt`` (the certificate, with what
leads to an authority behind it), ``www.key``, and where there are any ``www.int`` (intermediates: PEM or
PKCS #7) and ``www.pass`` (the key's passphrase); or for ``www.pem``, with all of it. Authorities are in
``NAME.crt`` or ``NAME.pem`` too, revocation lists in ``NAME.crl``.

Law: names never leave the folder and no symbolic link is followed. A file with a key that others may read,
or any file or folder that others may write, is refused.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oslo_config import cfg

from lbdrivers import settings as core
from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.certificates import pem

OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "certificates": (cfg.StrOpt("storage_path", help="Folder of users' certificates; default: secrets in state_path."),)
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)
#: Bytes: a bundle of all authorities that browsers trust has some 220,000.
_LARGEST = 1 << 20
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_ANYTHING = stat.S_IRWXG | stat.S_IRWXO


class LocalSecretStore:
    """See :class:`lbdrivers.drivers.certificate.SecretStore`."""

    contract = CONTRACT

    def __init__(self, context: DriverContext) -> None:
        self._context = context

    @functools.cached_property
    def folder(self) -> Path:
        """Where the files are: ``[certificates] storage_path``."""
        configuration = self._context.configuration
        for section, options in OPTIONS.items():
            configuration.register_opts(options, group=section)
        try:
            given = configuration.certificates.storage_path
        except (cfg.Error, ValueError) as error:
            raise core.refusal(error) from error
        return Path(given) if given else core.read(configuration).state_path.absolute() / "secrets"

    def tls_container(self, reference: str) -> TlsContainer:
        """:raises PermanentError: names the file and what to do."""
        with self._opened(reference) as read:
            together = read(".pem", secret=True)
            certificate = read(".crt") or together
            key = read(".key", secret=True) or together
            intermediates, passphrase = read(".int"), read(".pass", secret=True)
        if certificate is None or key is None:
            missing = f"{reference}.{'crt' if certificate is None else 'key'}"
            raise self._absent(reference, missing)
        try:
            chain = pem.read_certificates(certificate)
            further = () if intermediates is None else pem.read_certificates(intermediates)
            chain += tuple(one for one in further if one not in chain)
        except pem.Unusable as error:
            raise PermanentError(f"{error}; {error.remedy}", f"{self.folder / reference}: {error}") from error
        return TlsContainer(
            id=reference,
            primary_cn=pem.first_name(chain[0]),
            certificate=pem.write(chain[0]),
            private_key=Secret(key),
            intermediates=tuple(map(pem.write, chain[1:])),
            passphrase=None if passphrase is None else Secret(passphrase),
        )

    def secret(self, reference: str) -> Secret:
        """:raises PermanentError: names the file and what to do."""
        with self._opened(reference) as read:
            content = read(".crt") or read(".crl") or read(".pem")
        if content is None:
            raise self._absent(reference, f"{reference}.crt (authorities) or {reference}.crl (a revocation list)")
        return Secret(content)

    @contextlib.contextmanager
    def _opened(self, reference: str) -> Iterator[_Reader]:
        if not _NAME.fullmatch(reference):
            remedy = f"copy the files into {self.folder} and write their name without its ending, such as www"
            raise PermanentError(f"the reference is not the name of a stored certificate; {remedy}")
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._absent(reference, f"{reference}.crt") from None
        except OSError as error:
            raise PermanentError(f"the folder {self.folder} cannot be opened: {error.strerror}") from error
        try:
            if os.fstat(handle).st_mode & _OTHERS_MAY_WRITE:
                raise PermanentError(f"others may write to the folder {self.folder}; chmod 700 {self.folder}")
            yield _Reader(self.folder, handle, reference)
        finally:
            os.close(handle)

    def _absent(self, reference: str, missing: str) -> PermanentError:
        target = self.folder / reference
        remedy = f"store a certificate by: install -D -m 600 CERTIFICATE {target}.crt; install -m 600 KEY {target}.key"
        return PermanentError(f"the reference points to nothing: there is no {missing} in {self.folder}; {remedy}")


class _Reader:
    """Reads the files of one reference in the open folder."""

    def __init__(self, folder: Path, handle: int, reference: str) -> None:
        self._folder, self._handle, self._reference = folder, handle, reference

    def __call__(self, ending: str, *, secret: bool = False) -> bytes | None:
        """The file's content, None when there is none. :raises PermanentError: when it must not be used."""
        name = f"{self._reference}{ending}"
        path = self._folder / name
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            handle = os.open(name, flags, dir_fd=self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PermanentError(f"{path} cannot be read: {error.strerror}; put a plain file there") from error
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                raise PermanentError(f"{path} is no plain file; put one there")
            if mode & (_OTHERS_MAY_ANYTHING if secret else _OTHERS_MAY_WRITE):
                raise PermanentError(f"others may {'use' if secret else 'write'} {path}; chmod 600 {path}")
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise PermanentError(f"{path} has more than {_LARGEST} bytes; a certificate needs far less")
        return content
