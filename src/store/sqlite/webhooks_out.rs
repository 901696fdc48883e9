//! Webhooks out, how far each has told each session, and their deliveries, as rows. What a failed try leads to is decided
//! before it comes here; what comes of a try is one commit: the delivery's row, the cursor, what the webhook does next.

use super::{
    SqliteStore,
    commands::Tell,
    fair::Account,
    fault::{Answer, Fault},
    owners, queries,
    requests::once_for,
    rows,
    writer::Unit,
};
use crate::{
    clock,
    domain::{
        Event, Refusal,
        access::{Identity, Scope, Shares},
        event::EventKind,
        ids::{LogId, Principal, SessionKey, SessionRow, Time},
        question::QuestionState,
        session::{Session, SessionState},
        webhooks_out::{
            DELIVERIES_KEPT, Delivery, DeliveryState, Format, Next, PauseReason, WEBHOOKS_MAX,
            Webhook, WebhookRules,
        },
    },
    proto::gateway_event::Kind,
    store::{
        DeliveriesPage, Due, DueDeliveries, DueEvent, EventsRange, NewWebhook, SessionsBehind,
        Settled, StoredEvent, WebhookCaller, WebhookStore, WebhookUpdate, WebhooksPage,
        core::draft::Draft,
    },
    wire::{
        a2a,
        frames::{self, Position},
    },
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::sync::Arc;
use uuid::Uuid;

/// Columns that [`webhook_of`] reads.
const COLUMNS: &str = "row, webhook_id, tenant, owner, key_id, scopes, owner_until, rules, second_secret IS NOT NULL, \
                       paused, pause_reason, failures, failing_since, next_try, create_time, version";
/// Columns that [`delivery_of`] reads.
const DELIVERY_COLUMNS: &str =
    "row, log_id, session_key, seq, kind, state, tries, status, problem, first_try, last_try";
/// Sessions that one search looks at.
const SEARCH_MAX_SESSIONS: usize = 4096;
/// Bytes of events of one page.
const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Rows of webhooks that are gone which one sweep takes.
const SWEEP_MAX_ROWS: i64 = 1000;

// === reads ===

fn webhook_of(connection: &Connection, row: &Row<'_>, wall: Time) -> Answer<Webhook> {
    let broken = |error: serde_json::Error| Fault::Broken(format!("webhook: {error}"));
    let principal = Principal {
        tenant: row.get(2)?,
        subject: row.get(3)?,
    };
    let owner = owners::look_up(
        connection,
        principal,
        (
            row.get(4)?,
            &row.get::<_, String>(5)?,
            row.get::<_, Option<i64>>(6)?.map(Time),
        ),
        wall,
    )?;
    Ok(Webhook {
        row: row.get(0)?,
        webhook_id: row.get(1)?,
        owner,
        rules: serde_json::from_str(&row.get::<_, String>(7)?).map_err(broken)?,
        secret_count: 1 + usize::from(row.get::<_, bool>(8)?),
        paused: row.get(9)?,
        pause_reason: row.get(10)?,
        failures: row.get(11)?,
        failing_since: row.get::<_, Option<i64>>(12)?.map(Time),
        next_try: row.get::<_, Option<i64>>(13)?.map(Time),
        create_time: Time(row.get(14)?),
        version: row.get(15)?,
    })
}

fn not_found(webhook_id: Uuid) -> Fault {
    let webhook_id = webhook_id.to_string();
    Refusal::WebhookNotFound { webhook_id }.into()
}

fn find(connection: &Connection, owner: &Principal, webhook_id: Uuid) -> Answer<Webhook> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM webhook WHERE webhook_id = ?1 AND tenant = ?2 AND owner = ?3"
        ))?
        .query_row((webhook_id, &owner.tenant, &owner.subject), |row| {
            Ok(webhook_of(connection, row, clock::wall()))
        })
        .optional()?;
    found.unwrap_or_else(|| Err(not_found(webhook_id)))
}

fn of_row(connection: &Connection, webhook: i64) -> Answer<Option<Webhook>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM webhook WHERE row = ?1"))?
        .query_row([webhook], |row| {
            Ok(webhook_of(connection, row, clock::wall()))
        })
        .optional()?;
    found.transpose()
}

fn of_id(connection: &Connection, webhook_id: Uuid) -> Answer<Option<Webhook>> {
    let row: Option<i64> = connection
        .prepare_cached("SELECT row FROM webhook WHERE webhook_id = ?1")?
        .query_row([webhook_id], |row| row.get(0))
        .optional()?;
    row.map_or(Ok(None), |row| of_row(connection, row))
}

