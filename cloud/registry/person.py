"""Who acts: a person with roles and grids, or the rules themselves."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person may do."""

    INSTALLER = "installer"  # 安装人员: gateways and their devices
    WORKER = "worker"  # 网格员: the orders of their own grids
    OPERATOR = "operator"  # 运维人员: every order; accepts, dispatches, closes
    ADMIN = "admin"  # everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who signs in; `grids` are those a worker is responsible for."""

    login: str
    name: str
    roles: frozenset[Role] = frozenset()
    grids: frozenset[str] = frozenset()

    @property
    def is_operator(self) -> bool:
        """Whether this person sees and steers every order."""
        return bool(self.roles & {Role.OPERATOR, Role.ADMIN})

    def is_worker_of(self, grid: str | None) -> bool:
        """Whether this person works in that grid."""
        return Role.WORKER in self.roles and grid in self.grids


RULES = Person(login="rules", name="规则")
"""Stands in transitions for what the acceptance, dispatch and recovery rules do; nobody can sign in as this."""
