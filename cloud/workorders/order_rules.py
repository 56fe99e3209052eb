"""What an event class asks for: an order or only an alert, who accepts it, and when it may be closed."""

from dataclasses import dataclass

from edge.contract.event_classes import Standard, event_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRule:
    """What the rules do with the orders of one event class.

    `accepts`: the rule accepts the order at once; otherwise the duty officer looks first. `recovers`: the sensor's
    clearing closes an order that nobody acknowledged. `closing` are the lines that a person picks one of at the end;
    empty: any text.
    """

    opens_order: bool = True
    accepts: bool = False
    recovers: bool = False
    opening: tuple[Standard, ...] = ()
    closing: tuple[Standard, ...] = ()


def rule_of(class_code: str) -> OrderRule:
    """Return the rule of an event class.

    A camera's picture does not prove anything, and rubbish does not leave when the camera looks away: a person accepts
    and a person closes. So it is, to be safe, with a class that nobody has described.
    """
    known = event_classes().get(class_code)
    if known is None:
        return OrderRule()
    return OrderRule(
        opens_order=known.opens_order,
        accepts=not known.camera,
        recovers=not known.camera,
        opening=known.opening,
        closing=known.closing,
    )
