"""Ends a promotion at a chosen point, by an exception or as kill -9 would."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from unittest import mock

from pindet.promotion.texts import Texts


class Cut(BaseException):
    """The process is gone."""


@contextlib.contextmanager
def cutting(bench, point, moment, end=None):
    """Within the block, end at ``point``: ``before`` it changes anything, or right ``after``.

    Points are the calls that change something: an object or a text put into the remote, git commands that write, and
    MLflow's requests that write.
    """
    end = end or raise_cut
    puts = []

    def guarded(real, is_point):
        def call(*arguments, **named):
            hit = is_point(arguments)
            if hit and moment == "before":
                end()
            result = real(*arguments, **named)
            if hit and moment == "after":
                end()
            return result

        return call

    def is_put(arguments):
        target = str(arguments[1])
        puts.append(target)
        if "/releases/" in target:
            return False  # a text, see below
        return (point == "upload first" and len(puts) == 1) or (point == "upload last" and target.endswith(".dir"))

    def is_text(arguments):
        return point == ("card" if arguments[1].endswith(".md") else "release")

    with contextlib.ExitStack() as stack:
        patch = stack.enter_context
        patch(mock.patch.object(Texts, "write", guarded(Texts.write, is_text)))
        patch(mock.patch.object(bench.objects._fs, "put_file", guarded(bench.objects._fs.put_file, is_put)))
        patch(mock.patch.object(bench.repository, "run", guarded(bench.repository.run, lambda a: a[0] == point)))
        for name, request in [
            ("model", "create_registered_model"), ("model version", "create_model_version"),
            ("alias", "set_registered_model_alias"),
        ]:  # fmt: skip
            if bench.registry:
                real = getattr(bench.registry._client, request)
                patch(mock.patch.object(bench.registry._client, request, guarded(real, lambda _, n=name: n == point)))
        yield


def raise_cut():
    raise Cut


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    from pindet.promotion.bench import open_bench
    from pindet.promotion.promote import Wish, promote
    from pindet.promotion.rollback import rollback

    command, point, moment = sys.argv[1:]

    def quiet(*_):
        pass

    with open_bench(Path.cwd()) as bench, cutting(bench, point, moment, kill):
        if command == "promote":
            promote(bench, Wish(), quiet, quiet)
        else:
            rollback(bench, "production", quiet, quiet)


if __name__ == "__main__":
    main()
