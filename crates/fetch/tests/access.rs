use std::sync::Arc;

use costlake_fetch::{Client, Error, ErrorKind, NoMonitor};
use futures::future::join_all;

use crate::server::{Server, create, create_error, json, principal, status, token};

fn principal_client(server: &Server) -> Client {
    Client::new(server.config(), principal(), Arc::new(NoMonitor)).unwrap()
}

#[tokio::test]
async fn one_token_serves_all_calls() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token("t0"),
        _ => status(204),
    })
    .await;
    let client = principal_client(&server);
    for created in join_all((0..8).map(|_| create(&client))).await {
        assert_eq!(created.unwrap(), None);
    }
    assert_eq!(server.count(|seen| seen.is_token()), 1);
    let seen = server.seen();
    let asked = seen.iter().find(|seen| seen.is_token()).unwrap();
    assert_eq!(asked.path, "/contoso.example/oauth2/v2.0/token");
    assert_eq!(asked.header("authorization"), "");
    let scope = format!("http%3A%2F%2F127.0.0.1%3A{}%2F.default", server.address.port());
    assert_eq!(
        asked.body,
        format!(
            "grant_type=client_credentials&client_id=app&client_secret=canary-client-secret&scope={scope}"
        )
    );
}

#[tokio::test]
async fn a_short_token_is_renewed_before_its_end() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => json(200, r#"{"expires_in":0,"access_token":"t"}"#),
        _ => status(204),
    })
    .await;
    let client = principal_client(&server);
    create(&client).await.unwrap();
    create(&client).await.unwrap();
    assert_eq!(server.count(|seen| seen.is_token()), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_all() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token(&format!("t{}", seen.nth)),
        _ if seen.header("authorization") == "Bearer t0" => status(401),
        _ => status(204),
    })
    .await;
    let client = principal_client(&server);
    for created in join_all((0..8).map(|_| create(&client))).await {
        assert_eq!(created.unwrap(), None);
    }
    assert_eq!(server.count(|seen| seen.is_token()), 2);
}

#[tokio::test]
async fn a_token_refused_for_ever_is_an_error() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token("t"),
        _ => json(401, r#"{"error":{"code":"InvalidAuthenticationToken","message":"No."}}"#),
    })
    .await;
    let error = create(&principal_client(&server)).await.unwrap_err();
    match &error {
        Error::Authentication { code, message, .. } => {
            assert_eq!((code.as_str(), message.as_str()), ("InvalidAuthenticationToken", "No."));
        }
        other => panic!("{other}"),
    }
    assert_eq!(error.kind(), ErrorKind::Access);
    assert_eq!(server.count(|seen| seen.is_token()), 2);
    assert_eq!(server.count(|seen| seen.is_submit()), 2);

    let error = create_error(&server).await;
    assert!(matches!(error, Error::Authentication { .. }), "{error}");
    assert_eq!(server.count(|seen| seen.is_submit()), 3);
}

#[tokio::test]
async fn a_missing_right_is_not_asked_for_twice() {
    for (code, body) in [
        (403, r#"{"error":{"code":"AuthorizationFailed","message":"The client has no right."}}"#),
        (403, "<html>"),
        (400, r#"{"error":{"code":"DepartmentCostDisabled","message":"Off."}}"#),
        (401, r#"{"error":{"code":"RBACAccessDenied","message":"No."}}"#),
    ] {
        let server = Server::start(move |_| json(code, body)).await;
        let error = create_error(&server).await;
        assert!(matches!(error, Error::Authorization { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Access);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_client_secret_names_the_code() {
    let server = Server::start(|_| {
        json(401, r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\r\nTrace ID: 1","error_codes":[7000215]}"#)
    })
    .await;
    match create(&principal_client(&server)).await.unwrap_err() {
        Error::Authentication { code, message, place } => {
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("AADSTS7000215", "Invalid client secret.")
            );
            assert_eq!((place.method, place.attempts), ("POST", 1));
        }
        other => panic!("{other}"),
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_busy_authority_is_asked_again() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() && seen.nth < 2 => status(503),
        _ if seen.is_token() => token("t"),
        _ => status(204),
    })
    .await;
    create(&principal_client(&server)).await.unwrap();
    assert_eq!(server.count(|seen| seen.is_token()), 3);
}

#[tokio::test]
async fn one_request_at_a_time_is_enough_for_calls_and_tokens() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token(&format!("t{}", seen.nth)),
        _ if seen.header("authorization") == "Bearer t0" => status(401),
        _ => status(204),
    })
    .await;
    let mut config = server.config();
    config.concurrent_requests = std::num::NonZeroUsize::MIN;
    let client = Client::new(config, principal(), Arc::new(NoMonitor)).unwrap();
    let all = join_all((0..4).map(|_| create(&client)));
    let created = tokio::time::timeout(std::time::Duration::from_secs(10), all).await.unwrap();
    assert!(created.iter().all(Result::is_ok));
}
