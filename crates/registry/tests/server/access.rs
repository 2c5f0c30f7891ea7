//! Who may do what: htpasswd, accounts, robots, bearer tokens, limits.

use std::time::Duration;

use registry::server::access::accounts::{Accounts, Grant};
use registry::server::{AccessOptions, Config, ImmutableOptions};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::bed::{Bed, Json, code, header};

const FAR: i64 = 4_000_000_000;

/// Writes accounts before the registry starts: alice owns `team/**`, everybody may pull `public/**`.
fn people(config: &mut Config) -> String {
    let grant = |text: &str| Grant::parse(text).expect("a grant");
    let mut accounts = Accounts::default();
    accounts
        .set_user("alice", "secret", vec![grant("team/**:pull,push,delete"), grant("public/**:pull,push")])
        .unwrap();
    accounts.grant("anonymous", grant("public/**:pull")).unwrap();
    let robot = accounts.add_robot("ci", vec![grant("team/app:pull")], FAR).unwrap();
    accounts.save(&config.root).unwrap();
    robot
}

/// Asks for a token as clients do: with what the challenge says.
async fn token(bed: &Bed, challenge: &str, login: Option<(&str, &str)>) -> Response {
    let part = |name: &str| {
        let start = challenge.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
        start.split('"').next().unwrap_or_default().to_owned()
    };
    let url = format!("{}?service={}&scope={}", part("realm"), part("service"), part("scope"));
    let mut request = bed.request("GET", &url);
    if let Some((name, password)) = login {
        request = request.basic_auth(name, Some(password));
    }
    request.send().await.unwrap()
}

