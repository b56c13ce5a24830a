//! Both sides against each other, over real sockets.

use super::{
    Acceptor, accept,
    facts::{TlsFacts, misdirected},
    server::{ConnectError, Connector},
};
use crate::{
    l7::tests::tls::{Authority, certificate, file, pem},
    model::{Algorithms, BindTls, CipherSuite, Clients, Pem, ServerTls, Sni, TlsVersion},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn server_tls(authorities: Option<&str>) -> ServerTls {
    ServerTls {
        authorities: authorities.map(|pem| vec![file(pem)]),
        revoked: vec![],
        sni: Sni::Host,
        alpn: vec![],
        certificate: None,
        min_version: TlsVersion::V12,
    }
}

/// One connection and one byte each way; what both sides have to say about it.
async fn meet(
    acceptor: &Acceptor,
    connector: &Connector,
    sni: Option<&str>,
) -> (Option<TlsFacts>, Result<(), ConnectError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let stream = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connection");
    let (accepted, _) = listener.accept().await.expect("connection");
    let served = async {
        let (mut stream, _) = accept(acceptor, accepted).await.ok()?;
        let facts = acceptor.facts(&stream);
        // The client learns of a refused certificate of TLS 1.3 only after its own handshake; of tickets too.
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        let _end = stream.read_u8().await;
        Some(facts)
    };
    let client = async {
        let mut stream = connector.connect(stream, sni, [127, 0, 0, 1].into()).await?;
        stream.read_u8().await?;
        stream.shutdown().await?;
        Ok(())
    };
    tokio::join!(served, client)
}

#[tokio::test]
async fn servers_are_believed_only_with_a_certificate_of_the_authority_and_the_name() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let acceptor = |pem: &str| Acceptor::new(&[certificate(pem)], &BindTls::default(), true).expect("acceptor");
    let good = acceptor(&ours.sign("app.test", 1));
    let connector = Connector::new(&server_tls(Some(&ours.pem))).expect("connector");
    meet(&good, &connector, Some("app.test")).await.1.expect("believed");
    let bad_name = meet(&good, &connector, Some("other.test")).await.1;
    assert!(matches!(bad_name, Err(ConnectError::Certificate(_))), "{bad_name:?}");
    let no_name = meet(&good, &connector, None).await.1;
    assert!(matches!(no_name, Err(ConnectError::Certificate(_))), "it has no address: {no_name:?}");
    let addressed = acceptor(&ours.sign("127.0.0.1", 2));
    meet(&addressed, &connector, None).await.1.expect("it has the address");
    let foreign = acceptor(&others.sign("app.test", 1));
    // One without sessions: in this process both acceptors have the same keys for tickets.
    let fresh = Connector::new(&server_tls(Some(&ours.pem))).expect("connector");
    let refused = meet(&foreign, &fresh, Some("app.test")).await.1;
    assert!(matches!(refused, Err(ConnectError::Certificate(_))), "{refused:?}");
    let anyone = Connector::new(&server_tls(None)).expect("connector");
    meet(&foreign, &anyone, Some("app.test")).await.1.expect("anyone is believed");
    let revoking = ServerTls { revoked: vec![file(&ours.revoke(&[1]))], ..server_tls(Some(&ours.pem)) };
    let revoked = meet(&good, &Connector::new(&revoking).expect("connector"), Some("app.test")).await.1;
    assert!(matches!(revoked, Err(ConnectError::Certificate(rustls::CertificateError::Revoked))), "{revoked:?}");
    let name = meet(&good, &connector, Some("not a name")).await.1;
    assert!(matches!(name, Err(ConnectError::Name)), "{name:?}");
}

