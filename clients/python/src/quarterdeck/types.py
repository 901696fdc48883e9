"""The messages and enums that calls take and give. All others are in ``quarterdeck.v1``."""

from quarterdeck.v1.admin_pb2 import AccountLimits, AgentInfo, ApiKey, Channel, ConfigValue, LogLevel, LogRecord
from quarterdeck.v1.event_pb2 import GatewayEvent
from quarterdeck.v1.gateway_pb2 import AbortMode, AdmissionMode, OnBusy, SessionFilter
from quarterdeck.v1.memory_pb2 import MemoryBucket, MemoryHit, MemoryItem, MemoryKind, MemorySource, SearchMode
from quarterdeck.v1.message_pb2 import Attachment, AttachmentRef, BlockKind, Message, Role, ToolCallState
from quarterdeck.v1.session_pb2 import SessionShare, SessionSnapshot, SessionState, ShareAccess, Usage
from quarterdeck.v1.turn_pb2 import OnInterrupt, StopReason, Turn, TurnState

__all__ = [
    "AbortMode",
    "AccountLimits",
    "AdmissionMode",
    "AgentInfo",
    "ApiKey",
    "Attachment",
    "AttachmentRef",
    "BlockKind",
    "Channel",
    "ConfigValue",
    "GatewayEvent",
    "LogLevel",
    "LogRecord",
    "MemoryBucket",
    "MemoryHit",
    "MemoryItem",
    "MemoryKind",
    "MemorySource",
    "Message",
    "OnBusy",
    "OnInterrupt",
    "Role",
    "SearchMode",
    "SessionFilter",
    "SessionShare",
    "SessionSnapshot",
    "SessionState",
    "ShareAccess",
    "StopReason",
    "ToolCallState",
    "Turn",
    "TurnState",
    "Usage",
]