fn live(connection: &Connection, webhook: i64) -> Answer<Option<Webhook>> {
    Ok(of_row(connection, webhook)?.filter(|found| !found.paused))
}

fn live_all(connection: &Connection, after: i64, limit: usize) -> Answer<Vec<Webhook>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM webhook WHERE row > ?1 AND paused = 0 ORDER BY row LIMIT ?2"
    ))?;
    let mut rows = statement.query((after, i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(webhook_of(connection, row, clock::wall())?);
    }
    Ok(found)
}

fn list(
    connection: &Connection,
    owner: &Principal,
    after: Option<i64>,
    limit: usize,
) -> Answer<WebhooksPage> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM webhook WHERE tenant = ?1 AND owner = ?2 AND row > ?3 ORDER BY row LIMIT ?4"
    ))?;
    let mut rows = statement.query((
        &owner.tenant,
        &owner.subject,
        after.unwrap_or(0),
        queries::one_more(limit),
    ))?;
    let mut found: Vec<Webhook> = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() == limit {
            let next = found.last().map(|last| last.row);
            return Ok((found, next));
        }
        found.push(webhook_of(connection, row, clock::wall())?);
    }
    Ok((found, None))
}

fn delivery_of(row: &Row<'_>) -> Answer<(i64, Delivery)> {
    let state = DeliveryState::from_number(row.get(5)?);
    let delivery = Delivery {
        log_id: LogId(row.get(1)?),
        session_key: row.get(2)?,
        seq: row.get(3)?,
        kind: EventKind(row.get(4)?),
        state: state.ok_or_else(|| Fault::Broken("unknown state of a delivery".into()))?,
        tries: row.get(6)?,
        status: row.get(7)?,
        problem: row.get(8)?,
        first_try: Time(row.get(9)?),
        last_try: Time(row.get(10)?),
    };
    Ok((row.get(0)?, delivery))
}

fn deliveries(
    connection: &Connection,
    owner: &Principal,
    webhook_id: Uuid,
    before: Option<i64>,
    limit: usize,
) -> Answer<DeliveriesPage> {
    let webhook = find(connection, owner, webhook_id)?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {DELIVERY_COLUMNS} FROM webhook_delivery WHERE webhook = ?1 AND row < ?2 ORDER BY row DESC LIMIT ?3"
    ))?;
    let mut rows = statement.query((
        webhook.row,
        before.unwrap_or(i64::MAX),
        queries::one_more(limit),
    ))?;
    let (mut found, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        if found.len() == limit {
            return Ok((found, last));
        }
        let (row, delivery) = delivery_of(row)?;
        found.push(delivery);
        last = Some(row);
    }
    Ok((found, None))
}

/// How far an address has taken a session's log: where its cursor is, else what there was when the webhook was made.
fn position(connection: &Connection, webhook: i64, session: SessionRow) -> Answer<i64> {
    let cursor: Option<i64> = connection
        .prepare_cached("SELECT seq FROM webhook_cursor WHERE webhook = ?1 AND session = ?2")?
        .query_row((webhook, session.0), |row| row.get(0))
        .optional()?;
    if let Some(cursor) = cursor {
        return Ok(cursor);
    }
    // The number of a row may come again once the newest are deleted, and clocks are set: only both together say "before".
    let before: Option<i64> = connection
        .prepare_cached(
            "SELECT seq FROM event, webhook WHERE event.session = ?2 AND webhook.row = ?1 \
             AND event.row <= webhook.events_before AND event.time <= webhook.create_time ORDER BY seq DESC LIMIT 1",
        )?
        .query_row((webhook, session.0), |row| row.get(0))
        .optional()?;
    Ok(before.unwrap_or(0))
}

