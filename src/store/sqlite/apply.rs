//! What decisions write, as statements. Rows and SQL only: nothing is decided here.

use super::{
    artifacts, attachments, budgets,
    fault::{Answer, Fault},
    offers, routes, rows, sums,
};
use crate::{
    domain::{EventKind, budget::Grant, ids::Time, session::Session, turn::Turn},
    store::core::{
        draft::micros,
        snapshot::{KEPT_TEXT_MAX_BYTES, Snapshot, WaitingSteer, WaitingTurn},
        usage::Held,
        write_set::{
            BlockWrite, MessageRow, QuestionWrite, RequestRow, SessionWrite, SteerWrite,
            TurnEndRow, TurnExtras, TurnWrite,
        },
    },
};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// `content_index` of the row that stands for an open item itself.
const ITEM: i32 = -1;

/// Writes what becomes of a session. `staged` has the contents of its attachments whose bytes are written already.
pub(super) fn session(
    connection: &Connection,
    write: &SessionWrite,
    life: i64,
    staged: &BTreeMap<String, i64>,
) -> Answer<()> {
    let SessionWrite {
        after,
        is_new,
        settings,
        shared_before,
        claimed,
        postponed,
        held: Held { sessions, .. },
        turns,
        events,
        messages,
        steers,
        blocks,
        questions,
        offers: told,
        usage,
        budgets: counted,
        client_tools,
        attachments: brought,
        kept,
        ended: _,
    } = write;
    let row = after.session.row.0;
    let wake = if *postponed { None } else { after.wake() };
    if *is_new {
        insert_session(connection, after, wake)?;
    } else {
        update_session(connection, after, wake)?;
    }
    if *settings {
        update_settings(connection, &after.session)?;
    }
    if let Some(tools) = client_tools {
        connection
            .prepare_cached("UPDATE session SET client_tools = ?2 WHERE row = ?1")?
            .execute((row, tools))?;
    }
    if *claimed {
        connection
            .prepare_cached("UPDATE session SET epoch = ?2, owner_life = ?3 WHERE row = ?1")?
            .execute((row, after.session.epoch, life))?;
    }
    if *sessions != 0 {
        connection
            .prepare_cached("UPDATE meta SET value = value + ?1 WHERE name = 'sessions'")?
            .execute([sessions])?;
    }
    if let Some(before) = shared_before {
        share(connection, &after.session, before)?;
    }
    for attachment in brought {
        attachments::keep(connection, row, attachment, staged)?;
    }
    for write in turns {
        turn(connection, row, write)?;
    }
    for (event, time) in events {
        connection
            .prepare_cached(
                "INSERT INTO event (session, seq, epoch, kind, turn_id, item_id, time, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                row,
                event.seq,
                event.epoch,
                event.kind.0,
                event.turn_id,
                event.item_id,
                time.0,
                &event.body[..],
            ])?;
        if event.kind == EventKind::PLAN_UPDATED {
            connection
                .prepare_cached(
                    "INSERT INTO plan (session, generation, seq, body) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (session) DO UPDATE SET generation = ?2, seq = ?3, body = ?4",
                )?
                .execute(params![
                    row,
                    after.session.generation,
                    event.seq,
                    &event.body[..]
                ])?;
        }
        if event.kind == EventKind::ARTIFACT_CREATED {
            artifacts::keep(
                connection,
                after.session.row,
                after.session.generation,
                event,
            )?;
        }
    }
    for one in messages {
        message(connection, row, one)?;
    }
    for write in steers {
        steer(connection, row, write)?;
    }
    for write in blocks {
        block(connection, row, write)?;
    }
    for write in questions {
        question(connection, &after.session, write)?;
    }
    if let Some(told) = told {
        offers::keep(connection, &after.session, told)?;
    }
    for row in usage {
        sums::add(connection, &after.session, row)?;
    }
    for budget in counted {
        budgets::count(connection, budget)?;
    }
    for (id, until) in kept {
        keep_request(connection, *id, *until)?;
    }
    Ok(())
}

