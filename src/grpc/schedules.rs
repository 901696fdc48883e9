//! `ScheduleService`: schedules are parsed, kept and told. What is due of them is done by [`crate::schedules`].

use super::{identity, status::status};
use crate::{
    clock,
    config::live::LiveConfig,
    domain::{
        access::{Credential, Identity, Scope},
        ids::{SessionKey, Time},
        limits::NAME_MAX_BYTES,
        refusal::Refusal,
        schedule::{
            EVERY_MAX, EVERY_MIN, JITTER_MAX, MISSED_WINDOW_DEFAULT, MISSED_WINDOW_MAX, Missed,
            NEXT_TIMES, Overlap, PAUSE_AFTER_DEFAULT, PAUSE_REASON_MAX_BYTES, PREVIEW_MAX, Rules,
            SCHEDULED_REQUEST_MAX_BYTES, Schedule, ScheduleRun, SessionMode, template_problem,
        },
        times::{Spec, When, seconds},
    },
    proto::{self, schedule_service_server::ScheduleService, schedule_spec},
    schedules::Schedules,
    store::{NewSchedule, OnBusy, RequestKey, ScheduleCaller, ScheduleUpdate, Store},
    wire::{
        encode,
        page::PageTokens,
        parse::{self, Fields},
    },
};
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tonic::{Request, Response, Status, async_trait};

/// `key_template` where none is given.
const TEMPLATE_DEFAULT: &str = "{schedule}-{time}";
/// Longest `key_template`, in bytes.
const TEMPLATE_MAX_BYTES: usize = 128;
/// Highest `pause_after_failures`.
const PAUSE_AFTER_MAX: i32 = 100;
/// The last second of the year 9999.
const SECOND_MAX: i64 = 253_402_300_799;
/// Tries of a change whose schedule changes meanwhile.
const TRIES_MAX: usize = 8;
/// What UpdateSchedule changes.
const PATHS: [&str; 11] = [
    "spec",
    "enqueue",
    "session_mode",
    "key_template",
    "overlap",
    "missed",
    "missed_window",
    "paused",
    "pause_reason",
    "pause_after_failures",
    "remaining_runs",
];

/// The service.
pub struct ScheduleCalls {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// What is due, and the clock.
    pub schedules: Arc<Schedules>,
    /// Of lists.
    pub pages: Arc<PageTokens>,
    /// What may change of the configuration.
    pub live: Arc<LiveConfig>,
}

type Answer<T> = Result<Response<T>, Status>;

/// When a caller's right to have something done later ends: with a token or a certificate, which nobody looks up again,
/// after the longest life of a key that it could make.
pub(super) fn right_ends(identity: &Identity, max_key_ttl: Duration) -> Option<Time> {
    match identity.credential {
        Credential::Jwt | Credential::Certificate => {
            let span = i64::try_from(max_key_ttl.as_micros()).unwrap_or(i64::MAX);
            Some(clock::wall().plus_micros(span))
        }
        Credential::None | Credential::ApiKey(_) | Credential::LocalUser => None,
    }
}

fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|refusal| status(&refusal))
}

#[async_trait]
impl ScheduleService for ScheduleCalls {
    async fn create_schedule(
        &self,
        request: Request<proto::CreateScheduleRequest>,
    ) -> Answer<proto::CreateScheduleResponse> {
        let caller = identity(&request);
        answer(self.create(caller, request.into_inner()).await)
    }

    async fn get_schedule(
        &self,
        request: Request<proto::GetScheduleRequest>,
    ) -> Answer<proto::GetScheduleResponse> {
        let caller = identity(&request);
        let request = request.into_inner();
        let found = async {
            let mut fields = Fields::default();
            let name = schedule_name(&mut fields, &request.schedule_name);
            let name = fields.finish(name)?;
            let found = self.find(&caller, &name).await?;
            Ok(proto::GetScheduleResponse {
                schedule: Some(self.message(found)),
            })
        };
        answer(found.await)
    }