/// Sessions with events behind what a webhook has told of them, from a row on.
fn behind(
    connection: &Connection,
    webhook: i64,
    after: SessionRow,
    limit: usize,
) -> Answer<SessionsBehind> {
    let Some(found) = of_row(connection, webhook)? else {
        return Ok((Vec::new(), None));
    };
    if !found.rules.session_key.is_empty() {
        return of_key(connection, &found, after, limit);
    }
    // Both tables by their keys, in one order: a session is in one of them.
    let mut statement = connection.prepare_cached(
        "SELECT all_of.row, all_of.head > coalesce(webhook_cursor.seq, -1) \
         AND (webhook_cursor.seq IS NOT NULL OR all_of.time > webhook.create_time OR EXISTS \
         (SELECT 1 FROM event WHERE event.session = all_of.row AND event.seq = all_of.head \
         AND event.row > webhook.events_before)) \
         FROM webhook, (SELECT row, tenant, head, update_time AS time FROM session WHERE row > ?2 \
         UNION ALL SELECT session, tenant, head, time FROM tombstone WHERE session > ?2) AS all_of \
         LEFT JOIN webhook_cursor ON webhook_cursor.webhook = webhook.row AND webhook_cursor.session = all_of.row \
         WHERE webhook.row = ?1 AND all_of.tenant = webhook.tenant ORDER BY all_of.row LIMIT ?3",
    )?;
    let most = i64::try_from(SEARCH_MAX_SESSIONS).unwrap_or(i64::MAX);
    let mut rows = statement.query((webhook, after.0, most))?;
    let (mut found, mut looked) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let session = SessionRow(row.get(0)?);
        looked += 1;
        if row.get(1)? {
            found.push(session);
        }
        if found.len() == limit || looked == SEARCH_MAX_SESSIONS {
            return Ok((found, Some(session)));
        }
    }
    Ok((found, None))
}

/// The sessions of a key, of which one at most is no tombstone: whoever tells of one looks at no other.
fn of_key(
    connection: &Connection,
    webhook: &Webhook,
    after: SessionRow,
    limit: usize,
) -> Answer<SessionsBehind> {
    let mut statement = connection.prepare_cached(
        "SELECT row FROM session WHERE tenant = ?1 AND key = ?2 AND row > ?3 \
         UNION ALL SELECT session FROM tombstone WHERE tenant = ?1 AND key = ?2 AND session > ?3 ORDER BY 1 LIMIT ?4",
    )?;
    let mut rows = statement.query((
        &webhook.owner.principal.tenant,
        &webhook.rules.session_key,
        after.0,
        i64::try_from(limit).unwrap_or(i64::MAX),
    ))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(SessionRow(row.get(0)?));
    }
    let next = found.last().copied().filter(|_| found.len() == limit);
    Ok((found, next))
}

