//! The command line against a real server: what it prints, how it exits, and a chat that outlives its server (R10).

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
};
use support::{Gateway, Options, SOON};

fn command(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
    command
        .args(arguments)
        .env("QUARTERDECK_ADDR", address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn quarterdeck(gateway: &Gateway, arguments: &[&str]) -> Output {
    command(&gateway.address, arguments)
        .output()
        .expect("the binary runs")
}

/// Standard output of a command that succeeds.
fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = quarterdeck(gateway, arguments);
    assert_eq!(code(&output), 0, "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// An address that stays while the server behind it moves.
struct Front {
    address: String,
    behind: Arc<Mutex<String>>,
}

/// A chat, or a watch, with both ends in hand.
struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// All that was read so far.
    read: String,
}

// === impl Front ===

impl Front {
    fn start(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let behind = Arc::new(Mutex::new(behind.to_owned()));
        let target = Arc::clone(&behind);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let target = target.lock().expect("no panic").clone();
                // A server that is away: the connection ends, as it would without a front.
                let Ok(far) = TcpStream::connect(target.trim_start_matches("http://")) else {
                    continue;
                };
                carry(&near, &far);
                carry(&far, &near);
            }
        });
        Self { address, behind }
    }

    /// Nobody is behind until the next move: a freed port may be another server's by then.
    fn gone(&self) {
        self.moved("127.0.0.1:1");
    }

    fn moved(&self, behind: &str) {
        behind.clone_into(&mut self.behind.lock().expect("no panic"));
    }
}

fn carry(from: &TcpStream, to: &TcpStream) {
    let mut from = from.try_clone().expect("a handle");
    let mut to = to.try_clone().expect("a handle");
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    });
}

// === impl Conversation ===

impl Conversation {
    fn start(address: &str, arguments: &[&str]) -> Self {
        let mut child = command(address, arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary runs");
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
            read: String::new(),
        }
    }

    fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open");
        writeln!(input, "{line}").expect("it reads");
    }

    /// Reads until the output so far contains the text.
    fn read_until(&mut self, wanted: &str) {
        while !self.read.contains(wanted) {
            let bytes = self.output.fill_buf().expect("readable");
            assert!(!bytes.is_empty(), "ended before {wanted:?}: {}", self.read);
            let piece = String::from_utf8_lossy(bytes).into_owned();
            let length = bytes.len();
            self.output.consume(length);
            self.read.push_str(&piece);
        }
    }

    /// Ends the input and reads the rest.
    fn finish(mut self) -> (i32, String) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("UTF-8");
        self.read.push_str(&rest);
        let status = self.child.wait().expect("ours");
        (status.code().expect("it ended by itself"), self.read)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child that must not outlive its test.
struct Gone(Child);

