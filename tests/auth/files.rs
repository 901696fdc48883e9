//! Files of the directory that a session works in: who may read them, and that nothing else is read by way of them.

use crate::{
    support::reason,
    world::{Caller, fact, start_with},
};
use quarterdeck::proto::{self, FileKind};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    process::Command,
};
use tonic::{Code, Status};

const SCOPES: [&str; 3] = ["session.read", "session.write", "workspace.read"];
const SECRET: &str = "of nobody here";

async fn list_page(
    caller: &Caller,
    path: &str,
    page_size: i32,
    page_token: &str,
) -> Result<proto::ListFilesResponse, Status> {
    let request = proto::ListFilesRequest {
        session_key: "s".into(),
        path: path.into(),
        page_size,
        page_token: page_token.into(),
    };
    let page = caller.gateway().list_files(request).await?;
    Ok(page.into_inner())
}

/// Names and kinds, whole.
async fn list(caller: &Caller, path: &str) -> Result<Vec<(String, FileKind)>, Status> {
    let page = list_page(caller, path, 0, "").await?;
    assert!(!page.truncated && page.next_page_token.is_empty());
    let entries = page.entries.into_iter();
    Ok(entries.map(|it| (it.name.clone(), it.kind())).collect())
}

async fn read(
    caller: &Caller,
    path: &str,
    offset: i64,
    limit: i64,
) -> Result<(Vec<u8>, i64), Status> {
    let request = proto::ReadFileRequest {
        session_key: "s".into(),
        path: path.into(),
        offset,
        limit,
    };
    let part = caller.gateway().read_file(request).await?.into_inner();
    Ok((part.data.to_vec(), part.size))
}

fn wrong<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.expect_err("it is not read");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
    assert!(
        !status.message().contains(SECRET) && !status.message().contains("/tmp"),
        "{status:?}"
    );
}

async fn create(caller: &Caller, cwd: &Path) {
    let request = proto::CreateSessionRequest {
        session_key: "s".into(),
        cwd: cwd.to_str().expect("UTF-8").into(),
        ..Default::default()
    };
    caller
        .gateway()
        .create_session(request)
        .await
        .expect("made");
}

/// Everything that an agent might leave there.
fn fill(directory: &Path, outside: &Path) {
    fs::write(directory.join("plain.txt"), "0123456789").expect("written");
    fs::create_dir(directory.join("sub")).expect("made");
    fs::write(directory.join("sub/inner"), "deeper").expect("written");
    symlink(outside.join("secret"), directory.join("link")).expect("made");
    symlink(outside, directory.join("away")).expect("made");
    fs::hard_link(outside.join("secret"), directory.join("second-name")).expect("made");
    let fifo = Command::new("mkfifo").arg(directory.join("fifo")).status();
    assert!(fifo.expect("it runs").success());
    fs::write(directory.join(OsStr::from_bytes(b"bad\xff")), "x").expect("written");
}

