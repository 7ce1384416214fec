# SPDX-License-Identifier: Apache-2.0
"""Points and scalars of P-256, against Python's integers and OpenSSL's points."""

import struct

from cryptography.hazmat.primitives.asymmetric import ec
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.tee_abi import Status

# y^2 = x^3 - 3x + b over this prime; the group's order.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def xy(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return b"\4" + b"".join(xy(key))


def is_point(native: Driver, form: int, x: int, y: int) -> bool:
    encoded = bytes([form]) + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    status, reply = native.call("p256_is_point", encoded)
    assert status == Status.OK
    return bool(struct.unpack("<I", reply)[0])


def on_curve(x: int, y: int) -> bool:
    return x < P and y < P and (y * y - (x * x * x - 3 * x + B)) % P == 0


@given(scalar=st.integers(1, (1 << 255)))
@settings(max_examples=100, deadline=None)
def test_points_of_the_curve_are_points(native: Driver, scalar: int) -> None:
    point = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    assert on_curve(point.x, point.y)
    assert is_point(native, 4, point.x, point.y)
    assert is_point(native, 4, point.x, P - point.y)
    # Off the curve by one bit, and the same residues not reduced
    for bit in (0, 31, 32, 255):
        assert not is_point(native, 4, point.x, point.y ^ (1 << bit))
        assert not is_point(native, 4, point.x ^ (1 << bit), point.y)
    if point.x + P < 1 << 256:
        assert not is_point(native, 4, point.x + P, point.y)
    for form in (0, 2, 3, 5, 6, 7, 255):
        assert not is_point(native, form, point.x, point.y)


EDGES = [0, 1, 2, 3, P - 3, P - 1, P, P + 1, (1 << 256) - 1, (1 << 224) - 1, 1 << 224, 1 << 96]
COORDINATE = st.one_of(st.integers(0, (1 << 256) - 1), st.sampled_from(EDGES))


@given(x=COORDINATE, y=COORDINATE)
@settings(max_examples=200, deadline=None)
def test_any_coordinates_are_judged_as_python_does(native: Driver, x: int, y: int) -> None:
    assert is_point(native, 4, x, y) == on_curve(x, y)


@given(x=COORDINATE.filter(lambda x: x < P))
@settings(max_examples=100, deadline=None)
def test_either_no_point_has_this_x_or_two_have(native: Driver, x: int) -> None:
    """x at the edges of the limbs, with the y that belongs to it (p = 3 mod 4)."""
    y = pow((x * x * x - 3 * x + B) % P, (P + 1) // 4, P)
    assert is_point(native, 4, x, y) == on_curve(x, y)
    assert is_point(native, 4, x, P - y) == on_curve(x, P - y)


def test_unreduced_x_is_no_point(native: Driver) -> None:
    """x = 5 is on the curve: 5 + p, the same residue, must not be taken for it."""
    y = pow((125 - 15 + B) % P, (P + 1) // 4, P)
    assert is_point(native, 4, 5, y)
    assert not is_point(native, 4, 5 + P, y)


def test_what_is_a_scalar(native: Driver) -> None:
    def is_scalar(number: int) -> bool:
        status, reply = native.call("p256_is_scalar", number.to_bytes(32, "big"))
        assert status == Status.OK
        return bool(struct.unpack("<I", reply)[0])

    for number in (1, 2, 255, 256, 1 << 128, ORDER - 2, ORDER - 3, ORDER - 256, ORDER >> 1):
        assert is_scalar(number)
    for number in (0, ORDER - 1, ORDER, ORDER + 1, ORDER + 256, (1 << 256) - 1, P):
        assert not is_scalar(number)


@given(number=st.integers(1, ORDER - 2))
@settings(max_examples=60, deadline=None)
def test_public_point_from_two_x(native: Driver, number: int) -> None:
    """How the TA finds its public key, whose API multiplies points in ECDH alone."""
    point, following = (
        ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
        for scalar in (number, number + 1)
    )
    two = xy(point)[0] + xy(following)[0]
    status, reply = native.call("p256_from_x", two)
    assert (status, reply) == (Status.OK, b"\1\0\0\0" + point_of(point))


def test_public_points_at_the_edges(native: Driver) -> None:
    for number in (1, 2, 3, ORDER - 2, ORDER - 3, ORDER >> 1):
        test_public_point_from_two_x.hypothesis.inner_test(native, number)


def test_no_public_point(native: Driver) -> None:
    nothing = (Status.OK, bytes(69))
    x, following = (
        xy(ec.derive_private_key(number, ec.SECP256R1()).public_key())[0] for number in (77, 79)
    )
    # x + G is neither of the two; an x that no point has; numbers that are not reduced
    assert native.call("p256_from_x", x + following) == nothing
    none = next(n for n in range(100) if pow(n**3 - 3 * n + B, (P - 1) // 2, P) == P - 1)
    assert native.call("p256_from_x", none.to_bytes(32, "big") + following) == nothing
    assert native.call("p256_from_x", P.to_bytes(32, "big") + following) == nothing
    assert native.call("p256_from_x", x + b"\xff" * 32) == nothing
