"""What a writer was told: what is to be there, and what may be."""

from __future__ import annotations

from time import monotonic


class Account:
    """A counter that one writer alone changes.

    Each commit adds 1 and is answered by the sum; so the next answer, or at last the store,
    tells of each acknowledged commit that is gone, and of each that was counted twice.
    """

    def __init__(self) -> None:
        self.acknowledged = 0
        self.lost = 0
        self.doubled = 0
        self._sum = 0
        self._unanswered = 0

    def acknowledge(self, answer: int) -> None:
        """Take the answer to a commit."""
        self.compare(answer - 1)
        self.acknowledged += 1
        self._sum, self._unanswered = answer, 0

    def give_up(self) -> None:
        """Note a commit that had no answer, and may have counted."""
        self._unanswered += 1

    def compare(self, stored: int) -> None:
        """Hold what is stored against what was told."""
        self.lost += max(0, self._sum - stored)
        self.doubled += max(0, stored - self._sum - self._unanswered)
        self._sum, self._unanswered = stored, 0


class Ledger:
    """Of one writer."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.ended: list[str] = []
        self.errors = 0
        self.longest = 0.0  #: seconds from one acknowledgement to the next of a living writer
        self.last = 0.0  #: acknowledgement, by the monotonic clock
        self._is_going = False

    def note(self, what: str, key: str, answer: int = 0) -> None:
        """Take what a writer tells; see :func:`.work.work`."""
        if what == "error":
            self.errors += 1
            return
        account = self.accounts.setdefault(key, Account())
        if what == "gave up":
            account.give_up()
            return
        now = monotonic()
        if self._is_going:
            self.longest = max(self.longest, now - self.last)
        self.last, self._is_going = now, True
        if what == "counted":
            account.acknowledge(answer)
        elif what == "ended":
            del self.accounts[key]
            self.ended.append(key)

    def interrupt(self) -> None:
        """Note that the writer was killed: any commit may have been under way."""
        self._is_going = False
        for account in self.accounts.values():
            account.give_up()
