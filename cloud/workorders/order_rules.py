"""What an event class asks for: an order or only an alert, and who accepts it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRule:
    """`accepts`: the rule accepts the order at once; otherwise the duty officer looks first."""

    opens_order: bool = True
    accepts: bool = False
