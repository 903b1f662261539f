"""Seeds derived from one seed, so that no two random objects of a run draw the same numbers."""

_STRIDE = 1_000_003  # a prime above any number of domains or steps


def derived_seed(seed: int, index: int) -> int:
    """Return the seed of random object number `index` in a run with this seed (both from 0)."""
    return seed * _STRIDE + index
