package quarterdeck

import "google.golang.org/grpc/codes"

// kind is what errors.Is asks for: a reason of the server, which is also its code, or a code.
type kind struct {
	name string
	code codes.Code
	// The code's kind, where this is a reason's.
	base *kind
}

func (kind *kind) Error() string { return kind.name }

func (kind *kind) Unwrap() error {
	if kind.base == nil {
		return nil
	}
	return kind.base
}

var (
	byCode   = map[codes.Code]*kind{}
	byReason = map[string]*kind{}
)

func codeKind(name string, code codes.Code) error {
	byCode[code] = &kind{name: name, code: code}
	return byCode[code]
}

func reasonKind(name string, code codes.Code) error {
	byReason[name] = &kind{name: name, code: code, base: byCode[code]}
	return byReason[name]
}

func codeName(code codes.Code) string {
	if known, ok := byCode[code]; ok {
		return known.name
	}
	return code.String()
}

// Codes: what errors.Is finds in every [Error] of that code, whatever its reason.
var (
	ErrCanceled           = codeKind("CANCELED", codes.Canceled)
	ErrUnknown            = codeKind("UNKNOWN", codes.Unknown)
	ErrInvalidArgument    = codeKind("INVALID_ARGUMENT", codes.InvalidArgument)
	ErrDeadlineExceeded   = codeKind("DEADLINE_EXCEEDED", codes.DeadlineExceeded)
	ErrNotFound           = codeKind("NOT_FOUND", codes.NotFound)
	ErrAlreadyExists      = codeKind("ALREADY_EXISTS", codes.AlreadyExists)
	ErrPermissionDenied   = codeKind("PERMISSION_DENIED", codes.PermissionDenied)
	ErrResourceExhausted  = codeKind("RESOURCE_EXHAUSTED", codes.ResourceExhausted)
	ErrFailedPrecondition = codeKind("FAILED_PRECONDITION", codes.FailedPrecondition)
	ErrAborted            = codeKind("ABORTED", codes.Aborted)
	ErrOutOfRange         = codeKind("OUT_OF_RANGE", codes.OutOfRange)
	ErrUnimplemented      = codeKind("UNIMPLEMENTED", codes.Unimplemented)
	ErrInternal           = codeKind("INTERNAL", codes.Internal)
	ErrUnavailable        = codeKind("UNAVAILABLE", codes.Unavailable)
	ErrDataLoss           = codeKind("DATA_LOSS", codes.DataLoss)
	ErrUnauthenticated    = codeKind("UNAUTHENTICATED", codes.Unauthenticated)
)