/// Keeps a request that was done.
pub(super) fn request(connection: &Connection, request: &RequestRow) -> Answer<()> {
    let RequestRow {
        id,
        digest,
        hash,
        session,
        session_uid,
        receipt,
        keep_until,
    } = request;
    let receipt = serde_json::to_string(receipt)
        .map_err(|error| Fault::Broken(format!("receipt: {error}")))?;
    connection
        .prepare_cached(
            "INSERT INTO request (id, key, hash, session, session_uid, receipt, keep_until) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            id,
            digest,
            hash,
            session.0,
            session_uid,
            receipt,
            keep_until.map(|time| time.0),
        ])?;
    Ok(())
}

fn keep_request(connection: &Connection, id: i64, until: Time) -> Answer<()> {
    connection
        .prepare_cached("UPDATE request SET keep_until = ?2 WHERE id = ?1")?
        .execute((id, until.0))?;
    Ok(())
}

// === session ===

fn insert_session(connection: &Connection, after: &Snapshot, wake: Option<i64>) -> Answer<()> {
    let session = &after.session;
    let usage = session.usage;
    connection
        .prepare_cached(
            "INSERT INTO session (row, tenant, key, uid, owner, is_primary, cwd, create_time, session_id, generation, \
             display_name, agent, next_agent, model, thinking_level, labels, expire_after_idle, state, active_turn, \
             active_row, queue_depth, queue_bytes, message_count, user_message_count, last_message_preview, \
             input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, model_calls, head, \
             first_seq, epoch, update_time, last_active_time, pending_reset, owner_life, memory_namespaces, wake, \
             idle_deadline, stored_bytes, shares, no_approver, question_ttl, pending_questions, \
             tool_policy, options, used_model, used_thinking_level, offers_digest, unpriced_calls, reasoning_tokens, \
             context_tokens, context_window, routing) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, 0, ?38, ?39, ?40, ?41, ?42, \
             ?43, ?44, ?45, ?46, ?47, '', '', 0, ?48, ?49, ?50, ?51, ?52)",
        )?
        .execute(params![
            session.row.0,
            session.tenant,
            session.key.as_str(),
            session.uid,
            session.owner,
            session.primary,
            session.cwd,
            session.create_time.0,
            session.session_id,
            session.generation,
            session.display_name,
            session.agent,
            session.next_agent,
            session.model,
            session.thinking_level,
            rows::map_text(&session.labels),
            session.expire_after_idle,
            session.state as i64,
            session.active_turn,
            active_row(after),
            session.queue_depth,
            session.queue_bytes,
            session.message_count,
            session.user_message_count,
            session.last_message_preview,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cost_micros,
            usage.model_calls,
            session.head,
            session.first_seq,
            session.epoch,
            session.update_time.0,
            session.last_active_time.0,
            after.hidden.pending_reset,
            rows::reach_text(&session.memory_namespaces),
            wake,
            idle_deadline(after),
            after.hidden.stored_bytes,
            rows::shares_text(&session.shares),
            session.no_approver.map(|it| it as i64),
            session.question_ttl,
            session.pending_questions,
            rows::tool_policy_text(&session.tool_policy),
            rows::map_text(&session.options),
            usage.unpriced_calls,
            usage.reasoning_tokens,
            session.context.tokens,
            session.context.window,
            routes::routing_text(&session.routing),
        ])?;
    Ok(())
}

fn update_session(connection: &Connection, after: &Snapshot, wake: Option<i64>) -> Answer<()> {
    let session = &after.session;
    let usage = session.usage;
    connection
        .prepare_cached(
            "UPDATE session SET state = ?2, active_turn = ?3, active_row = ?4, queue_depth = ?5, queue_bytes = ?6, \
             message_count = ?7, user_message_count = ?8, last_message_preview = ?9, input_tokens = ?10, \
             output_tokens = ?11, cache_read_tokens = ?12, cache_write_tokens = ?13, cost_micros = ?14, \
             model_calls = ?15, head = ?16, first_seq = ?17, epoch = ?18, update_time = ?19, \
             last_active_time = ?20, pending_reset = ?21, wake = ?22, idle_deadline = ?23, stored_bytes = ?24, \
             pending_questions = ?25, unpriced_calls = ?26, reasoning_tokens = ?27, context_tokens = ?28, \
             context_window = ?29, budget_wait = ?30, worker_wait = ?31 \
             WHERE row = ?1",
        )?
        .execute(params![
            session.row.0,
            session.state as i64,
            session.active_turn,
            active_row(after),
            session.queue_depth,
            session.queue_bytes,
            session.message_count,
            session.user_message_count,
            session.last_message_preview,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cost_micros,
            usage.model_calls,
            session.head,
            session.first_seq,
            session.epoch,
            session.update_time.0,
            session.last_active_time.0,
            after.hidden.pending_reset,
            wake,
            idle_deadline(after),
            after.hidden.stored_bytes,
            session.pending_questions,
            usage.unpriced_calls,
            usage.reasoning_tokens,
            session.context.tokens,
            session.context.window,
            session.budget_wait,
            session.worker_wait,
        ])?;
    Ok(())
}

