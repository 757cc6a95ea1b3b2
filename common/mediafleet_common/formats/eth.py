"""ETH addresses, and the signature with which a gateway names itself. Pure.

A gateway signs its own address and nothing else (livepeer/go-livepeer server/rpc.go,
genOrchestratorReq): the Keccak-256 of the address as checksummed text, under the prefix of personal
messages (core/orchestrator.go, VerifySig; crypto/verify.go). So a request that was
seen can be sent again: a signature names a gateway and does not authenticate one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak

ADDRESS_BYTES: Final = 20
SIGNATURE_BYTES: Final = 65
_RECOVERY: Final = 27
"""What Ethereum adds to the recovery id, 0 or 1."""
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: of a signature and its mirror image only one is taken."""
_PREFIX: Final = b"\x19Ethereum Signed Message:\n"


class BadKeyError(ValueError):
    """Not a private key; the text says what one looks like and never holds it."""


def private_key(text: str) -> PrivateKey:
    """A key of 32 bytes in hexadecimal, with or without 0x.

    Raises:
        BadKeyError: it is none.
    """
    digits = text.strip().removeprefix("0x")
    try:
        # Of another length it is no key; nothing of what was read may be in the error.
        return PrivateKey(bytes.fromhex(digits if len(digits) == 64 else "0"))
    except ValueError:
        raise BadKeyError("the key must be 64 hexadecimal digits, not a keystore file") from None


def address_of(key: PublicKey) -> bytes:
    """The ETH address of a public key."""
    return keccak256(key.format(compressed=False)[1:])[-ADDRESS_BYTES:]


def checksummed(address: bytes) -> str:
    """An address as text, upper and lower case as EIP-55 says."""
    digits = address.hex()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(bit, 16) >= 8 else digit
        for digit, bit in zip(digits, mask, strict=False)
    )


def sign(key: PrivateKey) -> tuple[bytes, bytes]:
    """The address of a key, and its signature over that address."""
    address = address_of(key.public_key)
    return address, sign_personal(key, keccak256(checksummed(address).encode()))


def signed(address: bytes, signature: bytes) -> bool:
    """Whether the signature over `address` is by the key of that address."""
    return len(address) == ADDRESS_BYTES and recovered(_digest(address), signature) == address


def recovered(digest: bytes, signature: bytes) -> bytes | None:
    """The address whose key made a signature over 32 bytes; `None`: it is no signature."""
    if len(signature) != SIGNATURE_BYTES:
        return None
    recovery = signature[64] - _RECOVERY
    if recovery not in (0, 1) or int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([recovery]), digest, hasher=None
        )
    except Exception:  # noqa: BLE001 (the library raises plain Exception for what is no signature)
        return None
    return address_of(key)


def personal(message: bytes) -> bytes:
    """What is signed of a text that a person signs (EIP-191, version 0x45)."""
    return keccak256(_PREFIX + str(len(message)).encode() + message)


def sign_personal(key: PrivateKey, message: bytes) -> bytes:
    """The signature of a text as a wallet makes it."""
    signature = key.sign_recoverable(personal(message), hasher=None)
    return signature[:64] + bytes([signature[64] + _RECOVERY])


@lru_cache(maxsize=1024)
def _digest(address: bytes) -> bytes:
    return personal(keccak256(checksummed(address).encode()))


def keccak256(message: bytes) -> bytes:
    """Keccak-256 as Ethereum has it, from before SHA-3 changed the padding; hashlib has only
    SHA-3."""
    return keccak.new(digest_bits=256, data=message).digest()
