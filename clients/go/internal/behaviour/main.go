// Behaviour is the driver of clients/behaviour/README.md: the package's public interface as JSON lines on standard input
// and output.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"
	"sync"
	"time"
)

// Longest request line, in bytes.
const lineMaxBytes = 64 << 20

func main() {
	driver := newDriver(func(answer map[string]any) { os.Stdout.Write(line(answer)) })
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineMaxBytes)
	for lines.Scan() {
		var request request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			log.Fatalf("a request that is no JSON: %v", err)
		}
		go driver.handle(&request)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func line(answer map[string]any) []byte {
	text, err := json.Marshal(answer)
	if err != nil {
		log.Fatalf("an answer that is no JSON: %v", err)
	}
	return append(text, '\n')
}

// request has the fields of all ops.
type request struct {
	ID           json.Number `json:"id"`
	Op           string      `json:"op"`
	Client       string      `json:"client"`
	DeadlineMS   int64       `json:"deadline_ms"`
	Address      string      `json:"address"`
	Key          *string     `json:"key"`
	CA           string      `json:"ca"`
	SessionKey   string      `json:"session_key"`
	SessionKeys  []string    `json:"session_keys"`
	Text         string      `json:"text"`
	OutputSchema any         `json:"output_schema"`
	RequestID    string      `json:"request_id"`
	OnBusy       string      `json:"on_busy"`
	TurnID       string      `json:"turn_id"`
	OrQuestion   bool        `json:"or_question"`
	QuestionID   string      `json:"question_id"`
	Name         string      `json:"name"`
	Arguments    string      `json:"arguments"`
	Path         string      `json:"path"`
	Offset       int64       `json:"offset"`
	Provider     string      `json:"provider"`
	ModelID      string      `json:"model_id"`
	OptionID     string      `json:"option_id"`
	ContentJSON  string      `json:"content_json"`
	Declined     bool        `json:"declined"`
	ActionDigest string      `json:"action_digest"`
	States       []string    `json:"states"`
	// What the handler of `chat` and `run` does, by the kind of question: a word, or an object.
	Answers      map[string]any `json:"answers"`
	ClearQueue   bool           `json:"clear_queue"`
	Subscription string         `json:"subscription"`
	AfterSeq     *int64         `json:"after_seq"`
	LogID        string         `json:"log_id"`
	FromOldest   bool           `json:"from_oldest"`
	Until        string         `json:"until"`
	Times        int            `json:"times"`
	PauseMS      int64          `json:"pause_ms"`
	Content      string         `json:"content"`
	Namespace    string         `json:"namespace"`
	Query        string         `json:"query"`
	Limit        int32          `json:"limit"`
	MemoryID     string         `json:"memory_id"`
	Hard         bool           `json:"hard"`
	PageSize     int32          `json:"page_size"`
	AtMost       int            `json:"at_most"`
	ScheduleName string         `json:"schedule_name"`
	Cron         string         `json:"cron"`
	URL          string         `json:"url"`
	WebhookID    string         `json:"webhook_id"`
}

// key is what `key` says: of a memory, or to call with.
func (request *request) key() string {
	if request.Key == nil {
		return ""
	}
	return *request.Key
}

func (request *request) context() (context.Context, context.CancelFunc) {
	if request.DeadlineMS == 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(request.DeadlineMS)*time.Millisecond)
}

// driver holds what requests name.
type driver struct {
	mutex         sync.Mutex
	clients       map[string]*client
	subscriptions map[string]*subscription
	write         func(map[string]any)
}

// handle answers one request.
func (driver *driver) handle(request *request) {
	ctx, cancel := request.context()
	defer cancel()
	result, err := driver.perform(ctx, request)
	answer := map[string]any{"id": request.ID}
	if err == nil {
		answer["ok"] = result
	} else {
		answer["error"] = describe(err)
		if events, ok := result["events"]; ok {
			answer["events"] = events
		}
	}
	driver.say(answer)
}

func (driver *driver) say(answer map[string]any) {
	driver.mutex.Lock()
	defer driver.mutex.Unlock()
	driver.write(answer)
}
