"""How subcommands are found, and the parser of their flags: gflags' manners on top of argparse."""

import argparse
import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, Protocol, cast

from ..errors import Error

HELP = frozenset(("-h", "-help", "--help"))
TRUE, FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


class UsageError(Error):
    """A command line that cannot be understood; `command` is what the user called."""

    def __init__(self, command: str, message: str) -> None:
        super().__init__(message)
        self.command = command


class Command(Protocol):
    """What a subcommand's module has."""

    __doc__: str | None

    def configure(self, parser: "Parser") -> None:
        """Add the flags and arguments."""

    def run(self, args: argparse.Namespace) -> int | None:
        """Do it; the exit status, or None for 0."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Shows a flag once, with one dash."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        value = f" {action.metavar}" if action.nargs != 0 else ""
        return f"{action.option_strings[0]}{value}"


class Parser(argparse.ArgumentParser):
    """Flags with one dash or two, values after `=` or a space; wrong usage raises UsageError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=_Help,
            allow_abbrev=False,
            add_help=False,
            **options,
        )
        self.switches: set[str] = set()
        self.add_argument("-h", "-help", "--help", action="help", help="show this and exit")

    def flag(self, name: str, help: str, **options: Any) -> None:
        """Add a flag with a value; without a default it is the empty string, as in Caffe."""
        options.setdefault("default", "")
        options.setdefault("metavar", "N" if options.get("type") in (int, float) else "X")
        self.add_argument(f"-{name}", f"--{name}", dest=name, help=help, **options)

    def switch(self, name: str, help: str, default: bool = False) -> None:
        """Add a flag that is on or off: -gray, -nogray, -gray=true, -gray=false."""
        self.switches.add(name)
        self.add_argument(
            f"-{name}", f"--{name}", dest=name, help=help, action="store_true", default=default
        )
        self.add_argument(
            f"-no{name}", f"--no{name}", dest=name, help=argparse.SUPPRESS, action="store_false"
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, after -gray=true has become -gray."""
        return super().parse_args([self._plain(word) for word in args or ()], namespace)

    def _plain(self, word: str) -> str:
        found = re.fullmatch(r"(--?)(\w+)=(\w+)", word)
        if not found or found[2] not in self.switches:
            return word
        dashes, name, value = found.groups()
        if value.lower() not in TRUE + FALSE:
            self.error(f"-{name}={value}: true or false is expected")
        return f"{dashes}{name}" if value.lower() in TRUE else f"{dashes}no{name}"

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; for an unknown flag it tells the nearest."""
        found = re.match(r"unrecognized arguments: --?([\w-]+)", message)
        if found:
            known = {action.dest for action in self._actions if action.option_strings}
            message += nearest(found[1], known, mark="-", all_when_none=False)
        raise UsageError(self.prog, f"{message} ({self.prog} --help tells the usage)")


def describe(package: str) -> dict[str, str]:
    """The commands of a package, with the first sentence of their docstrings."""
    path = importlib.import_module(package).__path__
    names = sorted(found.name for found in pkgutil.iter_modules(path))
    return {
        name: (load(package, name).__doc__ or "").strip().split("\n")[0]
        for name in names
        if not name.startswith("_")
    }


def load(package: str, name: str) -> Command:
    """The module of a command."""
    return cast(Command, importlib.import_module(f"{package}.{name}"))


def nearest(name: str, known: Iterable[str], mark: str = "", all_when_none: bool = True) -> str:
    """Words for an error: the names most like `name`, or all of them."""
    known = sorted(known)
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if similar:
        return f"; the nearest: {', '.join(mark + word for word in similar)}"
    return f" (there are: {', '.join(known)})" if all_when_none else ""


def dispatch(package: str, prog: str, words: Sequence[str], notes: str = "") -> int:
    """Run the command of `package` that `words` names; without one, list them and the `notes`.

    A command that has other commands below it names their package in `BELOW`, and may have
    `notes()` for their list; one that passes its words on to another program says so in
    `PASSES_ON`, and gets them as `words`.
    """
    known = describe(package)
    if not words or words[0] in HELP | {"help"}:
        width = max(map(len, known))
        print(f"usage: {prog} COMMAND [FLAGS]\n")
        print("\n".join(f"  {name:{width}}  {text}" for name, text in known.items()))
        print(f"\n{prog} COMMAND --help tells a command's flags, which take one dash or two.")
        if notes:
            print(notes)
        return 0
    name = words[0]
    if name.startswith("-"):  # Caffe takes flags before the command too
        name = next((word for word in words if word in known), name)
    if name not in known:
        raise UsageError(prog, f"no command '{name}'{nearest(name, known)}")
    rest = list(words)
    rest.remove(name)
    command = load(package, name)
    below: str | None = getattr(command, "BELOW", None)
    if below:
        listed = not rest or rest[0] in HELP | {"help"}
        more = command.notes() if listed and hasattr(command, "notes") else ""
        return dispatch(below, f"{prog} {name}", rest, more)
    parser = Parser(prog=f"{prog} {name}", description=command.__doc__)
    command.configure(parser)
    if getattr(command, "PASSES_ON", False) and not HELP.intersection(rest[:1]):
        return command.run(argparse.Namespace(words=rest)) or 0
    return command.run(parser.parse_args(rest)) or 0
