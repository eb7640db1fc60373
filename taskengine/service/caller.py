"""Who calls, and what is theirs: a token's role and the tasks that it is bound to. Pure; must not know HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from taskengine.errors import NotFound
from taskengine.service.model import Role, Run, Token
from taskengine.service.refusal import Forbidden

_GRANTING = frozenset({Role.ADMIN, Role.OPERATOR})


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """`name` is what the audit log and the runs' owner say. `worker` is whom a worker's token speaks for, by name;
    empty for one that was not used yet."""

    id: str
    name: str
    role: Role
    scopes: tuple[str, ...] = ()
    worker: str = ""

    @classmethod
    def of(cls, token: Token) -> Caller:
        return cls(id=token.id, name=token.name, role=token.role, scopes=token.scopes, worker=token.worker)

    @property
    def may_grant(self) -> bool:
        """Whether it decides what tasks may do beyond the ordinary, and for whom."""
        return self.role in _GRANTING

    def in_scope(self, task: str) -> bool:
        return not self.scopes or any(fnmatchcase(task, pattern) for pattern in self.scopes)

    def check_task(self, task: str) -> None:
        """Raises NotFound for a task outside of its scopes: whether there is such a task is not told."""
        if not self.in_scope(task):
            raise NotFound(f"there is no task {task}", hint="acr-task task list shows them")

    def check_new_task(self, task: str) -> None:
        """Raises Forbidden for a name outside of its scopes."""
        if not self.in_scope(task):
            raise Forbidden(
                f"this token is bound to tasks named {', '.join(self.scopes)}",
                hint="take another name, or another token",
            )

    def check_run(self, run: Run) -> None:
        """Raises NotFound for a run outside of its scopes. A quick run is its owner's own there."""
        mine = self.in_scope(run.task) if run.task else not self.scopes or run.owner == self.name
        if not mine:
            raise NotFound(f"there is no run {run.id}", hint="acr-task task list-runs shows them")

    def check_grants(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Raises Forbidden when grants are added by one who may not. Taking some away is everybody's."""
        if added := [grant for grant in after if grant not in before]:
            self._granting(f"grant '{added[0]}'", "ask an operator to change the task's grants")

    def check_owner(self, owner: str) -> None:
        """Raises Forbidden when something is to be somebody else's."""
        if owner != self.name:
            self._granting(f"make '{owner}' the owner", "leave the owner out")

    def check_priority(self, priority: int, usual: int = 0) -> None:
        """Raises Forbidden for a higher place in the queue than the usual one."""
        if priority > usual:
            self._granting(f"take a priority above {usual}", "leave the priority out, or ask an operator")

    def _granting(self, what: str, hint: str) -> None:
        if not self.may_grant:
            raise Forbidden(f"a token of role {self.role.value} may not {what}", hint=hint)
