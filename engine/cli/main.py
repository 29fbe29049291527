"""The command ``engine`` and its exit codes."""

from __future__ import annotations

import os
import sys

import click

from engine.cli.app import app
from engine.cli.archive import archive
from engine.cli.bench import bench
from engine.cli.doctor import doctor
from engine.cli.index import index
from engine.cli.models import models
from engine.cli.plot import plot
from engine.cli.rank import rank
from engine.cli.search import search
from engine.cli.tag import tag
from engine.cli.teach import teach
from engine.errors import Cancelled, ConfigError, EngineError

ALL_DONE, FATAL, USAGE, INTERRUPTED = 0, 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sound-engine", message="engine %(version)s")
def cli() -> None:
    """Say what is heard in recordings.

    \b
    Examples:
      engine tag clip.wav
      engine tag recordings/ --format csv -o tags.csv
      engine teach clips/ -o mine.onnx
      engine models list
      engine doctor

    \b
    Exit codes:
      0  all done
      1  nothing done: no audio, no such model or device, output that cannot be written
      2  wrong usage
      3  done, but some recordings could not be read
      130  interrupted
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)


cli.add_command(tag)
cli.add_command(models)
cli.add_command(archive)
cli.add_command(index)
cli.add_command(search)
cli.add_command(doctor)
cli.add_command(bench)
cli.add_command(rank)
cli.add_command(teach)
cli.add_command(plot)
cli.add_command(app)


def main() -> int:
    """Run the command line on ``sys.argv`` and return its exit code; users' mistakes become one sentence on stderr."""
    try:
        with cli.make_context("engine", sys.argv[1:]) as context:
            code: int | None = cli.invoke(context)
            sys.stdout.flush()
            return code or ALL_DONE
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _fail(error.format_message(), FATAL)
    except EngineError as error:
        code = USAGE if isinstance(error, ConfigError) else INTERRUPTED if isinstance(error, Cancelled) else FATAL
        return _fail(str(error), code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader, head for one, has what it wanted
        _drop_standard_output()
        return ALL_DONE
    except OSError as error:
        _drop_standard_output()
        return _fail(f"expected to write the results, got {error}; check the disc and the path", FATAL)


def _fail(message: str, code: int) -> int:
    click.echo(f"engine: {message}", err=True)
    return code


def _drop_standard_output() -> None:
    """Lead what is left in the buffer of stdout nowhere; Python would write it at exit, and fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
