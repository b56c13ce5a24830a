//! TLS of binds and servers: what is accepted, and where errors point.

use super::bundle::{certificate, directory, short_errors};
use crate::{
    config::{collect, load},
    model::{CipherSuite, Curve, Model, Sni, TlsVersion},
};
use tempfile::TempDir;

fn files(bind: &str, server: &str) -> TempDir {
    let (chain, key) = certificate();
    let text = format!(
        "[frontend.www]\nmode = \"http\"\ndefault_backend = \"web\"\n[[frontend.www.bind]]\naddress = \"*:443\"\n\
         tls = {{ certificates = \"www.pem\"{bind} }}\n[[backend.web.server]]\nname = \"a\"\naddress = \"10.0.0.1:443\"\n{server}"
    );
    directory(&[
        ("sluice.toml", &text),
        ("www.pem", &(chain.clone() + &key)),
        ("www.pem.ocsp", "any bytes"),
        ("ca.pem", &chain),
        ("key.pem", &key),
    ])
}

fn model(bind: &str, server: &str) -> Model {
    let directory = files(bind, server);
    load(&collect(&directory.path().join("sluice.toml")).expect("files")).expect("a model").model
}

fn errors(bind: &str, server: &str) -> Vec<String> {
    let directory = files(bind, server);
    short_errors(directory.path())
}

#[test]
fn all_that_a_bind_can_say_about_tls_arrives() {
    let bind = &model(
        ", strict_sni = true, alpn = \"h2\", min_version = \"TLSv1.3\", ciphersuites = [\"TLS_AES_256_GCM_SHA384\"], \
         curves = [\"P-256\", \"X25519\"], client_ca = \"ca.pem\", verify = \"optional\", tickets = false, \
         timeout_client_hs = \"3s\"",
        "",
    )
    .frontends[0]
        .binds[0];
    assert_eq!(bind.certificates[0].staple.as_deref(), Some(b"any bytes".as_slice()));
    let tls = &bind.tls;
    assert!(tls.strict_sni && !tls.tickets && tls.timeout.as_secs() == 3);
    assert_eq!(tls.alpn.as_deref(), Some(&["h2".to_owned()][..]));
    assert_eq!(tls.algorithms.min_version, TlsVersion::V13);
    assert_eq!(tls.algorithms.ciphersuites, [CipherSuite(0x1302)]);
    assert_eq!(tls.algorithms.curves, [Curve(0x17), Curve(0x1d)]);
    let clients = tls.clients.as_ref().expect("clients");
    assert!(!clients.required && clients.authorities.len() == 1);
    let required = model(", client_ca = \"ca.pem\"", "");
    assert!(required.frontends[0].binds[0].tls.clients.as_ref().is_some_and(|clients| clients.required));
    assert_eq!(model(", client_ca = \"ca.pem\", verify = \"none\"", "").frontends[0].binds[0].tls.clients, None);
}

#[test]
fn a_server_inherits_the_tls_of_its_backend_unless_it_has_its_own() {
    let backend = "[backend.web.tls]\nca = \"ca.pem\"\nsni = \"app.test\"\n";
    let inherited = model("", backend).backends[0].servers[0].tls.clone().expect("tls");
    assert_eq!(
        (&inherited.sni, inherited.authorities.as_ref().map(Vec::len)),
        (&Sni::Name("app.test".to_owned()), Some(1))
    );
    let own = model("", &format!("tls = {{ verify = \"none\", certificate = \"www.pem\" }}\n{backend}"));
    let own = own.backends[0].servers[0].tls.clone().expect("tls");
    assert_eq!((&own.sni, &own.authorities), (&Sni::Host, &None));
    assert!(own.certificate.is_some());
    assert!(model("", "tls = { ca = \"system\" }").backends[0].servers[0].tls.is_some());
}

#[test]
fn what_is_wrong_with_tls_is_said_where_it_stands() {
    let of_bind = [
        (", ciphers = \"RC4-MD5\"", "6:45: error: `RC4-MD5` is not a cipher suite of TLS 1.2 that we have"),
        (", ciphersuites = []", "6:50: error: `ciphersuites` names nothing"),
        (", curves = \"P-521\"", "6:44: error: `P-521` is not a group that we have"),
        (", min_version = \"TLSv1.0\"", "6:49: error: `TLSv1.0` is not a version of TLS that we speak"),
        (", verify = \"required\"", "6:44: error: `verify` needs `client_ca`: whose certificates to believe"),
        (", crl = \"ca.pem\", client_ca = \"ca.pem\"", "6:41: error: ca.pem: no revocation list in it"),
        (", client_ca = \"key.pem\"", "6:47: error: key.pem: no certificate in it"),
        (", alpn = [\"\"]", "6:43: error: a protocol has 1 to 255 bytes"),
        (
            ", min_version = \"TLSv1.3\", ciphers = \"ECDHE-RSA-AES128-GCM-SHA256\"",
            "6:70: error: `ciphers` is of TLS 1.2, which is not spoken here",
        ),
    ];
    for (bind, error) in of_bind {
        assert_eq!(errors(bind, ""), [format!("sluice.toml:{error}")], "{bind}");
    }
    let of_server = [
        ("tls = {}", "10:7: error: `tls` needs `ca`: whose certificates to believe"),
        ("tls = { ca = \"ca.pem\", verify = \"maybe\" }", "10:33: error: `maybe` is not a way to verify a server"),
        (
            "tls = { ca = \"ca.pem\", verify = \"none\" }",
            "10:14: error: `verify = \"none\"` believes anyone: `ca` has no effect",
        ),
        ("tls = { ca = \"ca.pem\", sni = \"10.0.0.1\" }", "10:30: error: `10.0.0.1` is not a host name"),
        (
            "tls = { ca = \"ca.pem\", certificate = \"ca.pem\" }",
            "10:38: error: ca.pem: no private key in it, nor beside it in a file of the same name and .key",
        ),
    ];
    for (server, error) in of_server {
        assert_eq!(errors("", server), [format!("sluice.toml:{error}")], "{server}");
    }
}
