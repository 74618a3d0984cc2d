"""How often runs differ, and so how many must agree before that is no luck."""

from __future__ import annotations

#: A source that is no cause passes for one with less than this chance.
ALPHA = 0.005
#: Runs at most for one probe; where runs differ so seldom that more were needed, nothing is named.
MAX_RUNS = 16


class Rate:
    """Of runs compared with another one under the same condition, how many differed.

    What is counted must not be counted because it differed: a test whose runs all agreed is not diagnosed at all.
    """

    def __init__(self) -> None:
        self.differing = self.compared = 0

    def add(self, differing: int, compared: int) -> None:
        """Take further runs into account."""
        self.differing += differing
        self.compared += compared

    @property
    def needed(self) -> int | None:
        """How many runs must agree, the first included; None if too many to be made.

        Runs differ from the first at an unknown rate, of which all is known that was counted (a beta distribution,
        with half a run added to either side, as Jeffreys has it). So n more agree by luck with the chance
        ``product((b + k) / (a + b + k) for k in range(n))``.
        """
        a, b = self.differing + 0.5, self.compared - self.differing + 0.5
        luck = 1.0
        for k in range(MAX_RUNS - 1):
            luck *= (b + k) / (a + b + k)
            if luck <= ALPHA:
                return k + 2
        return None