#[test]
fn send_prints_the_answer_and_exits_as_the_turn_ended() {
    let gateway = Gateway::start();
    assert_eq!(
        said(&gateway, &["send", "a", "hello", "world"]),
        "hello world\n"
    );
    // Thinking and tools are for terminals; a script gets what the agent said.
    assert_eq!(
        said(&gateway, &["send", "a", "!think=hm !tool=bash done"]),
        "done\n"
    );
    let failed = quarterdeck(&gateway, &["send", "a", "!fail=no_way x"]);
    assert_eq!(code(&failed), 70);
    let problem = text(&failed.stderr);
    assert!(problem.contains("AGENT_ERROR: no_way"), "{problem}");

    let schema = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(schema.path(), r#"{"type":"object","required":["n"]}"#).expect("written");
    let schema = schema.path().to_str().expect("a text");
    let by_schema = |prompt| ["send", "a", "--output-schema", schema, prompt];
    let answer = said(&gateway, &by_schema("!json=1 !json={\"n\":1} words"));
    assert_eq!(answer, "{\"n\":1}\n", "the JSON and nothing else");
    let answer = said(
        &gateway,
        &by_schema("!json={\n\r\t\"n\": \"\u{9b}31m\u{202e}\"} words"),
    );
    assert_eq!(
        answer, "{\n  \"n\": \"\\u009b31m\\u202e\"}\n",
        "no terminal is steered"
    );
    let failed = quarterdeck(&gateway, &by_schema("!json=1 words"));
    assert_eq!((code(&failed), text(&failed.stdout)), (70, String::new()));
    let problem = text(&failed.stderr);
    assert!(problem.contains("OUTPUT_INVALID"), "{problem}");

    let mut piped = command(&gateway.address, &["send", "a", "--json"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = piped.stdin.take().expect("piped");
    input.write_all(b"from a pipe\n").expect("it reads");
    drop(input);
    let output = piped.wait_with_output().expect("it ends");
    let events: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    assert_eq!(events[0]["turnQueued"]["turn"]["text"], "from a pipe");
    let last = events.last().expect("events");
    assert_eq!(last["turnEnded"]["turn"]["responseText"], "from a pipe");
}

#[test]
fn a_repeated_request_id_never_runs_twice() {
    let gateway = Gateway::start();
    let once = ["send", "a", "--request-id", "r1", "once"];
    assert_eq!(said(&gateway, &once), "once\n");
    assert_eq!(said(&gateway, &once), "once\n");
    let conflict = quarterdeck(&gateway, &["send", "a", "--request-id", "r1", "other"]);
    assert_eq!(code(&conflict), 73);
    let problem = text(&conflict.stderr);
    assert!(
        problem.starts_with("quarterdeck: IDEMPOTENCY_CONFLICT: "),
        "{problem}"
    );
    assert_eq!(said(&gateway, &["history", "a"]), "> once\nonce\n");
}

#[test]
fn a_session_is_made_shown_changed_copied_and_deleted() {
    let gateway = Gateway::start();
    let made = said(
        &gateway,
        &["sessions", "create", "a", "--label", "team=red"],
    );
    assert!(made.starts_with("a "), "{made}");
    let again = quarterdeck(&gateway, &["sessions", "create", "a", "--agent", "echo"]);
    assert_eq!(code(&again), 73);
    said(&gateway, &["send", "a", "hello"]);
    let name = ["--display-name", "Reports", "--expire-after-idle", "30days"];
    let labels = ["--label", "tier=gold", "--remove-label", "team"];
    let update = ["sessions", "update", "a", "--no-approver", "deny"];
    said(&gateway, &[&update[..], &name, &labels].concat());
    let shown = said(&gateway, &["sessions", "show", "a"]);
    let rows: Vec<(&str, &str)> = shown
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    for row in [
        ("session", "a"),
        ("name", "Reports"),
        ("state", "idle"),
        ("agent", "echo"),
        ("labels", "tier=gold"),
        ("owner", "default/local"),
        ("where nobody is there", "questions are denied at once"),
        ("deleted after idling for", "30days"),
        ("messages", "2"),
    ] {
        assert!(rows.contains(&row), "{row:?}: {shown}");
    }
    said(
        &gateway,
        &["sessions", "update", "a", "--expire-after-idle", "0s"],
    );
    let shown = said(&gateway, &["sessions", "show", "a"]);
    assert!(!shown.contains("deleted after"), "{shown}");
    let nothing = quarterdeck(&gateway, &["sessions", "update", "a"]);
    assert_eq!(code(&nothing), 64);
    assert!(text(&nothing.stderr).contains("nothing to change"));
    said(&gateway, &["sessions", "fork", "a", "b"]);
    assert_eq!(said(&gateway, &["history", "b"]), "> hello\nhello\n");
    assert_eq!(said(&gateway, &["sessions", "delete", "a"]), "deleted a\n");
    let gone = quarterdeck(&gateway, &["sessions", "show", "a"]);
    assert_eq!(code(&gone), 66);
}

#[test]
fn turns_are_listed_shown_and_waited_for() {
    let gateway = Gateway::start();
    let turn = said(&gateway, &["send", "a", "--detach", "!delay=20ms one two"]);
    let turn = turn.trim();
    let answer = said(&gateway, &["turns", "await", "a", turn]);
    assert_eq!(answer, "one two\n");
    let failed = said(&gateway, &["send", "b", "--detach", "!fail=no_way x"]);
    let failed = quarterdeck(&gateway, &["turns", "await", "b", failed.trim()]);
    assert_eq!(code(&failed), 70);
    assert!(text(&failed.stderr).contains("AGENT_ERROR: no_way"));
    let asks = said(&gateway, &["send", "c", "--detach", "!ask=bash go"]);
    let asks = ["turns", "await", "c", asks.trim(), "--or-question"];
    let asked = quarterdeck(&gateway, &asks);
    assert_eq!(code(&asked), 75);
    let advice = text(&asked.stderr);
    assert!(
        advice.contains("quarterdeck questions answer c "),
        "{advice}"
    );
    let still = quarterdeck(&gateway, &[&asks[..4], &["--wait", "1ms"]].concat());
    assert_eq!(code(&still), 75);
    assert!(text(&still.stderr).contains("the turn not ended"));

    let all = said(&gateway, &["turns", "list"]);
    assert_eq!(all.lines().count(), 4, "{all}");
    let of_b = said(&gateway, &["turns", "list", "b", "--state", "failed"]);
    assert!(of_b.lines().next().expect("names").starts_with("TURN "));
    assert_eq!(of_b.lines().count(), 2, "{of_b}");
    let shown = said(&gateway, &["turns", "show", "a", turn]);
    assert!(
        shown.contains("completed") && shown.ends_with("\none two\n"),
        "{shown}"
    );
    let unknown = quarterdeck(&gateway, &["turns", "list", "--state", "sleepy"]);
    assert_eq!(code(&unknown), 64);
}

/// A gateway that asks for credentials.
fn asking() -> Gateway {
    Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    })
}

#[test]
fn a_server_is_kept_under_a_name_with_its_key() {
    let (first, second) = (asking(), asking());
    let home = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str], context: &str, input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(arguments)
            .current_dir(home.path())
            .env_clear()
            .env("HOME", home.path())
            .env("QUARTERDECK_CONTEXT", context)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut keyboard = child.stdin.take().expect("piped");
        keyboard.write_all(input.as_bytes()).expect("it reads");
        drop(keyboard);
        child.wait_with_output().expect("it ends")
    };
    let key = |gateway: &Gateway| {
        std::fs::read_to_string(gateway.data().join("admin.key")).expect("a key")
    };
    for (name, gateway) in [("first", &first), ("second", &second)] {
        let login = run(
            &["login", name, "--addr", &gateway.address],
            "",
            &key(gateway),
        );
        assert_eq!(code(&login), 0, "{}", text(&login.stderr));
        assert!(text(&login.stdout).starts_with("default/local at http"));
    }
    let wrong = run(
        &["login", "third", "--addr", &first.address],
        "",
        "qdk_no\n",
    );
    assert_eq!(code(&wrong), 77);
    let kept = home.path().join(".config/quarterdeck/keys");
    let kept: Vec<_> = std::fs::read_dir(kept).expect("keys").collect();
    assert_eq!(kept.len(), 2, "a key that is refused is not kept: {kept:?}");
    for entry in kept.into_iter().flatten() {
        let mode = entry.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
    }

    assert_eq!(text(&run(&["send", "a", "here"], "", "").stdout), "here\n");
    assert_eq!(
        text(&run(&["send", "b", "there"], "first", "").stdout),
        "there\n"
    );
    for (session, here, word) in [("a", "second", "here"), ("b", "first", "there")] {
        let history = text(&run(&["history", session], here, "").stdout);
        assert_eq!(history, format!("> {word}\n{word}\n"));
    }
    let unknown = run(&["whoami"], "nowhere", "");
    assert_eq!(code(&unknown), 78);
    assert!(text(&unknown.stderr).contains("there is no context nowhere"));

    assert_eq!(code(&run(&["contexts", "use", "first"], "", "")), 0);
    let listed = text(&run(&["contexts"], "", "").stdout);
    let used = listed.lines().find(|line| line.starts_with('*'));
    assert!(
        used.expect("one is used").contains(&first.address),
        "{listed}"
    );
    assert_eq!(code(&run(&["contexts", "remove", "first"], "", "")), 0);
    let key_file = home.path().join(".config/quarterdeck/keys/first");
    assert!(!key_file.exists());
}

