//! TLS: both versions of HTTP over it, and another certificate while the registry runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry::server::TlsOptions;
use reqwest::{StatusCode, Version};

use crate::bed::{Bed, header, sha256};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Puts a certificate for 127.0.0.1 and its key into a folder.
fn write(authority: &Authority, folder: &Path) -> TlsOptions {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let (cert_path, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    std::fs::write(&cert_path, certificate.pem()).unwrap();
    TlsOptions { certificate: cert_path, key: key_path, client_authorities: Vec::new(), only_tls13: false }
}

/// A client that believes one authority and speaks these protocols.
fn client(authority: &Authority, protocols: &[&str]) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_speaks_http_2_and_takes_a_new_certificate_while_it_runs() {
    let (first, second) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let options = write(&first, folder.path());
    let bed = Bed::with(|config| config.tls = Some(options)).await;
    let url = |path: &str| format!("https://{}{path}", bed.address);
    let blob: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let http = client(&first, &[protocol]);
        let begun = http.post(url("/v2/a/blobs/uploads/")).send().await.unwrap();
        assert_eq!((begun.status(), begun.version()), (StatusCode::ACCEPTED, version));
        let place = format!("{}?digest={}", url(&header(&begun, "location")), sha256(&blob));
        assert_eq!(http.put(place).body(blob.clone()).send().await.unwrap().status(), StatusCode::CREATED);
        let place = url(&format!("/v2/a/blobs/{}", sha256(&blob)));
        // Each is read as it comes: the streams of one connection share a window, and what nobody reads fills it.
        let many = (0..5).map(|_| async { http.get(&place).send().await.unwrap().bytes().await.unwrap() });
        for bytes in futures_util::future::join_all(many).await {
            assert!(bytes == blob);
        }
        let part = http.get(&place).header("range", "bytes=10-19").send().await.unwrap();
        assert_eq!(
            (part.status(), part.bytes().await.unwrap().as_ref()),
            (StatusCode::PARTIAL_CONTENT, &blob[10..20])
        );
    }
    assert!(client(&second, &["h2"]).get(url("/v2/")).send().await.is_err(), "a stranger's certificate");
    write(&second, folder.path());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while client(&second, &["h2"]).get(url("/v2/")).send().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the new certificate is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        client(&first, &["h2"]).get(url("/v2/")).send().await.is_err(),
        "the old one is not shown any more"
    );
    // One that cannot be read does not stop the registry, which looks at it every other second.
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    for _ in 0..25 {
        assert_eq!(client(&second, &["h2"]).get(url("/v2/")).send().await.unwrap().status(), StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
