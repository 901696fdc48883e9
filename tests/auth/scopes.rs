//! The table of scopes, row by row, on the wire.

use crate::{
    support::reason,
    world::{Caller, fact, start, start_with},
};
use quarterdeck::{auth::scopes::Needs, domain::access::Scope, grpc::methods::METHODS};
use tonic::Code;

/// Each method is refused without each of its scopes, by name, and let through with them alone.
#[tokio::test]
async fn every_method_needs_its_scopes_and_no_more() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let nobody = Caller::with_header(&gateway, None).await;
    for method in &METHODS {
        let path = method.path;
        let without = nobody.try_method(path).await;
        let needed: &[Scope] = match method.needs {
            Needs::Nothing => {
                assert_let_through(path, without);
                continue;
            }
            Needs::Credential => &[],
            Needs::Scopes(scopes) => scopes,
        };
        let refused = without.unwrap_err();
        assert_eq!(reason(&refused), "CREDENTIALS_MISSING", "{path}");

        for missing in needed {
            let others = Scope::ALL.into_iter().filter(|scope| scope != missing);
            let others: Vec<&str> = others.map(Scope::as_str).collect();
            let key = admin.make_key(&others).await.secret;
            let refused = admin.as_key(&key).try_method(path).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{path}");
            assert_eq!(reason(&refused), "SCOPE_REQUIRED", "{path}");
            assert_eq!(fact(&refused, "scope"), missing.as_str(), "{path}");
            assert!(refused.message().contains(missing.as_str()), "{path}");
        }
        let names: Vec<&str> = match needed {
            [] => vec!["worker.connect"],
            needed => needed.iter().map(|scope| scope.as_str()).collect(),
        };
        let key = admin.make_key(&names).await.secret;
        assert_let_through(path, admin.as_key(&key).try_method(path).await);
    }
}

/// What a handler says to an empty request is its own matter.
fn assert_let_through(path: &str, answer: Result<(), tonic::Status>) {
    if let Err(status) = answer {
        let code = status.code();
        assert_ne!(code, Code::Unauthenticated, "{path}");
        assert_ne!(code, Code::PermissionDenied, "{path}");
    }
}

/// What nobody declared is not there, and only who may call is told so.
#[tokio::test]
async fn an_unknown_method_is_refused() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let path = "/quarterdeck.v1.GatewayService/Nothing";
    let refused = admin.try_method(path).await.unwrap_err();
    assert_eq!(reason(&refused), "METHOD_UNKNOWN");
    let nobody = Caller::with_header(&gateway, None).await;
    let refused = nobody.try_method(path).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
}

/// Reflection can be switched off.
#[tokio::test]
async fn reflection_can_be_switched_off() {
    let gateway = start_with(&[("QUARTERDECK_REFLECTION", "false")], "");
    let admin = Caller::admin(&gateway).await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let refused = admin.try_method(&path).await.unwrap_err();
        assert_eq!(reason(&refused), "METHOD_UNKNOWN");
    }
}
