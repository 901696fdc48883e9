//! Leases and placement, without a network and with time paused.

use super::*;
use crate::agent::AgentEvent;

const RULES: LeaseRules = LeaseRules {
    heartbeat: Duration::from_secs(10),
    lease: Duration::from_secs(45),
    stop_after: Duration::from_secs(35),
    accept: Duration::from_secs(10),
    sticky_wait: Duration::from_secs(10),
};

type Incoming = mpsc::Receiver<Result<proto::ConnectResponse, tonic::Status>>;

fn selector() -> Selector {
    Selector {
        agent: "a".into(),
        labels: BTreeMap::new(),
        principals: BTreeSet::from(["default/w".to_owned()]),
    }
}

fn identity(subject: &str) -> Identity {
    let principal = Principal {
        tenant: "default".into(),
        subject: subject.into(),
    };
    Identity::new(
        principal,
        crate::domain::access::Scopes::ALL,
        crate::domain::access::Credential::None,
        None,
    )
}

fn told(name: &str, incarnation: &str, capacity: i32) -> proto::WorkerRegister {
    proto::WorkerRegister {
        worker_name: name.into(),
        incarnation: incarnation.into(),
        capacity,
        agents: vec![proto::WorkerAgent {
            name: "a".into(),
            capabilities: None,
        }],
        ..Default::default()
    }
}

fn connect(hub: &Hub, told: proto::WorkerRegister) -> (ConnectionKey, Incoming) {
    let (out, incoming) = mpsc::channel(OUT_FRAMES_MAX);
    let key = hub.register(&identity("w"), told, out);
    (key.expect("it may"), incoming)
}

fn assign(hub: &Arc<Hub>) -> Assignment {
    let session = (Uuid::from_u128(1), "default", "s");
    let turn = (Uuid::from_u128(2), 1);
    let assignment = hub.assign(&selector(), session, turn, &[]);
    let assignment = assignment.expect("there is room");
    hub.offer(proto::WorkerAssign::default(), &assignment.token);
    assignment
}

fn said(token: &str, frame: i64) -> Up {
    frames::encode(token, frame, 0, AgentEvent::MessageStarted).expect("it is told")
}

fn heard(assignment: &mut Assignment) -> Option<Inbound> {
    assignment.inbox.try_recv().ok()
}

fn resumed(incoming: &mut Incoming) -> Vec<(i32, i64)> {
    let mut all = Vec::new();
    while let Ok(Ok(frame)) = incoming.try_recv() {
        if let Some(Down::Resume(it)) = frame.frame {
            all.push((it.action, it.from_frame));
        }
    }
    all
}

/// R14: a late or repeated frame is counted and passed over, and a gap cuts the connection.
#[tokio::test(start_paused = true)]
async fn a_numbered_frame_counts_once() {
    let hub = Hub::new(RULES);
    let (key, _incoming) = connect(&hub, told("w1", "i", 1));
    let mut assignment = assign(&hub);
    let token = assignment.token.clone();
    for _ in 0..3 {
        hub.frame(&key, said(&token, 1), 10)
            .expect("it is passed over");
    }
    assert!(matches!(
        heard(&mut assignment),
        Some(Inbound::Said { frame: 1, .. })
    ));
    assert!(heard(&mut assignment).is_none());
    assert!(hub.frame(&key, said(&token, 3), 10).is_err());
}

/// D48, R14: whose lease it is not, nobody hears.
#[tokio::test(start_paused = true)]
async fn a_worker_touches_turns_of_its_own_leases_only() {
    let hub = Hub::new(RULES);
    let (_key, _incoming) = connect(&hub, told("w1", "i", 1));
    let (stranger, _other) = connect(&hub, told("w2", "i", 0x1));
    let mut assignment = assign(&hub);
    let owner = assignment.worker.name().to_owned();
    assert_eq!(owner, "w1");
    let token = assignment.token.clone();
    hub.frame(&stranger, said(&token, 1), 10)
        .expect("it is passed over");
    let ends = proto::WorkerCompleted {
        lease_token: token,
        frame: 1,
        ..Default::default()
    };
    hub.frame(&stranger, Up::Completed(ends), 10)
        .expect("it is passed over");
    assert!(heard(&mut assignment).is_none());
}

