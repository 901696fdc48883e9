import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import admin_pb2 as _admin_pb2
from quarterdeck.v1 import command_pb2 as _command_pb2
from quarterdeck.v1 import event_pb2 as _event_pb2
from quarterdeck.v1 import gateway_pb2 as _gateway_pb2
from quarterdeck.v1 import message_pb2 as _message_pb2
from quarterdeck.v1 import model_pb2 as _model_pb2
from quarterdeck.v1 import question_pb2 as _question_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from quarterdeck.v1 import turn_pb2 as _turn_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkspaceMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKSPACE_MODE_UNSPECIFIED: _ClassVar[WorkspaceMode]
    WORKSPACE_MODE_KEPT: _ClassVar[WorkspaceMode]
    WORKSPACE_MODE_EPHEMERAL: _ClassVar[WorkspaceMode]

class WorkerOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_OUTCOME_UNSPECIFIED: _ClassVar[WorkerOutcome]
    WORKER_OUTCOME_COMPLETED: _ClassVar[WorkerOutcome]
    WORKER_OUTCOME_FAILED: _ClassVar[WorkerOutcome]
    WORKER_OUTCOME_OUTPUT_INVALID: _ClassVar[WorkerOutcome]
    WORKER_OUTCOME_EXITED: _ClassVar[WorkerOutcome]
    WORKER_OUTCOME_NOT_STARTED: _ClassVar[WorkerOutcome]

class WorkerResumeAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_RESUME_ACTION_UNSPECIFIED: _ClassVar[WorkerResumeAction]
    WORKER_RESUME_ACTION_CONTINUE: _ClassVar[WorkerResumeAction]
    WORKER_RESUME_ACTION_FENCED: _ClassVar[WorkerResumeAction]

class WorkerRecoveryAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_RECOVERY_ACTION_UNSPECIFIED: _ClassVar[WorkerRecoveryAction]
    WORKER_RECOVERY_ACTION_DISCARD: _ClassVar[WorkerRecoveryAction]
    WORKER_RECOVERY_ACTION_SETTLED: _ClassVar[WorkerRecoveryAction]

class WorkerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_STATE_UNSPECIFIED: _ClassVar[WorkerState]
    WORKER_STATE_CONNECTED: _ClassVar[WorkerState]
    WORKER_STATE_DRAINING: _ClassVar[WorkerState]
    WORKER_STATE_LOST: _ClassVar[WorkerState]
WORKSPACE_MODE_UNSPECIFIED: WorkspaceMode
WORKSPACE_MODE_KEPT: WorkspaceMode
WORKSPACE_MODE_EPHEMERAL: WorkspaceMode
WORKER_OUTCOME_UNSPECIFIED: WorkerOutcome
WORKER_OUTCOME_COMPLETED: WorkerOutcome
WORKER_OUTCOME_FAILED: WorkerOutcome
WORKER_OUTCOME_OUTPUT_INVALID: WorkerOutcome
WORKER_OUTCOME_EXITED: WorkerOutcome
WORKER_OUTCOME_NOT_STARTED: WorkerOutcome
WORKER_RESUME_ACTION_UNSPECIFIED: WorkerResumeAction
WORKER_RESUME_ACTION_CONTINUE: WorkerResumeAction
WORKER_RESUME_ACTION_FENCED: WorkerResumeAction
WORKER_RECOVERY_ACTION_UNSPECIFIED: WorkerRecoveryAction
WORKER_RECOVERY_ACTION_DISCARD: WorkerRecoveryAction
WORKER_RECOVERY_ACTION_SETTLED: WorkerRecoveryAction
WORKER_STATE_UNSPECIFIED: WorkerState
WORKER_STATE_CONNECTED: WorkerState
WORKER_STATE_DRAINING: WorkerState
WORKER_STATE_LOST: WorkerState

