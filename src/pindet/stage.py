"""What every stage does around its work: logging, parameters, errors that a user can read."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from pindet.given import Given, begun, running
from pindet.lifeline import line_to_dvc
from pindet.params import Params, ParamsError, load_params, load_tree
from pindet.project import PARAMS, scratch

logger = logging.getLogger(__name__)

CONF = Path("conf")


def run_stage(name: str, work: Callable[[Params], None]) -> None:
    """Run a stage with the parameters of the working directory and exit.

    Parameters, code and data that change meanwhile make it fail: see :mod:`pindet.given`. The exit status is 0, or 1
    after an error; an error of the user's (``ValueError``, ``OSError``) is one log message, with the traceback in
    ``.pindet/errors/<name>.txt``.

    Of a stage that several processes carry out (``RANK`` numbers them), the first speaks; the others warn and fail.
    """
    gc.freeze()  # the libraries, which pipelines/__init__.py let be imported without it
    gc.enable()
    rank = int(os.environ.get("RANK", "0"))
    _log_what_concerns_the_reader(logging.WARNING if rank else logging.INFO)
    try:
        given = begun()
        params = load_params(PARAMS, given.text if given else None)
        if "PINDET_STARTED_BY" not in os.environ:  # that has said it
            logger.info("%s: %s", name, overrides_in_force(PARAMS, CONF))
        if given is None or rank:
            work(params)
        else:
            _run_for_dvc(given, work, params)
    except (ValueError, OSError) as error:
        path = scratch("errors", f"{name}.{rank}.txt" if rank else f"{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
        logger.error("%s failed: %s\n(traceback: %s)", name, error, path)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as ended:
        if not isinstance(ended, KeyboardInterrupt) and not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        logger.error(
            "%s was interrupted. The same command goes on: what was finished is kept, of a training its epochs. "
            "Or go back to the parameters of the last commit: git checkout params.yaml",
            name,
        )
        sys.exit(130)


def _run_for_dvc(given: Given, work: Callable[[Params], None], params: Params) -> None:
    dvc = line_to_dvc()[-1]
    with running():
        given.check_as_begun(f"{dvc.pid} {dvc.create_time()}")
        work(replace(params, check_given=given.check))
        given.check()


def check_later_stages() -> None:
    """Check every group, in a process of its own, so that the stage depends on no other stage's code.

    Raises:
        ParamsError: as :func:`pindet.params.check_params`.
    """
    code = (
        "import sys; from pathlib import Path; from pindet.params import ParamsError, check_params\n"
        "try: check_params(Path(sys.argv[1]), build_model=True)\n"
        "except ParamsError as error: print(error); sys.exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code, PARAMS], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise ParamsError(done.stdout.strip() or done.stderr.strip())


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is at the time: a bar takes its place to keep lines out of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _log_what_concerns_the_reader(level: int) -> None:
    """The project's own progress, and warnings of the libraries."""
    handler = _ToStderr()
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("pindet"))
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # MLflow has a handler of its own


def overrides_in_force(params: Path, conf: Path) -> str:
    """One line that says how ``params.yaml`` differs from what ``conf/`` composes."""
    if not conf.is_dir():
        return f"{params} as it is; there is no {conf}/ to compare it with"
    from pindet.compose import differences

    try:
        difference = differences(load_tree(params), conf)
    except ParamsError as error:  # no reason to stop: the stage reads params.yaml alone
        return f"{params} as it is; it cannot be compared: {error}"
    if not difference.exit_code:
        return f"{params} is what {conf}/ composes"
    said = []
    if difference.overrides:
        said.append("overrides in force: " + " ".join(f"-S {shlex.quote(each)}" for each in difference.overrides))
    if difference.structure:
        said.append(f"keys that no override explains: {', '.join(difference.structure)} (see `pindet params --check`)")
    return "; ".join(said)