fn active_row(after: &Snapshot) -> Option<i64> {
    after.active.as_ref().map(|active| active.turn.row)
}

/// A session that still waits for a turn's time is not idle.
fn idle_deadline(after: &Snapshot) -> Option<i64> {
    let session = &after.session;
    let idle = session.expire_after_idle;
    let idle = idle.filter(|_| !session.primary && after.scheduled.is_empty())?;
    Some(session.last_active_time.plus_micros(idle).0)
}

fn update_settings(connection: &Connection, session: &Session) -> Answer<()> {
    connection
        .prepare_cached(
            "UPDATE session SET session_id = ?2, generation = ?3, display_name = ?4, agent = ?5, next_agent = ?6, \
             model = ?7, thinking_level = ?8, labels = ?9, expire_after_idle = ?10, memory_namespaces = ?11, \
             cwd = ?12, no_approver = ?13, question_ttl = ?14, tool_policy = ?15, options = ?16, used_model = ?17, \
             used_thinking_level = ?18, offers_digest = ?19, routing = ?20 WHERE row = ?1",
        )?
        .execute(params![
            session.row.0,
            session.session_id,
            session.generation,
            session.display_name,
            session.agent,
            session.next_agent,
            session.model,
            session.thinking_level,
            rows::map_text(&session.labels),
            session.expire_after_idle,
            rows::reach_text(&session.memory_namespaces),
            session.cwd,
            session.no_approver.map(|it| it as i64),
            session.question_ttl,
            rows::tool_policy_text(&session.tool_policy),
            rows::map_text(&session.options),
            session.used_model,
            session.used_thinking_level,
            session.offers_digest,
            routes::routing_text(&session.routing),
        ])?;
    Ok(())
}

fn share(
    connection: &Connection,
    session: &Session,
    before: &crate::domain::access::Shares,
) -> Answer<()> {
    let Session {
        row,
        tenant,
        shares,
        ..
    } = session;
    for subject in before.keys() {
        connection
            .prepare_cached(
                "DELETE FROM share WHERE tenant = ?1 AND subject = ?2 AND session = ?3",
            )?
            .execute((tenant, subject, row.0))?;
    }
    for subject in shares.keys() {
        connection
            .prepare_cached("INSERT INTO share (tenant, subject, session) VALUES (?1, ?2, ?3)")?
            .execute((tenant, subject, row.0))?;
    }
    connection
        .prepare_cached("UPDATE session SET shares = ?2 WHERE row = ?1")?
        .execute((row.0, rows::shares_text(shares)))?;
    Ok(())
}

// === turns ===