/// R9: a lease ends `lease` after the last frame, and never before a worker has ended its agents.
#[tokio::test(start_paused = true)]
async fn a_lease_ends_only_after_its_worker_has_ended_what_ran() {
    let hub = Hub::new(RULES);
    let (key, _incoming) = connect(&hub, told("w1", "i", 1));
    let mut assignment = assign(&hub);
    let beat = |number| Up::Heartbeat(proto::WorkerHeartbeat { number });
    hub.frame(&key, beat(1), 1).expect("it is a heartbeat");
    hub.disconnected(&key);
    tokio::time::advance(RULES.stop_after).await;
    hub.tick();
    assert!(heard(&mut assignment).is_none());
    tokio::time::advance(RULES.lease - RULES.stop_after).await;
    hub.tick();
    assert!(matches!(heard(&mut assignment), Some(Inbound::Lost(_))));
}

/// R14: a worker that comes back within its lease goes on from the first frame that did not arrive; one of another life
/// does not.
#[tokio::test(start_paused = true)]
async fn a_reconnect_continues_and_a_stranger_is_fenced() {
    let hub = Hub::new(RULES);
    let (key, _incoming) = connect(&hub, told("w1", "i", 1));
    let mut assignment = assign(&hub);
    let token = assignment.token.clone();
    let accepted = Up::Accepted(proto::WorkerAccepted {
        lease_token: token.clone(),
    });
    hub.frame(&key, accepted, 1).expect("it is accepted");
    hub.frame(&key, said(&token, 1), 10).expect("it is next");
    hub.disconnected(&key);
    tokio::time::advance(Duration::from_secs(20)).await;
    let held = proto::WorkerHeldLease {
        turn_id: Uuid::from_u128(2).to_string(),
        attempt: 1,
        lease_token: token.clone(),
        last_acked_frame: 0,
    };
    let again = proto::WorkerRegister {
        held: vec![held.clone()],
        ..told("w1", "i", 1)
    };
    let (_key, mut incoming) = connect(&hub, again);
    let goes_on = proto::WorkerResumeAction::Continue as i32;
    assert_eq!(resumed(&mut incoming), [(goes_on, 2)]);
    let other_life = proto::WorkerRegister {
        held: vec![held],
        ..told("w1", "j", 1)
    };
    let (_key, mut incoming) = connect(&hub, other_life);
    let fenced = proto::WorkerResumeAction::Fenced as i32;
    assert_eq!(resumed(&mut incoming), [(fenced, 0)]);
    assert!(matches!(heard(&mut assignment), Some(Inbound::Accepted)));
    assert!(matches!(heard(&mut assignment), Some(Inbound::Said { .. })));
    assert!(heard(&mut assignment).is_none());
}

/// A worker that does not hold a lease any more has ended its turn: nobody waits for the clock.
#[tokio::test(start_paused = true)]
async fn what_a_worker_does_not_hold_any_more_is_over() {
    let hub = Hub::new(RULES);
    let (key, _incoming) = connect(&hub, told("w1", "i", 1));
    let mut assignment = assign(&hub);
    hub.disconnected(&key);
    let (_key, _incoming) = connect(&hub, told("w1", "i", 1));
    assert!(matches!(heard(&mut assignment), Some(Inbound::NotBegun(_))));
}

