"""R7: pods that are about to be killed for memory, or are killed again and again."""

from dataclasses import replace

from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.rules.holding import Holding
from codeblue.rules.windows import PodMemory, Windows
from codeblue.rules.words import blind, named, percent, seconds


class MemoryTrigger:
    """A pod's working set is above `threshold` of its limit at every look for `lasting_s`.

    An OOM kill empties the memory and cures nothing: it counts as being above the limit for `after_oom_s`, so that it
    is no reset (D19). A pod of which neither is known holds nothing.

    The verdict names the pods, and says how many there are: a few of many are replaced, more than half are the
    release's fault (`Verdict.is_of_few`).
    """

    __slots__ = ("_after_oom_s", "_holdings", "_lasting_s", "_threshold", "_window_s", "rule")

    def __init__(self, *, threshold: float, window_s: float, lasting_s: float, after_oom_s: float) -> None:
        self.rule = "R7"
        self._threshold, self._window_s, self._lasting_s = threshold, window_s, lasting_s
        self._after_oom_s = after_oom_s
        self._holdings: dict[str, Holding] = {}

    def judge(self, seen: Windows) -> Verdict:
        """The verdict at the time of the last sampling."""
        shares: list[float] = []
        hot: list[PodMemory] = []
        for memory in seen.memory():
            if memory.share is not None:
                shares.append(memory.share)
            if memory.oom_kills or (memory.share is not None and memory.share > self._threshold):
                hot.append(memory)
        if hot:
            return replace(self._hot(hot, seen), measured=max(shares, default=None))
        self._holdings.clear()
        if not shares:
            why = f"no pod's memory and limit were read within {seconds(self._window_s)}"
            return Verdict(self.rule, Outcome.UNKNOWN, blind(why, seen))
        who = "the pod uses" if len(shares) == 1 else f"each of {len(shares)} pods uses at most"
        why = f"{who} {percent(max(shares))} ≤ {percent(self._threshold)} of its memory"
        return Verdict(self.rule, Outcome.OK, why, measured=max(shares))

    def _hot(self, hot: list[PodMemory], seen: Windows) -> Verdict:
        hot.sort(key=lambda memory: memory.pod)
        before, self._holdings = self._holdings, {}
        full: list[PodMemory] = []
        for memory in hot:
            holding = before.get(memory.pod) or Holding(hold_s=self._lasting_s, gap_s=self._window_s)
            self._holdings[memory.pod] = holding
            if holding.over(seen.at_s):
                full.append(memory)
        since_s = min(s for memory in full or hot if (s := self._holdings[memory.pod].since_s) is not None)
        held = f"for {seconds(seen.at_s - since_s)} {'≥' if full else '<'} {seconds(self._lasting_s)}"
        why = f"{self._told(full or hot, seen.pods)}, at every look {held}"
        if not full:
            return Verdict(self.rule, Outcome.OK, why, since_s=since_s)
        pods = tuple(memory.pod for memory in full)
        near = tuple(memory.pod for memory in hot if memory.pod not in pods)
        if near:
            why = f"{why}; not yet for so long: {named(near)}"
        return Verdict(self.rule, Outcome.BREACH, why, since_s=since_s, pods=pods, of=seen.pods, near=near)

    def _told(self, hot: list[PodMemory], of: int) -> str:
        each = named([f"{memory.pod} {self._use(memory)}" for memory in hot])
        return f"{len(hot)} of {of} pods over {percent(self._threshold)} of their memory ({each})"

    def _use(self, memory: PodMemory) -> str:
        kills = memory.oom_kills or 0
        killed = f"{kills:.0f} OOM kill{'s' if kills > 1 else ''} within {seconds(self._after_oom_s)}" if kills else ""
        share = percent(memory.share) if memory.share is not None else ""
        return ", ".join(part for part in (share, killed) if part)
