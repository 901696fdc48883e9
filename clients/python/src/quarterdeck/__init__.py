"""Client for Quarterdeck, the gRPC control plane for AI-agent sessions.

::

    from quarterdeck import Client

    with Client() as client:
        for piece in client.chat("demo", "hello there"):
            print(piece, end="", flush=True)

:class:`Client` is for ordinary code, :class:`AsyncClient` for asyncio; both do the same. What can go wrong is in
:mod:`quarterdeck.errors`, what calls take and give in :mod:`quarterdeck.types`, answers to what agents ask in
:mod:`quarterdeck.answers`.
"""

from quarterdeck import answers, errors, types
from quarterdeck._async.client import AsyncClient
from quarterdeck._async.io import AsyncQuestionHandler
from quarterdeck._async.streams import (
    AsyncChat,
    AsyncLogTail,
    AsyncManySubscription,
    AsyncRun,
    AsyncSessionWatch,
    AsyncSubscription,
)
from quarterdeck._core.position import ListCompleted, ListStarted, LogGap, LogUpdate, SessionUpdate, Start
from quarterdeck._core.prompt import PromptOptions
from quarterdeck._sync.client import Client
from quarterdeck._sync.io import QuestionHandler
from quarterdeck._sync.streams import Chat, LogTail, ManySubscription, Run, SessionWatch, Subscription
from quarterdeck._version import __version__
from quarterdeck.errors import Cursor, QuarterdeckError, TurnFailed
from quarterdeck.readable import Record, readable

__all__ = [
    "AsyncChat",
    "AsyncClient",
    "AsyncLogTail",
    "AsyncManySubscription",
    "AsyncQuestionHandler",
    "AsyncRun",
    "AsyncSessionWatch",
    "AsyncSubscription",
    "Chat",
    "Client",
    "Cursor",
    "ListCompleted",
    "ListStarted",
    "LogGap",
    "LogTail",
    "LogUpdate",
    "ManySubscription",
    "PromptOptions",
    "QuarterdeckError",
    "QuestionHandler",
    "Record",
    "Run",
    "SessionUpdate",
    "SessionWatch",
    "Start",
    "Subscription",
    "TurnFailed",
    "__version__",
    "answers",
    "errors",
    "readable",
    "types",
]