fn turn(connection: &Connection, session: i64, write: &TurnWrite) -> Answer<()> {
    let sql = |text: &str| connection.prepare_cached(text);
    match write {
        TurnWrite::New {
            turn,
            queued_seq,
            extras,
        } => new_turn(connection, session, turn, *queued_seq, extras)?,
        TurnWrite::Position { row, position } => {
            sql("UPDATE turn SET position = ?2 WHERE row = ?1")?.execute((row, position))?;
        }
        TurnWrite::Text {
            row,
            text,
            command,
            bytes,
            sender,
        } => {
            sql(
                "UPDATE turn SET text = ?2, bytes = ?3, sender = ?4, sender_key = ?5, sender_operator = ?6, \
                 sender_memory = ?7, command = ?8 WHERE row = ?1",
            )?
            .execute(params![
                row,
                inline(text),
                bytes,
                sender.subject,
                sender.key_id,
                sender.operator,
                sender.memory,
                command,
            ])?;
            sql("DELETE FROM turn_text WHERE turn = ?1")?.execute([row])?;
            keep_apart(connection, *row, text)?;
        }
        TurnWrite::Start {
            row,
            attempt,
            time,
            agent,
            agent_revision,
            model,
            thinking_level,
            routing,
        } => {
            sql(
                "UPDATE turn SET state = 2, attempt = ?2, start_time = ?3, agent = ?4, agent_revision = ?5, model = ?6, \
                 thinking_level = ?7, routing = ?8, grant_micros = NULL, grant_tokens = NULL WHERE row = ?1",
            )?
            .execute((
                row,
                attempt,
                time.0,
                agent,
                agent_revision,
                model,
                thinking_level,
                routes::routing_text(routing),
            ))?;
        }
        TurnWrite::NoMemory { row } => {
            sql("UPDATE turn SET sender_memory = 0 WHERE row = ?1")?.execute([row])?;
        }
        TurnWrite::Usage { row, usage, model } => {
            sql(
                "UPDATE turn SET input_tokens = input_tokens + ?2, output_tokens = output_tokens + ?3, \
                 cache_read_tokens = cache_read_tokens + ?4, cache_write_tokens = cache_write_tokens + ?5, \
                 cost_micros = cost_micros + ?6, model_calls = model_calls + ?7, \
                 unpriced_calls = unpriced_calls + ?9, reasoning_tokens = reasoning_tokens + ?10, \
                 model = CASE ?8 WHEN '' THEN model ELSE ?8 END WHERE row = ?1",
            )?
            .execute(params![
                row,
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_tokens,
                usage.cache_write_tokens,
                usage.cost_micros,
                usage.model_calls,
                model,
                usage.unpriced_calls,
                usage.reasoning_tokens,
            ])?;
        }
        TurnWrite::Cancel {
            row,
            cancel,
            clears,
        } => {
            sql(
                "UPDATE turn SET state = 4, cancel_cause = ?2, cancel_mode = ?3, cancel_kill_time = ?4, \
                 cancel_clears = max(cancel_clears, ?5) WHERE row = ?1",
            )?
            .execute((
                row,
                cancel.cause.as_str(),
                cancel.mode as i64,
                cancel.kill_time.0,
                clears,
            ))?;
        }
        TurnWrite::Requeue { row, position } => {
            sql("UPDATE turn SET state = 1, position = ?2, goes_first = 1, expire_time = NULL WHERE row = ?1")?
                .execute((row, position))?;
        }
        TurnWrite::Due {
            row,
            queued_seq,
            expire_time,
        } => {
            // Its place in the queue is written with all others.
            sql("UPDATE turn SET state = 1, queued_seq = ?2, expire_time = ?3 WHERE row = ?1")?
                .execute((row, queued_seq, expire_time.map(|time| time.0)))?;
        }
        TurnWrite::Grant { row, grant } => {
            let Grant {
                until_micros,
                until_tokens,
            } = grant;
            sql("UPDATE turn SET grant_micros = ?2, grant_tokens = ?3 WHERE row = ?1")?
                .execute((row, until_micros, until_tokens))?;
        }
        TurnWrite::State { row, state } => {
            sql("UPDATE turn SET state = ?2 WHERE row = ?1")?
                .execute((row, rows::turn_state_number(*state)))?;
        }
        TurnWrite::End(end) => end_turn(connection, end)?,
    }
    Ok(())
}

