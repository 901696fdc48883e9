package main

import (
	"context"
	"iter"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

func init() {
	calls["all_sessions"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		all := client.AllSessions(ctx, &quarterdeckv1.ListSessionsRequest{PageSize: request.PageSize})
		keys, err := collect(all, request.AtMost, (*quarterdeckv1.SessionSnapshot).GetSessionKey)
		return fields{"session_keys": keys}, err
	}
	calls["all_turns"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		all := client.AllTurns(ctx, &quarterdeckv1.ListTurnsRequest{
			SessionKey: request.SessionKey, PageSize: request.PageSize,
		})
		ids, err := collect(all, request.AtMost, (*quarterdeckv1.Turn).GetTurnId)
		return fields{"turn_ids": ids}, err
	}
	calls["all_schedules"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		all := client.AllSchedules(ctx, &quarterdeckv1.ListSchedulesRequest{PageSize: request.PageSize})
		names, err := collect(all, request.AtMost, (*quarterdeckv1.Schedule).GetScheduleName)
		return fields{"schedule_names": names}, err
	}
	calls["all_schedule_runs"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		all := client.AllScheduleRuns(ctx, &quarterdeckv1.ListScheduleRunsRequest{
			ScheduleName: request.ScheduleName, PageSize: request.PageSize,
		})
		outcomes, err := collect(all, request.AtMost, func(run *quarterdeckv1.ScheduleRun) string {
			return quarterdeck.Name(run.GetTrigger()) + " " + quarterdeck.Name(run.GetOutcome())
		})
		return fields{"runs": outcomes}, err
	}
	calls["create_schedule"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.CreateSchedule(ctx, &quarterdeckv1.CreateScheduleRequest{
			Schedule: &quarterdeckv1.Schedule{
				ScheduleName: request.ScheduleName,
				Spec:         &quarterdeckv1.ScheduleSpec{When: &quarterdeckv1.ScheduleSpec_Cron{Cron: request.Cron}},
				Enqueue:      &quarterdeckv1.EnqueueRequest{SessionKey: request.SessionKey, Text: request.Text},
			},
			RequestId: request.RequestID,
		})
		return fields{"replayed": response.GetReplayed(), "owner": response.GetSchedule().GetOwner()}, err
	}
	calls["run_schedule_now"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.RunScheduleNow(ctx, &quarterdeckv1.RunScheduleNowRequest{ScheduleName: request.ScheduleName})
		return fields{"session_key": response.GetRun().GetSessionKey(), "turn_id": response.GetRun().GetTurnId()}, err
	}
	calls["create_webhook"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		response, err := client.CreateWebhook(ctx, &quarterdeckv1.CreateWebhookRequest{
			Webhook: &quarterdeckv1.Webhook{Url: request.URL}, RequestId: request.RequestID,
		})
		return fields{
			"webhook_id": response.GetWebhook().GetWebhookId(), "secret": response.GetSecret(), "replayed": response.GetReplayed(),
		}, err
	}
	calls["all_webhooks"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		all := client.AllWebhooks(ctx, &quarterdeckv1.ListWebhooksRequest{PageSize: request.PageSize})
		urls, err := collect(all, request.AtMost, (*quarterdeckv1.Webhook).GetUrl)
		return fields{"urls": urls}, err
	}
	calls["delete_webhook"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		_, err := client.DeleteWebhook(ctx, &quarterdeckv1.DeleteWebhookRequest{WebhookId: request.WebhookID})
		return fields{}, err
	}
	calls["all_artifacts"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		all := client.AllArtifacts(ctx, &quarterdeckv1.ListArtifactsRequest{
			SessionKey: request.SessionKey, PageSize: request.PageSize,
		})
		names, err := collect(all, request.AtMost, func(artifact *quarterdeckv1.Artifact) string {
			return artifact.GetAttachment().GetName()
		})
		return fields{"names": names}, err
	}
	calls["delete_schedule"] = func(ctx context.Context, client *client, request *request) (fields, error) {
		_, err := client.DeleteSchedule(ctx, &quarterdeckv1.DeleteScheduleRequest{ScheduleName: request.ScheduleName})
		return fields{}, err
	}
}

// collect is what an iterator gives, or its first atMost (0: all).
func collect[Item any](all iter.Seq2[Item, error], atMost int, text func(Item) string) ([]string, error) {
	found := []string{}
	for item, err := range all {
		if err != nil {
			return found, err
		}
		found = append(found, text(item))
		if len(found) == atMost {
			break
		}
	}
	return found, nil
}
