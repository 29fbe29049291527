"""What the verbs of the command line share: complaints of one sentence, and errors as exit codes."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from engine.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

PROG = "python -m training"


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with the message."""
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def exit_code(work: Callable[[], object], verb: str) -> int:
    """Do the work; 0 done, 1 failed, 2 wrong usage, with the error's sentence on stderr."""
    try:
        work()
    except EngineError as error:
        print(f"{PROG} {verb}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0
