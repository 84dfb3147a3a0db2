"""What a listing must give, in the plainest words, and keys on which stores like to fail."""

from __future__ import annotations

from hypothesis import strategies as st

from millpond.storage.contract import ObjectInfo, ObjectStore

# Characters around '/' in byte order, both cases, some that a disk escapes, and some beyond ASCII.
parts = (
    st.text("ab AB-./0%+!~ü日𝄞", min_size=1, max_size=3)
    .filter(lambda part: "/" not in part)
    .filter(lambda part: part not in (".", ".."))
)
keys = st.lists(parts, min_size=1, max_size=4).map("/".join)


def none_below_another(found: list[str]) -> list[str]:
    """Without the keys that continue another one with '/': no store takes both."""
    return [key for key in found if not any(other.startswith(key + "/") for other in found)]


key_sets = st.lists(keys, max_size=12, unique=True).map(none_below_another)
prefixes = st.one_of(st.just(""), keys, keys.map(lambda key: key + "/"), st.text("ab/.-", max_size=3))
delimiters = st.sampled_from(["", "/", "-", "a/", "ü"])


def expected(found: list[str], prefix: str, after: str, delimiter: str) -> list[str]:
    names = set()
    for key in found:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            names.add(key if cut < 0 else key[: cut + len(delimiter)])
    return sorted((name for name in names if name.encode() > after.encode()), key=str.encode)


def listed(store: ObjectStore, prefix: str, after: str, delimiter: str) -> list[str]:
    return [
        one.key if isinstance(one, ObjectInfo) else one for one in store.list(prefix, after=after, delimiter=delimiter)
    ]