#[test]
fn health_needs_no_key_and_tells_a_server_that_is_not_there() {
    let gateway = asking();
    let health = command(&gateway.address, &["health"])
        .env_remove("QUARTERDECK_KEY")
        .output()
        .expect("the binary runs");
    assert_eq!(
        (code(&health), text(&health.stdout)),
        (0, "serving\n".into())
    );
    let nobody = command("http://127.0.0.1:1", &["health"]).output();
    assert_eq!(code(&nobody.expect("the binary runs")), 69);
}

#[test]
fn a_running_turn_is_steered_queued_behind_and_stopped() {
    let gateway = Gateway::start();
    let turn = said(&gateway, &["send", "a", "-d", "!hang"]);
    let turn = turn.trim();
    let waiting = said(&gateway, &["send", "a", "-d", "later"]);
    let waiting = waiting.trim();
    assert!(said(&gateway, &["queue", "a"]).contains(waiting));
    let busy = quarterdeck(&gateway, &["send", "a", "--on-busy", "reject", "x"]);
    assert_eq!(code(&busy), 65);
    assert!(text(&busy.stderr).contains("SESSION_BUSY"));
    let steered = said(&gateway, &["steer", "a", "--turn", turn, "mind", "this"]);
    assert_eq!(steered, format!("steers {turn}\n"));
    said(
        &gateway,
        &["queue", "a", "--update", waiting, "--text", "edited"],
    );
    let removed = said(&gateway, &["queue", "a", "--remove", waiting]);
    assert!(
        removed.contains("rejected") && removed.contains("edited"),
        "{removed}"
    );
    let stopped = said(&gateway, &["abort", "a", "--clear-queue"]);
    assert!(
        stopped.starts_with(&format!("stopped {turn}\n")),
        "{stopped}"
    );
    assert_eq!(said(&gateway, &["abort", "a"]), "no turn was running\n");
    assert_eq!(
        said(&gateway, &["reset", "a"]),
        "a fresh conversation: generation 2\n"
    );
    let unknown = quarterdeck(&gateway, &["steer", "nobody", "x"]);
    assert_eq!(code(&unknown), 66);
    let problem = text(&unknown.stderr);
    assert!(
        problem.starts_with("quarterdeck: SESSION_NOT_FOUND: "),
        "{problem}"
    );
    let sessions = said(&gateway, &["sessions", "--json", "--prefix", "a"]);
    let session: serde_json::Value = serde_json::from_str(sessions.trim()).expect("one session");
    assert_eq!(session["sessionKey"], "a");
    assert_eq!(session["generation"], "2");
}

