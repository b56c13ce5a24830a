//! TLS to servers: another proxy is the server, which shows what came and how.

use super::{
    encrypted::encrypted,
    model::{backend, http_frontend},
    origin::Origin,
    proxy::{Proxy, eventually},
    tls::{Authority, certificate, file, pem},
};
use crate::model::{BindTls, FrontendKind, ServerTls, Sni, TcpFrontend, TlsVersion};
use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering::SeqCst};

fn trusting(authority: &str, sni: Sni, alpn: &[&str]) -> ServerTls {
    ServerTls {
        authorities: Some(vec![file(authority)]),
        revoked: vec![],
        sni,
        alpn: alpn.iter().map(ToString::to_string).collect(),
        certificate: None,
        min_version: TlsVersion::V12,
    }
}

fn to(address: SocketAddr, tls: ServerTls) -> Proxy {
    let mut web = backend("web", [address]);
    web.servers[0].tls = Some(Arc::new(tls));
    Proxy::on_threads(1, FrontendKind::Http(http_frontend()), vec![web], |_| ())
}

#[tokio::test]
async fn servers_are_asked_for_the_name_of_the_request_and_must_prove_it() {
    let origin = Origin::named("secret").await;
    let pem = pem(&["a.test"]);
    let server = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&pem]);
    for alpn in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
        let proxy = to(server.address, trusting(&pem, Sni::Host, alpn));
        for _ in 0..3 {
            assert!(proxy.ask_path("a.test:80", "/").await.ends_with("secret"), "{alpn:?}");
        }
        assert!(origin.last_request().contains("x-forwarded-proto: https\r\n"), "{}", origin.last_request());
        assert_eq!(server.threads.connections(), 1, "{alpn:?}: one connection serves all requests for a name");
        // Another name is asked for on a connection of its own, and the certificate does not have it.
        assert!(proxy.ask_path("b.test", "/").await.starts_with("HTTP/1.1 503 "), "{alpn:?}");
        let counts = &proxy.live.backend("web").expect("backend").servers[0].counts;
        assert_eq!(counts.sum(|counts| &counts.connect_errors), 1);
        drop(proxy);
        eventually("its connections are closed", || server.threads.connections() == 0).await;
    }
    let named = to(server.address, trusting(&pem, Sni::Name("a.test".into()), &[]));
    assert!(named.ask_path("whatever.test", "/").await.ends_with("secret"));
    let anyone = ServerTls { authorities: None, ..trusting(&pem, Sni::Host, &[]) };
    assert!(to(server.address, anyone).ask_path("b.test", "/").await.ends_with("secret"));
    let stranger = super::tls::pem(&["a.test"]);
    let distrusting = to(server.address, trusting(&stranger, Sni::Host, &[]));
    assert!(distrusting.ask_path("a.test", "/").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    let origin = Origin::named("secret").await;
    let (authority, pem) = (Authority::new("clients"), pem(&["a.test"]));
    let clients = crate::model::Clients { authorities: vec![file(&authority.pem)], revoked: vec![], required: true };
    let server = Proxy::with(FrontendKind::Http(http_frontend()), vec![backend("web", [origin.address])], |frontend| {
        frontend.binds[0].certificates = vec![certificate(&pem)];
        frontend.binds[0].tls = BindTls { clients: Some(clients), ..BindTls::default() };
    });
    let own = Some(certificate(&authority.sign("balancer", 7)));
    let known = to(server.address, ServerTls { certificate: own, ..trusting(&pem, Sni::Host, &[]) });
    assert!(known.ask_path("a.test", "/").await.ends_with("secret"));
    // Where names decide who may come in, the host must be the one of the handshake.
    let own = Some(certificate(&authority.sign("balancer", 8)));
    let tls = ServerTls { certificate: own, ..trusting(&pem, Sni::Name("a.test".into()), &[]) };
    assert!(to(server.address, tls).ask_path("b.test", "/").await.starts_with("HTTP/1.1 421 Misdirected Request\r\n"));
    let unknown = to(server.address, trusting(&pem, Sni::Host, &[]));
    assert!(unknown.ask_path("a.test", "/").await.starts_with("HTTP/1.1 50"));
    assert_eq!(origin.connections.load(SeqCst).min(1), 1);
}

#[tokio::test]
async fn a_relay_encrypts_too() {
    let origin = Origin::named("secret").await;
    let pem = pem(&["a.test"]);
    let server = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&pem]);
    let mut db = backend("db", [server.address]);
    db.servers[0].tls = Some(Arc::new(trusting(&pem, Sni::Name("a.test".into()), &[])));
    let proxy = Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![db], |_| ());
    assert!(proxy.ask_path("a.test", "/").await.ends_with("secret"));
}
