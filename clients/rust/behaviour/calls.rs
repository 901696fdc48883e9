//! Calls with one answer.

use crate::{
    Request,
    answers::{Failure, question, questions, turn_state},
};
use quarterdeck::{
    client::Client,
    proto::{
        AbortRequest, AdmissionMode, Answer, AnswerQuestionRequest, AwaitTurnRequest,
        EnqueueRequest, ExecuteCommandRequest, ForgetRequest, GetQuestionRequest,
        ListCommandsRequest, ListFilesRequest, ListModelsRequest, ListQuestionsRequest,
        ListQueueRequest, OnBusy, QuestionState, ReadFileRequest, RememberRequest, ResetRequest,
        SearchMemoryRequest, SetModelRequest, SteerRequest, Turn, WhoAmIRequest,
        execute_command_response::Result as Ran, memory_hit::Found,
    },
};
use serde_json::{Value, json};

pub async fn call(client: &Client, request: &Request) -> Result<Value, Failure> {
    let session_key = request.text("session_key");
    Ok(match request.text("op").as_str() {
        "who_am_i" => {
            let answer = client.who_am_i(WhoAmIRequest {}).await?;
            json!({"principal": answer.principal, "scopes": answer.scopes})
        }
        "enqueue" => {
            let answer = client.enqueue(prompt(request)).await?;
            json!({
                "turn_id": answer.turn.as_ref().map(|turn| &turn.turn_id),
                "seq": answer.seq,
                "log_id": answer.log_id,
                "mode": mode(answer.mode()),
                "queue_position": answer.queue_position,
                "replayed": answer.replayed,
            })
        }
        "await_turn" => {
            let asked = AwaitTurnRequest {
                session_key,
                turn_id: request.text("turn_id"),
                wait: None,
                or_question: request.flag("or_question"),
            };
            let answer = client.await_turn(asked).await?;
            let turn = answer.turn.unwrap_or_default();
            let stop = turn.stop_reason().as_str_name();
            json!({
                "state": turn_state(turn.state()),
                "response_text": turn.response_text,
                "stop_reason": stop.trim_start_matches("STOP_REASON_"),
                "error_reason": turn.error.unwrap_or_default().reason,
                "questions": questions(&answer.questions),
            })
        }
        "steer" => {
            let asked = SteerRequest {
                session_key,
                text: request.text("text"),
                ..SteerRequest::default()
            };
            let answer = client.steer(asked).await?;
            json!({
                "mode": mode(answer.mode()),
                "steer_id": answer.steer_id,
                "turn_id": answer.turn.unwrap_or_default().turn_id,
            })
        }
        "abort" => {
            let asked = AbortRequest {
                session_key,
                turn_id: request.text("turn_id"),
                clear_queue: request.flag("clear_queue"),
                ..AbortRequest::default()
            };
            let answer = client.abort(asked).await?;
            let state = answer.turn.as_ref().map(|turn| turn_state(turn.state()));
            json!({
                "aborted": answer.aborted,
                "state": state.unwrap_or_default(),
                "cleared": answer.cleared_turn_ids.len(),
            })
        }
        "reset" => {
            let asked = ResetRequest {
                session_key,
                ..ResetRequest::default()
            };
            let answer = client.reset(asked).await?;
            json!({
                "generation": answer.session.unwrap_or_default().generation,
                "rejected": answer.rejected_turn_ids.len(),
            })
        }
        "list_queue" => {
            let answer = client.list_queue(ListQueueRequest { session_key }).await?;
            let ids: Vec<_> = answer.turns.into_iter().map(|turn| turn.turn_id).collect();
            json!({"turn_ids": ids})
        }
        "list_models" => {
            let asked = ListModelsRequest {
                session_key,
                ..ListModelsRequest::default()
            };
            let answer = client.list_models(asked).await?;
            let name = |provider: &str, model_id: &str| format!("{provider}/{model_id}");
            let models = answer.models.iter();
            let models: Vec<_> = models.map(|it| name(&it.provider, &it.model_id)).collect();
            let current = answer.current.map(|it| name(&it.provider, &it.model_id));
            json!({"models": models, "current": current.unwrap_or_default()})
        }
        "set_model" => {
            let asked = SetModelRequest {
                session_key,
                provider: request.text("provider"),
                model_id: request.text("model_id"),
                request_id: request.text("request_id"),
                ..SetModelRequest::default()
            };
            let answer = client.set_model(asked).await?;
            json!({"model": answer.session.unwrap_or_default().model, "replayed": answer.replayed})
        }
        "list_commands" => {
            let answer = client
                .list_commands(ListCommandsRequest { session_key })
                .await?;
            let names: Vec<_> = answer.commands.into_iter().map(|it| it.name).collect();
            json!({"commands": names})
        }
        "execute_command" => {
            let asked = ExecuteCommandRequest {
                session_key,
                name: request.text("name"),
                arguments: request.text("arguments"),
                request_id: request.text("request_id"),
                ..ExecuteCommandRequest::default()
            };
            let answer = client.execute_command(asked).await?;
            let turn = match answer.result {
                Some(Ran::Turn(turn)) => turn,
                Some(Ran::ResultJson(_)) | None => Turn::default(),
            };
            json!({"turn_id": turn.turn_id, "replayed": answer.replayed})
        }
        "list_files" => {
            let asked = ListFilesRequest {
                session_key,
                path: request.text("path"),
                ..ListFilesRequest::default()
            };
            let answer = client.list_files(asked).await?;
            let names: Vec<_> = answer.entries.into_iter().map(|it| it.name).collect();
            json!({"names": names})
        }
        "read_file" => {
            let number = |name: &str| request.number(name).unwrap_or_default();
            let asked = ReadFileRequest {
                session_key,
                path: request.text("path"),
                offset: number("offset"),
                limit: number("limit"),
            };
            let answer = client.read_file(asked).await?;
            json!({"text": String::from_utf8_lossy(&answer.data), "size": answer.size})
        }
        "list_questions" => {
            let states = request.fields["states"].as_array().into_iter().flatten();
            let states = states.filter_map(Value::as_str).map(|state| {
                let name = format!("QUESTION_STATE_{state}");
                QuestionState::from_str_name(&name).map_or(0, i32::from)
            });
            let asked = ListQuestionsRequest {
                session_key,
                states: states.collect(),
                ..ListQuestionsRequest::default()
            };
            json!({"questions": questions(&client.list_questions(asked).await?.questions)})
        }
        "get_question" => {
            let asked = GetQuestionRequest {
                session_key,
                question_id: request.text("question_id"),
            };
            let answer = client.get_question(asked).await?;
            question(&answer.question.unwrap_or_default())
        }
        "answer_question" => {
            let asked = AnswerQuestionRequest {
                session_key,
                question_id: request.text("question_id"),
                answer: Some(Answer {
                    option_id: request.text("option_id"),
                    content_json: request.text("content_json"),
                    declined: request.flag("declined"),
                    ..Answer::default()
                }),
                action_digest: request.text("action_digest"),
                request_id: request.text("request_id"),
            };
            let answer = client.answer_question(asked).await?;
            json!({
                "state": question(&answer.question.unwrap_or_default())["state"],
                "replayed": answer.replayed,
            })
        }
        "remember" | "search_memory" | "forget" => memory(client, request).await?,
        op => return Err(Failure::Protocol(format!("no such op: {op}"))),
    })
}