/// Slots are held by turns; a session's turn goes where its files are, else where most room is.
#[tokio::test(start_paused = true)]
async fn a_turn_goes_where_its_files_are_else_to_the_least_loaded() {
    let hub = Hub::new(RULES);
    let session = Uuid::from_u128(1);
    let none = hub.reserve(&selector(), "default", session).await;
    assert!(none.is_none());
    let (_one, _in1) = connect(&hub, told("w1", "i", 1));
    let (_two, _in2) = connect(&hub, told("w2", "i", 4));
    let at_home = proto::WorkerRegister {
        workspaces: vec![proto::WorkerWorkspace {
            workspace_id: Uuid::from_u128(9).to_string(),
            mode: 1,
        }],
        ..told("w3", "i", 1)
    };
    let (_three, _in3) = connect(&hub, at_home);
    let place = |workspace: u128| {
        let state = hub.lock();
        let place = state.place(
            &selector(),
            "default",
            &Uuid::from_u128(workspace).to_string(),
            true,
            &[],
        );
        match place {
            Placement::At(key) => key.name().to_owned(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(place(9), "w3");
    let session = Uuid::from_u128(9);
    let reserved = hub.reserve(&selector(), "default", session).await;
    assert!(reserved.is_some());
    assert_eq!(place(9), "Busy");
    let before = Instant::now();
    let elsewhere = hub.reserve(&selector(), "default", session).await;
    assert!(elsewhere.is_some());
    assert!(before.elapsed() >= RULES.sticky_wait);
    drop((reserved, elsewhere));
    assert_eq!(hub.free(&selector()), BTreeMap::from([(None, 6)]));
    let stranger = Selector {
        principals: BTreeSet::from(["default/other".to_owned()]),
        ..selector()
    };
    assert_eq!(hub.free(&stranger), BTreeMap::new());
    let labelled = Selector {
        labels: BTreeMap::from([("gpu".to_owned(), "a100".to_owned())]),
        ..selector()
    };
    assert_eq!(hub.free(&labelled), BTreeMap::new());
}

/// Hole 10, D48: a worker of a tenant gets turns of that tenant alone, whatever `worker_principals` names; the operator's gets
/// those of all.
#[tokio::test(start_paused = true)]
async fn a_worker_of_a_tenant_gets_turns_of_its_tenant_alone() {
    let hub = Hub::new(RULES);
    let both = Selector {
        principals: BTreeSet::from(["acme/w".to_owned(), "default/w".to_owned()]),
        ..selector()
    };
    let mut of_acme = identity("w");
    of_acme.principal.tenant = "acme".into();
    let (out, _in1) = mpsc::channel(OUT_FRAMES_MAX);
    let registered = hub.register(&of_acme, told("w1", "i", 2), out);
    registered.expect("it may");
    let session = Uuid::from_u128(1);
    let strangers = hub.reserve(&both, "other", session).await;
    assert!(strangers.is_none());
    assert!(hub.capabilities(&both, "other").is_none());
    let turn = (Uuid::from_u128(2), 1);
    let strangers = hub.assign(&both, (session, "other", "s"), turn, &[]);
    assert!(strangers.is_none());
    let acme = Some("acme".to_owned());
    assert_eq!(hub.free(&both), BTreeMap::from([(acme.clone(), 2)]));
    let own = hub.assign(&both, (session, "acme", "s"), turn, &[]);
    assert_eq!(own.expect("there is room").worker.name(), "w1");
    let (_key, _in2) = connect(&hub, told("w2", "i", 1));
    assert_eq!(hub.free(&both), BTreeMap::from([(None, 1), (acme, 2)]));
    let any = hub.assign(&both, (session, "other", "s"), turn, &[]);
    assert_eq!(any.expect("there is room").worker.name(), "w2");
}

fn decided(incoming: &mut Incoming) -> Option<i32> {
    while let Ok(Ok(frame)) = incoming.try_recv() {
        if let Some(Down::RecoveryDecision(it)) = frame.frame {
            return Some(it.action);
        }
    }
    None
}

/// FEATURES 6.3.11, D47: what a worker finds of an earlier life of its own is settled, as is what an earlier life of the server
/// left to it; what it does not know, or what another one has, is none of its business.
#[tokio::test(start_paused = true)]
async fn a_turn_of_an_earlier_life_is_recovered_by_the_table() {
    let hub = Hub::new(RULES);
    let (_first, _in1) = connect(&hub, told("w1", "i", 1));
    let mut assignment = assign(&hub);
    let asks = |turn: u128| {
        Up::RequestRecovery(proto::WorkerRecoveryRequest {
            turn_id: Uuid::from_u128(turn).to_string(),
            attempt: 1,
            workspace_id: String::new(),
        })
    };
    let settled = Some(proto::WorkerRecoveryAction::Settled as i32);
    let discard = Some(proto::WorkerRecoveryAction::Discard as i32);
    let (other, mut incoming) = connect(&hub, told("w2", "i", 1));
    hub.frame(&other, asks(2), 1).expect("it may ask");
    assert_eq!(decided(&mut incoming), discard);
    assert!(heard(&mut assignment).is_none());
    let (again, mut incoming) = connect(&hub, told("w1", "j", 1));
    hub.frame(&again, asks(7), 1).expect("it may ask");
    assert_eq!(decided(&mut incoming), discard);
    hub.frame(&again, asks(2), 1).expect("it may ask");
    assert_eq!(decided(&mut incoming), settled);
    assert!(matches!(heard(&mut assignment), Some(Inbound::Lost(_))));
    let turn_id = Uuid::from_u128(3);
    let former = Former {
        kept: KeptLease {
            turn_id,
            attempt: 1,
            worker: "default/w/w1".into(),
            token_hash: hash("of before"),
        },
        ends: Instant::now() + RULES.lease,
        held: None,
    };
    hub.lock().former.insert(turn_id, former);
    hub.frame(&again, asks(3), 1).expect("it may ask");
    assert_eq!(decided(&mut incoming), settled);
    assert_eq!(hub.tick(), [turn_id]);
}

/// FEATURES 6.3.7, D54: where a workspace is not kept, its session's next turn goes anywhere; a worker may say so of any.
#[tokio::test(start_paused = true)]
async fn a_workspace_that_is_not_kept_binds_no_turn() {
    let hub = Hub::new(RULES);
    let workspace_id = Uuid::from_u128(9).to_string();
    let kept = proto::WorkerRegister {
        workspaces: vec![proto::WorkerWorkspace {
            workspace_id: workspace_id.clone(),
            mode: proto::WorkspaceMode::Kept.into(),
        }],
        ..told("w2", "i", 1)
    };
    let (_one, _in1) = connect(&hub, told("w1", "i", 9));
    let (two, _in2) = connect(&hub, kept);
    let place = || {
        let state = hub.lock();
        match state.place(&selector(), "default", &workspace_id, true, &[]) {
            Placement::At(key) => key.name().to_owned(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(place(), "w2");
    let changed = |workspace_id: &str| {
        Up::WorkspaceModeChanged(proto::WorkspaceModeChanged {
            workspace_id: workspace_id.to_owned(),
            mode: proto::WorkspaceMode::Ephemeral.into(),
        })
    };
    hub.frame(&two, changed("of nobody"), 1).expect("it may");
    hub.frame(&two, changed(&workspace_id), 1).expect("it may");
    hub.lock()
        .workers
        .get_mut(&two.worker)
        .expect("it is there")
        .reserved = 1;
    assert_eq!(place(), "w1");
}

/// D55: what makes no sense is refused with its connection, and nobody hears of it.
#[tokio::test(start_paused = true)]
async fn frames_that_make_no_sense_cut_the_connection() {
    let hub = Hub::new(RULES);
    let (key, _incoming) = connect(&hub, told("w1", "i", 1));
    let mut assignment = assign(&hub);
    let token = assignment.token.clone();
    let nothing = Up::AgentEvent(proto::WorkerEvent {
        lease_token: token.clone(),
        ..Default::default()
    });
    let delta = AgentEvent::TextDelta {
        content_index: 0,
        delta: "x".into(),
    };
    let numbered = frames::encode(&token, 1, 0, delta).expect("it is told");
    let without_number = said(&token, 0);
    let again = Up::Register(told("w1", "i", 1));
    for frame in [nothing, numbered, without_number, again] {
        assert!(hub.frame(&key, frame.clone(), 1).is_err(), "{frame:?}");
    }
    assert!(heard(&mut assignment).is_none());
    for wrong in [
        told("", "i", 1),
        told("a b", "i", 1),
        told("w", "", 1),
        told("w", "i", 0),
        told("w", "i", CAPACITY_MAX + 1),
    ] {
        let (out, _incoming) = mpsc::channel(1);
        let refused = hub.register(&identity("w"), wrong.clone(), out);
        assert!(refused.is_err(), "{wrong:?}");
    }
}
