"""SNS signatures: the key, its certificate, the text that is signed, and the signature.

Key and certificate are made once and kept over restarts. Canonical text and versions follow AWS,
"Verifying the signatures of Amazon SNS messages".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

SignatureVersion = Literal["1", "2"]

_SIGNED_KEYS: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")


class WrongKey(Exception):
    """The kept key is not one that SNS could sign with."""


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """Where key and certificate lie; the name is the last part of SigningCertURL."""

    key_path: Path
    certificate_path: Path

    @property
    def certificate_name(self) -> str:
        """`SimpleNotificationService-<hex>.pem`."""
        return self.certificate_path.name


def canonical_text(envelope: Mapping[str, str]) -> bytes:
    """What SNS signs of a Notification: each signed key and value on a line of its own."""
    return "".join(f"{key}\n{envelope[key]}\n" for key in _SIGNED_KEYS if key in envelope).encode()


def sign(key: rsa.RSAPrivateKey, version: SignatureVersion, text: bytes) -> bytes:
    """PKCS#1 v1.5 over SHA-1 (version 1) or SHA-256 (version 2)."""
    # SHA-1 is what SignatureVersion 1 means; receivers must be able to meet it in a rehearsal.
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    return key.sign(text, padding.PKCS1v15(), algorithm)


def prepare_identity(directory: Path) -> SigningIdentity:
    """Find or make the RSA-2048 key and the self-signed certificate of this sandbox."""
    key_path = directory / "signing-key.pem"
    certificates = directory / "certificates"
    certificates.mkdir(parents=True, exist_ok=True)
    if not key_path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write_whole(key_path, _private_pem(made), mode=0o600)
    key = load_key(key_path)
    for path in sorted(certificates.glob("SimpleNotificationService-*.pem")):
        if _belongs_to(path, key):
            return SigningIdentity(key_path, path)
    certificate = _self_signed(key)
    digest = hashlib.sha256(certificate).hexdigest()[:32]
    path = certificates / f"SimpleNotificationService-{digest}.pem"
    _write_whole(path, certificate, mode=0o644)
    return SigningIdentity(key_path, path)


def load_key(path: Path) -> rsa.RSAPrivateKey:
    """Raises WrongKey when the file holds another kind of key."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise WrongKey(f"{path} holds no RSA key; remove it and a new one is made")
    return key


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _self_signed(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.sandbox.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _belongs_to(path: Path, key: rsa.RSAPrivateKey) -> bool:
    public = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    return isinstance(public, rsa.RSAPublicKey) and (
        public.public_numbers() == key.public_key().public_numbers()
    )


def _write_whole(path: Path, data: bytes, *, mode: int) -> None:
    """Write beside, then rename: a crash leaves the whole file or none."""
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
