"""Each command, written once for every platform: Request → Reply, or an ask that runs."""

from __future__ import annotations

from bots.commands.dispatcher import Dispatcher
from bots.commands.types import Action, Command, Handler, Request, Room

__all__ = ["Action", "Command", "Dispatcher", "Handler", "Request", "Room"]
