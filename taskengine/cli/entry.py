"""Where `acr-task` starts: the fastest way to `version`, and the one place where errors become exit codes.

Imports next to nothing, so that a command pays only for its own parts. No traceback reaches a person unless
ACR_TASK_DEBUG is set.
"""

from __future__ import annotations

import os
import sys

from taskengine.cli.name import COMPLETION, INTERRUPTED, ISSUES, PROGRAM


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1, 2, 3 or 130 (see docs/cli.md)."""
    args = sys.argv[1:] if argv is None else argv
    _open_streams()
    try:
        try:
            code = _version() if args in (["version"], ["--version"]) else _dispatch(args)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python would complain once more at exit.
        _mute(sys.stdout)
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        # The machine's trouble and not ours: a full disk behind standard output, a file that went away.
        _mute(sys.stdout)
        what = f"{error.filename}: " if error.filename else ""
        print(f"error: {what}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        return _unexpected(error) if os.environ.get("ACR_TASK_DEBUG") else 1
    except Exception as error:  # noqa: BLE001 - the border: what is not ours ends here
        return _unexpected(error)
    return code


def _version() -> int:
    """`version` without options: answered before the option parser is loaded, which would take most of the time."""
    from taskengine import __version__

    _sweep(tell=False)
    print(f"{PROGRAM} {__version__}")
    return 0


def _dispatch(args: list[str]) -> int:
    import atexit
    import gc

    # of a command's time a tenth went into looking for garbage: among the modules it loads, and once more at its end
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)

    import click

    from taskengine.cli.app import app
    from taskengine.errors import TaskEngineError

    try:
        if COMPLETION not in os.environ:
            _sweep(tell=args[:1] != ["version"])
        result = app.main(args=args, prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        print(file=sys.stderr)
        return INTERRUPTED
    except click.ClickException as error:
        from taskengine.cli.report import report_usage

        return report_usage(error)
    except TaskEngineError as error:
        from taskengine.cli.report import report_error

        return report_error(error)
    return result if isinstance(result, int) else 0


def _sweep(*, tell: bool) -> None:
    """Remove what a run left behind whose process was killed. Never the reason why another command fails."""
    from taskengine.journals import any_journal

    if not any_journal(os.environ):
        return
    try:
        from taskengine.wiring import sweep_dead_runs

        def say(text: str) -> None:
            if tell:
                print(f"warning: {text}", file=sys.stderr)

        sweep_dead_runs(say)
    except Exception as error:  # noqa: BLE001 - the next command tries again
        if os.environ.get("ACR_TASK_DEBUG"):
            print(f"warning: what a dead run left behind could not be removed: {error}", file=sys.stderr)


def _unexpected(error: Exception) -> int:
    if os.environ.get("ACR_TASK_DEBUG"):
        import traceback

        traceback.print_exception(error)
        return 1
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    print(f"error: this is a bug in {PROGRAM}: {what}", file=sys.stderr)
    print(f"hint: run it again with ACR_TASK_DEBUG=1 and report what it prints at {ISSUES}", file=sys.stderr)
    return 1


def _open_streams() -> None:
    """Streams that are closed (`>&-`) become nothing; text that a terminal's encoding lacks is escaped, not refused."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole process
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _mute(stream: object) -> None:
    import contextlib

    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]
