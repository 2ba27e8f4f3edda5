"""JSON values for property-based tests."""

from typing import Any

from hypothesis import strategies as st

#: Text without lone surrogates, which UTF-8 cannot carry.
text = st.text(st.characters(exclude_categories=["Cs"]))
integers = st.integers() | st.integers(min_value=-(10**1000), max_value=10**1000)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | text
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda children: st.lists(children) | st.dictionaries(text, children),
    max_leaves=20,
)
