"""Which pages a role can go to, in the order of the menu; the first one is where it begins."""

from collections.abc import Collection, Sequence

from msgspec import Struct

from cloud.registry.person import Role
from cloud.web.words import N_


class Item(Struct, frozen=True):
    """A line of the menu; `icon` is a symbol of icons.svg."""

    path: str
    label: str
    icon: str
    roles: frozenset[Role]


def _item(path: str, label: str, icon: str, *roles: Role) -> Item:
    return Item(path, label, icon, frozenset(roles))


MENU: Sequence[Item] = (
    _item("/overview", N_("Overview"), "overview", Role.OPERATOR),
    _item("/board", N_("Work orders"), "orders", Role.OPERATOR),
    _item("/orders", N_("My orders"), "orders", Role.WORKER),
    _item("/sensors", N_("Sensors"), "sensors", Role.OPERATOR),
    _item("/gateways", N_("Gateways"), "gateways", Role.INSTALLER, Role.OPERATOR),
    _item("/letters", N_("Not taken"), "letters", Role.OPERATOR),
    _item("/gateways/new", N_("Add a gateway"), "add", Role.INSTALLER),
    _item("/account", N_("Me"), "person", *Role),
)


def items_for(roles: Collection[Role]) -> list[Item]:
    """Return the menu of somebody with these roles; an administrator has every role but the worker's orders."""
    held = set(roles)
    if Role.ADMIN in held:
        held |= {Role.OPERATOR, Role.INSTALLER}
    return [item for item in MENU if item.roles & held]


def home_of(roles: Collection[Role]) -> str:
    """Return the page that somebody with these roles begins with."""
    return items_for(roles)[0].path
