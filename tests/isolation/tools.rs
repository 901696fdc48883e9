//! What agents work with works inside: programs, terminals, the network.

use crate::harness::{DEADLINE, RUNGS, World, is_root};
use quarterdeck::agent::{
    isolation::Rung,
    process::{Line, ProcessLimits},
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    time::Duration,
};
use tokio::time::timeout;

/// A name, a program that must be there for it to be tried, and a script whose last line must be `works`. `HTTP` and `UDP`
/// are ports of loopback.
const TOOLS: [(&str, &str, &str); 9] = [
    (
        "git",
        "git",
        "git init -q r && cd r && echo a > a && git add a && git -c user.name=a -c user.email=a@b commit -qm a && \
         git clone -q . ../s && git -C ../s log --oneline | grep -q a && echo works",
    ),
    (
        "python",
        "python3",
        "/usr/bin/python3 -c 'import json, sqlite3, subprocess, tempfile; tempfile.TemporaryFile(); \
         subprocess.run([\"true\"], check=True); sqlite3.connect(\"x.db\").execute(\"create table t (a)\"); print(\"works\")'",
    ),
    (
        "compiler",
        "cc",
        "printf '#include <stdio.h>\\nint main() { puts(\"works\"); }\\n' > a.c && cc a.c -o a && ./a",
    ),
    (
        "node",
        "node",
        "node -e 'require(\"fs\").writeFileSync(\"f\", \"\"); console.log(\"works\")'",
    ),
    (
        "npm",
        "npm",
        "mkdir p q && (cd p && npm init -y > /dev/null) && cd q && npm init -y > /dev/null && \
         npm install --offline --no-audit --no-fund ../p > /dev/null && test -e node_modules/p/package.json && echo works",
    ),
    (
        "terminal",
        "python3",
        "/usr/bin/python3 -c 'import pty; pty.spawn([\"tty\"])' | grep -q /dev/pts && echo works",
    ),
    (
        "names",
        "getent",
        "getent hosts localhost > /dev/null && echo works",
    ),
    (
        "http",
        "python3",
        "/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:HTTP/\").read().decode())'",
    ),
    (
        "udp",
        "python3",
        "/usr/bin/python3 -c 'import socket as s; u = s.socket(type=s.SOCK_DGRAM); u.settimeout(30); \
         u.sendto(b\"q\", (\"127.0.0.1\", UDP)); print(u.recv(9).decode())'",
    ),
];

/// Answers `works` to everyone, until the test's process ends.
fn serve() -> (u16, u16) {
    let http = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let ports = (
        http.local_addr().expect("it is bound").port(),
        udp.local_addr().expect("it is bound").port(),
    );
    std::thread::spawn(move || {
        for mut wire in http.incoming().flatten() {
            let _ = wire.read(&mut [0; 1024]);
            let answer = "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nworks";
            let _ = wire.write_all(answer.as_bytes());
        }
    });
    std::thread::spawn(move || {
        while let Ok((_, from)) = udp.recv_from(&mut [0; 16]) {
            let _ = udp.send_to(b"works", from);
        }
    });
    ports
}

fn is_there(program: &str) -> bool {
    ["/usr/bin", "/bin"]
        .iter()
        .any(|place| std::path::Path::new(place).join(program).exists())
}

async fn work(rung: Rung, user: Option<u32>) {
    let (http, udp) = serve();
    for (name, program, script) in TOOLS {
        if !is_there(program) {
            eprintln!("not run: no {program} in /usr/bin");
            continue;
        }
        let world = World::new(rung);
        let script = script.replace("HTTP", &http.to_string());
        let script = script.replace("UDP", &udp.to_string());
        let script = format!("cd session 2>/dev/null; {script}");
        let mut process =
            world.start_as("/bin/sh", &["-c", &script], ProcessLimits::default(), user);
        let mut said = vec![];
        while let Some(line) = timeout(DEADLINE * 2, process.next_line())
            .await
            .expect("an end")
        {
            match line {
                Line::Text(text) => said.push(String::from_utf8_lossy(&text).into_owned()),
                other => panic!("{other:?}"),
            }
        }
        let last = said.last().map(String::as_str);
        let errors = process.stderr_tail();
        assert_eq!(
            last,
            Some("works"),
            "{name} on {} as {user:?}: {said:?} {errors}",
            rung.name()
        );
        process.stop(Duration::ZERO).await.expect("it is proven");
    }
}

#[tokio::test]
async fn agents_tools_work_on_every_rung() {
    for rung in RUNGS {
        work(rung, None).await;
    }
}

#[tokio::test]
async fn agents_tools_work_as_a_user_of_their_own() {
    if is_root() {
        work(Rung::Namespace, Some(264_003)).await;
        work(Rung::Landlock, Some(264_004)).await;
    }
}
