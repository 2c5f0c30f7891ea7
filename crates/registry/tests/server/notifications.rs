//! Webhooks, in the format of distribution's notifications.

use std::time::Duration;

use registry::server::EndpointOptions;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::bed::{Bed, OCI_MANIFEST};

/// Listens for events; the first request is refused. Gives what was taken.
async fn endpoint() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (taken, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut refused = false;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let body = loop {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request);
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str::<Value>(body)
                {
                    break Some((head.to_lowercase(), body));
                }
                if count == 0 {
                    break None;
                }
            };
            let status = if refused { "200 OK" } else { "500 Not Now" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _told = stream.write_all(answer.as_bytes()).await;
            if std::mem::replace(&mut refused, true) {
                let _nobody = body.map(|body| taken.send(body));
            }
        }
    });
    (url, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_to_know_is_told_of_pushes_pulls_and_deletes_in_order() {
    let (url, mut events) = endpoint().await;
    let options = EndpointOptions {
        name: "test".to_owned(),
        url,
        headers: vec![("authorization".to_owned(), "Bearer x".to_owned())],
        timeout: Duration::from_secs(30),
        threshold: 5,
        backoff: Duration::from_millis(100),
        ignored_media_types: vec!["application/octet-stream".to_owned()],
        ignored_actions: Vec::new(),
    };
    let bed = Bed::with(|config| config.notifications = vec![options]).await;
    let (manifest, digest) = bed.push_image("team/app", "1", b"layer").await;
    let path = format!("/v2/team/app/manifests/{digest}");
    assert_eq!(bed.get("/v2/team/app/manifests/1").await.status(), StatusCode::OK);
    assert_eq!(bed.delete(&path).await.status(), StatusCode::ACCEPTED);
    for action in ["push", "pull", "delete"] {
        let next = tokio::time::timeout(Duration::from_secs(60), events.recv()).await;
        let (head, body) = next.expect("an event comes").expect("the endpoint listens");
        assert!(head.contains("content-type: application/vnd.docker.distribution.events.v2+json"), "{head}");
        assert!(head.contains("authorization: bearer x"), "{head}");
        let event = &body["events"][0];
        let target = &event["target"];
        assert_eq!(
            (&event["action"], &target["digest"]),
            (&action.into(), &digest.clone().into()),
            "{event}"
        );
        assert_eq!(target["repository"], "team/app");
        assert!(
            event["id"].is_string()
                && event["timestamp"].is_string()
                && event["request"]["method"].is_string()
        );
        if action != "delete" {
            assert_eq!(
                (&target["mediaType"], &target["size"]),
                (&OCI_MANIFEST.into(), &manifest.to_string().len().into())
            );
            assert_eq!(target["tag"], "1", "{event}");
            assert_eq!(target["url"], bed.url(&path).as_str());
        }
    }
}