#[tokio::test]
async fn regular_files_are_read_and_nothing_else() {
    let root = tempfile::tempdir().expect("a directory");
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("secret"), SECRET).expect("written");
    let cwd = root.path().join("project");
    fs::create_dir(&cwd).expect("made");
    // Its links are of one file system only where it is on one.
    fill(&cwd, outside.path());
    let config = format!(
        "[agents.echo]\ndriver = \"echo\"\nworkspace_read = true\ncwd_roots = [{:?}]\n",
        root.path()
    );
    let gateway = start_with(&[], &config);
    let caller = Caller::admin(&gateway)
        .await
        .member("default", "ann", &SCOPES)
        .await;
    create(&caller, &cwd).await;

    let entries = list(&caller, "").await.expect("listed");
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    let all = [
        ("away", FileKind::Other),
        ("bad\u{fffd}", FileKind::Other),
        ("fifo", FileKind::Other),
        ("link", FileKind::Other),
        ("plain.txt", FileKind::File),
        ("second-name", FileKind::Other),
        ("sub", FileKind::Directory),
    ];
    assert_eq!(entries, all);
    assert_eq!(
        list(&caller, "sub").await.expect("listed"),
        [("inner".to_owned(), FileKind::File)]
    );
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = list_page(&caller, "", 3, &token).await.expect("a page");
        names.extend(page.entries.into_iter().map(|it| it.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        // A token is of its own list.
        wrong(list_page(&caller, "sub", 3, &token).await);
    }
    assert_eq!(names, all.map(|(name, _)| name));

    assert_eq!(
        read(&caller, "plain.txt", 0, 0).await.expect("read"),
        (b"0123456789".to_vec(), 10)
    );
    assert_eq!(
        read(&caller, "plain.txt", 3, 4).await.expect("read"),
        (b"3456".to_vec(), 10)
    );
    assert_eq!(
        read(&caller, "plain.txt", 99, 4).await.expect("read"),
        (vec![], 10)
    );
    assert_eq!(
        read(&caller, "sub/inner", 0, 0).await.expect("read").0,
        b"deeper"
    );
    for path in [
        "",
        "sub",
        "link",
        "second-name",
        "fifo",
        "away/secret",
        "../secret",
        "sub/../plain.txt",
        "/etc/passwd",
        "nothing",
        "bad\u{fffd}",
        "plain.txt/x",
    ] {
        wrong(read(&caller, path, 0, 0).await);
    }
    for path in ["plain.txt", "away", "link", "..", "/", "nothing"] {
        wrong(list(&caller, path).await);
    }
    wrong(read(&caller, "plain.txt", -1, 0).await);
    wrong(read(&caller, "plain.txt", 0, -1).await);

    // A link in the place of the directory itself leads nowhere either.
    fs::rename(&cwd, root.path().join("moved")).expect("ours");
    symlink(outside.path(), &cwd).expect("made");
    wrong(list(&caller, "").await);
    wrong(read(&caller, "secret", 0, 0).await);
}

#[tokio::test]
async fn a_sessions_own_directory_is_read_by_who_may_read_it_where_the_operator_says_so() {
    let mut gateway = start_with(&[], "");
    let admin = Caller::admin(&gateway).await;
    let caller = admin.member("default", "ann", &SCOPES).await;
    caller.enqueue("s", "hello").await.expect("accepted");
    let unsupported = |status: Status| {
        assert_eq!(reason(&status), "UNSUPPORTED_BY_AGENT");
        assert_eq!(fact(&status, "agent"), "echo");
    };
    unsupported(list(&caller, "").await.expect_err("nobody said so"));
    unsupported(read(&caller, "x", 0, 0).await.expect_err("nobody said so"));

    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let file = gateway.directory.path().join("quarterdeck.toml");
    fs::write(
        file,
        "[agents.echo]\ndriver = \"echo\"\nworkspace_read = true\n",
    )
    .expect("written");
    gateway.restart();
    let admin = Caller::admin(&gateway).await;
    let caller = admin.member("default", "ann", &SCOPES).await;
    let sessions = fs::read_dir(gateway.data().join("sessions")).expect("there");
    for session in sessions {
        let work = session.expect("readable").path().join("work");
        if work.is_dir() {
            fs::write(work.join("made.txt"), "by the agent").expect("written");
        }
    }
    assert_eq!(list(&caller, "").await.expect("listed").len(), 1);
    assert_eq!(
        read(&caller, "made.txt", 0, 0).await.expect("read").0,
        b"by the agent"
    );
    // Whose session it is not sees no file of it.
    let bob = admin.member("default", "bob", &SCOPES).await;
    for refused in [
        list(&bob, "").await.map(drop),
        read(&bob, "made.txt", 0, 0).await.map(drop),
    ] {
        assert_eq!(reason(&refused.expect_err("not his")), "SESSION_NOT_FOUND");
    }
    // A session that never ran has no files.
    let other = proto::CreateSessionRequest {
        session_key: "new".into(),
        ..Default::default()
    };
    caller.gateway().create_session(other).await.expect("made");
    let request = proto::ListFilesRequest {
        session_key: "new".into(),
        ..Default::default()
    };
    let page = caller.gateway().list_files(request).await.expect("listed");
    assert!(page.into_inner().entries.is_empty());
}

/// Runs a turn to its end; returns its id.
async fn run(caller: &Caller, text: &str) -> String {
    let turn = caller.enqueue("s", text).await.expect("accepted");
    let wait = proto::AwaitTurnRequest {
        session_key: "s".into(),
        turn_id: turn.turn_id.clone(),
        ..Default::default()
    };
    let ended = caller.gateway().await_turn(wait).await.expect("it ends");
    let state = ended.into_inner().turn.expect("a turn").state();
    assert_eq!(state, proto::TurnState::Completed);
    turn.turn_id
}