#[test]
fn a_chat_from_a_pipe_takes_each_line_when_the_turn_before_has_ended() {
    let gateway = Gateway::start();
    let mut chat = Conversation::start(&gateway.address, &["chat", "a"]);
    chat.type_line("!delay=5ms one two");
    chat.type_line("!think=well !tool=bash three");
    chat.type_line("/reset");
    chat.type_line("!history");
    chat.type_line("/history");
    let (code, shown) = chat.finish();
    assert_eq!(code, 0);
    let expected = "one two\nwell\n* bash {\"text\":\"three\"} -> ok {\"output\":\"three\"}\nthree\n\
                    [a fresh conversation: generation 2]\n0\n> !history\n0\n";
    assert_eq!(shown, expected);
}

/// What a chat answers to these lines.
fn chatted(gateway: &Gateway, session: &str, lines: &str) -> String {
    let mut chat = command(&gateway.address, &["chat", session])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = chat.stdin.take().expect("piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = chat.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    // Notes, which are for people, stand beside the answers.
    format!("{}{}", text(&output.stderr), text(&output.stdout))
}

#[test]
fn a_chat_shows_the_plan_and_edits_the_queue() {
    let gateway = Gateway::start();
    let shown = chatted(&gateway, "p", "!plan=look_around,do_it go\n/plan\n");
    let plan = "[plan]\n  [x] look around\n  [x] do it\n";
    assert!(shown.ends_with(&format!("go\n{plan}")), "{shown}");

    said(&gateway, &["send", "q", "--detach", "!hang"]);
    for prompt in ["first", "second", "third"] {
        said(&gateway, &["send", "q", "--detach", prompt]);
    }
    let lines = "/queue move 3 1\n/queue edit 2 changed words\n/queue remove 3\n/queue remove 9\n/queue sort\n/quit\n";
    let shown = chatted(&gateway, "q", lines);
    assert!(shown.contains("2 wait"), "{shown}");
    assert!(shown.contains("/queue remove N"), "{shown}");
    let queue = said(&gateway, &["queue", "q"]);
    let texts: Vec<&str> = queue
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once("queued"))
        .map(|(_, text)| text.trim())
        .collect();
    assert_eq!(texts, ["third", "changed words"], "{queue}");
}