    async fn list_schedules(
        &self,
        request: Request<proto::ListSchedulesRequest>,
    ) -> Answer<proto::ListSchedulesResponse> {
        let caller = identity(&request);
        answer(self.list(&caller, request.into_inner()).await)
    }

    async fn update_schedule(
        &self,
        request: Request<proto::UpdateScheduleRequest>,
    ) -> Answer<proto::UpdateScheduleResponse> {
        let caller = identity(&request);
        answer(self.update(caller, request.into_inner()).await)
    }

    async fn delete_schedule(
        &self,
        request: Request<proto::DeleteScheduleRequest>,
    ) -> Answer<proto::DeleteScheduleResponse> {
        let caller = identity(&request);
        let mut request = request.into_inner();
        let deleted = async {
            let request_id = std::mem::take(&mut request.request_id);
            let mut fields = Fields::default();
            fields.request_id(&request_id);
            let name = schedule_name(&mut fields, &request.schedule_name);
            let name = fields.finish(name)?;
            let caller = self.caller(caller, name, "DeleteSchedule", request_id, &request);
            let replayed = self.store.delete_schedule(caller).await?;
            Ok(proto::DeleteScheduleResponse { replayed })
        };
        answer(deleted.await)
    }

    async fn run_schedule_now(
        &self,
        request: Request<proto::RunScheduleNowRequest>,
    ) -> Answer<proto::RunScheduleNowResponse> {
        let caller = identity(&request);
        let mut request = request.into_inner();
        let ran = async {
            let request_id = std::mem::take(&mut request.request_id);
            let mut fields = Fields::default();
            fields.request_id(&request_id);
            let name = schedule_name(&mut fields, &request.schedule_name);
            let name = fields.finish(name)?;
            let caller = self.caller(caller, name, "RunScheduleNow", request_id, &request);
            let (run, replayed) = self.schedules.run_now(caller).await?;
            Ok(proto::RunScheduleNowResponse {
                run: Some(run_message(run)),
                replayed,
            })
        };
        answer(ran.await)
    }

    async fn preview_schedule(
        &self,
        request: Request<proto::PreviewScheduleRequest>,
    ) -> Answer<proto::PreviewScheduleResponse> {
        answer(self.preview(request.into_inner()))
    }

    async fn list_schedule_runs(
        &self,
        request: Request<proto::ListScheduleRunsRequest>,
    ) -> Answer<proto::ListScheduleRunsResponse> {
        let caller = identity(&request);
        answer(self.runs(&caller, request.into_inner()).await)
    }
}

// === impl ScheduleCalls ===

