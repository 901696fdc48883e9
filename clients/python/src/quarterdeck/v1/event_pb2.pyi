import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import message_pb2 as _message_pb2
from quarterdeck.v1 import question_pb2 as _question_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from quarterdeck.v1 import turn_pb2 as _turn_pb2
from quarterdeck.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_SOURCE_UNSPECIFIED: _ClassVar[UsageSource]
    USAGE_SOURCE_REPORTED: _ClassVar[UsageSource]
    USAGE_SOURCE_ESTIMATED: _ClassVar[UsageSource]

class UsageGranularity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_GRANULARITY_UNSPECIFIED: _ClassVar[UsageGranularity]
    USAGE_GRANULARITY_CALL: _ClassVar[UsageGranularity]
    USAGE_GRANULARITY_TURN: _ClassVar[UsageGranularity]

class PlanStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLAN_STATUS_UNSPECIFIED: _ClassVar[PlanStatus]
    PLAN_STATUS_PENDING: _ClassVar[PlanStatus]
    PLAN_STATUS_IN_PROGRESS: _ClassVar[PlanStatus]
    PLAN_STATUS_COMPLETED: _ClassVar[PlanStatus]
USAGE_SOURCE_UNSPECIFIED: UsageSource
USAGE_SOURCE_REPORTED: UsageSource
USAGE_SOURCE_ESTIMATED: UsageSource
USAGE_GRANULARITY_UNSPECIFIED: UsageGranularity
USAGE_GRANULARITY_CALL: UsageGranularity
USAGE_GRANULARITY_TURN: UsageGranularity
PLAN_STATUS_UNSPECIFIED: PlanStatus
PLAN_STATUS_PENDING: PlanStatus
PLAN_STATUS_IN_PROGRESS: PlanStatus
PLAN_STATUS_COMPLETED: PlanStatus