#[test]
fn a_chat_outlives_its_server_and_shows_each_completed_text_once() {
    let mut gateway = Gateway::start();
    let front = Front::start(&gateway.address);
    let mut chat = Conversation::start(&front.address, &["chat", "a"]);
    chat.type_line("before");
    chat.read_until("before\n");
    let words: Vec<String> = (0..1000).map(|number| format!("w{number}.")).collect();
    chat.type_line(&format!("!delay=20ms {}", words.join(" ")));
    chat.read_until("w20.");
    front.gone();
    gateway.kill();
    gateway.restart();
    front.moved(&gateway.address);
    chat.read_until("interrupted: GATEWAY_CRASHED");
    chat.type_line("after");
    chat.read_until("after\n");
    // A drain: the turn that waits runs when the server is back.
    chat.type_line("!delay=20ms once more until the end");
    chat.read_until("once");
    front.gone();
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    front.moved(&gateway.address);
    chat.read_until("more until the end\n");
    chat.type_line("last");
    let (code, shown) = chat.finish();
    assert_eq!(code, 75, "a turn was interrupted");
    for text in ["before\n", "after\n", "once more until the end\n", "last\n"] {
        assert_eq!(shown.matches(text).count(), 1, "{text}: {shown}");
    }
    for word in &words {
        assert!(shown.matches(word.as_str()).count() <= 1, "{word}: {shown}");
    }
    gateway.check_store();
}

#[test]
fn a_watch_prints_each_durable_event_once_over_a_restart() {
    let mut gateway = Gateway::start();
    let front = Front::start(&gateway.address);
    said(&gateway, &["send", "a", "one"]);
    let arguments = ["watch", "a", "--json", "--from-oldest"];
    let mut watch = Conversation::start(&front.address, &arguments);
    watch.read_until("caughtUp");
    front.gone();
    gateway.kill();
    gateway.restart();
    front.moved(&gateway.address);
    said(&gateway, &["send", "a", "two"]);
    watch.read_until(r#""responseText":"two""#);
    let read = watch.read.clone();
    drop(Gone(watch.child));
    let (whole, _) = read.rsplit_once('\n').expect("lines");
    let seqs: Vec<i64> = whole
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("one object a line"))
        .filter_map(|event| {
            event["seq"]
                .as_str()
                .map(|seq| seq.parse().expect("a number"))
        })
        .collect();
    let dense: Vec<i64> = (1..).take(seqs.len()).collect();
    assert_eq!(seqs, dense);
}

#[test]
fn a_second_server_on_one_directory_exits_75_and_names_the_holder() {
    let gateway = Gateway::with(Options::default());
    let data = gateway.data();
    let data = data.to_str().expect("UTF-8");
    let second = quarterdeck(
        &gateway,
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", data],
    );
    assert_eq!(code(&second), 75);
    let problem = text(&second.stderr);
    assert!(problem.contains(&gateway.pid().to_string()), "{problem}");
}