fn new_turn(
    connection: &Connection,
    session: i64,
    waiting: &WaitingTurn,
    queued_seq: i64,
    extras: &TurnExtras,
) -> Answer<()> {
    let WaitingTurn {
        turn,
        text_left: _,
        position,
        goes_first,
        bytes,
        origin,
    } = waiting;
    let Turn {
        row,
        turn_id,
        generation,
        agent,
        model,
        create_time,
        source,
        metadata,
        attachments,
        on_interrupt,
        turn_timeout,
        state,
        expire_time,
        text,
        command,
        not_before,
        ..
    } = turn;
    connection
        .prepare_cached(
            "INSERT INTO turn (row, session, turn_id, generation, state, position, goes_first, queued_seq, bytes, \
             request, attempt, agent, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
             cost_micros, model_calls, create_time, source, metadata, attachments, on_interrupt, turn_timeout, \
             expire_time, cancel_clears, text, response_text, sender, sender_key, sender_operator, trace_context, \
             sender_memory, command, output_schema, client_tools, not_before, labels) VALUES (?1, ?2, ?3, ?4, ?28, ?5, ?6, ?7, ?8, ?9, 0, \
             ?10, ?11, 0, 0, 0, 0, 0, 0, ?12, ?13, ?14, ?15, ?16, ?17, ?18, 0, ?19, '', ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, \
             ?29, ?30)",
        )?
        .execute(params![
            row,
            session,
            turn_id,
            generation,
            position,
            goes_first,
            queued_seq,
            bytes,
            origin.request,
            agent,
            model,
            create_time.0,
            source,
            rows::map_text(metadata),
            rows::refs_text(attachments),
            on_interrupt.map(|o| o as i64),
            micros(*turn_timeout),
            expire_time.map(|t| t.0),
            inline(text),
            origin.sender.subject,
            origin.sender.key_id,
            origin.sender.operator,
            origin.trace_context,
            origin.sender.memory,
            command,
            extras.output_schema,
            extras.client_tools,
            rows::turn_state_number(*state),
            not_before.map(|time| time.0),
            rows::map_text(&origin.labels),
        ])?;
    keep_apart(connection, *row, text)
}

/// What of a prompt stands in its turn's row: all of it, or nothing.
fn inline(text: &str) -> &str {
    if text.len() > KEPT_TEXT_MAX_BYTES {
        ""
    } else {
        text
    }
}

/// Stores a prompt that does not stand in its turn's row.
fn keep_apart(connection: &Connection, row: i64, text: &str) -> Answer<()> {
    if text.len() > KEPT_TEXT_MAX_BYTES {
        connection
            .prepare_cached("INSERT INTO turn_text (turn, text) VALUES (?1, ?2)")?
            .execute((row, text))?;
    }
    Ok(())
}

fn end_turn(connection: &Connection, end: &TurnEndRow) -> Answer<()> {
    let TurnEndRow {
        row,
        state,
        stop_reason,
        error,
        time,
        end_seq,
        response_text,
        output_json,
    } = end;
    connection
        .prepare_cached(
            "UPDATE turn SET state = ?2, stop_reason = ?3, error_cause = ?4, error_message = ?5, end_time = ?6, \
             end_seq = ?7, response_text = ?8, output_json = ?9, cancel_cause = NULL, cancel_mode = NULL, cancel_kill_time = NULL \
             WHERE row = ?1",
        )?
        .execute(params![
            row,
            rows::turn_state_number(*state),
            stop_reason.map(|reason| reason as i64),
            error.as_ref().map(|error| error.cause.as_str()),
            error.as_ref().map(|error| error.message.as_str()),
            time.0,
            end_seq,
            response_text,
            output_json,
        ])?;
    Ok(())
}

// === messages, steers, open items ===

fn message(connection: &Connection, session: i64, message: &MessageRow) -> Answer<()> {
    let MessageRow {
        seq,
        generation,
        item_id,
        turn_id,
        role,
        time,
        partial,
        continued,
        parts,
    } = message;
    connection
        .prepare_cached(
            "INSERT INTO message (session, generation, seq, item_id, turn_id, role, time, partial, continued, parts) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            session,
            generation,
            seq,
            item_id,
            turn_id,
            *role as i64,
            time.0,
            partial,
            continued,
            parts,
        ])?;
    Ok(())
}

