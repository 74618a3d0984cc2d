"""What names the machines and users of an environment, which no report may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Words of commands that name nobody.
_PLAIN = frozenset({
    "apptainer", "bash", "conda", "container", "docker", "enroot", "env", "exec", "execute", "flux", "jsrun",
    "kubectl", "lxc", "micromamba", "mamba", "mpirun", "nerdctl", "nice", "podman", "poetry", "python", "python3",
    "root", "run", "runc", "sh", "shell", "singularity", "srun", "ssh", "start", "sudo", "time", "timeout", "uv",
})  # fmt: skip
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\.?")
_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|\[?(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,7}(?![\w:])\]?"
)


class HostNames:
    """Removes the words of a command from texts, and further names.

    Parameters
    ----------
    name : str
        The environment's, which takes their place.
    command : sequence of str
    root : str
        The project's folder here, which is no secret.
    """

    def __init__(self, name: str, command: Sequence[str], root: str) -> None:
        self._mask, self._root = f"<{name}>", root
        self._words: set[str] = set()
        # The program's own name says what cannot be started. Its folder may be a user's.
        words = [word for number, word in enumerate(command) if number or "/" in word]
        self.add(part for word in words for part in _parts(word))

    def add(self, words: Iterable[str]) -> None:
        """Add further words."""
        kept = {word for word in words if len(word) > 1 and word.lower() not in _PLAIN and not word.isdecimal()}
        self._words |= kept - {self._root}

    def hide(self, text: str) -> str:
        """Return a text without them."""
        # The path of the project here is shown by every report, and may have the user's name in it.
        return self._root.join(map(self._hide, text.split(self._root)))

    def _hide(self, text: str) -> str:
        for word in sorted(self._words, key=len, reverse=True):
            if word in text:
                text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", self._mask, text)
        return text

    def hide_all(self, text: str) -> str:
        """Return what a command printed before its Python answered, without addresses of machines as well."""
        return _ADDRESS.sub(self._mask, self.hide(text))


def _parts(word: str) -> Iterable[str]:
    """Yield what a word of a command may name: itself, the value of an option, a user, a host and its short name."""
    if word.startswith("-"):
        value = word.partition("=")[2] if "=" in word else "" if word.startswith("--") else word[2:]
    else:
        yield word
        value = word.partition("=")[2] or word
    for part in re.split(r"[@,]|:(?=[/\d])|//?(?=[^/]*@)", value):
        yield part
        if _HOST.fullmatch(part):
            yield part.partition(".")[0]