#[test]
fn a_reader_over_a_restore_is_told_and_goes_on_in_the_new_log() {
    let mut gateway = Gateway::start();
    let front = Front::start(&gateway.address);
    said(&gateway, &["send", "a", "kept"]);
    let data = gateway.data();
    let data = data.to_str().expect("UTF-8");
    let backup = gateway.directory.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    said(&gateway, &["backup", backup, "--data-dir", data]);
    said(&gateway, &["send", "a", "lost"]);
    let mut chat = Conversation::start(&front.address, &["chat", "a"]);
    chat.type_line("lost too");
    chat.read_until("lost too\n");
    front.gone();
    gateway.kill();
    // A store is never written over.
    let refused = quarterdeck(&gateway, &["restore", backup, "--data-dir", data]);
    assert_eq!(code(&refused), 74, "{}", text(&refused.stdout));
    std::fs::remove_dir_all(data).expect("ours");
    said(&gateway, &["restore", backup, "--data-dir", data]);
    gateway.restart();
    front.moved(&gateway.address);
    chat.type_line("new");
    chat.read_until("new\n");
    let (code, shown) = chat.finish();
    assert_eq!(code, 0);
    assert_eq!(shown, "lost too\nnew\n");
    assert_eq!(
        said(&gateway, &["history", "a"]),
        "> kept\nkept\n> new\nnew\n"
    );
}