fn secrets_of(connection: &Connection, webhook: i64) -> Answer<Vec<Vec<u8>>> {
    let (first, second): (Vec<u8>, Option<Vec<u8>>) = connection
        .prepare_cached("SELECT secret, second_secret FROM webhook WHERE row = ?1")?
        .query_row([webhook], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok([Some(first), second].into_iter().flatten().collect())
}

/// What a webhook is to tell next of a session.
fn due(
    connection: &Connection,
    generation: Uuid,
    row: i64,
    session: SessionRow,
    limit: usize,
) -> Answer<Due> {
    let Some(webhook) = live(connection, row)? else {
        return Ok(Due::Ended);
    };
    let identity = webhook.owner.identity();
    if !webhook.owner.valid || identity.require(Scope::SessionRead).is_err() {
        return Ok(Due::Revoked);
    }
    let position = position(connection, row, session)?;
    // Before its events are read: those of a turn that has ended are all there.
    let is_over = has_ended(connection, &webhook)?;
    let nothing = || if is_over { Due::Over } else { Due::Nothing };
    let found = match queries::session_by_row(connection, generation, session)? {
        Some(found) => of_session(connection, &webhook, &identity, &found, position, limit)?,
        None => of_tombstone(
            connection,
            &webhook,
            &identity,
            (generation, session),
            position,
        )?,
    };
    let Some((session_key, log_id, events, more)) = found else {
        return Ok(nothing());
    };
    if events.is_empty() {
        return Ok(nothing());
    }
    let secrets = secrets_of(connection, row)?;
    Ok(Due::Deliveries(Box::new(DueDeliveries {
        webhook,
        secrets,
        session,
        session_key,
        log_id,
        position,
        events,
        more,
    })))
}

/// Whether a webhook of one turn has no more to hear of it: it has ended, or is gone with its session.
fn has_ended(connection: &Connection, webhook: &Webhook) -> Answer<bool> {
    let Some(turn_id) = webhook.rules.turn_id else {
        return Ok(false);
    };
    let live: Option<bool> = connection
        .prepare_cached("SELECT end_seq IS NULL FROM turn WHERE turn_id = ?1")?
        .query_row([turn_id], |row| row.get(0))
        .optional()?;
    Ok(live != Some(true))
}

type Found = Option<(SessionKey, LogId, Vec<DueEvent>, bool)>;

fn of_session(
    connection: &Connection,
    webhook: &Webhook,
    identity: &Identity,
    session: &Session,
    position: i64,
    limit: usize,
) -> Answer<Found> {
    if identity.access(session).is_none() || !webhook.rules.matches(session) {
        return Ok(None);
    }
    let kinds = webhook.rules.kinds.iter();
    let mut range = EventsRange {
        after: position,
        through: session.head,
        kinds: kinds.map(|number| EventKind(*number)).collect(),
        turn_id: webhook.rules.turn_id,
    };
    let page = loop {
        let mut page = queries::events(connection, session.row, &range, limit, PAGE_MAX_BYTES)?;
        if webhook.rules.format == Format::A2a {
            page.events = pushed(connection, session, page.events)?;
        }
        if !page.events.is_empty() || page.looked >= session.head {
            break page;
        }
        range.after = page.looked;
    };
    let mut source = connection.prepare_cached("SELECT source FROM turn WHERE turn_id = ?1")?;
    let mut time =
        connection.prepare_cached("SELECT time FROM event WHERE session = ?1 AND seq = ?2")?;
    let mut events = Vec::with_capacity(page.events.len());
    for event in page.events {
        let of: Option<String> = match event.turn_id {
            Some(turn_id) => source.query_row([turn_id], |row| row.get(0)).optional()?,
            None => None,
        };
        events.push(DueEvent {
            time: Time(time.query_row((session.row.0, event.seq), |row| row.get(0))?),
            of_webhook: of.is_some_and(|source| source.starts_with("webhook:")),
            event,
        });
    }
    let more = page.looked < session.head;
    Ok(Some((session.key.clone(), session.log_id, events, more)))
}

/// The events that push notifications tell. A question that has its answer by now is none: whoever were told of it would
/// answer in vain.
fn pushed(
    connection: &Connection,
    session: &Session,
    events: Vec<StoredEvent>,
) -> Answer<Vec<StoredEvent>> {
    let mut state =
        connection.prepare_cached("SELECT state FROM question WHERE question_id = ?1")?;
    let mut told = Vec::with_capacity(events.len());
    for event in events {
        let position = Position::Seq(event.seq);
        let message = frames::message(&session.key, session.log_id, position, &event.body);
        let message = message.map_err(|error| Fault::Broken(format!("event: {error}")))?;
        if a2a::pushed(&message).is_none() {
            continue;
        }
        if let Some(Kind::QuestionAsked(asked)) = &message.kind {
            let id = asked.question.as_ref().map(|it| it.question_id.as_str());
            let id: Option<Uuid> = id.and_then(|id| id.parse().ok());
            let state: Option<i64> = state.query_row([id], |row| row.get(0)).optional()?;
            if state != Some(QuestionState::Pending as i64) {
                continue;
            }
        }
        told.push(event);
    }
    Ok(told)
}

/// What is kept of a session that is gone.
struct Gone {
    tenant: String,
    key: SessionKey,
    owner: String,
    shares: Shares,
    log_id: LogId,
    head: i64,
    time: Time,
}

fn gone(connection: &Connection, generation: Uuid, session: SessionRow) -> Answer<Option<Gone>> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, key, owner, shares, uid, head, time FROM tombstone WHERE session = ?1",
    )?;
    let mut found = statement.query([session.0])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let key: String = row.get(1)?;
    Ok(Some(Gone {
        tenant: row.get(0)?,
        key: SessionKey::parse(&key).map_err(Fault::Broken)?,
        owner: row.get(2)?,
        shares: rows::shares_of(&row.get::<_, String>(3)?)?,
        log_id: LogId::derive(row.get(4)?, generation),
        head: row.get(5)?,
        time: Time(row.get(6)?),
    }))
}

/// Of a session that is gone, its last event: that it is.
fn of_tombstone(
    connection: &Connection,
    webhook: &Webhook,
    identity: &Identity,
    (generation, session): (Uuid, SessionRow),
    position: i64,
) -> Answer<Found> {
    let Some(gone) = gone(connection, generation, session)? else {
        return Ok(None);
    };
    let WebhookRules {
        session_key,
        key_prefix,
        agent,
        labels,
        ..
    } = &webhook.rules;
    // What it was and had for labels is not known any more.
    let matches = webhook.rules.turn_id.is_none()
        && (session_key.is_empty() || session_key == gone.key.as_str())
        && gone.key.as_str().starts_with(key_prefix.as_str())
        && agent.is_empty()
        && labels.is_empty();
    let seen = identity
        .access_of(&gone.tenant, &gone.owner, &gone.shares)
        .is_some();
    if !matches
        || !seen
        || gone.head <= position
        || gone.time < webhook.create_time
        || !webhook.rules.wants(EventKind::SESSION_DELETED)
    {
        return Ok(None);
    }
    let event = StoredEvent {
        seq: gone.head,
        epoch: 0,
        kind: EventKind::SESSION_DELETED,
        turn_id: None,
        item_id: None,
        body: frames::event_body(gone.time, None, None, 0, &Event::SessionDeleted),
    };
    let events = vec![DueEvent {
        event,
        time: gone.time,
        of_webhook: false,
    }];
    Ok(Some((gone.key, gone.log_id, events, false)))
}

