package quarterdeck

import (
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// identified gives a request that can carry a request_id, and has none, a new one. The request itself is the caller's and
// stays as it is, so that sending it twice means two calls; the copy shares its values.
func identified(request any) any {
	message, ok := request.(proto.Message)
	if !ok {
		return request
	}
	source := message.ProtoReflect()
	field := source.Descriptor().Fields().ByName("request_id")
	if field == nil || source.Get(field).String() != "" {
		return request
	}
	result := source.New()
	source.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		result.Set(field, value)
		return true
	})
	result.SetUnknown(source.GetUnknown())
	result.Set(field, protoreflect.ValueOfString(uuid.NewString()))
	return result.Interface()
}
