"""The commands of promotion, for the command line to register. What they need is imported when one runs."""

from __future__ import annotations

import typer

from pindet.promotion.commands.compare import compare_command
from pindet.promotion.commands.lineage import lineage_command
from pindet.promotion.commands.promote import promote_command
from pindet.promotion.commands.reconcile import reconcile_command
from pindet.promotion.commands.rollback import rollback_command
from pindet.promotion.commands.status import status_command


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("compare")(compare_command)
    app.command("promote")(promote_command)
    app.command("rollback")(rollback_command)
    app.command("lineage")(lineage_command)
    app.command("reconcile")(reconcile_command)
    app.command("status")(status_command)
