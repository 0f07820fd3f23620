# SPDX-License-Identifier: Apache-2.0
"""Just enough nkeys for tests: Ed25519 signatures (RFC 8032) and the base32 text form with its CRC-16. Slow, not secret-safe."""
import base64
import hashlib

P = 2 ** 255 - 19
ORDER = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
PREFIX_USER = 20 << 3


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = _add(q, p)
        p = _add(p, p)
        n >>= 1
    return q


def _base():
    y = 4 * pow(5, P - 2, P) % P
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P)
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1:
        x = P - x
    return x, y, 1, x * y % P


BASE = _base()


def _pack(p):
    z = pow(p[2], P - 2, P)
    return (p[1] * z % P | ((p[0] * z % P) & 1) << 255).to_bytes(32, "little")


def _secret(seed):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return a, h[32:]


def public_key(seed):
    return _pack(_times(_secret(seed)[0], BASE))


def sign(seed, message):
    a, prefix = _secret(seed)
    public = _pack(_times(a, BASE))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
    rp = _pack(_times(r, BASE))
    k = int.from_bytes(hashlib.sha512(rp + public + message).digest(), "little") % ORDER
    return rp + ((r + k * a) % ORDER).to_bytes(32, "little")


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def encode(prefix, raw):
    data = bytes([prefix]) + raw
    return base64.b32encode(data + crc16(data).to_bytes(2, "little")).decode().rstrip("=")


def user_key(seed):
    return encode(PREFIX_USER, public_key(seed))


def user_seed_text(seed):
    kind = 18 << 3       # 'S'
    data = bytes([kind | PREFIX_USER >> 5, (PREFIX_USER & 31) << 3]) + seed
    return base64.b32encode(data + crc16(data).to_bytes(2, "little")).decode().rstrip("=")
