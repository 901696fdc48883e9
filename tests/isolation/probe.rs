//! What is found out at the start, on machines that offer less: simulated, and each by what makes it so.

use crate::harness::{AS_ORDINARY, again, deny, is_root};
use quarterdeck::agent::{
    isolation::{
        Isolation, KillProof, ProcView, Rung,
        probe::{Choice, OwnUser, probe},
    },
    process::ProcessHost,
};
use std::path::PathBuf;

/// Names the system calls that the helper below is to be denied, by number, and the error.
const DENY: &str = "QUARTERDECK_TEST_DENY";

async fn found(choice: Choice) -> Result<Isolation, String> {
    found_as(choice, OwnUser::No).await
}

async fn found_as(choice: Choice, user: OwnUser) -> Result<Isolation, String> {
    let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let host = ProcessHost {
        keeper: PathBuf::from(env!("CARGO_BIN_EXE_quarterdeck")),
        node_mark: "probe".into(),
        confinement: Default::default(),
        fence: None,
    };
    let found = probe(&host, choice, user, directory.path()).await;
    let left = std::fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(left.count(), 0, "the probe leaves nothing");
    found.map_err(|problem| problem.to_string())
}

#[tokio::test]
async fn this_machine_offers_every_rung_by_name() {
    let best = found(Choice::Auto).await.expect("auto always ends");
    assert_eq!(
        (best.rung, best.proc, best.kill_proof, best.reason.as_str()),
        (Rung::Namespace, ProcView::Own, KillProof::PidNamespace, "")
    );
    assert!(!best.abstract_sockets && best.landlock_abi >= 6, "{best:?}");
    let less = found(Choice::Exactly(Rung::Landlock))
        .await
        .expect("it is there");
    assert_eq!(
        (less.rung, less.kill_proof),
        (Rung::Landlock, KillProof::Subreaper)
    );
    let none = found(Choice::Exactly(Rung::None))
        .await
        .expect("it always is");
    assert_eq!(none.rung, Rung::None);
    assert!(none.abstract_sockets, "{none:?}");
}

/// A helper: tells what it found, under what the tests below have made of its surroundings.
#[tokio::test]
#[ignore = "a helper of other tests"]
async fn tell() {
    if let Ok(denied) = std::env::var(DENY) {
        let (error, calls) = denied.split_once(' ').expect("an error and calls");
        let calls = calls.split(' ').map(|call| call.parse().expect("a number"));
        deny(
            error.parse().expect("a number"),
            &calls.collect::<Vec<i64>>(),
        );
    }
    if is_root() {
        // What a server of root's finds.
        let own = found_as(Choice::Auto, OwnUser::IfPossible(264_000)).await;
        let own = own.expect("auto always ends");
        println!(
            "ROOT {} {} {}",
            own.rung.name(),
            own.user.name(),
            own.reason
        );
    }
    let best = found(Choice::Auto).await.expect("auto always ends");
    println!(
        "FOUND {} {} {}",
        best.rung.name(),
        best.proc.name(),
        best.reason
    );
    for rung in [Rung::Namespace, Rung::Landlock] {
        if let Err(problem) = found(Choice::Exactly(rung)).await {
            println!("REFUSED {problem}");
        }
    }
}

/// As an ordinary user, through a further command.
fn told(further: &[&str], environment: &[(&str, &str)]) -> String {
    let wrap: Vec<&str> = AS_ORDINARY.iter().chain(further).copied().collect();
    again(&wrap, "probe::tell", environment)
}

#[test]
fn an_ordinary_user_gets_namespaces() {
    if is_root() {
        let said = told(&[], &[]);
        assert!(said.contains("FOUND namespace own \n"), "{said}");
        assert!(!said.contains("REFUSED"), "{said}");
    }
}

/// unshare(2) is denied, as in a container. The next rung holds, and it is said why and what to do.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_filter_of_a_container_leaves_landlock() {
    if is_root() {
        let said = told(&[], &[(DENY, "1 272")]);
        assert!(said.contains("FOUND landlock host namespace: "), "{said}");
        assert!(
            said.contains("isolation: unshare: ") && said.contains("unprivileged_userns_clone")
        );
        let refused = "REFUSED isolation = \"namespace\" can't be had on this machine: ";
        assert!(said.contains(refused), "{said}");
    }
}

/// Neither is to be had: nothing is isolated, and both reasons are told.
#[cfg(target_arch = "x86_64")]
#[test]
fn an_old_kernel_leaves_nothing() {
    if is_root() {
        let said = told(&[], &[(DENY, "38 272 444")]);
        assert!(said.contains("FOUND none host namespace: "), "{said}");
        assert!(said.contains("landlock: isolation: landlock"), "{said}");
        assert!(said.contains("6.12"), "{said}");
    }
}

/// "No space left on device" is what the kernel says; what it means is told.
#[test]
fn no_user_namespaces_allowed_leaves_landlock() {
    if is_root() {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
        let further = [
            "unshare",
            "--user",
            "--map-user=12345",
            "--map-group=12345",
            "--keep-caps",
            "sh",
            "-c",
            script,
            "sh",
            "setpriv",
            "--ambient-caps=-all",
            "--inh-caps=-all",
        ];
        let said = told(&further, &[]);
        assert!(said.contains("FOUND landlock "), "{said}");
        assert!(said.contains("max_user_namespaces"), "{said}");
    }
}

/// A container covers a part of `/proc`, so no other one can be mounted: all but the sight of processes still holds.
#[test]
fn a_covered_proc_leaves_namespaces_with_the_machines_processes() {
    if is_root() {
        let script = "mount -t tmpfs none /proc/acpi && exec \"$@\"";
        let wrap: Vec<&str> = ["unshare", "--mount", "sh", "-c", script, "sh"]
            .into_iter()
            .chain(AS_ORDINARY)
            .collect();
        let said = again(&wrap, "probe::tell", &[]);
        assert!(said.contains("FOUND namespace shared \n"), "{said}");
    }
}

/// Root as a container has it: some rights, and a filter that forbids namespaces. Agents get users of their own all the
/// same, and Landlock.
#[cfg(target_arch = "x86_64")]
#[test]
fn root_in_a_container_gets_landlock_and_other_users() {
    if is_root() {
        let kept = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,\
                    +net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";
        let bounding = format!("--bounding-set={kept}");
        let wrap = ["setpriv", bounding.as_str(), "--no-new-privs"];
        let said = again(&wrap, "probe::tell", &[(DENY, "1 272 165")]);
        assert!(
            said.contains("ROOT landlock own namespace as user 264000: "),
            "{said}"
        );
    }
}

/// Without the right to mount, root's namespaces need one of users, in which there is no other user.
#[test]
fn root_that_may_not_mount_gets_namespaces_with_its_own_user() {
    if is_root() {
        let wrap = ["setpriv", "--bounding-set=-sys_admin", "--no-new-privs"];
        let said = again(&wrap, "probe::tell", &[]);
        assert!(
            said.contains("ROOT namespace shared namespace as user 264000: "),
            "{said}"
        );
        assert!(said.contains("FOUND namespace own \n"), "{said}");
    }
}

#[test]
fn root_gets_namespaces_and_other_users() {
    if is_root() {
        let said = again(&["env"], "probe::tell", &[]);
        assert!(said.contains("ROOT namespace own \n"), "{said}");
    }
}