/// What a request answers after the exchange that its challenge asks for.
async fn status(bed: &Bed, method: &str, path: &str, login: Option<(&str, &str)>) -> u16 {
    let first = bed.request(method, path).send().await.unwrap();
    if first.status() != StatusCode::UNAUTHORIZED {
        return first.status().as_u16();
    }
    let answer = token(bed, &header(&first, "www-authenticate"), login).await;
    if answer.status() != StatusCode::OK {
        return answer.status().as_u16();
    }
    let body: Value = answer.json().await.unwrap();
    let request = bed.request(method, path).bearer_auth(body["token"].as_str().unwrap());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn accounts_say_who_may_do_what_where() {
    let mut robot = String::new();
    let bed = Bed::with(|config| robot = people(config)).await;
    let alice = Some(("alice", "secret"));
    let ci = Some(("anything", robot.as_str()));
    let pushes = |name: &str| format!("/v2/{name}/blobs/uploads/");
    let pulls = |name: &str| format!("/v2/{name}/tags/list");
    for (method, path, who, want) in [
        ("GET", "/v2/".to_owned(), alice, 200),
        ("GET", "/v2/".to_owned(), ci, 200),
        ("GET", "/v2/".to_owned(), Some(("alice", "wrong")), 401),
        ("GET", "/v2/".to_owned(), Some(("nobody", "secret")), 401),
        ("POST", pushes("team/app"), alice, 202),
        ("POST", pushes("other/app"), alice, 403),
        ("POST", pushes("team/app"), ci, 403),
        ("POST", pushes("public/app"), None, 401),
        // Allowed, and nothing there.
        ("GET", pulls("team/app"), ci, 404),
        ("GET", pulls("team/other"), ci, 403),
        ("GET", pulls("public/app"), None, 404),
        ("GET", pulls("team/app"), None, 401),
        ("GET", "/metrics".to_owned(), alice, 200),
    ] {
        assert_eq!(status(&bed, method, &path, who).await, want, "{method} {path} {who:?}");
    }
    // With name and password at once, what is not granted is denied, not asked for again.
    let denied =
        bed.request("POST", &pushes("other/app")).basic_auth("alice", Some("secret")).send().await.unwrap();
    assert_eq!((denied.status().as_u16(), code(denied).await), (403, "DENIED".to_owned()));
    // A token is good for what it was asked for only.
    let challenge = header(&bed.get(&pulls("team/app")).await, "www-authenticate");
    assert!(challenge.contains("scope=\"repository:team/app:pull\""), "{challenge}");
    let body: Value = token(&bed, &challenge, alice).await.json().await.unwrap();
    let narrow = bed.request("POST", &pushes("team/app")).bearer_auth(body["token"].as_str().unwrap());
    let refused = narrow.send().await.unwrap();
    assert!(header(&refused, "www-authenticate").contains("error=\"insufficient_scope\""));
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let forged = bed.request("GET", &pulls("team/app")).bearer_auth("a.b.c").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    // The same by OAuth 2.
    let form = "grant_type=password&username=alice&password=secret&scope=repository:team/app:pull";
    let answer = bed.request("POST", "/token").body(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let audit = std::fs::read_to_string(bed.root().join("wharf/audit.log")).unwrap();
    assert!(audit.contains("\"refused\"") && !audit.contains("secret"), "{audit}");
}

#[tokio::test]
async fn a_login_can_be_kept_without_the_password_and_ends_with_it() {
    let bed = Bed::with(|config| drop(people(config))).await;
    let login = |query: &str| {
        bed.request("GET", &format!("/token?service=x{query}")).basic_auth("alice", Some("secret")).send()
    };
    let body: Value = login("&offline_token=true").await.unwrap().json().await.unwrap();
    let refresh = body["refresh_token"].as_str().unwrap().to_owned();
    let plain: Value = login("").await.unwrap().json().await.unwrap();
    assert!(plain.get("refresh_token").is_none(), "nobody asked");
    // A bearer token cannot be made to live longer.
    let bearer = body["token"].as_str().unwrap();
    let longer = bed.request("GET", "/token?offline_token=true").bearer_auth(bearer).send().await.unwrap();
    assert!(longer.json().await.unwrap().get("refresh_token").is_none());
    let exchange = async || {
        let form =
            format!("grant_type=refresh_token&refresh_token={refresh}&scope=repository:team/app:pull,push");
        bed.request("POST", "/token").body(form).send().await.unwrap()
    };
    let body: Value = exchange().await.json().await.unwrap();
    let push =
        bed.request("POST", "/v2/team/app/blobs/uploads/").bearer_auth(body["token"].as_str().unwrap());
    assert_eq!(push.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let as_bearer = bed.request("GET", "/v2/").bearer_auth(&refresh).send().await.unwrap();
    assert_eq!(as_bearer.status(), StatusCode::UNAUTHORIZED, "it is no bearer token");
    let mut accounts = Accounts::load(bed.root()).unwrap();
    accounts.set_user("alice", "another", Vec::new()).unwrap();
    accounts.save(bed.root()).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while exchange().await.status() != StatusCode::UNAUTHORIZED {
        assert!(tokio::time::Instant::now() < deadline, "the token outlives the password");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn lists_show_what_one_may_pull_and_mounts_take_only_that() {
    let bed = Bed::with(|config| {
        people(config);
    })
    .await;
    let as_alice = |method: &str, path: &str| bed.request(method, path).basic_auth("alice", Some("secret"));
    for name in ["team/secret", "public/app"] {
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", crate::bed::sha256(b"x"));
        assert_eq!(as_alice("POST", &path).body("x").send().await.unwrap().status(), StatusCode::CREATED);
    }
    let catalog =
        async |request: reqwest::RequestBuilder| request.send().await.unwrap().text().await.unwrap();
    assert_eq!(catalog(bed.request("GET", "/v2/_catalog")).await, r#"{"repositories":["public/app"]}"#);
    assert_eq!(
        catalog(as_alice("GET", "/v2/_catalog")).await,
        r#"{"repositories":["public/app","team/secret"]}"#
    );
    assert!(!bed.get("/").await.text().await.unwrap().contains("team/secret"));
    assert_eq!(bed.get("/web/team/secret").await.status(), StatusCode::UNAUTHORIZED);
    // Somebody who may not pull from there cannot mount from there.
    let mut accounts = Accounts::load(bed.root()).unwrap();
    accounts.set_user("bob", "secret", vec![Grant::parse("bob/**:pull,push").unwrap()]).unwrap();
    accounts.save(bed.root()).unwrap();
    let digest = crate::bed::sha256(b"x");
    let mount = |query: String| {
        bed.request("POST", &format!("/v2/bob/app/blobs/uploads/?{query}")).basic_auth("bob", Some("secret"))
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        // The registry sees the new file within a second.
        let answer = mount(format!("mount={digest}&from=team/secret")).send().await.unwrap();
        if answer.status() != StatusCode::UNAUTHORIZED {
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "bob is not seen");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(mount(format!("mount={digest}")).send().await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn htpasswd_opens_to_who_is_in_the_file() {
    let bed = Bed::with(|config| {
        let path = config.root.join("htpasswd");
        std::fs::write(&path, "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n").unwrap();
        config.access = AccessOptions::Htpasswd { realm: "here".to_owned(), path };
    })
    .await;
    let refused = bed.get("/v2/").await;
    assert_eq!(header(&refused, "www-authenticate"), "Basic realm=\"here\"");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let ask = async |path: &str, password: &str| {
        bed.request("GET", path).basic_auth("user", Some(password)).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/v2/", "secret").await, 200);
    assert_eq!(ask("/v2/", "wrong").await, 401);
    assert_eq!(ask("/v2/a/tags/list", "secret").await, 404);
    assert_eq!(bed.get("/v2/a/tags/list").await.status(), StatusCode::UNAUTHORIZED);
    // Guessing is slowed down.
    let mut limited = None;
    for _ in 0..40 {
        let answer = bed.request("GET", "/v2/").header("authorization", "Basic !").send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(header(&answer, "retry-after"));
            break;
        }
    }
    assert!(limited.is_some_and(|after| after.parse::<u64>().is_ok()));
}

#[tokio::test]
async fn too_many_requests_have_to_wait() {
    let bed = Bed::with(|config| config.rate_limit = Some((1, 5))).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(bed.get("/v2/").await);
    }
    assert_eq!(statuses[0].status(), StatusCode::OK);
    let limited = statuses
        .into_iter()
        .find(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS)
        .expect("one too many");
    assert!(!header(&limited, "retry-after").is_empty());
    assert_eq!(code(limited).await, "TOOMANYREQUESTS");
}

#[tokio::test]
async fn an_immutable_tag_is_pushed_once() {
    let rule = ImmutableOptions { repositories: "**".to_owned(), tags: "v*".to_owned() };
    let bed = Bed::with(|config| config.immutable = vec![rule]).await;
    let (manifest, digest) = bed.push_image("a", "v1", b"one").await;
    bed.push_image("a", "latest", b"one").await;
    // The same again is no change.
    assert_eq!(bed.put_manifest("a", "v1", &manifest).await.status(), StatusCode::CREATED);
    let (other, _) = bed.push_image("a", "latest", b"two").await;
    let refused = bed.put_manifest("a", "v1", &other).await;
    assert_eq!((refused.status().as_u16(), code(refused).await), (403, "DENIED".to_owned()));
    for reference in ["v1", &digest] {
        assert_eq!(bed.delete(&format!("/v2/a/manifests/{reference}")).await.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(bed.delete("/v2/a/manifests/latest").await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_read_only_registry_takes_nothing() {
    let bed = Bed::with(|config| config.read_only = true).await;
    let refused = bed.request("POST", "/v2/a/blobs/uploads/").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), code(refused).await), (405, "UNSUPPORTED".to_owned()));
}

#[tokio::test]
async fn a_robots_token_ends_by_itself_and_with_it_what_it_brought() {
    let mut robot = String::new();
    let bed = Bed::with(|config| robot = people(config)).await;
    let list = "/v2/team/app/tags/list";
    // There is no such repository yet: whoever may look is told so.
    assert_eq!(status(&bed, "GET", list, Some(("ci", &robot))).await, 404);
    let asked = bed.get(list).await;
    let answer = token(&bed, &header(&asked, "www-authenticate"), Some(("ci", &robot))).await;
    let bearer = answer.json().await.unwrap()["token"].as_str().unwrap().to_owned();
    let path = bed.root().join("wharf/accounts.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&FAR.to_string()), "{text}");
    std::fs::write(&path, text.replace(&FAR.to_string(), "1")).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while status(&bed, "GET", list, Some(("ci", &robot))).await != 401 {
        assert!(std::time::Instant::now() < deadline, "an expired token is still good");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let late = bed.request("GET", list).bearer_auth(bearer).send().await.unwrap();
    assert_eq!(late.status(), StatusCode::UNAUTHORIZED);
}