class GatewayEvent(_message.Message):
    __slots__ = ("session_key", "log_id", "seq", "after_seq", "event_time", "turn_id", "item_id", "generation", "session_created", "session_updated", "session_reset", "session_deleted", "turn_queued", "turn_updated", "turn_started", "turn_ended", "message_started", "message_completed", "thinking_completed", "tool_started", "tool_completed", "steer_accepted", "steer_applied", "steer_requeued", "usage_recorded", "compaction_started", "compaction_completed", "retry_scheduled", "agent_exited", "question_asked", "question_resolved", "answer_delivered", "plan_updated", "model_changed", "context_rebuilt", "turn_scheduled", "budget_warning", "webhook_paused", "subagent_started", "subagent_completed", "subagent_item", "artifact_created", "turn_waiting", "hello", "caught_up", "progress", "session_state", "token", "thinking", "tool_input", "tool_update", "item_snapshot", "lagging", "draining", "reload", "question_pending", "options_changed", "commands_changed")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SESSION_CREATED_FIELD_NUMBER: _ClassVar[int]
    SESSION_UPDATED_FIELD_NUMBER: _ClassVar[int]
    SESSION_RESET_FIELD_NUMBER: _ClassVar[int]
    SESSION_DELETED_FIELD_NUMBER: _ClassVar[int]
    TURN_QUEUED_FIELD_NUMBER: _ClassVar[int]
    TURN_UPDATED_FIELD_NUMBER: _ClassVar[int]
    TURN_STARTED_FIELD_NUMBER: _ClassVar[int]
    TURN_ENDED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_STARTED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    THINKING_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TOOL_STARTED_FIELD_NUMBER: _ClassVar[int]
    TOOL_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    STEER_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    STEER_APPLIED_FIELD_NUMBER: _ClassVar[int]
    STEER_REQUEUED_FIELD_NUMBER: _ClassVar[int]
    USAGE_RECORDED_FIELD_NUMBER: _ClassVar[int]
    COMPACTION_STARTED_FIELD_NUMBER: _ClassVar[int]
    COMPACTION_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    RETRY_SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    AGENT_EXITED_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ASKED_FIELD_NUMBER: _ClassVar[int]
    QUESTION_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    ANSWER_DELIVERED_FIELD_NUMBER: _ClassVar[int]
    PLAN_UPDATED_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHANGED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_REBUILT_FIELD_NUMBER: _ClassVar[int]
    TURN_SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_WARNING_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_PAUSED_FIELD_NUMBER: _ClassVar[int]
    SUBAGENT_STARTED_FIELD_NUMBER: _ClassVar[int]
    SUBAGENT_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    SUBAGENT_ITEM_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_CREATED_FIELD_NUMBER: _ClassVar[int]
    TURN_WAITING_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_STATE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    TOOL_INPUT_FIELD_NUMBER: _ClassVar[int]
    TOOL_UPDATE_FIELD_NUMBER: _ClassVar[int]
    ITEM_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    LAGGING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RELOAD_FIELD_NUMBER: _ClassVar[int]
    QUESTION_PENDING_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    log_id: str
    seq: int
    after_seq: int
    event_time: _timestamp_pb2.Timestamp
    turn_id: str
    item_id: str
    generation: int
    session_created: SessionCreated
    session_updated: SessionUpdated
    session_reset: SessionReset
    session_deleted: SessionDeleted
    turn_queued: TurnQueued
    turn_updated: TurnUpdated
    turn_started: TurnStarted
    turn_ended: TurnEnded
    message_started: MessageStarted
    message_completed: MessageCompleted
    thinking_completed: ThinkingCompleted
    tool_started: ToolStarted
    tool_completed: ToolCompleted
    steer_accepted: SteerAccepted
    steer_applied: SteerApplied
    steer_requeued: SteerRequeued
    usage_recorded: UsageRecorded
    compaction_started: CompactionStarted
    compaction_completed: CompactionCompleted
    retry_scheduled: RetryScheduled
    agent_exited: AgentExited
    question_asked: QuestionAsked
    question_resolved: QuestionResolved
    answer_delivered: AnswerDelivered
    plan_updated: PlanUpdated
    model_changed: ModelChanged
    context_rebuilt: ContextRebuilt
    turn_scheduled: TurnScheduled
    budget_warning: BudgetWarning
    webhook_paused: WebhookPaused
    subagent_started: SubagentStarted
    subagent_completed: SubagentCompleted
    subagent_item: SubagentItem
    artifact_created: ArtifactCreated
    turn_waiting: TurnWaiting
    hello: Hello
    caught_up: CaughtUp
    progress: Progress
    session_state: SessionStateChanged
    token: Token
    thinking: Thinking
    tool_input: ToolInput
    tool_update: ToolUpdate
    item_snapshot: ItemSnapshot
    lagging: Lagging
    draining: Draining
    reload: Reload
    question_pending: QuestionPending
    options_changed: OptionsChanged
    commands_changed: CommandsChanged
    def __init__(self, session_key: _Optional[str] = ..., log_id: _Optional[str] = ..., seq: _Optional[int] = ..., after_seq: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., turn_id: _Optional[str] = ..., item_id: _Optional[str] = ..., generation: _Optional[int] = ..., session_created: _Optional[_Union[SessionCreated, _Mapping]] = ..., session_updated: _Optional[_Union[SessionUpdated, _Mapping]] = ..., session_reset: _Optional[_Union[SessionReset, _Mapping]] = ..., session_deleted: _Optional[_Union[SessionDeleted, _Mapping]] = ..., turn_queued: _Optional[_Union[TurnQueued, _Mapping]] = ..., turn_updated: _Optional[_Union[TurnUpdated, _Mapping]] = ..., turn_started: _Optional[_Union[TurnStarted, _Mapping]] = ..., turn_ended: _Optional[_Union[TurnEnded, _Mapping]] = ..., message_started: _Optional[_Union[MessageStarted, _Mapping]] = ..., message_completed: _Optional[_Union[MessageCompleted, _Mapping]] = ..., thinking_completed: _Optional[_Union[ThinkingCompleted, _Mapping]] = ..., tool_started: _Optional[_Union[ToolStarted, _Mapping]] = ..., tool_completed: _Optional[_Union[ToolCompleted, _Mapping]] = ..., steer_accepted: _Optional[_Union[SteerAccepted, _Mapping]] = ..., steer_applied: _Optional[_Union[SteerApplied, _Mapping]] = ..., steer_requeued: _Optional[_Union[SteerRequeued, _Mapping]] = ..., usage_recorded: _Optional[_Union[UsageRecorded, _Mapping]] = ..., compaction_started: _Optional[_Union[CompactionStarted, _Mapping]] = ..., compaction_completed: _Optional[_Union[CompactionCompleted, _Mapping]] = ..., retry_scheduled: _Optional[_Union[RetryScheduled, _Mapping]] = ..., agent_exited: _Optional[_Union[AgentExited, _Mapping]] = ..., question_asked: _Optional[_Union[QuestionAsked, _Mapping]] = ..., question_resolved: _Optional[_Union[QuestionResolved, _Mapping]] = ..., answer_delivered: _Optional[_Union[AnswerDelivered, _Mapping]] = ..., plan_updated: _Optional[_Union[PlanUpdated, _Mapping]] = ..., model_changed: _Optional[_Union[ModelChanged, _Mapping]] = ..., context_rebuilt: _Optional[_Union[ContextRebuilt, _Mapping]] = ..., turn_scheduled: _Optional[_Union[TurnScheduled, _Mapping]] = ..., budget_warning: _Optional[_Union[BudgetWarning, _Mapping]] = ..., webhook_paused: _Optional[_Union[WebhookPaused, _Mapping]] = ..., subagent_started: _Optional[_Union[SubagentStarted, _Mapping]] = ..., subagent_completed: _Optional[_Union[SubagentCompleted, _Mapping]] = ..., subagent_item: _Optional[_Union[SubagentItem, _Mapping]] = ..., artifact_created: _Optional[_Union[ArtifactCreated, _Mapping]] = ..., turn_waiting: _Optional[_Union[TurnWaiting, _Mapping]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., session_state: _Optional[_Union[SessionStateChanged, _Mapping]] = ..., token: _Optional[_Union[Token, _Mapping]] = ..., thinking: _Optional[_Union[Thinking, _Mapping]] = ..., tool_input: _Optional[_Union[ToolInput, _Mapping]] = ..., tool_update: _Optional[_Union[ToolUpdate, _Mapping]] = ..., item_snapshot: _Optional[_Union[ItemSnapshot, _Mapping]] = ..., lagging: _Optional[_Union[Lagging, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., reload: _Optional[_Union[Reload, _Mapping]] = ..., question_pending: _Optional[_Union[QuestionPending, _Mapping]] = ..., options_changed: _Optional[_Union[OptionsChanged, _Mapping]] = ..., commands_changed: _Optional[_Union[CommandsChanged, _Mapping]] = ...) -> None: ...

class SessionCreated(_message.Message):
    __slots__ = ("session", "forked_from")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FORKED_FROM_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    forked_from: ForkOrigin
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., forked_from: _Optional[_Union[ForkOrigin, _Mapping]] = ...) -> None: ...

class ForkOrigin(_message.Message):
    __slots__ = ("session_key", "log_id", "turn_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    log_id: str
    turn_id: str
    def __init__(self, session_key: _Optional[str] = ..., log_id: _Optional[str] = ..., turn_id: _Optional[str] = ...) -> None: ...

class SessionUpdated(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ...) -> None: ...

class SessionReset(_message.Message):
    __slots__ = ("generation", "session_id", "agent")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    generation: int
    session_id: str
    agent: str
    def __init__(self, generation: _Optional[int] = ..., session_id: _Optional[str] = ..., agent: _Optional[str] = ...) -> None: ...

class SessionDeleted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TurnQueued(_message.Message):
    __slots__ = ("turn", "queue_position")
    TURN_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    queue_position: int
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., queue_position: _Optional[int] = ...) -> None: ...

class TurnScheduled(_message.Message):
    __slots__ = ("turn",)
    TURN_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ...) -> None: ...

class TurnUpdated(_message.Message):
    __slots__ = ("turn", "queue_position")
    TURN_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    queue_position: int
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., queue_position: _Optional[int] = ...) -> None: ...