class ConnectRequest(_message.Message):
    __slots__ = ("register", "heartbeat", "accepted", "rejected", "released", "agent_event", "workspace_mode_changed", "completed", "stopped", "request_recovery", "leaving", "log", "applied")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    AGENT_EVENT_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_MODE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_RECOVERY_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    register: WorkerRegister
    heartbeat: WorkerHeartbeat
    accepted: WorkerAccepted
    rejected: WorkerRejected
    released: WorkerReleased
    agent_event: WorkerEvent
    workspace_mode_changed: WorkspaceModeChanged
    completed: WorkerCompleted
    stopped: WorkerStopped
    request_recovery: WorkerRecoveryRequest
    leaving: WorkerLeaving
    log: WorkerLog
    applied: WorkerApplied
    def __init__(self, register: _Optional[_Union[WorkerRegister, _Mapping]] = ..., heartbeat: _Optional[_Union[WorkerHeartbeat, _Mapping]] = ..., accepted: _Optional[_Union[WorkerAccepted, _Mapping]] = ..., rejected: _Optional[_Union[WorkerRejected, _Mapping]] = ..., released: _Optional[_Union[WorkerReleased, _Mapping]] = ..., agent_event: _Optional[_Union[WorkerEvent, _Mapping]] = ..., workspace_mode_changed: _Optional[_Union[WorkspaceModeChanged, _Mapping]] = ..., completed: _Optional[_Union[WorkerCompleted, _Mapping]] = ..., stopped: _Optional[_Union[WorkerStopped, _Mapping]] = ..., request_recovery: _Optional[_Union[WorkerRecoveryRequest, _Mapping]] = ..., leaving: _Optional[_Union[WorkerLeaving, _Mapping]] = ..., log: _Optional[_Union[WorkerLog, _Mapping]] = ..., applied: _Optional[_Union[WorkerApplied, _Mapping]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("registered", "resume", "assign", "steer", "abort", "answer", "recovery_decision", "terminate", "drain", "ack", "ping", "call", "close")
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    STEER_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_DECISION_FIELD_NUMBER: _ClassVar[int]
    TERMINATE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    registered: WorkerRegistered
    resume: WorkerResume
    assign: WorkerAssign
    steer: WorkerSteer
    abort: WorkerAbort
    answer: WorkerAnswer
    recovery_decision: WorkerRecoveryDecision
    terminate: WorkerTerminate
    drain: WorkerDrain
    ack: WorkerAck
    ping: WorkerPing
    call: WorkerCall
    close: WorkerClose
    def __init__(self, registered: _Optional[_Union[WorkerRegistered, _Mapping]] = ..., resume: _Optional[_Union[WorkerResume, _Mapping]] = ..., assign: _Optional[_Union[WorkerAssign, _Mapping]] = ..., steer: _Optional[_Union[WorkerSteer, _Mapping]] = ..., abort: _Optional[_Union[WorkerAbort, _Mapping]] = ..., answer: _Optional[_Union[WorkerAnswer, _Mapping]] = ..., recovery_decision: _Optional[_Union[WorkerRecoveryDecision, _Mapping]] = ..., terminate: _Optional[_Union[WorkerTerminate, _Mapping]] = ..., drain: _Optional[_Union[WorkerDrain, _Mapping]] = ..., ack: _Optional[_Union[WorkerAck, _Mapping]] = ..., ping: _Optional[_Union[WorkerPing, _Mapping]] = ..., call: _Optional[_Union[WorkerCall, _Mapping]] = ..., close: _Optional[_Union[WorkerClose, _Mapping]] = ...) -> None: ...

class WorkerRegister(_message.Message):
    __slots__ = ("worker_name", "incarnation", "labels", "agents", "capacity", "workspaces", "features", "held", "version")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    WORKSPACES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    worker_name: str
    incarnation: str
    labels: _containers.ScalarMap[str, str]
    agents: _containers.RepeatedCompositeFieldContainer[WorkerAgent]
    capacity: int
    workspaces: _containers.RepeatedCompositeFieldContainer[WorkerWorkspace]
    features: _containers.RepeatedScalarFieldContainer[str]
    held: _containers.RepeatedCompositeFieldContainer[WorkerHeldLease]
    version: str
    def __init__(self, worker_name: _Optional[str] = ..., incarnation: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., agents: _Optional[_Iterable[_Union[WorkerAgent, _Mapping]]] = ..., capacity: _Optional[int] = ..., workspaces: _Optional[_Iterable[_Union[WorkerWorkspace, _Mapping]]] = ..., features: _Optional[_Iterable[str]] = ..., held: _Optional[_Iterable[_Union[WorkerHeldLease, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...

class WorkerAgent(_message.Message):
    __slots__ = ("name", "capabilities")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    capabilities: _admin_pb2.AgentCapabilities
    def __init__(self, name: _Optional[str] = ..., capabilities: _Optional[_Union[_admin_pb2.AgentCapabilities, _Mapping]] = ...) -> None: ...

class WorkerWorkspace(_message.Message):
    __slots__ = ("workspace_id", "mode")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    mode: WorkspaceMode
    def __init__(self, workspace_id: _Optional[str] = ..., mode: _Optional[_Union[WorkspaceMode, str]] = ...) -> None: ...

class WorkerHeldLease(_message.Message):
    __slots__ = ("turn_id", "attempt", "lease_token", "last_acked_frame")
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LAST_ACKED_FRAME_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    attempt: int
    lease_token: str
    last_acked_frame: int
    def __init__(self, turn_id: _Optional[str] = ..., attempt: _Optional[int] = ..., lease_token: _Optional[str] = ..., last_acked_frame: _Optional[int] = ...) -> None: ...

class WorkerHeartbeat(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class WorkerAccepted(_message.Message):
    __slots__ = ("lease_token",)
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    def __init__(self, lease_token: _Optional[str] = ...) -> None: ...

class WorkerRejected(_message.Message):
    __slots__ = ("lease_token", "reason")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    reason: str
    def __init__(self, lease_token: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class WorkerReleased(_message.Message):
    __slots__ = ("lease_token",)
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    def __init__(self, lease_token: _Optional[str] = ...) -> None: ...

class WorkerEvent(_message.Message):
    __slots__ = ("lease_token", "frame", "message_started", "text_delta", "thinking_delta", "tool_input_delta", "thinking_completed", "message_completed", "tool_started", "tool_update", "tool_completed", "steer_applied", "steer_returned", "asked", "ask_withdrawn", "answer_taken", "plan_updated", "offered", "commands_changed", "output_accepted", "usage", "call_wanted", "compaction_started", "compaction_completed", "retry_scheduled", "artifact_created")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_STARTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    THINKING_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_INPUT_DELTA_FIELD_NUMBER: _ClassVar[int]
    THINKING_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TOOL_STARTED_FIELD_NUMBER: _ClassVar[int]
    TOOL_UPDATE_FIELD_NUMBER: _ClassVar[int]
    TOOL_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    STEER_APPLIED_FIELD_NUMBER: _ClassVar[int]
    STEER_RETURNED_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    ASK_WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TAKEN_FIELD_NUMBER: _ClassVar[int]
    PLAN_UPDATED_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CALL_WANTED_FIELD_NUMBER: _ClassVar[int]
    COMPACTION_STARTED_FIELD_NUMBER: _ClassVar[int]
    COMPACTION_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    RETRY_SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_CREATED_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    frame: int
    message_started: AgentMessageStarted
    text_delta: AgentDelta
    thinking_delta: AgentDelta
    tool_input_delta: AgentToolInputDelta
    thinking_completed: AgentThinkingCompleted
    message_completed: AgentMessageCompleted
    tool_started: AgentToolStarted
    tool_update: AgentToolUpdate
    tool_completed: AgentToolCompleted
    steer_applied: AgentSteerApplied
    steer_returned: AgentSteerReturned
    asked: AgentAsked
    ask_withdrawn: AgentAskWithdrawn
    answer_taken: AgentAnswerTaken
    plan_updated: _event_pb2.PlanUpdated
    offered: AgentOffered
    commands_changed: AgentCommandsChanged
    output_accepted: AgentOutputAccepted
    usage: AgentUsage
    call_wanted: AgentCallWanted
    compaction_started: AgentCompactionStarted
    compaction_completed: AgentCompactionCompleted
    retry_scheduled: AgentRetryScheduled
    artifact_created: AgentArtifactCreated
    def __init__(self, lease_token: _Optional[str] = ..., frame: _Optional[int] = ..., message_started: _Optional[_Union[AgentMessageStarted, _Mapping]] = ..., text_delta: _Optional[_Union[AgentDelta, _Mapping]] = ..., thinking_delta: _Optional[_Union[AgentDelta, _Mapping]] = ..., tool_input_delta: _Optional[_Union[AgentToolInputDelta, _Mapping]] = ..., thinking_completed: _Optional[_Union[AgentThinkingCompleted, _Mapping]] = ..., message_completed: _Optional[_Union[AgentMessageCompleted, _Mapping]] = ..., tool_started: _Optional[_Union[AgentToolStarted, _Mapping]] = ..., tool_update: _Optional[_Union[AgentToolUpdate, _Mapping]] = ..., tool_completed: _Optional[_Union[AgentToolCompleted, _Mapping]] = ..., steer_applied: _Optional[_Union[AgentSteerApplied, _Mapping]] = ..., steer_returned: _Optional[_Union[AgentSteerReturned, _Mapping]] = ..., asked: _Optional[_Union[AgentAsked, _Mapping]] = ..., ask_withdrawn: _Optional[_Union[AgentAskWithdrawn, _Mapping]] = ..., answer_taken: _Optional[_Union[AgentAnswerTaken, _Mapping]] = ..., plan_updated: _Optional[_Union[_event_pb2.PlanUpdated, _Mapping]] = ..., offered: _Optional[_Union[AgentOffered, _Mapping]] = ..., commands_changed: _Optional[_Union[AgentCommandsChanged, _Mapping]] = ..., output_accepted: _Optional[_Union[AgentOutputAccepted, _Mapping]] = ..., usage: _Optional[_Union[AgentUsage, _Mapping]] = ..., call_wanted: _Optional[_Union[AgentCallWanted, _Mapping]] = ..., compaction_started: _Optional[_Union[AgentCompactionStarted, _Mapping]] = ..., compaction_completed: _Optional[_Union[AgentCompactionCompleted, _Mapping]] = ..., retry_scheduled: _Optional[_Union[AgentRetryScheduled, _Mapping]] = ..., artifact_created: _Optional[_Union[AgentArtifactCreated, _Mapping]] = ...) -> None: ...

class AgentMessageStarted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AgentArtifactCreated(_message.Message):
    __slots__ = ("title", "artifact")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    title: str
    artifact: _message_pb2.Attachment
    def __init__(self, title: _Optional[str] = ..., artifact: _Optional[_Union[_message_pb2.Attachment, _Mapping]] = ...) -> None: ...

class AgentDelta(_message.Message):
    __slots__ = ("content_index", "offset", "delta")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    offset: int
    delta: str
    def __init__(self, content_index: _Optional[int] = ..., offset: _Optional[int] = ..., delta: _Optional[str] = ...) -> None: ...

class AgentToolInputDelta(_message.Message):
    __slots__ = ("content_index", "offset", "tool_call_id", "tool_name", "delta")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    offset: int
    tool_call_id: str
    tool_name: str
    delta: str
    def __init__(self, content_index: _Optional[int] = ..., offset: _Optional[int] = ..., tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., delta: _Optional[str] = ...) -> None: ...

class AgentThinkingCompleted(_message.Message):
    __slots__ = ("content_index", "text")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    text: str
    def __init__(self, content_index: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class AgentMessageCompleted(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[AgentTextBlock]
    def __init__(self, blocks: _Optional[_Iterable[_Union[AgentTextBlock, _Mapping]]] = ...) -> None: ...

class AgentTextBlock(_message.Message):
    __slots__ = ("content_index", "text")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    text: str
    def __init__(self, content_index: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class AgentToolStarted(_message.Message):
    __slots__ = ("tool_call_id", "tool_name", "args_json")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    tool_name: str
    args_json: str
    def __init__(self, tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., args_json: _Optional[str] = ...) -> None: ...

class AgentToolUpdate(_message.Message):
    __slots__ = ("tool_call_id", "partial_result_json")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    partial_result_json: str
    def __init__(self, tool_call_id: _Optional[str] = ..., partial_result_json: _Optional[str] = ...) -> None: ...

class AgentToolCompleted(_message.Message):
    __slots__ = ("tool_call_id", "result_json", "is_error", "full_size", "pictures")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    IS_ERROR_FIELD_NUMBER: _ClassVar[int]
    FULL_SIZE_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    result_json: str
    is_error: bool
    full_size: int
    pictures: _containers.RepeatedCompositeFieldContainer[_message_pb2.Attachment]
    def __init__(self, tool_call_id: _Optional[str] = ..., result_json: _Optional[str] = ..., is_error: bool = ..., full_size: _Optional[int] = ..., pictures: _Optional[_Iterable[_Union[_message_pb2.Attachment, _Mapping]]] = ...) -> None: ...

class AgentSteerApplied(_message.Message):
    __slots__ = ("steer_id",)
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    steer_id: str
    def __init__(self, steer_id: _Optional[str] = ...) -> None: ...

class AgentSteerReturned(_message.Message):
    __slots__ = ("steer_id",)
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    steer_id: str
    def __init__(self, steer_id: _Optional[str] = ...) -> None: ...

class AgentAsked(_message.Message):
    __slots__ = ("ask_id", "kind", "title", "tool_call_id", "tool_name", "args_json", "options", "schema_json", "url", "agent_path")
    ASK_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    AGENT_PATH_FIELD_NUMBER: _ClassVar[int]
    ask_id: str
    kind: _question_pb2.QuestionKind
    title: str
    tool_call_id: str
    tool_name: str
    args_json: str
    options: _containers.RepeatedCompositeFieldContainer[_question_pb2.QuestionOption]
    schema_json: str
    url: str
    agent_path: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ask_id: _Optional[str] = ..., kind: _Optional[_Union[_question_pb2.QuestionKind, str]] = ..., title: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., args_json: _Optional[str] = ..., options: _Optional[_Iterable[_Union[_question_pb2.QuestionOption, _Mapping]]] = ..., schema_json: _Optional[str] = ..., url: _Optional[str] = ..., agent_path: _Optional[_Iterable[str]] = ...) -> None: ...

class AgentAskWithdrawn(_message.Message):
    __slots__ = ("ask_id",)
    ASK_ID_FIELD_NUMBER: _ClassVar[int]
    ask_id: str
    def __init__(self, ask_id: _Optional[str] = ...) -> None: ...

class AgentAnswerTaken(_message.Message):
    __slots__ = ("ask_id",)
    ASK_ID_FIELD_NUMBER: _ClassVar[int]
    ask_id: str
    def __init__(self, ask_id: _Optional[str] = ...) -> None: ...

class AgentOffered(_message.Message):
    __slots__ = ("models", "default_model", "model", "thinking_level", "options")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    default_model: str
    model: str
    thinking_level: str
    options: _containers.RepeatedCompositeFieldContainer[AgentOfferedOption]
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., default_model: _Optional[str] = ..., model: _Optional[str] = ..., thinking_level: _Optional[str] = ..., options: _Optional[_Iterable[_Union[AgentOfferedOption, _Mapping]]] = ...) -> None: ...

class AgentOfferedOption(_message.Message):
    __slots__ = ("option_id", "name", "description", "category", "values", "current", "default_value")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    name: str
    description: str
    category: str
    values: _containers.RepeatedCompositeFieldContainer[_gateway_pb2.AgentOptionValue]
    current: str
    default_value: str
    def __init__(self, option_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., category: _Optional[str] = ..., values: _Optional[_Iterable[_Union[_gateway_pb2.AgentOptionValue, _Mapping]]] = ..., current: _Optional[str] = ..., default_value: _Optional[str] = ...) -> None: ...

class AgentCommandsChanged(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[_command_pb2.Command]
    def __init__(self, commands: _Optional[_Iterable[_Union[_command_pb2.Command, _Mapping]]] = ...) -> None: ...

class AgentOutputAccepted(_message.Message):
    __slots__ = ("output_json",)
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    output_json: str
    def __init__(self, output_json: _Optional[str] = ...) -> None: ...

class AgentUsage(_message.Message):
    __slots__ = ("usage", "model", "granularity", "context_tokens", "context_window")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    usage: _session_pb2.Usage
    model: str
    granularity: _event_pb2.UsageGranularity
    context_tokens: int
    context_window: int
    def __init__(self, usage: _Optional[_Union[_session_pb2.Usage, _Mapping]] = ..., model: _Optional[str] = ..., granularity: _Optional[_Union[_event_pb2.UsageGranularity, str]] = ..., context_tokens: _Optional[int] = ..., context_window: _Optional[int] = ...) -> None: ...

class AgentCallWanted(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class AgentCompactionStarted(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class AgentCompactionCompleted(_message.Message):
    __slots__ = ("reason", "summary", "aborted", "error_message", "tokens_before", "kept")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    summary: str
    aborted: bool
    error_message: str
    tokens_before: int
    kept: bool
    def __init__(self, reason: _Optional[str] = ..., summary: _Optional[str] = ..., aborted: bool = ..., error_message: _Optional[str] = ..., tokens_before: _Optional[int] = ..., kept: bool = ...) -> None: ...

class AgentRetryScheduled(_message.Message):
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

class WorkspaceModeChanged(_message.Message):
    __slots__ = ("workspace_id", "mode")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    mode: WorkspaceMode
    def __init__(self, workspace_id: _Optional[str] = ..., mode: _Optional[_Union[WorkspaceMode, str]] = ...) -> None: ...

class WorkerCompleted(_message.Message):
    __slots__ = ("lease_token", "frame", "outcome", "stop_reason", "message")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    frame: int
    outcome: WorkerOutcome
    stop_reason: _turn_pb2.StopReason
    message: str
    def __init__(self, lease_token: _Optional[str] = ..., frame: _Optional[int] = ..., outcome: _Optional[_Union[WorkerOutcome, str]] = ..., stop_reason: _Optional[_Union[_turn_pb2.StopReason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class WorkerStopped(_message.Message):
    __slots__ = ("lease_token", "frame", "survivors")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    frame: int
    survivors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lease_token: _Optional[str] = ..., frame: _Optional[int] = ..., survivors: _Optional[_Iterable[str]] = ...) -> None: ...

class WorkerRecoveryRequest(_message.Message):
    __slots__ = ("turn_id", "attempt", "workspace_id")
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    attempt: int
    workspace_id: str
    def __init__(self, turn_id: _Optional[str] = ..., attempt: _Optional[int] = ..., workspace_id: _Optional[str] = ...) -> None: ...

class WorkerLeaving(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class WorkerLog(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: str
    def __init__(self, line: _Optional[str] = ...) -> None: ...

class WorkerApplied(_message.Message):
    __slots__ = ("lease_token", "command_id")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    command_id: str
    def __init__(self, lease_token: _Optional[str] = ..., command_id: _Optional[str] = ...) -> None: ...

class WorkerRegistered(_message.Message):
    __slots__ = ("heartbeat", "lease", "stop_after", "features", "credit_bytes")
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    STOP_AFTER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    heartbeat: _duration_pb2.Duration
    lease: _duration_pb2.Duration
    stop_after: _duration_pb2.Duration
    features: _containers.RepeatedScalarFieldContainer[str]
    credit_bytes: int
    def __init__(self, heartbeat: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stop_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., credit_bytes: _Optional[int] = ...) -> None: ...

class WorkerResume(_message.Message):
    __slots__ = ("lease_token", "action", "from_frame")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FROM_FRAME_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    action: WorkerResumeAction
    from_frame: int
    def __init__(self, lease_token: _Optional[str] = ..., action: _Optional[_Union[WorkerResumeAction, str]] = ..., from_frame: _Optional[int] = ...) -> None: ...

class WorkerAssign(_message.Message):
    __slots__ = ("turn_id", "attempt", "lease_token", "agent", "workspace_id", "tenant", "session_key", "epoch", "text", "command", "attachments", "memory_context", "model", "thinking_level", "options", "history", "user_messages_before", "trace_context", "calls_are_granted", "output_schema", "client_tools", "credential", "transcript")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    USER_MESSAGES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CALLS_ARE_GRANTED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOOLS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    attempt: int
    lease_token: str
    agent: str
    workspace_id: str
    tenant: str
    session_key: str
    epoch: int
    text: str
    command: str
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.Attachment]
    memory_context: str
    model: str
    thinking_level: str
    options: _containers.ScalarMap[str, str]
    history: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    user_messages_before: int
    trace_context: str
    calls_are_granted: bool
    output_schema: str
    client_tools: _containers.RepeatedCompositeFieldContainer[_gateway_pb2.ClientTool]
    credential: str
    transcript: str
    def __init__(self, turn_id: _Optional[str] = ..., attempt: _Optional[int] = ..., lease_token: _Optional[str] = ..., agent: _Optional[str] = ..., workspace_id: _Optional[str] = ..., tenant: _Optional[str] = ..., session_key: _Optional[str] = ..., epoch: _Optional[int] = ..., text: _Optional[str] = ..., command: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.Attachment, _Mapping]]] = ..., memory_context: _Optional[str] = ..., model: _Optional[str] = ..., thinking_level: _Optional[str] = ..., options: _Optional[_Mapping[str, str]] = ..., history: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., user_messages_before: _Optional[int] = ..., trace_context: _Optional[str] = ..., calls_are_granted: bool = ..., output_schema: _Optional[str] = ..., client_tools: _Optional[_Iterable[_Union[_gateway_pb2.ClientTool, _Mapping]]] = ..., credential: _Optional[str] = ..., transcript: _Optional[str] = ...) -> None: ...

class WorkerSteer(_message.Message):
    __slots__ = ("lease_token", "command_id", "text", "attachments")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    command_id: str
    text: str
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.Attachment]
    def __init__(self, lease_token: _Optional[str] = ..., command_id: _Optional[str] = ..., text: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.Attachment, _Mapping]]] = ...) -> None: ...

class WorkerAbort(_message.Message):
    __slots__ = ("lease_token", "command_id", "mode")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    command_id: str
    mode: _gateway_pb2.AbortMode
    def __init__(self, lease_token: _Optional[str] = ..., command_id: _Optional[str] = ..., mode: _Optional[_Union[_gateway_pb2.AbortMode, str]] = ...) -> None: ...

class WorkerAnswer(_message.Message):
    __slots__ = ("lease_token", "command_id", "ask_id", "answer")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    ASK_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    command_id: str
    ask_id: str
    answer: _question_pb2.Answer
    def __init__(self, lease_token: _Optional[str] = ..., command_id: _Optional[str] = ..., ask_id: _Optional[str] = ..., answer: _Optional[_Union[_question_pb2.Answer, _Mapping]] = ...) -> None: ...

class WorkerCall(_message.Message):
    __slots__ = ("lease_token", "command_id")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    command_id: str
    def __init__(self, lease_token: _Optional[str] = ..., command_id: _Optional[str] = ...) -> None: ...

class WorkerRecoveryDecision(_message.Message):
    __slots__ = ("turn_id", "action", "reason")
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    action: WorkerRecoveryAction
    reason: str
    def __init__(self, turn_id: _Optional[str] = ..., action: _Optional[_Union[WorkerRecoveryAction, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class WorkerTerminate(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class WorkerDrain(_message.Message):
    __slots__ = ("deadline",)
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    deadline: _duration_pb2.Duration
    def __init__(self, deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WorkerAck(_message.Message):
    __slots__ = ("lease_token", "frame", "taken_bytes")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TAKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    frame: int
    taken_bytes: int
    def __init__(self, lease_token: _Optional[str] = ..., frame: _Optional[int] = ..., taken_bytes: _Optional[int] = ...) -> None: ...

class WorkerPing(_message.Message):
    __slots__ = ("heartbeat",)
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    heartbeat: int
    def __init__(self, heartbeat: _Optional[int] = ...) -> None: ...

class WorkerClose(_message.Message):
    __slots__ = ("workspace_id",)
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    def __init__(self, workspace_id: _Optional[str] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("agent", "page_size", "page_token")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agent: str
    page_size: int
    page_token: str
    def __init__(self, agent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers", "next_page_token", "wanted")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    next_page_token: str
    wanted: _containers.RepeatedCompositeFieldContainer[WorkerWanted]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., wanted: _Optional[_Iterable[_Union[WorkerWanted, _Mapping]]] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("worker_name", "principal", "incarnation", "labels", "agents", "capacity", "leases", "state", "connect_time", "idle", "version")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    worker_name: str
    principal: str
    incarnation: str
    labels: _containers.ScalarMap[str, str]
    agents: _containers.RepeatedScalarFieldContainer[str]
    capacity: int
    leases: _containers.RepeatedCompositeFieldContainer[WorkerLease]
    state: WorkerState
    connect_time: _timestamp_pb2.Timestamp
    idle: _duration_pb2.Duration
    version: str
    def __init__(self, worker_name: _Optional[str] = ..., principal: _Optional[str] = ..., incarnation: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., agents: _Optional[_Iterable[str]] = ..., capacity: _Optional[int] = ..., leases: _Optional[_Iterable[_Union[WorkerLease, _Mapping]]] = ..., state: _Optional[_Union[WorkerState, str]] = ..., connect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class WorkerLease(_message.Message):
    __slots__ = ("turn_id", "attempt", "session_key", "agent")
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    attempt: int
    session_key: str
    agent: str
    def __init__(self, turn_id: _Optional[str] = ..., attempt: _Optional[int] = ..., session_key: _Optional[str] = ..., agent: _Optional[str] = ...) -> None: ...

class WorkerWanted(_message.Message):
    __slots__ = ("agent", "labels", "waiting")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AGENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    agent: str
    labels: _containers.ScalarMap[str, str]
    waiting: int
    def __init__(self, agent: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., waiting: _Optional[int] = ...) -> None: ...

class TerminateWorkerRequest(_message.Message):
    __slots__ = ("worker_name", "reason")
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    worker_name: str
    reason: str
    def __init__(self, worker_name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TerminateWorkerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
