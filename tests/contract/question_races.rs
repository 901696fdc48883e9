//! Answers that meet each other, a stop, or the turn's own end: one outcome, and everybody is told the same (CONTRACT-2 §10).

use crate::world::*;
use proto::{Question, QuestionResolution, QuestionState, TurnState};

/// Rounds where nobody says how many.
const ROUNDS: u64 = 150;
/// Says how many.
const ROUNDS_VARIABLE: &str = "QUARTERDECK_TEST_INTERLEAVINGS";

/// Numbers of which nobody knows the next; `SEED` makes them again.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
        eprintln!("SEED={seed}");
        Self(seed)
    }

    /// One below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meets {
    Answer,
    Abort,
    Reset,
    /// The agent ends its turn without waiting.
    End,
}

/// Lets others run for a while that nobody knows before.
async fn a_moment(yields: u64) {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
}

async fn answer(
    client: &mut Client,
    question: &Question,
    option_id: &str,
) -> Result<proto::AnswerQuestionResponse, Status> {
    let answer = proto::Answer {
        option_id: option_id.into(),
        ..Default::default()
    };
    call!(client.answer_question(AnswerQuestionRequest {
        session_key: question.session_key.as_str(),
        question_id: question.question_id.as_str(),
        answer: Some(answer)
    }))
}

/// What `question_asked` says of the newest question of a turn.
async fn asked(client: &mut Client, key: &str, turn_id: &str, after: &mut i64) -> Question {
    loop {
        let page = ok!(client.read_events(ReadEventsRequest {
            session_key: key,
            cursor: proto::Cursor {
                log_id: String::new(),
                after_seq: *after
            },
            kinds: vec!["question_asked".to_owned()],
            wait: prost_types::Duration {
                seconds: 30,
                nanos: 0
            }
        }));
        *after = page.next_after_seq;
        for event in page.events {
            if event.turn_id == turn_id
                && let Some(Kind::QuestionAsked(asked)) = event.kind
            {
                // What came after it is looked at later.
                *after = event.seq;
                return asked.question.expect("a question");
            }
        }
    }
}

async fn meet(client: &mut Client, key: &str, after: &mut i64, random: &mut Random) {
    let meets = [Meets::Answer, Meets::Abort, Meets::Reset, Meets::End][random.below(4) as usize];
    let prompt = if meets == Meets::End {
        "!ask=bash !leave !delay=1ms x"
    } else {
        "!ask=bash x"
    };
    let turn_id = queue(client, key, prompt).await;
    let question = asked(client, key, &turn_id, after).await;
    let waits = [random.below(40), random.below(40), random.below(40)];
    let (mut one, mut two, mut three) = (client.clone(), client.clone(), client.clone());
    let (allowed, denied, ()) = tokio::join!(
        async {
            a_moment(waits[0]).await;
            answer(&mut one, &question, "allow").await
        },
        async {
            if meets != Meets::Answer {
                return None;
            }
            a_moment(waits[1]).await;
            Some(answer(&mut two, &question, "deny").await)
        },
        async {
            a_moment(waits[2]).await;
            match meets {
                Meets::Abort => {
                    ok!(three.abort(AbortRequest {
                        session_key: key,
                        turn_id: turn_id.as_str()
                    }));
                }
                Meets::Reset => {
                    ok!(three.reset(ResetRequest { session_key: key }));
                }
                Meets::Answer | Meets::End => {}
            }
        }
    );
    let ended = await_turn(client, key, &turn_id).await;
    let now = ok!(client.get_question(GetQuestionRequest {
        session_key: key,
        question_id: question.question_id.as_str()
    }));
    let now = now.question.expect("a question");
    let about = format!("{meets:?} {waits:?}: {now:?}");
    // Everybody is told: who answered, and who came too late with what had closed it.
    let mut taken = Vec::new();
    for told in std::iter::once(allowed).chain(denied) {
        match told {
            Ok(told) => taken.push(told.question.expect("the question").answer),
            Err(_) => {
                refused(told, Code::FailedPrecondition, "ALREADY_ANSWERED");
            }
        }
    }
    match (now.state(), now.resolution()) {
        (QuestionState::Answered, QuestionResolution::Answered) => {
            assert_eq!(taken, std::slice::from_ref(&now.answer), "{about}");
        }
        (QuestionState::Canceled, QuestionResolution::TurnCanceled) => {
            assert!(matches!(meets, Meets::Abort | Meets::Reset), "{about}");
            assert_eq!(
                (taken.len(), ended.state()),
                (0, TurnState::Canceled),
                "{about}"
            );
        }
        (QuestionState::Canceled, QuestionResolution::TurnEnded) => {
            assert_eq!((meets, taken.len()), (Meets::End, 0), "{about}");
        }
        _ => panic!("{about}"),
    }
    if matches!(meets, Meets::Answer | Meets::End) {
        assert_eq!(ended.state(), TurnState::Completed, "{about}");
    }
    // The log tells the same, once: what closed it, and whether the agent had the answer.
    let log = ok!(client.read_events(ReadEventsRequest {
        session_key: key,
        cursor: proto::Cursor {
            log_id: String::new(),
            after_seq: *after
        },
        limit: 1000
    }));
    let of_turn: Vec<_> = (log.events.iter())
        .filter(|event| event.turn_id == turn_id)
        .collect();
    let count = |name: &str| of_turn.iter().filter(|event| kind(event) == name).count();
    assert_eq!(
        (count("question_resolved"), count("turn_ended")),
        (1, 1),
        "{about}"
    );
    let Some(Kind::TurnEnded(end)) = of_turn.last().and_then(|it| it.kind.clone()) else {
        panic!("a turn's last event is its end: {about}");
    };
    let delivered = count("answer_delivered") == 1;
    assert_eq!(now.delivered, delivered, "{about}");
    let undelivered = end.undelivered_question_ids == [question.question_id.clone()];
    assert_eq!(
        (usize::from(delivered) + usize::from(undelivered)),
        taken.len(),
        "an answer is never lost in silence: {about}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whatever_meets_an_answer_there_is_one_outcome() {
    let rounds = std::env::var(ROUNDS_VARIABLE).ok();
    let rounds = rounds.map_or(ROUNDS, |it| it.parse().expect("a number of rounds"));
    let (_server, mut client) = shared().await;
    let mut random = Random::new();
    let mut after = 0;
    for round in 0..rounds {
        // Each its own now and then: a log that grows without end would be all that is measured.
        let key = format!("question-races.{}", round / 200);
        if round % 200 == 0 {
            after = 0;
        }
        meet(&mut client, &key, &mut after, &mut random).await;
    }
}