/// What a turn changed is told by the bytes alone, to those who may read files, while the server's own copies stand elsewhere.
#[tokio::test]
async fn what_a_turn_changed_is_told_without_running_anything() {
    let root = tempfile::tempdir().expect("a directory");
    let cwd = root.path().join("project");
    fs::create_dir_all(cwd.join(".git")).expect("made");
    let ran = root.path().join("ran");
    let config = format!(
        "[agents.echo]\ndriver = \"echo\"\nworkspace_read = true\nworkspace_diff = true\ncwd_roots = [{:?}]\n",
        root.path()
    );
    let gateway = start_with(&[], &config);
    let caller = Caller::admin(&gateway)
        .await
        .member("default", "ann", &SCOPES)
        .await;
    // Whatever Git would run for a diff of these.
    let hostile = format!(
        "[core]\nfsmonitor = touch {0:?}\nhooksPath = .\n[diff \"x\"]\ntextconv = touch {0:?}\n[filter \"x\"]\nclean = touch {0:?}\n",
        ran.display()
    );
    fs::write(cwd.join(".git/config"), hostile).expect("written");
    fs::write(cwd.join(".gitattributes"), "* diff=x filter=x\n").expect("written");
    fs::write(cwd.join("notes"), "one\ntwo\n").expect("written");
    create(&caller, &cwd).await;
    let first = run(&caller, "hello").await;
    fs::write(cwd.join("notes"), "one\n2\n").expect("written");
    fs::write(cwd.join("new"), "x\n").expect("written");
    symlink("/etc/passwd", cwd.join("link")).expect("made");
    let diff = |turn_id: &str| proto::GetDiffRequest {
        session_key: "s".into(),
        turn_id: turn_id.into(),
    };
    let told = caller
        .gateway()
        .get_diff(diff(&first))
        .await
        .expect("told")
        .into_inner();
    let files: Vec<(&str, proto::FileChange, &str)> = (told.files.iter())
        .map(|it| (it.path.as_str(), it.change(), it.unified_diff.as_str()))
        .collect();
    let expected = [
        ("new", proto::FileChange::Added, "@@ -0,0 +1 @@\n+x\n"),
        (
            "notes",
            proto::FileChange::Modified,
            "@@ -1,2 +1,2 @@\n one\n-two\n+2\n",
        ),
    ];
    assert_eq!((files, told.truncated), (expected.to_vec(), false));
    // Once the next turn has started it stays what it was.
    let second = run(&caller, "again").await;
    fs::write(cwd.join("notes"), "later\n").expect("written");
    let again = caller
        .gateway()
        .get_diff(diff(&first))
        .await
        .expect("told")
        .into_inner();
    assert_eq!(again.files, told.files);
    let newest = caller
        .gateway()
        .get_diff(diff(&second))
        .await
        .expect("told")
        .into_inner();
    assert_eq!(newest.files.len(), 1);
    assert!(!ran.exists(), "nothing ran");
    let unknown = caller
        .gateway()
        .get_diff(diff("019a0000-0000-7000-8000-000000000001"))
        .await;
    assert_eq!(
        reason(&unknown.expect_err("it never was")),
        "TURN_NOT_FOUND"
    );
    let admin = Caller::admin(&gateway).await;
    let reader = admin.member("default", "ann", &["session.read"]).await;
    let refused = reader
        .gateway()
        .get_diff(diff(&first))
        .await
        .expect_err("no scope");
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    let bob = admin.member("default", "bob", &SCOPES).await;
    let refused = bob
        .gateway()
        .get_diff(diff(&first))
        .await
        .expect_err("not his");
    assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
    // The copies go with the session.
    let copies = || {
        fs::read_dir(gateway.data().join("snapshots"))
            .expect("there")
            .count()
    };
    assert_eq!(copies(), 1);
    let delete = proto::DeleteSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    admin
        .gateway()
        .delete_session(delete)
        .await
        .expect("deleted");
    assert_eq!(copies(), 0);
}