class TurnStarted(_message.Message):
    __slots__ = ("turn",)
    TURN_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ...) -> None: ...

class TurnEnded(_message.Message):
    __slots__ = ("turn", "undelivered_question_ids")
    TURN_FIELD_NUMBER: _ClassVar[int]
    UNDELIVERED_QUESTION_IDS_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    undelivered_question_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., undelivered_question_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class MessageStarted(_message.Message):
    __slots__ = ("role", "text", "attachments")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    role: _message_pb2.Role
    text: str
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.AttachmentRef]
    def __init__(self, role: _Optional[_Union[_message_pb2.Role, str]] = ..., text: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.AttachmentRef, _Mapping]]] = ...) -> None: ...

class MessageCompleted(_message.Message):
    __slots__ = ("role", "text", "blocks", "partial", "continued")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    role: _message_pb2.Role
    text: str
    blocks: _containers.RepeatedCompositeFieldContainer[MessageBlock]
    partial: bool
    continued: bool
    def __init__(self, role: _Optional[_Union[_message_pb2.Role, str]] = ..., text: _Optional[str] = ..., blocks: _Optional[_Iterable[_Union[MessageBlock, _Mapping]]] = ..., partial: bool = ..., continued: bool = ...) -> None: ...

class MessageBlock(_message.Message):
    __slots__ = ("content_index", "text")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    text: str
    def __init__(self, content_index: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class ThinkingCompleted(_message.Message):
    __slots__ = ("content_index", "text", "partial")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    text: str
    partial: bool
    def __init__(self, content_index: _Optional[int] = ..., text: _Optional[str] = ..., partial: bool = ...) -> None: ...

class ToolStarted(_message.Message):
    __slots__ = ("tool_call_id", "tool_name", "args_json", "truncated", "full_size")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    FULL_SIZE_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    tool_name: str
    args_json: str
    truncated: bool
    full_size: int
    def __init__(self, tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., args_json: _Optional[str] = ..., truncated: bool = ..., full_size: _Optional[int] = ...) -> None: ...

class ToolCompleted(_message.Message):
    __slots__ = ("tool_call_id", "tool_name", "result_json", "is_error", "partial", "truncated", "full_size", "attachments")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    IS_ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    FULL_SIZE_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    tool_name: str
    result_json: str
    is_error: bool
    partial: bool
    truncated: bool
    full_size: int
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.AttachmentRef]
    def __init__(self, tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., result_json: _Optional[str] = ..., is_error: bool = ..., partial: bool = ..., truncated: bool = ..., full_size: _Optional[int] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.AttachmentRef, _Mapping]]] = ...) -> None: ...