/// `check` on a store that is whole, and on each kind of damage. What is planted is the fault that it must see.
#[test]
fn check_tells_what_is_wrong_with_a_data_directory() {
    let mut gateway = Gateway::start();
    said(&gateway, &["send", "a", "hello"]);
    said(&gateway, &["memory", "remember", "Ana eats no fish"]);
    let picture = gateway.directory.path().join("picture.png");
    std::fs::write(&picture, vec![7; 100_000]).expect("writable");
    let picture = picture.to_str().expect("UTF-8");
    said(&gateway, &["send", "b", "look", "--attach", picture]);
    let data = gateway.data();
    let directory = data.to_str().expect("UTF-8").to_owned();
    let run = |arguments: &[&str]| {
        let all = [&["check", "--data-dir", &directory], arguments].concat();
        let output = command("http://127.0.0.1:1", &all)
            .output()
            .expect("it runs");
        (code(&output), text(&output.stdout), text(&output.stderr))
    };
    let (exit, _, why) = run(&[]);
    assert_eq!(exit, 75, "a server has it: {why}");
    assert!(why.contains(&gateway.pid().to_string()), "{why}");
    gateway.check_store();

    let (exit, told, why) = run(&[]);
    assert_eq!((exit, why.as_str()), (0, ""), "{told}");
    assert!(
        told.contains("3 sessions") && told.ends_with("all is well\n"),
        "{told}"
    );
    let (exit, told, _) = run(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!(
        (exit, &report["problems"]),
        (0, &serde_json::json!([])),
        "{told}"
    );
    assert_eq!(report["rules_checked"], true);

    let file = data.join("quarterdeck.db");
    let whole = std::fs::read(&file).expect("readable");
    let mark = std::fs::read_to_string(data.join("store.mark")).expect("readable");
    for (planted, rule, session) in [
        (
            "DELETE FROM event WHERE seq = 2 AND session = (SELECT row FROM session WHERE key = 'a')",
            "events are dense from first_seq to head",
            "default/a",
        ),
        (
            "UPDATE event SET body = x'ff' WHERE seq = 2 AND session = (SELECT row FROM session WHERE key = 'a')",
            "every event can be read",
            "default/a",
        ),
        (
            "DELETE FROM content",
            "an attachment has its bytes",
            "default/b",
        ),
        (
            "UPDATE content SET data = zeroblob(length(data))",
            "the bytes of an attachment are those that were stored",
            "default/b",
        ),
        (
            "UPDATE meta SET value = 7 WHERE name = 'sessions'",
            "the number of sessions is counted",
            "",
        ),
        (
            "UPDATE memory SET content = CAST('Ana eats no meat' AS BLOB)",
            "memory_index has every word",
            "",
        ),
        (
            "UPDATE meta SET value = 0 WHERE name = 'mark'",
            "the store is the one that store.mark names, and as far",
            "",
        ),
        ("PRAGMA user_version = 7", "", "of an earlier version"),
    ] {
        rusqlite::Connection::open(&file)
            .expect("a file")
            .execute_batch(planted)
            .expect("it is planted");
        let (exit, told, why) = run(&[]);
        let expected = if rule.is_empty() { 0 } else { 65 };
        assert_eq!(exit, expected, "{planted}: {told}{why}");
        assert!(
            told.contains(rule) && told.contains(session),
            "{planted}: {told}"
        );
        std::fs::write(&file, &whole).expect("writable");
        let _ = std::fs::remove_file(data.join("quarterdeck.db-wal"));
        let _ = std::fs::remove_file(data.join("quarterdeck.db-shm"));
    }
    // Pages: the middle of the file, its beginning, all of it.
    for (from, length) in [(whole.len() / 2, 20_000), (0, 4096), (100, 200)] {
        let mut damaged = whole.clone();
        damaged[from..from + length].fill(0xa5);
        std::fs::write(&file, damaged).expect("writable");
        let (exit, told, why) = run(&[]);
        assert_eq!(exit, 65, "{from}: {told}{why}");
        assert!(
            told.contains("every page of the file is whole"),
            "{from}: {told}"
        );
    }
    std::fs::write(&file, &whole).expect("writable");
    rusqlite::Connection::open(&file)
        .expect("a file")
        .pragma_update(None, "user_version", 99)
        .expect("it is planted");
    let (exit, _, why) = run(&[]);
    assert_eq!(exit, 65);
    assert!(why.contains("newer version"), "{why}");
    // Gone, and never there.
    std::fs::remove_file(&file).expect("it is there");
    let (exit, _, why) = run(&[]);
    assert_eq!(exit, 65);
    assert!(why.contains("the store is gone"), "{why}");
    assert_eq!(
        mark,
        std::fs::read_to_string(data.join("store.mark")).expect("readable")
    );
    let empty = gateway.directory.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let empty = empty.to_str().expect("UTF-8");
    let (exit, _, why) = run(&["--data-dir", empty]);
    assert_eq!(exit, 66);
    assert!(why.contains("holds no store"), "{why}");
    assert_eq!(
        std::fs::read_dir(empty).expect("there").count(),
        0,
        "it changes nothing"
    );
}

/// What was said of a schedule, and of one that was changed piece by piece.
#[test]
fn a_schedule_is_edited_in_place() {
    let gateway = Gateway::start();
    let create = [
        "schedules",
        "create",
        "briefing",
        "what happened?",
        "--cron",
        "0 9 * * *",
        "--label",
        "team=red",
    ];
    said(&gateway, &create);
    let shown = |gateway: &Gateway| {
        let json = said(gateway, &["schedules", "show", "briefing", "--json"]);
        serde_json::from_str::<serde_json::Value>(&json).expect("JSON")
    };
    let before = shown(&gateway);
    let update = |arguments: &[&str]| {
        let all = [&["schedules", "update", "briefing"], arguments].concat();
        said(&gateway, &all)
    };
    // Another text: its session, its labels and its times stay.
    let printed = update(&["--text", "what is new?"]);
    assert!(printed.contains("what is new?"), "{printed}");
    let mut wanted = before.clone();
    wanted["enqueue"]["text"] = "what is new?".into();
    assert_eq!(shown(&gateway), wanted);
    // Other times: the text stays.
    let printed = update(&["--cron", "30 18 * * FRI", "--zone", "Europe/Berlin"]);
    assert!(printed.contains("30 18 * * FRI"), "{printed}");
    update(&["--overlap", "queue", "--missed", "all", "--runs", "3"]);
    let after = shown(&gateway);
    assert_eq!(after["spec"]["cron"], "30 18 * * FRI");
    assert_eq!(after["spec"]["timeZone"], "Europe/Berlin");
    assert_eq!(after["overlap"], "OVERLAP_POLICY_QUEUE");
    assert_eq!(after["remainingRuns"], "3");
    assert_eq!(after["enqueue"], wanted["enqueue"]);
    assert_ne!(after["nextTimes"], before["nextTimes"]);
    assert!(update(&["--pause", "holidays"]).contains("paused: holidays"));
    assert!(!update(&["--resume"]).contains("paused"));
    // What can't be is said, and changes nothing.
    let wrong = ["schedules", "update", "briefing", "--cron", "61 * * * *"];
    assert_ne!(code(&quarterdeck(&gateway, &wrong)), 0);
    let nothing = quarterdeck(&gateway, &["schedules", "update", "briefing"]);
    assert_eq!(code(&nothing), 64);
    assert_eq!(shown(&gateway)["spec"], after["spec"]);
    said(&gateway, &["schedules", "delete", "briefing"]);
    let gone = quarterdeck(&gateway, &["schedules", "show", "briefing"]);
    assert_ne!(code(&gone), 0);
}

/// Takes deliveries on a thread, and says which.
fn receiver() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let (sender, arrived) = std::sync::mpsc::sync_channel(64);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut read = BufReader::new(stream.try_clone().expect("a handle"));
            let head = read.by_ref().lines().map_while(Result::ok);
            let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
            let of = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
            let length = of("content-length: ").map_or(0, |it| it.parse().expect("a number"));
            let _ = read.read_exact(&mut vec![0; length]);
            let id = of("webhook-id: ");
            let _ = sender.send(id.unwrap_or_default().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    (url, arrived)
}

#[test]
fn webhooks_are_made_listed_redelivered_and_deleted() {
    let gateway = Gateway::with(Options {
        config: "webhook_private_addresses = true\n".into(),
        ..Options::default()
    });
    let (url, arrived) = receiver();
    let next = || arrived.recv_timeout(SOON).expect("a delivery");
    let made = said(
        &gateway,
        &["webhooks", "create", &url, "--kind", "turn_ended"],
    );
    assert!(
        made.contains("turn_ended") && made.contains("secret whsec_"),
        "{made}"
    );
    let id = made.split(' ').next().expect("an id").to_owned();
    for text in ["one", "two"] {
        said(&gateway, &["send", "demo", text]);
    }
    let told = [next(), next()];
    // Once both answers are noted.
    let deliveries = || said(&gateway, &["webhooks", "deliveries", &id]);
    let give_up = std::time::Instant::now() + SOON;
    while deliveries().lines().count() < 2 {
        assert!(std::time::Instant::now() < give_up);
    }
    let listed = deliveries();
    assert!(
        listed.lines().all(|line| line.contains("delivered (204)")),
        "{listed}"
    );
    // From the second on, under the same id.
    let (_, seq) = told[1].rsplit_once(':').expect("an id");
    let redeliver = [
        "webhooks",
        "redeliver",
        &id,
        "--session",
        "demo",
        "--from",
        seq,
    ];
    said(&gateway, &redeliver);
    assert_eq!(next(), told[1]);
    let paused = said(
        &gateway,
        &["webhooks", "update", &id, "--pause", "holidays"],
    );
    assert!(paused.contains("paused: holidays"), "{paused}");
    said(&gateway, &["send", "demo", "three"]);
    let resumed = said(&gateway, &["webhooks", "update", &id, "--resume"]);
    assert!(!resumed.contains("paused"), "{resumed}");
    assert!(!told.contains(&next()), "what happened meanwhile");
    // One of a turn says so.
    let turn = said(&gateway, &["send", "other", "--detach", "!hang it"]);
    let turn = turn.trim();
    let create = [
        "webhooks",
        "create",
        &url,
        "--session",
        "other",
        "--turn",
        turn,
    ];
    let made = said(&gateway, &create);
    assert!(made.contains(&format!("of turn {turn}")), "{made}");
    said(&gateway, &["webhooks", "delete", &id]);
    let listed = said(&gateway, &["webhooks", "list"]);
    assert!(!listed.contains(&id) && listed.contains(turn), "{listed}");
    assert_ne!(
        code(&quarterdeck(&gateway, &["webhooks", "deliveries", &id])),
        0
    );
}
