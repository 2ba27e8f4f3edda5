"""Do the tests turn red when the code is wrong? `make mutate` makes faults and looks.

`mutants` are small faults that mutmut makes in Python, in the functions that `changes`
names. `known` are faults of our own, in configuration and in what the system promises:
each is one that somebody made, or nearly made; `planted` runs the tests that must see
it. Everything happens in copies of the project (`copies`), below `.local/mutate`.
"""