class SteerAccepted(_message.Message):
    __slots__ = ("steer_id", "turn_id", "text")
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    steer_id: str
    turn_id: str
    text: str
    def __init__(self, steer_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class SteerApplied(_message.Message):
    __slots__ = ("steer_id",)
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    steer_id: str
    def __init__(self, steer_id: _Optional[str] = ...) -> None: ...

class SteerRequeued(_message.Message):
    __slots__ = ("steer_id", "turn", "possibly_applied")
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    POSSIBLY_APPLIED_FIELD_NUMBER: _ClassVar[int]
    steer_id: str
    turn: _turn_pb2.Turn
    possibly_applied: bool
    def __init__(self, steer_id: _Optional[str] = ..., turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., possibly_applied: bool = ...) -> None: ...

class UsageRecorded(_message.Message):
    __slots__ = ("usage", "model", "provider", "source", "granularity", "price_version")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    usage: _session_pb2.Usage
    model: str
    provider: str
    source: UsageSource
    granularity: UsageGranularity
    price_version: str
    def __init__(self, usage: _Optional[_Union[_session_pb2.Usage, _Mapping]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., source: _Optional[_Union[UsageSource, str]] = ..., granularity: _Optional[_Union[UsageGranularity, str]] = ..., price_version: _Optional[str] = ...) -> None: ...

class BudgetWarning(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: _usage_pb2.Budget
    def __init__(self, budget: _Optional[_Union[_usage_pb2.Budget, _Mapping]] = ...) -> None: ...

class WebhookPaused(_message.Message):
    __slots__ = ("webhook_id", "owner", "reason", "undelivered_seq")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNDELIVERED_SEQ_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    owner: str
    reason: str
    undelivered_seq: int
    def __init__(self, webhook_id: _Optional[str] = ..., owner: _Optional[str] = ..., reason: _Optional[str] = ..., undelivered_seq: _Optional[int] = ...) -> None: ...

class CompactionStarted(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class CompactionCompleted(_message.Message):
    __slots__ = ("reason", "summary", "aborted", "error_message", "tokens_before")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    summary: str
    aborted: bool
    error_message: str
    tokens_before: int
    def __init__(self, reason: _Optional[str] = ..., summary: _Optional[str] = ..., aborted: bool = ..., error_message: _Optional[str] = ..., tokens_before: _Optional[int] = ...) -> None: ...

class RetryScheduled(_message.Message):
    __slots__ = ("attempt", "max_attempts", "delay", "error_message")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    max_attempts: int
    delay: _duration_pb2.Duration
    error_message: str
    def __init__(self, attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error_message: _Optional[str] = ...) -> None: ...

class AgentExited(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("session", "head_seq", "first_seq")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    head_seq: int
    first_seq: int
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., head_seq: _Optional[int] = ..., first_seq: _Optional[int] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class SessionStateChanged(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("delta", "content_index", "offset")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    delta: str
    content_index: int
    offset: int
    def __init__(self, delta: _Optional[str] = ..., content_index: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Thinking(_message.Message):
    __slots__ = ("delta", "content_index", "offset")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    delta: str
    content_index: int
    offset: int
    def __init__(self, delta: _Optional[str] = ..., content_index: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ToolInput(_message.Message):
    __slots__ = ("delta", "content_index", "offset", "tool_call_id", "tool_name")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    delta: str
    content_index: int
    offset: int
    tool_call_id: str
    tool_name: str
    def __init__(self, delta: _Optional[str] = ..., content_index: _Optional[int] = ..., offset: _Optional[int] = ..., tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ...) -> None: ...

class ToolUpdate(_message.Message):
    __slots__ = ("tool_call_id", "partial_result_json", "truncated", "full_size")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    FULL_SIZE_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    partial_result_json: str
    truncated: bool
    full_size: int
    def __init__(self, tool_call_id: _Optional[str] = ..., partial_result_json: _Optional[str] = ..., truncated: bool = ..., full_size: _Optional[int] = ...) -> None: ...

class ItemSnapshot(_message.Message):
    __slots__ = ("block", "role", "content_index", "offset", "text", "tool_call_id", "tool_name")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    block: _message_pb2.BlockKind
    role: _message_pb2.Role
    content_index: int
    offset: int
    text: str
    tool_call_id: str
    tool_name: str
    def __init__(self, block: _Optional[_Union[_message_pb2.BlockKind, str]] = ..., role: _Optional[_Union[_message_pb2.Role, str]] = ..., content_index: _Optional[int] = ..., offset: _Optional[int] = ..., text: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ...) -> None: ...

class Lagging(_message.Message):
    __slots__ = ("from_seq", "to_seq")
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    TO_SEQ_FIELD_NUMBER: _ClassVar[int]
    from_seq: int
    to_seq: int
    def __init__(self, from_seq: _Optional[int] = ..., to_seq: _Optional[int] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("deadline",)
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Reload(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class QuestionAsked(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: _question_pb2.Question
    def __init__(self, question: _Optional[_Union[_question_pb2.Question, _Mapping]] = ...) -> None: ...

class QuestionResolved(_message.Message):
    __slots__ = ("question_id", "state", "resolution", "answered_by", "answer")
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    question_id: str
    state: _question_pb2.QuestionState
    resolution: _question_pb2.QuestionResolution
    answered_by: str
    answer: _question_pb2.Answer
    def __init__(self, question_id: _Optional[str] = ..., state: _Optional[_Union[_question_pb2.QuestionState, str]] = ..., resolution: _Optional[_Union[_question_pb2.QuestionResolution, str]] = ..., answered_by: _Optional[str] = ..., answer: _Optional[_Union[_question_pb2.Answer, _Mapping]] = ...) -> None: ...

class AnswerDelivered(_message.Message):
    __slots__ = ("question_id",)
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    question_id: str
    def __init__(self, question_id: _Optional[str] = ...) -> None: ...

class QuestionPending(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: _question_pb2.Question
    def __init__(self, question: _Optional[_Union[_question_pb2.Question, _Mapping]] = ...) -> None: ...

class ModelChanged(_message.Message):
    __slots__ = ("provider", "model_id", "thinking_level")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model_id: str
    thinking_level: str
    def __init__(self, provider: _Optional[str] = ..., model_id: _Optional[str] = ..., thinking_level: _Optional[str] = ...) -> None: ...

class OptionsChanged(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ContextRebuilt(_message.Message):
    __slots__ = ("message_count", "truncated")
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    message_count: int
    truncated: bool
    def __init__(self, message_count: _Optional[int] = ..., truncated: bool = ...) -> None: ...

class CommandsChanged(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubagentStarted(_message.Message):
    __slots__ = ("agent_id", "parent_agent_id", "name", "tool_call_id", "task")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    parent_agent_id: str
    name: str
    tool_call_id: str
    task: str
    def __init__(self, agent_id: _Optional[str] = ..., parent_agent_id: _Optional[str] = ..., name: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class SubagentCompleted(_message.Message):
    __slots__ = ("agent_id", "is_error", "response", "stats")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    IS_ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    is_error: bool
    response: str
    stats: SubagentStats
    def __init__(self, agent_id: _Optional[str] = ..., is_error: bool = ..., response: _Optional[str] = ..., stats: _Optional[_Union[SubagentStats, _Mapping]] = ...) -> None: ...

class SubagentStats(_message.Message):
    __slots__ = ("message_count", "tool_call_count")
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    message_count: int
    tool_call_count: int
    def __init__(self, message_count: _Optional[int] = ..., tool_call_count: _Optional[int] = ...) -> None: ...

class SubagentItem(_message.Message):
    __slots__ = ("agent_path", "role", "parts")
    AGENT_PATH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    agent_path: _containers.RepeatedScalarFieldContainer[str]
    role: _message_pb2.Role
    parts: _containers.RepeatedCompositeFieldContainer[_message_pb2.MessagePart]
    def __init__(self, agent_path: _Optional[_Iterable[str]] = ..., role: _Optional[_Union[_message_pb2.Role, str]] = ..., parts: _Optional[_Iterable[_Union[_message_pb2.MessagePart, _Mapping]]] = ...) -> None: ...

class ArtifactCreated(_message.Message):
    __slots__ = ("attachment", "title")
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    attachment: _message_pb2.AttachmentRef
    title: str
    def __init__(self, attachment: _Optional[_Union[_message_pb2.AttachmentRef, _Mapping]] = ..., title: _Optional[str] = ...) -> None: ...

class PlanUpdated(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[PlanEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[PlanEntry, _Mapping]]] = ...) -> None: ...

class TurnWaiting(_message.Message):
    __slots__ = ("reason", "message", "agent", "worker_labels")
    class WorkerLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKER_LABELS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    agent: str
    worker_labels: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., agent: _Optional[str] = ..., worker_labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PlanEntry(_message.Message):
    __slots__ = ("text", "status", "priority")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    text: str
    status: PlanStatus
    priority: str
    def __init__(self, text: _Optional[str] = ..., status: _Optional[_Union[PlanStatus, str]] = ..., priority: _Optional[str] = ...) -> None: ...