#[tokio::test]
async fn clients_show_certificates_that_the_facts_tell_of() {
    let authority = Authority::new("clients");
    let names = Authority::new("names");
    let bind = |required, revoked: &[u8]| {
        let (authorities, revoked) = (vec![file(&authority.pem)], vec![file(&authority.revoke(revoked))]);
        let tls = BindTls { clients: Some(Clients { authorities, revoked, required }), ..BindTls::default() };
        Acceptor::new(&[certificate(&names.sign("app.test", 1))], &tls, true).expect("acceptor")
    };
    let client = |pem: Option<&str>| {
        let tls = ServerTls { certificate: pem.map(certificate), ..server_tls(Some(&names.pem)) };
        Connector::new(&tls).expect("connector")
    };
    let own = authority.sign("client-7", 7);
    let (facts, met) = meet(&bind(true, &[9]), &client(Some(&own)), Some("app.test")).await;
    met.expect("believed");
    let facts = facts.expect("facts");
    let fields = facts.client.as_ref().and_then(|client| client.fields()).expect("a certificate");
    assert!(
        fields.subject.line().ends_with(b"/CN=client-7") && fields.issuer.line().ends_with(b"/CN=clients"),
        "{fields:?}"
    );
    assert_eq!(fields.serial, [7]);
    assert_eq!((facts.sni.as_deref(), facts.version, facts.resumed), (Some("app.test"), "TLSv1.3", false));
    assert!(misdirected(&facts, "other.test") && !misdirected(&facts, "app.test:443"));

    meet(&bind(true, &[7]), &client(Some(&own)), Some("app.test")).await.1.expect_err("revoked");
    meet(&bind(true, &[9]), &client(None), Some("app.test")).await.1.expect_err("none shown");
    let (facts, met) = meet(&bind(false, &[9]), &client(None), Some("app.test")).await;
    met.expect("optional");
    assert!(facts.expect("facts").client.is_none());
    let foreign = names.sign("client-7", 7);
    meet(&bind(false, &[9]), &client(Some(&foreign)), Some("app.test")).await.1.expect_err("not believed");
}

#[tokio::test]
async fn sessions_outlive_a_reload_but_not_another_demand_for_certificates() {
    let authority = Authority::new("ours");
    let own = authority.sign("client", 7);
    let pem = authority.sign("app.test", 1);
    let (nine, seven) = (file(&authority.revoke(&[9])), file(&authority.revoke(&[7])));
    let acceptor = |revoked: Option<&Pem>, tickets| {
        let clients = revoked.map(|revoked| Clients {
            authorities: vec![file(&authority.pem)],
            revoked: vec![revoked.clone()],
            required: true,
        });
        Acceptor::new(&[certificate(&pem)], &BindTls { clients, tickets, ..BindTls::default() }, true)
            .expect("acceptor")
    };
    for min_version in [TlsVersion::V12, TlsVersion::V13] {
        let tls = ServerTls { certificate: Some(certificate(&own)), min_version, ..server_tls(Some(&authority.pem)) };
        let connector = Connector::new(&tls).expect("connector");
        let resumed = async |acceptor: &Acceptor| {
            let (facts, met) = meet(acceptor, &connector, Some("app.test")).await;
            met.map(|()| facts.expect("facts").resumed).ok()
        };
        // What a reload does: the next acceptor is there before the last one goes.
        let before = acceptor(None, true);
        let after = acceptor(None, true);
        assert_eq!(resumed(&before).await, Some(false));
        assert_eq!(resumed(&after).await, Some(true));
        let demanding = acceptor(Some(&nine), true);
        assert_eq!(resumed(&demanding).await, Some(false), "nobody gets past the demand");
        assert_eq!(resumed(&acceptor(Some(&nine), true)).await, Some(true));
        assert_eq!(resumed(&acceptor(Some(&seven), true)).await, None, "revoked since");
        let without = acceptor(None, false);
        assert_eq!((resumed(&without).await, resumed(&without).await), (Some(false), Some(false)));
    }
}

#[tokio::test]
async fn versions_suites_and_protocols_are_as_chosen() {
    let pem = pem(&["app.test"]);
    let acceptor = |tls: &BindTls| Acceptor::new(&[certificate(&pem)], tls, false).expect("acceptor");
    let algorithms = Algorithms { ciphersuites: vec![CipherSuite(0x1303)], ..Algorithms::default() };
    let chosen = acceptor(&BindTls { algorithms, alpn: Some(vec!["acme".to_owned()]), ..BindTls::default() });
    let offering = ServerTls { alpn: vec!["x".to_owned(), "acme".to_owned()], ..server_tls(Some(&pem)) };
    let (facts, met) = meet(&chosen, &Connector::new(&offering).expect("connector"), Some("app.test")).await;
    met.expect("agreed");
    let facts = facts.expect("facts");
    assert_eq!((facts.cipher, facts.alpn.as_deref()), ("TLS_CHACHA20_POLY1305_SHA256", Some(b"acme".as_slice())));
    let strict = acceptor(&BindTls { strict_sni: true, ..BindTls::default() });
    let anyone = Connector::new(&server_tls(None)).expect("connector");
    for (name, is_served) in [(Some("app.test"), true), (Some("other.test"), false), (None, false)] {
        assert_eq!(meet(&strict, &anyone, name).await.1.is_ok(), is_served, "{name:?}");
    }
}
