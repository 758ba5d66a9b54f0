"""RSA public keys that are weak whatever their size: seen from the key alone, in microseconds."""

from functools import cache

# FIPS 186-5 section 5.1: an odd integer, 2**16 < e < 2**256. With 1 anybody can sign; 3 lets careless verifiers be
# forged (Bleichenbacher, 2006).
LEAST_EXPONENT = 65537

# The primes of the fingerprint in Nemec, Sys, Svenda, Klinec, Matyas: "The Return of Coppersmith's Attack" (ACM CCS
# 2017, CVE-2017-15361): a library in chips of one maker made primes that are powers of 65537 modulo each of them.
# First come those with the fewest powers, which tell nearly every other key apart at once.
_PRIMES = (
    97, 37, 79, 11, 61, 73, 127, 151, 3, 5, 7, 13, 17, 19, 23, 29, 31, 41, 43, 47, 53, 59, 67, 71, 83, 89, 101, 103,
    107, 109, 113, 131, 137, 139, 149, 157, 163, 167,
)  # fmt: skip


def weakness(modulus: int, exponent: int) -> str | None:
    """Return why a key is weak; None where nothing is known against it."""
    if exponent < LEAST_EXPONENT or exponent % 2 == 0:
        shown = str(exponent) if 0 <= exponent < 1 << 32 else "negative or huge"
        return f"its exponent is {shown} (FIPS 186-5 section 5.1: odd, and at least 65537)"
    if modulus % 2 == 0:
        return "its modulus is even"
    for prime in _PRIMES:
        if not _powers(prime) >> modulus % prime & 1:
            return None
    return "it was made by a chip whose keys can be computed (ROCA, CVE-2017-15361)"


@cache
def _powers(prime: int) -> int:
    """Return the powers of 65537 modulo a prime, as bits."""
    found, power = 0, 1
    for _ in range(prime):
        found |= 1 << power
        power = power * 65537 % prime
    return found
