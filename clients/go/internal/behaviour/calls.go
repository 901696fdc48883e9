package main

import (
	"context"
	"fmt"
	"strings"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

// fields is the `ok` of an answer.
type fields = map[string]any

type client = quarterdeck.Client

func newDriver(write func(map[string]any)) *driver {
	return &driver{clients: map[string]*client{}, subscriptions: map[string]*subscription{}, write: write}
}

func (driver *driver) perform(ctx context.Context, request *request) (fields, error) {
	switch request.Op {
	case "connect":
		return fields{}, driver.connect(request)
	case "next", "read_slowly", "close", "cursor":
		driver.mutex.Lock()
		subscription, ok := driver.subscriptions[request.Subscription]
		driver.mutex.Unlock()
		if !ok {
			return nil, fmt.Errorf("no subscription is called %q", request.Subscription)
		}
		return subscription.perform(ctx, request)
	}
	driver.mutex.Lock()
	client, ok := driver.clients[request.Client]
	driver.mutex.Unlock()
	if !ok {
		return nil, fmt.Errorf("no client is called %q", request.Client)
	}
	switch request.Op {
	case "subscribe":
		driver.open(request.Subscription, subscribe(client, request))
		return fields{}, nil
	case "subscribe_many":
		driver.open(request.Subscription, subscribeMany(client, request))
		return fields{}, nil
	case "chat":
		return driver.chat(ctx, client, request)
	}
	call, ok := calls[request.Op]
	if !ok {
		return nil, fmt.Errorf("no op is called %q", request.Op)
	}
	return call(ctx, client, request)
}

func (driver *driver) connect(request *request) error {
	var options []quarterdeck.Option
	if request.Key != nil {
		options = append(options, quarterdeck.WithKey(*request.Key))
	}
	if request.CA != "" {
		options = append(options, quarterdeck.WithCAFile(request.CA))
	}
	client, err := quarterdeck.New(request.Address, options...)
	if err != nil {
		return err
	}
	driver.mutex.Lock()
	defer driver.mutex.Unlock()
	driver.clients[request.Client] = client
	return nil
}

func (driver *driver) chat(ctx context.Context, client *client, request *request) (fields, error) {
	var text strings.Builder
	pieces := 0
	handler := handler{client: client, answers: request.Answers, questions: []fields{}}
	answer := client.ChatWith(ctx, &quarterdeckv1.EnqueueRequest{
		SessionKey: request.SessionKey, Text: request.Text, RequestId: request.RequestID,
	}, quarterdeck.OnQuestion(handler.answer))
	for piece, err := range answer {
		if err != nil {
			return nil, err
		}
		driver.say(fields{"id": request.ID, "piece": piece})
		text.WriteString(piece)
		pieces++
	}
	return fields{"text": text.String(), "pieces": pieces, "questions": handler.questions}, nil
}

// calls are the ops that are one call.
var calls = map[string]func(context.Context, *client, *request) (fields, error){
	"ask": func(ctx context.Context, client *client, request *request) (fields, error) {
		output, err := quarterdeck.Ask[any](ctx, client, request.SessionKey, request.Text, request.OutputSchema)
		return fields{"output": output}, err
	},
	"who_am_i": func(ctx context.Context, client *client, _ *request) (fields, error) {
		response, err := client.WhoAmI(ctx, &quarterdeckv1.WhoAmIRequest{})
		return fields{"principal": response.GetPrincipal(), "scopes": list(response.GetScopes())}, err
	},
	"enqueue": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.Enqueue(ctx, &quarterdeckv1.EnqueueRequest{
			SessionKey: request.SessionKey, Text: request.Text, RequestId: request.RequestID,
			OnBusy: quarterdeckv1.OnBusy(quarterdeckv1.OnBusy_value["ON_BUSY_"+request.OnBusy]),
		})
		return fields{
			"turn_id": response.GetTurn().GetTurnId(), "seq": response.GetSeq(), "log_id": response.GetLogId(),
			"mode":           short(response.GetMode(), "ADMISSION_MODE_"),
			"queue_position": response.GetQueuePosition(), "replayed": response.GetReplayed(),
		}, err
	},
	"await_turn": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.AwaitTurn(ctx, &quarterdeckv1.AwaitTurnRequest{
			SessionKey: request.SessionKey, TurnId: request.TurnID, OrQuestion: request.OrQuestion,
		})
		turn := response.GetTurn()
		return fields{
			"state": short(turn.GetState(), "TURN_STATE_"), "response_text": turn.GetResponseText(),
			"stop_reason":  short(turn.GetStopReason(), "STOP_REASON_"),
			"error_reason": turn.GetError().GetReason(),
			"questions":    showAll(response.GetQuestions()),
		}, err
	},
	"list_models": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.ListModels(ctx, &quarterdeckv1.ListModelsRequest{SessionKey: request.SessionKey})
		models := []string{}
		for _, model := range response.GetModels() {
			models = append(models, model.GetProvider()+"/"+model.GetModelId())
		}
		current := ""
		if used := response.GetCurrent(); used != nil {
			current = used.GetProvider() + "/" + used.GetModelId()
		}
		return fields{"models": models, "current": current}, err
	},
	"set_model": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.SetModel(ctx, &quarterdeckv1.SetModelRequest{
			SessionKey: request.SessionKey, Provider: request.Provider, ModelId: request.ModelID,
			RequestId: request.RequestID,
		})
		return fields{"model": response.GetSession().GetModel(), "replayed": response.GetReplayed()}, err
	},
	"list_commands": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.ListCommands(ctx, &quarterdeckv1.ListCommandsRequest{SessionKey: request.SessionKey})
		names := []string{}
		for _, command := range response.GetCommands() {
			names = append(names, command.GetName())
		}
		return fields{"commands": names}, err
	},
	"execute_command": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.ExecuteCommand(ctx, &quarterdeckv1.ExecuteCommandRequest{
			SessionKey: request.SessionKey, Name: request.Name, Arguments: request.Arguments,
			RequestId: request.RequestID,
		})
		return fields{"turn_id": response.GetTurn().GetTurnId(), "replayed": response.GetReplayed()}, err
	},
	"list_files": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.ListFiles(ctx, &quarterdeckv1.ListFilesRequest{
			SessionKey: request.SessionKey, Path: request.Path,
		})
		names := []string{}
		for _, entry := range response.GetEntries() {
			names = append(names, entry.GetName())
		}
		return fields{"names": names}, err
	},
	"read_file": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.ReadFile(ctx, &quarterdeckv1.ReadFileRequest{
			SessionKey: request.SessionKey, Path: request.Path,
			Offset: request.Offset, Limit: int64(request.Limit),
		})
		return fields{"text": string(response.GetData()), "size": response.GetSize()}, err
	},
	"list_questions": func(ctx context.Context, client *client, request *request) (fields, error) {
		list := &quarterdeckv1.ListQuestionsRequest{SessionKey: request.SessionKey}
		for _, state := range request.States {
			value := quarterdeckv1.QuestionState_value["QUESTION_STATE_"+state]
			list.States = append(list.States, quarterdeckv1.QuestionState(value))
		}
		response, err := client.ListQuestions(ctx, list)
		return fields{"questions": showAll(response.GetQuestions())}, err
	},
	"get_question": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.GetQuestion(ctx, &quarterdeckv1.GetQuestionRequest{
			SessionKey: request.SessionKey, QuestionId: request.QuestionID,
		})
		return show(response.GetQuestion()), err
	},
	"answer_question": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.AnswerQuestion(ctx, &quarterdeckv1.AnswerQuestionRequest{
			SessionKey: request.SessionKey, QuestionId: request.QuestionID,
			Answer: &quarterdeckv1.Answer{
				OptionId: request.OptionID, ContentJson: request.ContentJSON, Declined: request.Declined,
			},
			ActionDigest: request.ActionDigest, RequestId: request.RequestID,
		})
		return fields{
			"state": short(response.GetQuestion().GetState(), "QUESTION_STATE_"), "replayed": response.GetReplayed(),
		}, err
	},
	"steer": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.Steer(ctx, &quarterdeckv1.SteerRequest{
			SessionKey: request.SessionKey, Text: request.Text,
		})
		return fields{
			"mode": short(response.GetMode(), "ADMISSION_MODE_"), "steer_id": response.GetSteerId(),
			"turn_id": response.GetTurn().GetTurnId(),
		}, err
	},
	"abort": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.Abort(ctx, &quarterdeckv1.AbortRequest{
			SessionKey: request.SessionKey, TurnId: request.TurnID, ClearQueue: request.ClearQueue,
		})
		state := ""
		if response.GetTurn() != nil {
			state = short(response.GetTurn().GetState(), "TURN_STATE_")
		}
		return fields{
			"aborted": response.GetAborted(), "state": state, "cleared": len(response.GetClearedTurnIds()),
		}, err
	},
	"reset": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.Reset(ctx, &quarterdeckv1.ResetRequest{SessionKey: request.SessionKey})
		return fields{
			"generation": response.GetSession().GetGeneration(), "rejected": len(response.GetRejectedTurnIds()),
		}, err
	},
	"list_queue": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.ListQueue(ctx, &quarterdeckv1.ListQueueRequest{SessionKey: request.SessionKey})
		ids := []string{}
		for _, turn := range response.GetTurns() {
			ids = append(ids, turn.GetTurnId())
		}
		return fields{"turn_ids": ids}, err
	},
	"run": func(ctx context.Context, client *client, request *request) (fields, error) {
		events := []fields{}
		enqueue := &quarterdeckv1.EnqueueRequest{SessionKey: request.SessionKey, Text: request.Text}
		handler := handler{client: client, answers: request.Answers, questions: []fields{}}
		run := client.Run(ctx, &quarterdeckv1.RunRequest{Enqueue: enqueue}, quarterdeck.OnQuestion(handler.answer))
		for event, err := range run {
			if err != nil {
				return nil, err
			}
			events = append(events, render(event))
		}
		return fields{"events": events, "questions": handler.questions}, nil
	},
	"remember": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.Remember(ctx, &quarterdeckv1.RememberRequest{
			Namespace: request.Namespace, Key: request.key(), Content: request.Content,
		})
		return fields{"id": response.GetMemory().GetId(), "version": response.GetMemory().GetVersion()}, err
	},
	"search_memory": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.SearchMemory(ctx, &quarterdeckv1.SearchMemoryRequest{
			Namespace: request.Namespace, Query: request.Query, Limit: request.Limit,
		})
		contents := []string{}
		for _, hit := range response.GetHits() {
			if memory := hit.GetMemory(); memory != nil {
				contents = append(contents, memory.GetContent())
			}
		}
		return fields{"contents": contents}, err
	},
	"forget": func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.Forget(ctx, &quarterdeckv1.ForgetRequest{
			Namespace: request.Namespace, Key: request.key(), Id: request.MemoryID, Hard: request.Hard,
		})
		return fields{"forgotten": response.GetForgotten()}, err
	},
}

// short is an enum value's name without the prefix of its type.
func short(value fmt.Stringer, prefix string) string {
	return strings.TrimPrefix(value.String(), prefix)
}

// list is never null.
func list(values []string) []string { return append([]string{}, values...) }