// === changes ===

fn create(unit: &mut Unit<'_>, new: &NewWebhook) -> Answer<(Webhook, bool)> {
    let WebhookCaller {
        identity,
        until: _,
        request,
        now,
    } = &new.caller;
    let owner = &identity.principal;
    let done = once_for(unit, owner, "webhooks", request.as_ref(), *now, |unit| {
        let count: i64 = unit
            .sql("SELECT count(*) FROM webhook WHERE tenant = ?1")?
            .query_row([&owner.tenant], |row| row.get(0))?;
        if count >= WEBHOOKS_MAX {
            let problem = format!("the tenant has {WEBHOOKS_MAX} webhooks already; delete one");
            return Err(Refusal::field("webhook", problem).into());
        }
        let rules = serde_json::to_string(&new.rules).expect("texts and numbers are always JSON");
        unit.require_room(rules.len())?;
        let first = new.secrets.first();
        let first = first.ok_or_else(|| Fault::Broken("a webhook without a secret".into()))?;
        unit.sql(
            "INSERT INTO webhook (webhook_id, tenant, owner, key_id, scopes, rules, secret, paused, pause_reason, \
             failures, events_before, create_time, version) VALUES (?1, ?2, ?3, '', '', ?4, ?5, 0, '', 0, \
             (SELECT coalesce(max(row), 0) FROM event), ?6, 0)",
        )?
        .execute(params![
            new.webhook_id,
            owner.tenant,
            owner.subject,
            rules,
            first,
            now.0
        ])?;
        let row = unit.connection.last_insert_rowid();
        fill(unit, row, new)?;
        if let Some(turn_id) = new.rules.turn_id {
            // A turn is told from its beginning: nothing is lost of one that runs already, or has ended meanwhile.
            let key = SessionKey::parse(&new.rules.session_key).map_err(Fault::Broken)?;
            let generation = unit.identity.generation;
            let session = queries::session(unit.connection, generation, identity, &key)?;
            let first = queries::turn_first_seq(unit.connection, session.row, turn_id)?;
            put_cursor(unit, row, session.row, first - 1)?;
        }
        Ok(new.webhook_id)
    });
    let (webhook_id, replayed) = done?;
    Ok((find(unit.connection, owner, webhook_id)?, replayed))
}

/// Writes the content of a webhook.
fn fill(unit: &Unit<'_>, row: i64, new: &NewWebhook) -> Answer<()> {
    let NewWebhook {
        caller,
        webhook_id: _,
        rules,
        paused,
        pause_reason,
        secrets,
    } = new;
    let (key_id, scopes) = owners::credential(&caller.identity);
    let rules = serde_json::to_string(rules).expect("texts and numbers are always JSON");
    unit.sql(
        "UPDATE webhook SET key_id = ?2, scopes = ?3, owner_until = ?4, rules = ?5, paused = ?6, pause_reason = ?7, \
         version = version + 1 WHERE row = ?1",
    )?
    .execute(params![
        row,
        key_id,
        scopes,
        caller.until.map(|until| until.0),
        rules,
        paused,
        pause_reason,
    ])?;
    if let Some(first) = secrets.first() {
        unit.sql("UPDATE webhook SET secret = ?2, second_secret = ?3 WHERE row = ?1")?
            .execute((row, first, secrets.get(1)))?;
    }
    Ok(())
}