fn steer(connection: &Connection, session: i64, write: &SteerWrite) -> Answer<()> {
    match write {
        SteerWrite::New(steer) => {
            let WaitingSteer {
                steer_id,
                given,
                text,
                attachments,
                turn_timeout,
                time,
                origin,
            } = &**steer;
            connection
                .prepare_cached(
                    "INSERT INTO steer (session, steer_id, given, text, attachments, turn_timeout, request, time, \
                     sender, sender_key, sender_operator, trace_context, sender_memory, labels) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                )?
                .execute(params![
                    session,
                    steer_id,
                    given,
                    text,
                    rows::refs_text(attachments),
                    micros(*turn_timeout),
                    origin.request,
                    time.0,
                    origin.sender.subject,
                    origin.sender.key_id,
                    origin.sender.operator,
                    origin.trace_context,
                    origin.sender.memory,
                    rows::map_text(&origin.labels),
                ])?;
        }
        SteerWrite::Given { steer_id, given } => {
            connection
                .prepare_cached("UPDATE steer SET given = ?3 WHERE session = ?1 AND steer_id = ?2")?
                .execute((session, steer_id, given))?;
        }
        SteerWrite::Gone { steer_id } => {
            connection
                .prepare_cached("DELETE FROM steer WHERE session = ?1 AND steer_id = ?2")?
                .execute((session, steer_id))?;
        }
    }
    Ok(())
}

fn question(connection: &Connection, session: &Session, write: &QuestionWrite) -> Answer<()> {
    match write {
        QuestionWrite::New { question, ask } => {
            connection
                .prepare_cached(
                    "INSERT INTO question (session, tenant, question_id, turn_id, attempt, digest, ask, state, open, \
                     policy_rule, answer, answered_by, create_time, expire_time, delivered) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 1, ?8, '', '', ?9, ?10, 0)",
                )?
                .execute(params![
                    session.row.0,
                    session.tenant,
                    question.question_id,
                    question.turn_id,
                    question.attempt,
                    question.action_digest,
                    ask,
                    question.policy_rule,
                    question.create_time.0,
                    question.expire_time.0,
                ])?;
        }
        QuestionWrite::Closed { question, answer } => {
            connection
                .prepare_cached(
                    "UPDATE question SET state = ?2, resolution = ?3, answer = ?4, answered_by = ?5, \
                     resolve_time = ?6 WHERE question_id = ?1",
                )?
                .execute(params![
                    question.question_id,
                    question.state as i64,
                    question.resolution.map(|it| it as i64),
                    answer,
                    question.answered_by,
                    question.resolve_time.map(|time| time.0),
                ])?;
        }
        QuestionWrite::Settled {
            question_id,
            delivered,
            answer,
        } => {
            connection
                .prepare_cached(
                    "UPDATE question SET open = 0, delivered = ?2, answer = ?3 WHERE question_id = ?1",
                )?
                .execute((question_id, delivered, answer))?;
        }
    }
    Ok(())
}

fn block(connection: &Connection, session: i64, write: &BlockWrite) -> Answer<()> {
    match write {
        BlockWrite::Open(item) => {
            let args = item.args.as_ref();
            let full_size = args.and_then(|args| args.full_size);
            connection
                .prepare_cached(
                    "INSERT INTO open_block (session, item_id, content_index, block, tool_call_id, tool_name, text, \
                     full_size, done) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
                )?
                .execute(params![
                    session,
                    item.item_id,
                    ITEM,
                    -(item.role as i64),
                    item.tool_call_id,
                    item.tool_name,
                    args.map_or("", |args| args.text.as_str()),
                    full_size.and_then(|size| i64::try_from(size).ok()),
                ])?;
        }
        BlockWrite::Put {
            item_id,
            content_index,
            kind,
            text,
            done,
        } => {
            connection
                .prepare_cached(
                    "INSERT INTO open_block (session, item_id, content_index, block, tool_call_id, tool_name, text, \
                     done) VALUES (?1, ?2, ?3, ?4, '', '', ?5, ?6) \
                     ON CONFLICT (session, item_id, content_index) DO UPDATE \
                     SET block = excluded.block, text = excluded.text, done = excluded.done",
                )?
                .execute(params![
                    session,
                    item_id,
                    content_index,
                    *kind as i64,
                    text,
                    done
                ])?;
        }
        BlockWrite::Close { item_id } => {
            connection
                .prepare_cached("DELETE FROM open_block WHERE session = ?1 AND item_id = ?2")?
                .execute((session, item_id))?;
        }
    }
    Ok(())
}
