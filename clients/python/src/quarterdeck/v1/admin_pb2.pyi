import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from quarterdeck.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolPolicySupport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_POLICY_SUPPORT_UNSPECIFIED: _ClassVar[ToolPolicySupport]
    TOOL_POLICY_SUPPORT_ENFORCED: _ClassVar[ToolPolicySupport]
    TOOL_POLICY_SUPPORT_ON_REQUEST: _ClassVar[ToolPolicySupport]
    TOOL_POLICY_SUPPORT_NONE: _ClassVar[ToolPolicySupport]

class UsageReports(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_REPORTS_UNSPECIFIED: _ClassVar[UsageReports]
    USAGE_REPORTS_CALL: _ClassVar[UsageReports]
    USAGE_REPORTS_TURN: _ClassVar[UsageReports]
    USAGE_REPORTS_NONE: _ClassVar[UsageReports]

class CredentialKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREDENTIAL_KIND_UNSPECIFIED: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_NONE: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_API_KEY: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_JWT: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_CERTIFICATE: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_LOCAL_USER: _ClassVar[CredentialKind]

class LogLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_LEVEL_UNSPECIFIED: _ClassVar[LogLevel]
    LOG_LEVEL_TRACE: _ClassVar[LogLevel]
    LOG_LEVEL_DEBUG: _ClassVar[LogLevel]
    LOG_LEVEL_INFO: _ClassVar[LogLevel]
    LOG_LEVEL_WARN: _ClassVar[LogLevel]
    LOG_LEVEL_ERROR: _ClassVar[LogLevel]
TOOL_POLICY_SUPPORT_UNSPECIFIED: ToolPolicySupport
TOOL_POLICY_SUPPORT_ENFORCED: ToolPolicySupport
TOOL_POLICY_SUPPORT_ON_REQUEST: ToolPolicySupport
TOOL_POLICY_SUPPORT_NONE: ToolPolicySupport
USAGE_REPORTS_UNSPECIFIED: UsageReports
USAGE_REPORTS_CALL: UsageReports
USAGE_REPORTS_TURN: UsageReports
USAGE_REPORTS_NONE: UsageReports
CREDENTIAL_KIND_UNSPECIFIED: CredentialKind
CREDENTIAL_KIND_NONE: CredentialKind
CREDENTIAL_KIND_API_KEY: CredentialKind
CREDENTIAL_KIND_JWT: CredentialKind
CREDENTIAL_KIND_CERTIFICATE: CredentialKind
CREDENTIAL_KIND_LOCAL_USER: CredentialKind
LOG_LEVEL_UNSPECIFIED: LogLevel
LOG_LEVEL_TRACE: LogLevel
LOG_LEVEL_DEBUG: LogLevel
LOG_LEVEL_INFO: LogLevel
LOG_LEVEL_WARN: LogLevel
LOG_LEVEL_ERROR: LogLevel

class GetUsageRequest(_message.Message):
    __slots__ = ("filter", "group_by", "page_size", "page_token", "tenant")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    filter: _usage_pb2.UsageFilter
    group_by: _containers.RepeatedCompositeFieldContainer[_usage_pb2.UsageGrouping]
    page_size: int
    page_token: str
    tenant: str
    def __init__(self, filter: _Optional[_Union[_usage_pb2.UsageFilter, _Mapping]] = ..., group_by: _Optional[_Iterable[_Union[_usage_pb2.UsageGrouping, _Mapping]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("rows", "next_page_token", "total")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[_usage_pb2.UsageRow]
    next_page_token: str
    total: _session_pb2.Usage
    def __init__(self, rows: _Optional[_Iterable[_Union[_usage_pb2.UsageRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[_Union[_session_pb2.Usage, _Mapping]] = ...) -> None: ...

class SetBudgetRequest(_message.Message):
    __slots__ = ("scope", "key", "period", "soft_micros", "hard_micros", "soft_tokens", "hard_tokens", "on_exceeded", "request_id", "tenant")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    SOFT_MICROS_FIELD_NUMBER: _ClassVar[int]
    HARD_MICROS_FIELD_NUMBER: _ClassVar[int]
    SOFT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HARD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ON_EXCEEDED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    scope: _usage_pb2.BudgetScope
    key: str
    period: _usage_pb2.BudgetPeriod
    soft_micros: int
    hard_micros: int
    soft_tokens: int
    hard_tokens: int
    on_exceeded: _usage_pb2.OnExceeded
    request_id: str
    tenant: str
    def __init__(self, scope: _Optional[_Union[_usage_pb2.BudgetScope, str]] = ..., key: _Optional[str] = ..., period: _Optional[_Union[_usage_pb2.BudgetPeriod, str]] = ..., soft_micros: _Optional[int] = ..., hard_micros: _Optional[int] = ..., soft_tokens: _Optional[int] = ..., hard_tokens: _Optional[int] = ..., on_exceeded: _Optional[_Union[_usage_pb2.OnExceeded, str]] = ..., request_id: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class SetBudgetResponse(_message.Message):
    __slots__ = ("budget", "replayed")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    budget: _usage_pb2.Budget
    replayed: bool
    def __init__(self, budget: _Optional[_Union[_usage_pb2.Budget, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "tenant")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    tenant: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets", "next_page_token")
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[_usage_pb2.Budget]
    next_page_token: str
    def __init__(self, budgets: _Optional[_Iterable[_Union[_usage_pb2.Budget, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteBudgetRequest(_message.Message):
    __slots__ = ("scope", "key", "period", "request_id", "tenant")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    scope: _usage_pb2.BudgetScope
    key: str
    period: _usage_pb2.BudgetPeriod
    request_id: str
    tenant: str
    def __init__(self, scope: _Optional[_Union[_usage_pb2.BudgetScope, str]] = ..., key: _Optional[str] = ..., period: _Optional[_Union[_usage_pb2.BudgetPeriod, str]] = ..., request_id: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class DeleteBudgetResponse(_message.Message):
    __slots__ = ("deleted", "replayed")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    replayed: bool
    def __init__(self, deleted: bool = ..., replayed: bool = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "start_time", "store_id", "default_agent", "agents", "limits", "retention", "draining", "auth_required", "isolation", "store_troubles")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    AUTH_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    STORE_TROUBLES_FIELD_NUMBER: _ClassVar[int]
    version: str
    start_time: _timestamp_pb2.Timestamp
    store_id: str
    default_agent: str
    agents: _containers.RepeatedCompositeFieldContainer[AgentInfo]
    limits: ServerLimits
    retention: RetentionInfo
    draining: bool
    auth_required: bool
    isolation: IsolationInfo
    store_troubles: _containers.RepeatedCompositeFieldContainer[StoreTrouble]
    def __init__(self, version: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., store_id: _Optional[str] = ..., default_agent: _Optional[str] = ..., agents: _Optional[_Iterable[_Union[AgentInfo, _Mapping]]] = ..., limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., retention: _Optional[_Union[RetentionInfo, _Mapping]] = ..., draining: bool = ..., auth_required: bool = ..., isolation: _Optional[_Union[IsolationInfo, _Mapping]] = ..., store_troubles: _Optional[_Iterable[_Union[StoreTrouble, _Mapping]]] = ...) -> None: ...

class StoreTrouble(_message.Message):
    __slots__ = ("name", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class IsolationInfo(_message.Message):
    __slots__ = ("rung", "user", "proc", "abstract_sockets", "network", "landlock_abi", "kill_proof", "reason")
    RUNG_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PROC_FIELD_NUMBER: _ClassVar[int]
    ABSTRACT_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    LANDLOCK_ABI_FIELD_NUMBER: _ClassVar[int]
    KILL_PROOF_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    rung: str
    user: str
    proc: str
    abstract_sockets: bool
    network: str
    landlock_abi: int
    kill_proof: str
    reason: str
    def __init__(self, rung: _Optional[str] = ..., user: _Optional[str] = ..., proc: _Optional[str] = ..., abstract_sockets: bool = ..., network: _Optional[str] = ..., landlock_abi: _Optional[int] = ..., kill_proof: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AgentInfo(_message.Message):
    __slots__ = ("name", "driver", "can_steer", "can_fork", "isolation", "user", "network", "version", "revision", "capabilities", "as_of")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    CAN_STEER_FIELD_NUMBER: _ClassVar[int]
    CAN_FORK_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    name: str
    driver: str
    can_steer: bool
    can_fork: bool
    isolation: str
    user: str
    network: str
    version: str
    revision: str
    capabilities: AgentCapabilities
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., driver: _Optional[str] = ..., can_steer: bool = ..., can_fork: bool = ..., isolation: _Optional[str] = ..., user: _Optional[str] = ..., network: _Optional[str] = ..., version: _Optional[str] = ..., revision: _Optional[str] = ..., capabilities: _Optional[_Union[AgentCapabilities, _Mapping]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AgentCapabilities(_message.Message):
    __slots__ = ("steer", "soft_cancel", "images", "thinking", "models", "options", "commands", "fork", "compaction", "questions", "client_tools", "tool_policy", "resume", "structured_output", "sub_agents", "workspace", "usage", "deny_continues", "workspace_diff")
    STEER_FIELD_NUMBER: _ClassVar[int]
    SOFT_CANCEL_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    FORK_FIELD_NUMBER: _ClassVar[int]
    COMPACTION_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_POLICY_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SUB_AGENTS_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    DENY_CONTINUES_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_DIFF_FIELD_NUMBER: _ClassVar[int]
    steer: bool
    soft_cancel: bool
    images: bool
    thinking: bool
    models: bool
    options: bool
    commands: bool
    fork: bool
    compaction: bool
    questions: bool
    client_tools: bool
    tool_policy: ToolPolicySupport
    resume: bool
    structured_output: bool
    sub_agents: bool
    workspace: bool
    usage: UsageReports
    deny_continues: bool
    workspace_diff: bool
    def __init__(self, steer: bool = ..., soft_cancel: bool = ..., images: bool = ..., thinking: bool = ..., models: bool = ..., options: bool = ..., commands: bool = ..., fork: bool = ..., compaction: bool = ..., questions: bool = ..., client_tools: bool = ..., tool_policy: _Optional[_Union[ToolPolicySupport, str]] = ..., resume: bool = ..., structured_output: bool = ..., sub_agents: bool = ..., workspace: bool = ..., usage: _Optional[_Union[UsageReports, str]] = ..., deny_continues: bool = ..., workspace_diff: bool = ...) -> None: ...

class ListAgentsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAgentsResponse(_message.Message):
    __slots__ = ("agents",)
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[AgentInfo]
    def __init__(self, agents: _Optional[_Iterable[_Union[AgentInfo, _Mapping]]] = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("queue_turns_per_session", "queue_bytes_per_session", "input_message_bytes", "message_bytes", "text_bytes", "attachment_bytes", "running_turns", "turn_timeout", "principal", "tenant", "max_turn_timeout", "reserved_running_turns", "metadata_bytes")
    QUEUE_TURNS_PER_SESSION_FIELD_NUMBER: _ClassVar[int]
    QUEUE_BYTES_PER_SESSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TURNS_FIELD_NUMBER: _ClassVar[int]
    TURN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MAX_TURN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RESERVED_RUNNING_TURNS_FIELD_NUMBER: _ClassVar[int]
    METADATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    queue_turns_per_session: int
    queue_bytes_per_session: int
    input_message_bytes: int
    message_bytes: int
    text_bytes: int
    attachment_bytes: int
    running_turns: int
    turn_timeout: _duration_pb2.Duration
    principal: AccountLimits
    tenant: AccountLimits
    max_turn_timeout: _duration_pb2.Duration
    reserved_running_turns: int
    metadata_bytes: int
    def __init__(self, queue_turns_per_session: _Optional[int] = ..., queue_bytes_per_session: _Optional[int] = ..., input_message_bytes: _Optional[int] = ..., message_bytes: _Optional[int] = ..., text_bytes: _Optional[int] = ..., attachment_bytes: _Optional[int] = ..., running_turns: _Optional[int] = ..., turn_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., principal: _Optional[_Union[AccountLimits, _Mapping]] = ..., tenant: _Optional[_Union[AccountLimits, _Mapping]] = ..., max_turn_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reserved_running_turns: _Optional[int] = ..., metadata_bytes: _Optional[int] = ...) -> None: ...

class AccountLimits(_message.Message):
    __slots__ = ("requests_per_second", "streams", "running_turns", "awake_agents", "sessions", "queue_bytes", "waits", "stored_bytes")
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TURNS_FIELD_NUMBER: _ClassVar[int]
    AWAKE_AGENTS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    requests_per_second: int
    streams: int
    running_turns: int
    awake_agents: int
    sessions: int
    queue_bytes: int
    waits: int
    stored_bytes: int
    def __init__(self, requests_per_second: _Optional[int] = ..., streams: _Optional[int] = ..., running_turns: _Optional[int] = ..., awake_agents: _Optional[int] = ..., sessions: _Optional[int] = ..., queue_bytes: _Optional[int] = ..., waits: _Optional[int] = ..., stored_bytes: _Optional[int] = ...) -> None: ...

class RetentionInfo(_message.Message):
    __slots__ = ("events", "event_age", "history_age")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_AGE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_AGE_FIELD_NUMBER: _ClassVar[int]
    events: int
    event_age: _duration_pb2.Duration
    history_age: _duration_pb2.Duration
    def __init__(self, events: _Optional[int] = ..., event_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., history_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIResponse(_message.Message):
    __slots__ = ("principal", "scopes", "credential", "key_id", "expire_time", "stored_bytes", "tenant_stored_bytes")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TENANT_STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    principal: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    credential: CredentialKind
    key_id: str
    expire_time: _timestamp_pb2.Timestamp
    stored_bytes: int
    tenant_stored_bytes: int
    def __init__(self, principal: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., credential: _Optional[_Union[CredentialKind, str]] = ..., key_id: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stored_bytes: _Optional[int] = ..., tenant_stored_bytes: _Optional[int] = ...) -> None: ...

class GetConfigRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetConfigResponse(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[ConfigValue]
    def __init__(self, values: _Optional[_Iterable[_Union[ConfigValue, _Mapping]]] = ...) -> None: ...

class ConfigValue(_message.Message):
    __slots__ = ("key", "value_toml", "description", "updatable", "updated")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_TOML_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    UPDATABLE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    key: str
    value_toml: str
    description: str
    updatable: bool
    updated: bool
    def __init__(self, key: _Optional[str] = ..., value_toml: _Optional[str] = ..., description: _Optional[str] = ..., updatable: bool = ..., updated: bool = ...) -> None: ...

class UpdateConfigRequest(_message.Message):
    __slots__ = ("values", "clear", "validate_only")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, str]
    clear: _containers.RepeatedScalarFieldContainer[str]
    validate_only: bool
    def __init__(self, values: _Optional[_Mapping[str, str]] = ..., clear: _Optional[_Iterable[str]] = ..., validate_only: bool = ...) -> None: ...

class UpdateConfigResponse(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[ConfigValue]
    def __init__(self, values: _Optional[_Iterable[_Union[ConfigValue, _Mapping]]] = ...) -> None: ...

class TailLogsRequest(_message.Message):
    __slots__ = ("cursor", "last", "level", "target", "session_key", "principal", "no_follow")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NO_FOLLOW_FIELD_NUMBER: _ClassVar[int]
    cursor: LogCursor
    last: int
    level: LogLevel
    target: str
    session_key: str
    principal: str
    no_follow: bool
    def __init__(self, cursor: _Optional[_Union[LogCursor, _Mapping]] = ..., last: _Optional[int] = ..., level: _Optional[_Union[LogLevel, str]] = ..., target: _Optional[str] = ..., session_key: _Optional[str] = ..., principal: _Optional[str] = ..., no_follow: bool = ...) -> None: ...

class LogCursor(_message.Message):
    __slots__ = ("boot_id", "after_number")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    after_number: int
    def __init__(self, boot_id: _Optional[str] = ..., after_number: _Optional[int] = ...) -> None: ...

class LogRecord(_message.Message):
    __slots__ = ("boot_id", "number", "time", "level", "target", "message", "fields", "dropped")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    number: int
    time: _timestamp_pb2.Timestamp
    level: LogLevel
    target: str
    message: str
    fields: _containers.ScalarMap[str, str]
    dropped: int
    def __init__(self, boot_id: _Optional[str] = ..., number: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., level: _Optional[_Union[LogLevel, str]] = ..., target: _Optional[str] = ..., message: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ..., dropped: _Optional[int] = ...) -> None: ...

class ListChannelsRequest(_message.Message):
    __slots__ = ("session_key", "page_size", "page_token")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    page_size: int
    page_token: str
    def __init__(self, session_key: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListChannelsResponse(_message.Message):
    __slots__ = ("channels", "next_page_token")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedCompositeFieldContainer[Channel]
    next_page_token: str
    def __init__(self, channels: _Optional[_Iterable[_Union[Channel, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Channel(_message.Message):
    __slots__ = ("channel_id", "principal", "key_id", "method", "session_key", "peer_address", "user_agent", "start_time")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    principal: str
    key_id: str
    method: str
    session_key: str
    peer_address: str
    user_agent: str
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, channel_id: _Optional[str] = ..., principal: _Optional[str] = ..., key_id: _Optional[str] = ..., method: _Optional[str] = ..., session_key: _Optional[str] = ..., peer_address: _Optional[str] = ..., user_agent: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BroadcastReloadRequest(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class BroadcastReloadResponse(_message.Message):
    __slots__ = ("channels", "agents")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    channels: int
    agents: int
    def __init__(self, channels: _Optional[int] = ..., agents: _Optional[int] = ...) -> None: ...

class CreateApiKeyRequest(_message.Message):
    __slots__ = ("subject", "scopes", "display_name", "ttl", "request_id", "tenant")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    display_name: str
    ttl: _duration_pb2.Duration
    request_id: str
    tenant: str
    def __init__(self, subject: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., display_name: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class CreateApiKeyResponse(_message.Message):
    __slots__ = ("api_key", "secret", "replayed")
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    api_key: ApiKey
    secret: str
    replayed: bool
    def __init__(self, api_key: _Optional[_Union[ApiKey, _Mapping]] = ..., secret: _Optional[str] = ..., replayed: bool = ...) -> None: ...

class ApiKey(_message.Message):
    __slots__ = ("key_id", "principal", "scopes", "display_name", "create_time", "expire_time", "last_used_time", "revoke_time", "created_by", "created_by_key_id")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    principal: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    display_name: str
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    last_used_time: _timestamp_pb2.Timestamp
    revoke_time: _timestamp_pb2.Timestamp
    created_by: str
    created_by_key_id: str
    def __init__(self, key_id: _Optional[str] = ..., principal: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., display_name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoke_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., created_by_key_id: _Optional[str] = ...) -> None: ...

class ListApiKeysRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "include_ended", "tenant")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ENDED_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    include_ended: bool
    tenant: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_ended: bool = ..., tenant: _Optional[str] = ...) -> None: ...

class ListApiKeysResponse(_message.Message):
    __slots__ = ("api_keys", "next_page_token")
    API_KEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    api_keys: _containers.RepeatedCompositeFieldContainer[ApiKey]
    next_page_token: str
    def __init__(self, api_keys: _Optional[_Iterable[_Union[ApiKey, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeApiKeyRequest(_message.Message):
    __slots__ = ("key_id", "tenant", "keep_made_keys")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KEEP_MADE_KEYS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    tenant: str
    keep_made_keys: bool
    def __init__(self, key_id: _Optional[str] = ..., tenant: _Optional[str] = ..., keep_made_keys: bool = ...) -> None: ...

class RevokeApiKeyResponse(_message.Message):
    __slots__ = ("api_key", "made_key_ids")
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    MADE_KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    api_key: ApiKey
    made_key_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, api_key: _Optional[_Union[ApiKey, _Mapping]] = ..., made_key_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ExchangeCredentialRequest(_message.Message):
    __slots__ = ("ttl",)
    TTL_FIELD_NUMBER: _ClassVar[int]
    ttl: _duration_pb2.Duration
    def __init__(self, ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExchangeCredentialResponse(_message.Message):
    __slots__ = ("secret", "expire_time", "scopes")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    secret: str
    expire_time: _timestamp_pb2.Timestamp
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, secret: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scopes: _Optional[_Iterable[str]] = ...) -> None: ...