// Reasons: what errors.Is finds in the [Error] of that reason. DEADLINE_EXCEEDED and INTERNAL are codes too, see above.
var (
	ErrAgentMismatch        = reasonKind("AGENT_MISMATCH", codes.FailedPrecondition)
	ErrAlreadyAnswered      = reasonKind("ALREADY_ANSWERED", codes.FailedPrecondition)
	ErrAnswersWaiting       = reasonKind("ANSWERS_WAITING", codes.ResourceExhausted)
	ErrApiKeyNotFound       = reasonKind("API_KEY_NOT_FOUND", codes.NotFound)
	ErrAttachmentNotFound   = reasonKind("ATTACHMENT_NOT_FOUND", codes.NotFound)
	ErrBudgetExceeded       = reasonKind("BUDGET_EXCEEDED", codes.ResourceExhausted)
	ErrCommandNotFound      = reasonKind("COMMAND_NOT_FOUND", codes.NotFound)
	ErrCompressionUnknown   = reasonKind("COMPRESSION_UNKNOWN", codes.Unimplemented)
	ErrCredentialsInvalid   = reasonKind("CREDENTIALS_INVALID", codes.Unauthenticated)
	ErrCredentialsMissing   = reasonKind("CREDENTIALS_MISSING", codes.Unauthenticated)
	ErrCursorAhead          = reasonKind("CURSOR_AHEAD", codes.OutOfRange)
	ErrCursorExpired        = reasonKind("CURSOR_EXPIRED", codes.OutOfRange)
	ErrDraining             = reasonKind("DRAINING", codes.Unavailable)
	ErrEmbeddingMismatch    = reasonKind("EMBEDDING_MISMATCH", codes.FailedPrecondition)
	ErrEmbeddingMissing     = reasonKind("EMBEDDING_MISSING", codes.FailedPrecondition)
	ErrEmbeddingUnavailable = reasonKind("EMBEDDING_UNAVAILABLE", codes.Unavailable)
	ErrFenced               = reasonKind("FENCED", codes.Aborted)
	ErrGenerationMismatch   = reasonKind("GENERATION_MISMATCH", codes.Aborted)
	ErrHostUnknown          = reasonKind("HOST_UNKNOWN", codes.PermissionDenied)
	ErrIdempotencyConflict  = reasonKind("IDEMPOTENCY_CONFLICT", codes.AlreadyExists)
	ErrInvalidField         = reasonKind("INVALID_FIELD", codes.InvalidArgument)
	ErrIsolationRequired    = reasonKind("ISOLATION_REQUIRED", codes.FailedPrecondition)
	ErrLogChanged           = reasonKind("LOG_CHANGED", codes.FailedPrecondition)
	ErrMalformedRequest     = reasonKind("MALFORMED_REQUEST", codes.InvalidArgument)
	ErrMemoryFull           = reasonKind("MEMORY_FULL", codes.ResourceExhausted)
	ErrMemoryNotFound       = reasonKind("MEMORY_NOT_FOUND", codes.NotFound)
	ErrMessageTooLarge      = reasonKind("MESSAGE_TOO_LARGE", codes.ResourceExhausted)
	ErrMetadataTooLarge     = reasonKind("METADATA_TOO_LARGE", codes.ResourceExhausted)
	ErrMethodUnknown        = reasonKind("METHOD_UNKNOWN", codes.Unimplemented)
	ErrModelNotFound        = reasonKind("MODEL_NOT_FOUND", codes.NotFound)
	ErrNotCaughtUp          = reasonKind("NOT_CAUGHT_UP", codes.Unavailable)
	ErrOptionNotFound       = reasonKind("OPTION_NOT_FOUND", codes.NotFound)
	ErrPrimarySession       = reasonKind("PRIMARY_SESSION", codes.FailedPrecondition)
	ErrQuestionNotFound     = reasonKind("QUESTION_NOT_FOUND", codes.NotFound)
	ErrQueueFull            = reasonKind("QUEUE_FULL", codes.ResourceExhausted)
	ErrRateLimited          = reasonKind("RATE_LIMITED", codes.ResourceExhausted)
	ErrResync               = reasonKind("RESYNC", codes.Unavailable)
	ErrRoutesChanged        = reasonKind("ROUTES_CHANGED", codes.Aborted)
	ErrScheduleNotFound     = reasonKind("SCHEDULE_NOT_FOUND", codes.NotFound)
	ErrScopeRequired        = reasonKind("SCOPE_REQUIRED", codes.PermissionDenied)
	ErrSecretUnreadable     = reasonKind("SECRET_UNREADABLE", codes.FailedPrecondition)
	ErrSessionBusy          = reasonKind("SESSION_BUSY", codes.FailedPrecondition)
	ErrSessionDeleted       = reasonKind("SESSION_DELETED", codes.NotFound)
	ErrSessionDeleting      = reasonKind("SESSION_DELETING", codes.Unavailable)
	ErrSessionExists        = reasonKind("SESSION_EXISTS", codes.AlreadyExists)
	ErrSessionNotFound      = reasonKind("SESSION_NOT_FOUND", codes.NotFound)
	ErrSessionNotYours      = reasonKind("SESSION_NOT_YOURS", codes.PermissionDenied)
	ErrStorageFull          = reasonKind("STORAGE_FULL", codes.ResourceExhausted)
	ErrStoreUnavailable     = reasonKind("STORE_UNAVAILABLE", codes.Unavailable)
	ErrTooManyBytes         = reasonKind("TOO_MANY_BYTES", codes.ResourceExhausted)
	ErrTooManyKeys          = reasonKind("TOO_MANY_KEYS", codes.ResourceExhausted)
	ErrTooManySessions      = reasonKind("TOO_MANY_SESSIONS", codes.ResourceExhausted)
	ErrTooManyStreams       = reasonKind("TOO_MANY_STREAMS", codes.ResourceExhausted)
	ErrTooManyWaits         = reasonKind("TOO_MANY_WAITS", codes.ResourceExhausted)
	ErrTurnMismatch         = reasonKind("TURN_MISMATCH", codes.FailedPrecondition)
	ErrTurnNotFound         = reasonKind("TURN_NOT_FOUND", codes.NotFound)
	ErrTurnNotQueued        = reasonKind("TURN_NOT_QUEUED", codes.FailedPrecondition)
	ErrUnsupportedByAgent   = reasonKind("UNSUPPORTED_BY_AGENT", codes.FailedPrecondition)
	ErrWebhookNotFound      = reasonKind("WEBHOOK_NOT_FOUND", codes.NotFound)
	ErrWorkerNotFound       = reasonKind("WORKER_NOT_FOUND", codes.NotFound)
)
