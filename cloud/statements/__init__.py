"""Statements: where the readings of a gateway and day are, from ledger and statuses alone, and the chain that seals it.

`said` keeps what gateways say of their days, and which heads of the chain they have witnessed.
"""