impl ScheduleCalls {
    async fn create(
        &self,
        caller: Arc<Identity>,
        mut request: proto::CreateScheduleRequest,
    ) -> Result<proto::CreateScheduleResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        let Some(asked) = request.schedule.clone() else {
            fields.wrong("schedule", "must be set");
            return Err(fields.check().expect_err("a field is wrong"));
        };
        let name = fields.session_key("schedule.schedule_name", &asked.schedule_name);
        let wall = self.schedules.wall();
        let content = self.content(&mut fields, &asked, seconds(wall));
        let (name, content) = fields.finish(name.zip(content))?;
        self.may_run(&caller, &content, &asked).await?;
        let caller = self.caller(
            caller,
            name.as_str().to_owned(),
            "CreateSchedule",
            request_id,
            &request,
        );
        let new = content.new_schedule(caller);
        let (made, replayed) = self.store.create_schedule(new).await?;
        self.schedules.changed();
        Ok(proto::CreateScheduleResponse {
            schedule: Some(self.message(made)),
            replayed,
        })
    }

    async fn update(
        &self,
        caller: Arc<Identity>,
        mut request: proto::UpdateScheduleRequest,
    ) -> Result<proto::UpdateScheduleResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        let name = schedule_name(&mut fields, &request.schedule_name);
        let paths = request.update_mask.clone().unwrap_or_default().paths;
        if paths.is_empty() {
            let problem = format!("must name what changes: {}", PATHS.join(", "));
            fields.wrong("update_mask", problem);
        }
        for (at, path) in paths.iter().enumerate().take(PATHS.len() * 2) {
            if !PATHS.contains(&path.as_str()) {
                let problem = format!("can't be changed; {} can", PATHS.join(", "));
                fields.wrong(format!("update_mask.paths[{at}]"), problem);
            }
        }
        let name = fields.finish(name)?;
        let new = request.schedule.clone().unwrap_or_default();
        for _ in 0..TRIES_MAX {
            let before = self.find(&caller, &name).await?;
            let version = before.version;
            let was_paused = before.paused;
            let anchor = before.rules.spec.anchor;
            let merged = merge(self.message(before), &new, &paths);
            let wall = self.schedules.wall();
            let anchor = match paths.iter().any(|path| path == "spec") {
                true => seconds(wall),
                false => anchor,
            };
            let mut fields = Fields::default();
            let content = self.content(&mut fields, &merged, anchor);
            let mut content = fields.finish(content)?;
            if was_paused && !content.paused && !paths.iter().any(|path| path == "pause_reason") {
                content.pause_reason.clear();
            }
            self.may_run(&caller, &content, &merged).await?;
            let by = self.caller(
                caller.clone(),
                name.clone(),
                "UpdateSchedule",
                request_id.clone(),
                &request,
            );
            let update = ScheduleUpdate {
                new: content.new_schedule(by),
                version,
            };
            if let Some((changed, replayed)) = self.store.update_schedule(update).await? {
                self.schedules.changed();
                return Ok(proto::UpdateScheduleResponse {
                    schedule: Some(self.message(changed)),
                    replayed,
                });
            }
        }
        Err(Refusal::StoreUnavailable)
    }

    async fn list(
        &self,
        caller: &Identity,
        request: proto::ListSchedulesRequest,
    ) -> Result<proto::ListSchedulesResponse, Refusal> {
        let mut fields = Fields::default();
        let limit = fields.page_size(request.page_size);
        let list = self.pages.list(caller, "schedules");
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        let after = after.map(|[after]| after);
        let wall = self.schedules.wall();
        let page = self
            .store
            .list_schedules(&caller.principal, after, limit, wall);
        let (found, next) = page.await?;
        Ok(proto::ListSchedulesResponse {
            schedules: found.into_iter().map(|one| self.message(one)).collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }

    fn preview(
        &self,
        request: proto::PreviewScheduleRequest,
    ) -> Result<proto::PreviewScheduleResponse, Refusal> {
        let mut fields = Fields::default();
        let now = seconds(self.schedules.wall());
        let count = match usize::try_from(request.count) {
            Ok(0) => NEXT_TIMES,
            Ok(count) if count <= PREVIEW_MAX => count,
            Ok(_) | Err(_) => {
                fields.wrong("count", format!("must be 1 to {PREVIEW_MAX}"));
                0
            }
        };
        let spec = spec(&mut fields, "spec", request.spec.as_ref(), now);
        let times = spec.and_then(|spec| match spec.times() {
            Ok(times) => Some(times),
            Err((field, problem)) => {
                fields.wrong(format!("spec.{field}"), problem);
                None
            }
        });
        let times = fields.finish(times)?;
        let times = times.next_that_run(now, count).into_iter();
        Ok(proto::PreviewScheduleResponse {
            times: times.map(moment).collect(),
        })
    }

    async fn runs(
        &self,
        caller: &Identity,
        request: proto::ListScheduleRunsRequest,
    ) -> Result<proto::ListScheduleRunsResponse, Refusal> {
        let mut fields = Fields::default();
        let name = schedule_name(&mut fields, &request.schedule_name);
        let limit = fields.page_size(request.page_size);
        let query = format!("schedule runs {}", name.as_deref().unwrap_or_default());
        let list = self.pages.list(caller, &query);
        let before = list.position(&mut fields, &request.page_token);
        let name = fields.finish(name)?;
        let before = before.map(|[before]| before);
        let wall = self.schedules.wall();
        let page = self
            .store
            .schedule_runs(&caller.principal, &name, before, limit, wall);
        let (runs, next) = page.await?;
        Ok(proto::ListScheduleRunsResponse {
            runs: runs.into_iter().map(run_message).collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }

    async fn find(&self, caller: &Identity, name: &str) -> Result<Schedule, Refusal> {
        let wall = self.schedules.wall();
        self.store.schedule(&caller.principal, name, wall).await
    }

    /// What every change carries. `request` is the request with its `request_id` taken out.
    fn caller(
        &self,
        identity: Arc<Identity>,
        name: String,
        method: &'static str,
        request_id: String,
        request: &impl prost::Message,
    ) -> ScheduleCaller {
        ScheduleCaller {
            name,
            request: (!request_id.is_empty()).then(|| RequestKey {
                request_id,
                method,
                hash: parse::request_hash(request),
            }),
            now: clock::now(),
            wall: self.schedules.wall(),
            until: right_ends(&identity, self.live.current().config.max_key_ttl),
            identity,
        }
    }

    /// Reads a schedule's content; what is wrong is told of fields of `schedule`.
    fn content(
        &self,
        fields: &mut Fields,
        asked: &proto::Schedule,
        anchor: i64,
    ) -> Option<Content> {
        let proto::Schedule {
            schedule_name,
            spec: asked_spec,
            enqueue,
            session_mode,
            key_template,
            overlap,
            missed,
            missed_window,
            paused,
            pause_reason,
            pause_after_failures,
            remaining_runs,
            next_times: _,
            owner: _,
        } = asked;
        let spec = spec(fields, "schedule.spec", asked_spec.as_ref(), anchor);
        if let Some(spec) = &spec
            && let Err((field, problem)) = spec.times()
        {
            fields.wrong(format!("schedule.spec.{field}"), problem);
        }
        let session = session_mode_of(fields, *session_mode, key_template, schedule_name);
        let overlap = overlap_of(fields, *overlap);
        let fits = match (&session, overlap) {
            (_, Overlap::Skip) | (SessionMode::New(_), Overlap::Allow) => true,
            (SessionMode::Same, Overlap::Allow) => false,
            (SessionMode::Same, _) => true,
            (SessionMode::New(_), _) => false,
        };
        if !fits {
            let problem =
                "ALLOW goes with session_mode NEW; BUFFER_ONE, QUEUE and INTERRUPT with SAME";
            fields.wrong("schedule.overlap", problem);
        }
        let missed = match proto::MissedPolicy::try_from(*missed) {
            Ok(proto::MissedPolicy::Unspecified | proto::MissedPolicy::RunOnce) => Missed::RunOnce,
            Ok(proto::MissedPolicy::Skip) => Missed::Skip,
            Ok(proto::MissedPolicy::All) => Missed::All,
            Err(_) => {
                fields.wrong("schedule.missed", "is no value of MissedPolicy");
                Missed::RunOnce
            }
        };
        let window = fields.span(
            "schedule.missed_window",
            *missed_window,
            Duration::ZERO,
            MISSED_WINDOW_MAX,
        );
        let window = window.unwrap_or(MISSED_WINDOW_DEFAULT);
        fields.text(
            "schedule.pause_reason",
            pause_reason,
            PAUSE_REASON_MAX_BYTES,
        );
        let pause_after = pause_after_failures.unwrap_or(PAUSE_AFTER_DEFAULT);
        if !(0..=PAUSE_AFTER_MAX).contains(&pause_after) {
            let problem = format!("must be 0 to {PAUSE_AFTER_MAX}");
            fields.wrong("schedule.pause_after_failures", problem);
        }
        fields.not_negative("schedule.remaining_runs", remaining_runs.unwrap_or(0));
        let request = self.request(fields, enqueue.as_ref(), &session);
        Some(Content {
            rules: Rules {
                spec: spec?,
                session,
                overlap,
                missed,
                missed_window: window.as_secs().cast_signed(),
                pause_after_failures: pause_after,
            },
            request: request?,
            paused: *paused,
            pause_reason: pause_reason.clone(),
            remaining_runs: *remaining_runs,
        })
    }

    /// The request that each run makes, encoded.
    fn request(
        &self,
        fields: &mut Fields,
        enqueue: Option<&proto::EnqueueRequest>,
        session: &SessionMode,
    ) -> Option<Vec<u8>> {
        let Some(enqueue) = enqueue else {
            fields.wrong("schedule.enqueue", "must be set");
            return None;
        };
        if !enqueue.request_id.is_empty() {
            let problem = "must be left out: each run has one of its own";
            fields.wrong("schedule.enqueue.request_id", problem);
        }
        if enqueue.not_before.is_some() {
            let problem = "must be left out: spec says when";
            fields.wrong("schedule.enqueue.not_before", problem);
        }
        match fields.on_busy("schedule.enqueue.on_busy", enqueue.on_busy) {
            OnBusy::Enqueue | OnBusy::Reject => {}
            OnBusy::Interrupt | OnBusy::SteerOrEnqueue => {
                let problem =
                    "must be ENQUEUE or REJECT; overlap says what becomes of an earlier run";
                fields.wrong("schedule.enqueue.on_busy", problem);
            }
        }
        if *session != SessionMode::Same && !enqueue.session_key.is_empty() {
            let problem = "must be left out with session_mode NEW; key_template says it";
            fields.wrong("schedule.enqueue.session_key", problem);
        }
        let encoded = enqueue.encode_to_vec();
        if encoded.len() > SCHEDULED_REQUEST_MAX_BYTES {
            let problem = format!(
                "must be at most {SCHEDULED_REQUEST_MAX_BYTES} bytes as it is encoded, has {}",
                encoded.len()
            );
            fields.wrong("schedule.enqueue", problem);
        }
        Some(encoded)
    }

    /// Refuses a schedule whose request would be refused to its owner now, whatever the session.
    async fn may_run(
        &self,
        caller: &Arc<Identity>,
        content: &Content,
        asked: &proto::Schedule,
    ) -> Result<(), Refusal> {
        if content.rules.overlap == Overlap::Interrupt {
            caller.require(Scope::SessionAbort)?;
        }
        let mut request = asked.enqueue.clone().unwrap_or_default();
        if let SessionMode::New(_) = content.rules.session {
            "schedule".clone_into(&mut request.session_key);
        }
        let tried = self.schedules.try_request(caller.clone(), request).await?;
        // A directory that can't be had is told now, and not at the first run.
        tried.new_session.cwd_refused.map_or(Ok(()), Err)
    }

    fn message(&self, schedule: Schedule) -> proto::Schedule {
        let next_times = match schedule.rules.spec.times() {
            Ok(times) if !schedule.paused => {
                let left = schedule.remaining_runs.unwrap_or(i64::MAX);
                let count = usize::try_from(left).unwrap_or(0).min(NEXT_TIMES);
                // From the first without a row on; where the clock was set back, that is not the next one by the clock.
                let from = schedule.next.map(|next| next.second - 1);
                from.map_or_else(Vec::new, |from| times.next_that_run(from, count))
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        let Schedule {
            row: _,
            uid: _,
            name,
            owner,
            rules,
            request,
            paused,
            pause_reason,
            remaining_runs,
            next: _,
            version: _,
        } = schedule;
        let Rules {
            spec,
            session,
            overlap,
            missed,
            missed_window,
            pause_after_failures,
        } = rules;
        let (session_mode, key_template) = match session {
            SessionMode::Same => (proto::SessionMode::Same, String::new()),
            SessionMode::New(template) => (proto::SessionMode::New, template),
        };
        proto::Schedule {
            schedule_name: name,
            spec: Some(spec_message(spec)),
            enqueue: proto::EnqueueRequest::decode(&request[..]).ok(),
            session_mode: session_mode.into(),
            key_template,
            overlap: overlap as i32,
            missed: missed as i32,
            missed_window: Some(span(missed_window)),
            paused,
            pause_reason,
            pause_after_failures: Some(pause_after_failures),
            remaining_runs,
            next_times: next_times.into_iter().map(moment).collect(),
            owner: owner.principal.to_string(),
        }
    }
}

/// What a schedule says, parsed.
struct Content {
    rules: Rules,
    request: Vec<u8>,
    paused: bool,
    pause_reason: String,
    remaining_runs: Option<i64>,
}

// === impl Content ===

impl Content {
    fn new_schedule(self, caller: ScheduleCaller) -> NewSchedule {
        let Self {
            rules,
            request,
            paused,
            pause_reason,
            remaining_runs,
        } = self;
        NewSchedule {
            caller,
            rules,
            request,
            paused,
            pause_reason,
            remaining_runs,
        }
    }
}

/// A schedule with the values of another one where the paths say so.
fn merge(mut merged: proto::Schedule, new: &proto::Schedule, paths: &[String]) -> proto::Schedule {
    for path in paths {
        match path.as_str() {
            "spec" => merged.spec.clone_from(&new.spec),
            "enqueue" => merged.enqueue.clone_from(&new.enqueue),
            "session_mode" => {
                merged.session_mode = new.session_mode;
                // The template goes with the mode.
                if new.session_mode() != proto::SessionMode::New {
                    merged.key_template.clear();
                }
            }
            "key_template" => merged.key_template.clone_from(&new.key_template),
            "overlap" => merged.overlap = new.overlap,
            "missed" => merged.missed = new.missed,
            "missed_window" => merged.missed_window = new.missed_window,
            "paused" => merged.paused = new.paused,
            "pause_reason" => merged.pause_reason.clone_from(&new.pause_reason),
            "pause_after_failures" => merged.pause_after_failures = new.pause_after_failures,
            "remaining_runs" => merged.remaining_runs = new.remaining_runs,
            _ => unreachable!("the paths were checked"),
        }
    }
    merged
}

fn schedule_name(fields: &mut Fields, name: &str) -> Option<String> {
    let name = fields.session_key("schedule_name", name);
    name.map(|it: SessionKey| it.as_str().to_owned())
}

fn spec(
    fields: &mut Fields,
    field: &str,
    asked: Option<&proto::ScheduleSpec>,
    anchor: i64,
) -> Option<Spec> {
    let Some(asked) = asked else {
        fields.wrong(field, "must be set");
        return None;
    };
    let proto::ScheduleSpec {
        when,
        time_zone,
        start_time,
        end_time,
        jitter,
    } = asked;
    fields.text(&format!("{field}.time_zone"), time_zone, NAME_MAX_BYTES);
    let start = second(fields, &format!("{field}.start_time"), *start_time);
    let end = second(fields, &format!("{field}.end_time"), *end_time);
    let when = match when {
        None => {
            fields.wrong(field, "must have one of cron, every and at");
            None
        }
        Some(schedule_spec::When::Cron(cron)) => Some(When::Cron(cron.clone())),
        Some(schedule_spec::When::Every(every)) => {
            let every = fields.span(
                &format!("{field}.every"),
                Some(*every),
                EVERY_MIN,
                EVERY_MAX,
            );
            every.map(|every| When::Every(every.as_secs().cast_signed()))
        }
        Some(schedule_spec::When::At(at)) => {
            second(fields, &format!("{field}.at"), Some(*at)).map(When::At)
        }
    };
    let jitter = fields.span(
        &format!("{field}.jitter"),
        *jitter,
        Duration::ZERO,
        JITTER_MAX,
    );
    Some(Spec {
        when: when?,
        time_zone: match time_zone.as_str() {
            "" => "UTC".to_owned(),
            name => name.to_owned(),
        },
        start,
        end,
        jitter: jitter.unwrap_or_default().as_secs().cast_signed(),
        anchor: start.unwrap_or(anchor),
    })
}

/// A moment in whole seconds, as calendars know it.
fn second(fields: &mut Fields, field: &str, time: Option<prost_types::Timestamp>) -> Option<i64> {
    let second = seconds(fields.time(field, time)?);
    if second > SECOND_MAX {
        fields.wrong(field, "must be before the year 10000");
    }
    (second <= SECOND_MAX).then_some(second)
}

fn spec_message(spec: Spec) -> proto::ScheduleSpec {
    let Spec {
        when,
        time_zone,
        start,
        end,
        jitter,
        anchor: _,
    } = spec;
    proto::ScheduleSpec {
        when: Some(match when {
            When::Cron(cron) => schedule_spec::When::Cron(cron),
            When::Every(every) => schedule_spec::When::Every(span(every)),
            When::At(at) => schedule_spec::When::At(moment(at)),
        }),
        time_zone,
        start_time: start.map(moment),
        end_time: end.map(moment),
        jitter: (jitter > 0).then(|| span(jitter)),
    }
}

fn session_mode_of(fields: &mut Fields, number: i32, template: &str, name: &str) -> SessionMode {
    match proto::SessionMode::try_from(number) {
        Ok(proto::SessionMode::Unspecified | proto::SessionMode::Same) => {
            if !template.is_empty() {
                let problem = "goes with session_mode NEW alone";
                fields.wrong("schedule.key_template", problem);
            }
            SessionMode::Same
        }
        Ok(proto::SessionMode::New) => {
            let template = match template {
                "" => TEMPLATE_DEFAULT,
                given => given,
            };
            fields.text("schedule.key_template", template, TEMPLATE_MAX_BYTES);
            if let Some(problem) = template_problem(template, name) {
                fields.wrong("schedule.key_template", problem);
            }
            SessionMode::New(template.to_owned())
        }
        Err(_) => {
            fields.wrong("schedule.session_mode", "is no value of SessionMode");
            SessionMode::Same
        }
    }
}

fn overlap_of(fields: &mut Fields, number: i32) -> Overlap {
    match proto::OverlapPolicy::try_from(number) {
        Ok(proto::OverlapPolicy::Unspecified | proto::OverlapPolicy::Skip) => Overlap::Skip,
        Ok(proto::OverlapPolicy::BufferOne) => Overlap::BufferOne,
        Ok(proto::OverlapPolicy::Queue) => Overlap::Queue,
        Ok(proto::OverlapPolicy::Interrupt) => Overlap::Interrupt,
        Ok(proto::OverlapPolicy::Allow) => Overlap::Allow,
        Err(_) => {
            fields.wrong("schedule.overlap", "is no value of OverlapPolicy");
            Overlap::Skip
        }
    }
}

fn run_message(run: ScheduleRun) -> proto::ScheduleRun {
    let ScheduleRun {
        run_id,
        scheduled_time,
        start_time,
        trigger,
        outcome,
        reason,
        session_key,
        turn_id,
    } = run;
    proto::ScheduleRun {
        run_id: run_id.to_string(),
        scheduled_time: Some(encode::timestamp(scheduled_time)),
        start_time: Some(encode::timestamp(start_time)),
        trigger: trigger as i32,
        outcome: outcome as i32,
        reason,
        session_key,
        turn_id: turn_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn moment(second: i64) -> prost_types::Timestamp {
    encode::timestamp(Time(second.saturating_mul(1_000_000)))
}

fn span(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}