async fn memory(client: &Client, request: &Request) -> Result<Value, Failure> {
    let (namespace, key) = (request.text("namespace"), request.text("key"));
    Ok(match request.text("op").as_str() {
        "remember" => {
            let asked = RememberRequest {
                namespace,
                key,
                content: request.text("content"),
                ..RememberRequest::default()
            };
            let memory = client.remember(asked).await?.memory.unwrap_or_default();
            json!({"id": memory.id, "version": memory.version})
        }
        "search_memory" => {
            let limit = request.number("limit").unwrap_or_default();
            let asked = SearchMemoryRequest {
                namespace,
                query: request.text("query"),
                limit: i32::try_from(limit).unwrap_or_default(),
                ..SearchMemoryRequest::default()
            };
            let hits = client.search_memory(asked).await?.hits.into_iter();
            let contents: Vec<_> = hits
                .map(|hit| match hit.found {
                    Some(Found::Memory(memory)) => memory.content,
                    Some(Found::Episode(_)) | None => hit.snippet,
                })
                .collect();
            json!({"contents": contents})
        }
        _ => {
            let asked = ForgetRequest {
                namespace,
                key,
                id: request.text("memory_id"),
                hard: request.flag("hard"),
                ..ForgetRequest::default()
            };
            json!({"forgotten": client.forget(asked).await?.forgotten})
        }
    })
}

/// The prompt of a request.
pub fn prompt(request: &Request) -> EnqueueRequest {
    let on_busy = OnBusy::from_str_name(&format!("ON_BUSY_{}", request.text("on_busy")));
    EnqueueRequest {
        session_key: request.text("session_key"),
        text: request.text("text"),
        request_id: request.text("request_id"),
        on_busy: on_busy.unwrap_or_default().into(),
        ..EnqueueRequest::default()
    }
}

fn mode(mode: AdmissionMode) -> &'static str {
    mode.as_str_name().trim_start_matches("ADMISSION_MODE_")
}
