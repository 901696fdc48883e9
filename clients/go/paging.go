package quarterdeck

import (
	"context"
	"iter"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// The iterators named All… give what a List call gives, page after page, each page asked for when the loop comes to it.
// The request's page size is how much is fetched at once, and its page token where to begin. An error is the last thing
// that the loop sees.

// pages is the iterator over a paged call.
func pages[Request proto.Message, Response, Item any](
	ctx context.Context, request Request,
	call func(context.Context, Request, ...grpc.CallOption) (Response, error),
	items func(Response) ([]Item, string),
	turn func(Request, string),
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		request := clone(request)
		for {
			response, err := call(ctx, request)
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			page, next := items(response)
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			turn(request, next)
		}
	}
}

// AllSessions gives all sessions, newest first, as [Client.ListSessions] does page by page.
func (client *Client) AllSessions(ctx context.Context, request *quarterdeckv1.ListSessionsRequest) iter.Seq2[*Session, error] {
	return pages(ctx, request, client.ListSessions,
		func(response *quarterdeckv1.ListSessionsResponse) ([]*Session, string) {
			return response.GetSessions(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListSessionsRequest, token string) { request.PageToken = token })
}

// AllTurns gives all turns, newest first, as [Client.ListTurns] does page by page.
func (client *Client) AllTurns(ctx context.Context, request *quarterdeckv1.ListTurnsRequest) iter.Seq2[*Turn, error] {
	return pages(ctx, request, client.ListTurns,
		func(response *quarterdeckv1.ListTurnsResponse) ([]*Turn, string) {
			return response.GetTurns(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListTurnsRequest, token string) { request.PageToken = token })
}

// AllMessages gives all messages of a session, newest page first, as [Client.ListMessages] does page by page.
func (client *Client) AllMessages(ctx context.Context, request *quarterdeckv1.ListMessagesRequest) iter.Seq2[*quarterdeckv1.Message, error] {
	return pages(ctx, request, client.ListMessages,
		func(response *quarterdeckv1.ListMessagesResponse) ([]*quarterdeckv1.Message, string) {
			return response.GetMessages(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListMessagesRequest, token string) { request.PageToken = token })
}

// AllQuestions gives all questions of agents, as [Client.ListQuestions] does page by page.
func (client *Client) AllQuestions(ctx context.Context, request *quarterdeckv1.ListQuestionsRequest) iter.Seq2[*Question, error] {
	return pages(ctx, request, client.ListQuestions,
		func(response *quarterdeckv1.ListQuestionsResponse) ([]*Question, string) {
			return response.GetQuestions(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListQuestionsRequest, token string) { request.PageToken = token })
}

// AllFiles gives all what is in a directory of a session's workspace, as [Client.ListFiles] does page by page.
func (client *Client) AllFiles(ctx context.Context, request *quarterdeckv1.ListFilesRequest) iter.Seq2[*quarterdeckv1.FileEntry, error] {
	return pages(ctx, request, client.ListFiles,
		func(response *quarterdeckv1.ListFilesResponse) ([]*quarterdeckv1.FileEntry, string) {
			return response.GetEntries(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListFilesRequest, token string) { request.PageToken = token })
}

// AllArtifacts gives all that a session's agent made, the oldest first, as [Client.ListArtifacts] does page by page.
func (client *Client) AllArtifacts(ctx context.Context, request *quarterdeckv1.ListArtifactsRequest) iter.Seq2[*quarterdeckv1.Artifact, error] {
	return pages(ctx, request, client.ListArtifacts,
		func(response *quarterdeckv1.ListArtifactsResponse) ([]*quarterdeckv1.Artifact, string) {
			return response.GetArtifacts(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListArtifactsRequest, token string) { request.PageToken = token })
}

// AllMemories gives all what is remembered, as [Client.ListMemories] does page by page.
func (client *Client) AllMemories(ctx context.Context, request *quarterdeckv1.ListMemoriesRequest) iter.Seq2[*quarterdeckv1.MemoryItem, error] {
	return pages(ctx, request, client.ListMemories,
		func(response *quarterdeckv1.ListMemoriesResponse) ([]*quarterdeckv1.MemoryItem, string) {
			return response.GetMemories(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListMemoriesRequest, token string) { request.PageToken = token })
}

// AllSchedules gives all schedules, as [Client.ListSchedules] does page by page.
func (client *Client) AllSchedules(ctx context.Context, request *quarterdeckv1.ListSchedulesRequest) iter.Seq2[*quarterdeckv1.Schedule, error] {
	return pages(ctx, request, client.ListSchedules,
		func(response *quarterdeckv1.ListSchedulesResponse) ([]*quarterdeckv1.Schedule, string) {
			return response.GetSchedules(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListSchedulesRequest, token string) { request.PageToken = token })
}

// AllScheduleRuns gives all runs of a schedule, newest first, as [Client.ListScheduleRuns] does page by page.
func (client *Client) AllScheduleRuns(ctx context.Context, request *quarterdeckv1.ListScheduleRunsRequest) iter.Seq2[*quarterdeckv1.ScheduleRun, error] {
	return pages(ctx, request, client.ListScheduleRuns,
		func(response *quarterdeckv1.ListScheduleRunsResponse) ([]*quarterdeckv1.ScheduleRun, string) {
			return response.GetRuns(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListScheduleRunsRequest, token string) { request.PageToken = token })
}

// AllWebhooks gives all one's own webhooks, the oldest first, as [Client.ListWebhooks] does page by page.
func (client *Client) AllWebhooks(ctx context.Context, request *quarterdeckv1.ListWebhooksRequest) iter.Seq2[*quarterdeckv1.Webhook, error] {
	return pages(ctx, request, client.ListWebhooks,
		func(response *quarterdeckv1.ListWebhooksResponse) ([]*quarterdeckv1.Webhook, string) {
			return response.GetWebhooks(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListWebhooksRequest, token string) { request.PageToken = token })
}

// AllApiKeys gives all API keys, newest first, as [Client.ListApiKeys] does page by page.
func (client *Client) AllApiKeys(ctx context.Context, request *quarterdeckv1.ListApiKeysRequest) iter.Seq2[*quarterdeckv1.ApiKey, error] {
	return pages(ctx, request, client.ListApiKeys,
		func(response *quarterdeckv1.ListApiKeysResponse) ([]*quarterdeckv1.ApiKey, string) {
			return response.GetApiKeys(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListApiKeysRequest, token string) { request.PageToken = token })
}

// AllBudgets gives all budgets, as [Client.ListBudgets] does page by page.
func (client *Client) AllBudgets(ctx context.Context, request *quarterdeckv1.ListBudgetsRequest) iter.Seq2[*quarterdeckv1.Budget, error] {
	return pages(ctx, request, client.ListBudgets,
		func(response *quarterdeckv1.ListBudgetsResponse) ([]*quarterdeckv1.Budget, string) {
			return response.GetBudgets(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListBudgetsRequest, token string) { request.PageToken = token })
}

// AllChannels gives all open streams, as [Client.ListChannels] does page by page.
func (client *Client) AllChannels(ctx context.Context, request *quarterdeckv1.ListChannelsRequest) iter.Seq2[*quarterdeckv1.Channel, error] {
	return pages(ctx, request, client.ListChannels,
		func(response *quarterdeckv1.ListChannelsResponse) ([]*quarterdeckv1.Channel, string) {
			return response.GetChannels(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.ListChannelsRequest, token string) { request.PageToken = token })
}

// AllUsage gives all rows of usage, as [Client.GetUsage] does page by page.
func (client *Client) AllUsage(ctx context.Context, request *quarterdeckv1.GetUsageRequest) iter.Seq2[*quarterdeckv1.UsageRow, error] {
	return pages(ctx, request, client.GetUsage,
		func(response *quarterdeckv1.GetUsageResponse) ([]*quarterdeckv1.UsageRow, string) {
			return response.GetRows(), response.GetNextPageToken()
		},
		func(request *quarterdeckv1.GetUsageRequest, token string) { request.PageToken = token })
}