fn update(unit: &mut Unit<'_>, update: &WebhookUpdate) -> Answer<Option<(Webhook, bool)>> {
    let WebhookUpdate { new, version } = update;
    let owner = &new.caller.identity.principal;
    let (request, now) = (new.caller.request.as_ref(), new.caller.now);
    let name = new.webhook_id.to_string();
    let done = once_for(unit, owner, &name, request, now, |unit| {
        let before = find(unit.connection, owner, new.webhook_id)?;
        if before.version != *version {
            return Err(Refusal::Fenced.into());
        }
        fill(unit, before.row, new)?;
        // Another address, or one that is resumed, begins without the failures of before.
        if before.rules.url != new.rules.url || before.paused && !new.paused {
            well(unit, before.row)?;
        }
        Ok(())
    });
    match done {
        Ok(((), replayed)) => {
            let found = find(unit.connection, owner, new.webhook_id)?;
            Ok(Some((found, replayed)))
        }
        // Changed meanwhile; nothing was written.
        Err(Fault::Refused(Refusal::Fenced)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Its newest delivery succeeded, or it begins anew.
fn well(unit: &Unit<'_>, row: i64) -> Answer<()> {
    unit.sql(
        "UPDATE webhook SET failures = 0, failing_since = NULL, next_try = NULL WHERE row = ?1 \
         AND failing_since IS NOT NULL",
    )?
    .execute([row])?;
    Ok(())
}

fn delete(unit: &mut Unit<'_>, caller: &WebhookCaller, webhook_id: Uuid) -> Answer<bool> {
    let owner = &caller.identity.principal;
    let request = caller.request.as_ref();
    let name = webhook_id.to_string();
    let ((), replayed) = once_for(unit, owner, &name, request, caller.now, |unit| {
        let found = find(unit.connection, owner, webhook_id)?;
        end(unit, found.row)
    })?;
    Ok(replayed)
}

fn end(unit: &Unit<'_>, row: i64) -> Answer<()> {
    let deleted = unit
        .sql("DELETE FROM webhook WHERE row = ?1")?
        .execute([row])?;
    if deleted > 0 {
        // Its cursors and deliveries may be many: housekeeping takes them.
        unit.sql("INSERT INTO webhook_gone (webhook) VALUES (?1)")?
            .execute([row])?;
    }
    Ok(())
}

fn redeliver(
    unit: &mut Unit<'_>,
    caller: &WebhookCaller,
    webhook_id: Uuid,
    from: Option<&(SessionKey, i64)>,
) -> Answer<(Webhook, bool)> {
    let identity = &caller.identity;
    let owner = &identity.principal;
    let request = caller.request.as_ref();
    let name = webhook_id.to_string();
    let generation = unit.identity.generation;
    let ((), replayed) = once_for(unit, owner, &name, request, caller.now, |unit| {
        let webhook = find(unit.connection, owner, webhook_id)?;
        if let Some((key, seq)) = from {
            let session = queries::session(unit.connection, generation, identity, key)?;
            // Never what was before it began to tell, nor beyond what there is.
            let before = (seq - 1).clamp(session.first_seq - 1, session.head);
            put_cursor(unit, webhook.row, session.row, before)?;
        }
        well(unit, webhook.row)?;
        unit.sql("UPDATE webhook SET paused = 0, pause_reason = '' WHERE row = ?1")?
            .execute([webhook.row])?;
        Ok(())
    })?;
    Ok((find(unit.connection, owner, webhook_id)?, replayed))
}

fn put_cursor(unit: &Unit<'_>, webhook: i64, session: SessionRow, seq: i64) -> Answer<()> {
    unit.sql(
        "INSERT INTO webhook_cursor (webhook, session, seq) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET seq = excluded.seq",
    )?
    .execute((webhook, session.0, seq))?;
    Ok(())
}

/// Notes what came of a delivery.
fn settle(unit: &mut Unit<'_>, settled: &Settled) -> Answer<Option<Webhook>> {
    let Settled {
        webhook: row,
        session,
        position: before,
        failures,
        seq,
        kind,
        tried,
        next,
        now,
        ..
    } = settled;
    let (row, session) = (*row, *session);
    let Some(webhook) = of_row(unit.connection, row)? else {
        return Ok(None);
    };
    keep_delivery(unit, settled)?;
    match (tried.state, next) {
        (DeliveryState::Delivered | DeliveryState::Skipped, _) => {
            // Elsewhere since: somebody wants it delivered again.
            if position(unit.connection, row, session)? == *before {
                put_cursor(unit, row, session, *seq)?;
            }
            if tried.state == DeliveryState::Delivered {
                well(unit, row)?;
            }
            if webhook.rules.ends_with(*kind) {
                end(unit, row)?;
            }
        }
        (DeliveryState::Failed, Some(Next::Try(at))) if webhook.failures <= *failures => {
            unit.sql(
                "UPDATE webhook SET failures = failures + 1, failing_since = coalesce(failing_since, ?2), next_try = ?3 \
                 WHERE row = ?1",
            )?
            .execute((row, now.0, at.0))?;
        }
        (DeliveryState::Failed, Some(Next::Pause(reason))) if !webhook.paused => {
            unit.sql("UPDATE webhook SET failures = failures + 1, next_try = NULL WHERE row = ?1")?
                .execute([row])?;
            pause(unit, &webhook, *reason)?;
            tell_pause(unit, &webhook, settled, *reason)?;
        }
        (DeliveryState::Failed, _) => {}
    }
    live(unit.connection, row)
}

/// Nothing is told any more. One of a turn ends: nobody would resume it.
fn pause(unit: &Unit<'_>, webhook: &Webhook, reason: PauseReason) -> Answer<()> {
    let row = webhook.row;
    if webhook.rules.turn_id.is_some() {
        return end(unit, row);
    }
    unit.sql("UPDATE webhook SET paused = 1, pause_reason = ?2 WHERE row = ?1 AND paused = 0")?
        .execute((row, reason.as_str()))?;
    Ok(())
}

/// Says in the session's log that nobody is told of it any more.
fn tell_pause(
    unit: &mut Unit<'_>,
    webhook: &Webhook,
    settled: &Settled,
    reason: PauseReason,
) -> Answer<()> {
    let Some(found) = unit.snapshot_of_row(settled.session)? else {
        return Ok(());
    };
    if found.session.state == SessionState::Deleting {
        return Ok(());
    }
    let mut draft = Draft::of(&found);
    let event = Event::WebhookPaused {
        webhook_id: webhook.webhook_id,
        owner: webhook.owner.principal.to_string(),
        reason: reason.as_str().to_owned(),
        undelivered_seq: settled.seq,
    };
    draft.event(settled.now, None, None, &event);
    unit.write(draft.finish(settled.now), Tell::All)?;
    Ok(())
}

/// Keeps a delivery as the newest of its webhook.
fn keep_delivery(unit: &Unit<'_>, settled: &Settled) -> Answer<()> {
    let Settled {
        webhook,
        session,
        session_key,
        log_id,
        position: _,
        failures: _,
        seq,
        kind,
        tried,
        next: _,
        now,
    } = settled;
    let earlier: Option<(i64, i64)> = unit
        .sql(
            "DELETE FROM webhook_delivery WHERE webhook = ?1 AND session = ?2 AND seq = ?3 RETURNING tries, first_try",
        )?
        .query_row((webhook, session.0, seq), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (tries, first_try) = earlier.unwrap_or((0, now.0));
    let sent = i64::from(tried.state != DeliveryState::Skipped);
    unit.sql(
        "INSERT INTO webhook_delivery (webhook, session, log_id, session_key, seq, kind, state, tries, status, problem, \
         first_try, last_try) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        webhook,
        session.0,
        log_id.0,
        session_key.as_str(),
        seq,
        kind.0,
        tried.state as i64,
        tries + sent,
        tried.status,
        tried.problem,
        first_try,
        now.0,
    ])?;
    unit.sql(
        "DELETE FROM webhook_delivery WHERE webhook = ?1 AND row <= \
         (SELECT row FROM webhook_delivery WHERE webhook = ?1 ORDER BY row DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute((webhook, DELIVERIES_KEPT))?;
    Ok(())
}

/// Takes what webhooks have left that are gone. True when nothing is.
pub(super) fn sweep(unit: &Unit<'_>) -> Answer<bool> {
    let gone: Option<i64> = unit
        .sql("SELECT webhook FROM webhook_gone LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(gone) = gone else {
        return Ok(true);
    };
    // A webhook has few deliveries.
    unit.sql("DELETE FROM webhook_delivery WHERE webhook = ?1")?
        .execute([gone])?;
    let cursors = unit
        .sql(
            "DELETE FROM webhook_cursor WHERE webhook = ?1 AND session IN \
             (SELECT session FROM webhook_cursor WHERE webhook = ?1 LIMIT ?2)",
        )?
        .execute((gone, SWEEP_MAX_ROWS))?;
    if cursors == 0 {
        unit.sql("DELETE FROM webhook_gone WHERE webhook = ?1")?
            .execute([gone])?;
    }
    Ok(false)
}

/// Takes the cursors of a session whose tombstone goes, and webhooks of its turns that somebody has paused.
pub(super) fn forget_session(unit: &Unit<'_>, session: i64) -> Answer<()> {
    let of_turns: Vec<i64> = unit
        .sql(
            "SELECT row FROM webhook WHERE json_extract(rules, '$.turn_id') IS NOT NULL \
             AND row IN (SELECT webhook FROM webhook_cursor WHERE session = ?1)",
        )?
        .query_map([session], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for row in of_turns {
        end(unit, row)?;
    }
    unit.sql("DELETE FROM webhook_cursor WHERE session = ?1")?
        .execute([session])?;
    Ok(())
}

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn create_webhook(&self, new: NewWebhook) -> Result<(Webhook, bool), Refusal> {
        let account = Account::of_tenant(&new.caller.identity.principal.tenant);
        self.writer
            .call(account, move |unit| create(unit, &new))
            .await
    }

    async fn update_webhook(
        &self,
        change: WebhookUpdate,
    ) -> Result<Option<(Webhook, bool)>, Refusal> {
        let account = Account::of_tenant(&change.new.caller.identity.principal.tenant);
        self.writer
            .call(account, move |unit| update(unit, &change))
            .await
    }

    async fn delete_webhook(
        &self,
        caller: WebhookCaller,
        webhook_id: Uuid,
    ) -> Result<bool, Refusal> {
        let account = Account::of_tenant(&caller.identity.principal.tenant);
        self.writer
            .call_with_spare(account, move |unit| delete(unit, &caller, webhook_id))
            .await
    }

    async fn redeliver(
        &self,
        caller: WebhookCaller,
        webhook_id: Uuid,
        from: Option<(SessionKey, i64)>,
    ) -> Result<(Webhook, bool), Refusal> {
        let account = Account::of_tenant(&caller.identity.principal.tenant);
        self.writer
            .call(account, move |unit| {
                redeliver(unit, &caller, webhook_id, from.as_ref())
            })
            .await
    }

    async fn webhook(&self, owner: &Principal, webhook_id: Uuid) -> Result<Webhook, Refusal> {
        let owner = owner.clone();
        self.read(Account::of_tenant(&owner.tenant), move |connection, _| {
            find(connection, &owner, webhook_id)
        })
        .await
    }

    async fn webhook_of_id(&self, webhook_id: Uuid) -> Result<Option<Webhook>, Refusal> {
        self.read(Account::SERVER, move |connection, _| {
            of_id(connection, webhook_id)
        })
        .await
    }

    async fn list_webhooks(
        &self,
        owner: &Principal,
        after: Option<i64>,
        limit: usize,
    ) -> Result<WebhooksPage, Refusal> {
        let owner = owner.clone();
        self.read(Account::of_tenant(&owner.tenant), move |connection, _| {
            list(connection, &owner, after, limit)
        })
        .await
    }

    async fn deliveries(
        &self,
        owner: &Principal,
        webhook_id: Uuid,
        before: Option<i64>,
        limit: usize,
    ) -> Result<DeliveriesPage, Refusal> {
        let owner = owner.clone();
        self.read(Account::of_tenant(&owner.tenant), move |connection, _| {
            deliveries(connection, &owner, webhook_id, before, limit)
        })
        .await
    }

    async fn has_webhook_secrets(&self) -> Result<bool, Refusal> {
        self.read(Account::SERVER, |connection, _| {
            let any = "SELECT EXISTS (SELECT 1 FROM webhook)";
            Ok(connection.query_row(any, [], |row| row.get(0))?)
        })
        .await
    }

    async fn live_webhooks(&self, after: i64, limit: usize) -> Result<Vec<Webhook>, Refusal> {
        self.read(Account::SERVER, move |connection, _| {
            live_all(connection, after, limit)
        })
        .await
    }

    async fn live_webhook(&self, webhook: i64) -> Result<Option<Webhook>, Refusal> {
        self.read(Account::SERVER, move |connection, _| {
            live(connection, webhook)
        })
        .await
    }

    async fn sessions_behind(
        &self,
        webhook: i64,
        after: SessionRow,
        limit: usize,
    ) -> Result<SessionsBehind, Refusal> {
        self.read(Account::SERVER, move |connection, _| {
            behind(connection, webhook, after, limit)
        })
        .await
    }

    async fn due_deliveries(
        &self,
        webhook: i64,
        session: SessionRow,
        limit: usize,
    ) -> Result<Due, Refusal> {
        self.read(Account::SERVER, move |connection, generation| {
            due(connection, generation, webhook, session, limit)
        })
        .await
    }

    async fn settle_delivery(&self, settled: Settled) -> Result<Option<Webhook>, Refusal> {
        let settled = Arc::new(settled);
        self.writer
            .call_with_spare(Account::SERVER, move |unit| settle(unit, &settled))
            .await
    }

    async fn end_webhook(&self, webhook: i64) -> Result<(), Refusal> {
        self.writer
            .call_with_spare(Account::SERVER, move |unit| end(unit, webhook))
            .await
    }

    async fn pause_webhook(&self, webhook: i64, reason: PauseReason) -> Result<(), Refusal> {
        self.writer
            .call_with_spare(Account::SERVER, move |unit| {
                match of_row(unit.connection, webhook)? {
                    Some(found) => pause(unit, &found, reason),
                    None => Ok(()),
                }
            })
            .await
    }
}
