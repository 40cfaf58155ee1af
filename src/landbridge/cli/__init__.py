"""The command line: parse, call one function, print. Deciding and acting is done elsewhere."""

from __future__ import annotations

import os
import sys

import cyclopts

from landbridge import __version__
from landbridge.cli import documents, joining, judging, moving, retiring, watching
from landbridge.cli.output import complain, talk
from landbridge.errors import Exit, LandbridgeError

EPILOGUE = """
Exit codes: 0 done; 1 error; 2 usage or invalid document; 3 blocked by findings; 4 drift or another writer;
5 rolled back by the judge; 6 waits for a person; 7 no connection or permission; 130 interrupted.

A first migration: `landbridge init --source old --target new -n shop`, then `inventory`, `assess`, `plan`,
`connect`, `run`, `status --watch`. Rehearse it on this machine: `landbridge lab up`, `landbridge demo k8s`.
"""

app = cyclopts.App(
    name="landbridge",
    version=__version__,
    help="Moves every service of a running platform to Kubernetes, a few percent at a time, and back at any moment.",
    help_epilogue=EPILOGUE,
    default_parameter=cyclopts.Parameter(negative=""),  # no --no-yes
    suppress_keyboard_interrupt=False,  # `invoke` says what an interruption means
)
for group in (documents, joining, moving, watching, judging, retiring):
    group.register(app)


def mount() -> None:
    """Add the sub-commands whose parts are heavy, by name, so that `--help` stays quick."""
    app.command("landbridge.lab.commands:app", name="lab", help="Real Kubernetes clusters on this machine.")
    app.command("landbridge.lab.demo.commands:app", name="demo", help="Whole migrations on them, with faults.")
    app.command("landbridge.agent.commands:app", name="agent", help="The process inside a cluster.", show=False)


mount()


def main() -> None:
    """Run the command line and exit with the code of what happened."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; no traceback reaches the user for anything foreseen."""
    try:
        result = app(arguments, exit_on_error=False, result_action="return_value")
    except cyclopts.CycloptsError:
        return Exit.INVALID  # cyclopts has printed what is wrong and where help is
    except LandbridgeError as error:
        return complain(error)
    except KeyboardInterrupt:
        talk.print("interrupted; nothing is lost: the same command goes on from here")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return Exit.DONE
    except OSError as error:
        if os.environ.get("LANDBRIDGE_DEBUG"):
            raise
        where = str(error.filename or "")
        return complain(LandbridgeError(error.strerror or str(error), where=where, advice="mend this and try again"))
    except Exception as error:
        if os.environ.get("LANDBRIDGE_DEBUG"):
            raise
        what = f"defect: {type(error).__name__}: {error}".splitlines()[0]
        return complain(LandbridgeError(what, advice="please report it; with LANDBRIDGE_DEBUG=1 it says where"))
    return result if isinstance(result, int) else Exit.DONE
