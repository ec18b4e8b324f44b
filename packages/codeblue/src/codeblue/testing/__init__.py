"""For tests of Code Blue and of adapters for it: in-memory adapters, a virtual clock, the contract suites.

Nothing of the product imports this package.
"""
