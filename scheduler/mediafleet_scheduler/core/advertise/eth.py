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

ADDRESS_BYTES: Final = 20
_SIGNATURE_BYTES: Final = 65
_RECOVERY: Final = 27
"""What Ethereum adds to the recovery id, 0 or 1."""
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: of a signature and its mirror image only one is taken."""
_PREFIX: Final = b"\x19Ethereum Signed Message:\n32"


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
    signature = key.sign_recoverable(_digest(address), hasher=None)
    return address, signature[:64] + bytes([signature[64] + _RECOVERY])


def signed(address: bytes, signature: bytes) -> bool:
    """Whether the signature over `address` is by the key of that address."""
    if len(address) != ADDRESS_BYTES or len(signature) != _SIGNATURE_BYTES:
        return False
    recovery = signature[64] - _RECOVERY
    if recovery not in (0, 1) or int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return False
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([recovery]), _digest(address), hasher=None
        )
    except Exception:  # noqa: BLE001 (the library raises plain Exception for what is no signature)
        return False
    return address_of(key) == address


@lru_cache(maxsize=1024)
def _digest(address: bytes) -> bytes:
    return keccak256(_PREFIX + keccak256(checksummed(address).encode()))


_RATE: Final = 136
"""Bytes that Keccak-256 takes in at a time."""
_LANE: Final = (1 << 64) - 1


def keccak256(message: bytes) -> bytes:
    """Keccak-256 as Ethereum has it, from before SHA-3 changed the padding (Keccak reference 3.0;
    hashlib has only SHA-3)."""
    padding = bytearray(_RATE - len(message) % _RATE)
    padding[0] ^= 0x01
    padding[-1] ^= 0x80
    padded = message + padding
    lanes = [0] * 25
    for begin in range(0, len(padded), _RATE):
        for index in range(_RATE // 8):
            at = begin + 8 * index
            lanes[index] ^= int.from_bytes(padded[at : at + 8], "little")
        _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _constants() -> tuple[list[int], list[tuple[int, int, int]]]:
    """Round constants from their shift register, and where each lane of rho and pi goes."""
    register, rounds = 1, []
    for _ in range(24):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << (1 << power) - 1
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        rounds.append(constant)
    moves, x, y = [], 1, 0
    for step in range(24):
        x, y, source = y, (2 * x + 3 * y) % 5, x + 5 * y
        moves.append((x + 5 * y, source, (step + 1) * (step + 2) // 2 % 64))
    return rounds, moves


_ROUNDS, _MOVES = _constants()


def _turn(lane: int, bits: int) -> int:
    return (lane << bits | lane >> 64 - bits) & _LANE


def _permute(lanes: list[int]) -> None:
    for constant in _ROUNDS:
        sums = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        mixed = [sums[(x + 4) % 5] ^ _turn(sums[(x + 1) % 5], 1) for x in range(5)]
        for index in range(25):
            lanes[index] ^= mixed[index % 5]
        moved = [lanes[0]] * 25
        for target, source, bits in _MOVES:
            moved[target] = _turn(lanes[source], bits)
        for row in range(0, 25, 5):
            for x in range(5):
                lanes[row + x] = moved[row + x] ^ (
                    ~moved[row + (x + 1) % 5] & moved[row + (x + 2) % 5] & _LANE
                )
        lanes[0] ^= constant
