//! Fetches, converters and matching.

use super::{Stage, condition};
use crate::l7::{
    acl::{
        Tls,
        facts::{Certificate, Name},
        holds,
    },
    message::Method,
    tls::TlsFacts,
};

/// Every row holds, or does not, on the same request.
fn assert_all(stage: &Stage, rows: &[(&str, bool)]) {
    for (acl, expected) in rows {
        assert_eq!(stage.is(acl), *expected, "{acl}");
    }
}

#[test]
fn fetches_see_the_request_as_haproxys_do() {
    let fields = [("Host", "www.Example.com:8080"), ("X-Tag", "a, b ,c"), ("x-tag", "d")];
    let stage = Stage::new("/shop/a%20b?user=Me&x=1&user=you", &fields);
    assert_all(
        &stage,
        &[
            ("path /shop/a%20b", true),
            ("path_beg /shop/", true),
            ("path_beg -i /SHOP/", true),
            ("path_end b", true),
            ("path_dir shop", true),
            ("path_reg ^/shop/[a-z]%20b$", true),
            ("path_len 11", true),
            ("path,length lt 12", true),
            ("query user=Me&x=1&user=you", true),
            ("url_sub ?user=Me", true),
            ("pathq -m end user=you", true),
            ("base www.Example.com:8080/shop/a%20b", true),
            ("base_beg -i WWW.example", true),
            ("url_param(user) Me", true),
            ("urlp(user) you", true),
            ("urlp(USER) Me", false),
            ("urlp(USER,,i) Me", true),
            ("urlp(none) -m found", false),
            ("hdr(host) -i www.example.com:8080", true),
            ("hdr(host) -i www.example.com", false),
            ("hdr_beg(host) -i www.", true),
            ("hdr_dom(host) -i example.com", true),
            ("hdr_end(host),lower :8080", true),
            ("hdr(x-tag) b", true),
            ("hdr(x-tag) d", true),
            ("hdr(x-tag,1) a", true),
            ("hdr(x-tag,-1) d", true),
            ("hdr(x-tag,2) a", false),
            ("hdr_cnt(x-tag) 4", true),
            ("req.fhdr(x-tag) 'a, b ,c'", true),
            ("req.fhdr_cnt(x-tag) 2", true),
        ],
    );
}

#[test]
fn fetches_see_fields_and_cookies_as_haproxys_do() {
    let fields =
        [("X-Forwarded-For", "203.0.113.9, 10.0.0.1"), ("Cookie", "sid=abc; theme=dark"), ("Content-Length", "17")];
    let mut stage = Stage::new("/", &fields);
    stage.request.method = Method::Head;
    assert_all(
        &stage,
        &[
            ("hdr_ip(x-forwarded-for) 10.0.0.0/8", true),
            ("hdr_ip(x-forwarded-for,1) 10.0.0.0/8", false),
            ("hdr_val(content-length) ge 17", true),
            ("hdr(content-length) -m int 10:20", true),
            ("req.cook(theme) dark", true),
            ("cook(Theme) dark", false),
            ("cook_cnt 2", true),
            ("method GET", false),
            ("method GET HEAD", true),
            ("req.ver 1.1", true),
        ],
    );
}

#[test]
fn fetches_see_connections_and_the_balancers_own_numbers() {
    let stage = Stage::new("/", &[]);
    assert_all(
        &stage,
        &[
            ("src 192.0.2.0/24", true),
            ("src ::ffff:192.0.2.7", true),
            ("src_port 4000", true),
            ("dst 198.51.100.1", true),
            ("dst_port 443", true),
            ("ssl_fc", false),
            ("nbsrv(b) 1", true),
            ("be_conn 20", true),
            ("fe_conn 30", true),
            ("fe_conn(f) 31", true),
            ("avg_queue 5", true),
            ("connslots(b) -1", true),
            ("srv_is_up(b/s)", true),
            ("srv_conn(b/s) 7", true),
            ("rand(1) 0", true),
            ("unique-id id-1", true),
            ("str(a) a", true),
            ("int(5),add(2) 7", true),
            ("always_false", false),
        ],
    );
}

#[test]
fn converters_calculate_what_haproxys_do() {
    let stage = Stage::new("/a/b//c?q=%41+b", &[("x", "Abc"), ("n", "12x")]);
    assert_all(
        &stage,
        &[
            ("hdr(x),lower abc", true),
            ("hdr(x),upper ABC", true),
            ("path,field(2,/) a", true),
            ("path,field(4,/) -m len 0", true),
            ("path,field(-1,/) c", true),
            ("path,word(3,/) c", true),
            ("path,word(1,/,2) a/b", true),
            ("path,word(9,/) -m found", false),
            ("query,url_dec(1) 'q=A b'", true),
            ("hdr(x),base64 QWJj", true),
            ("hdr(x),base64,b64dec,hex 416263", true),
            ("hdr(x),bytes(1,1) -m bin 62", true),
            ("hdr(x),regsub(b,X) AXc", true),
            ("path,regsub('/','',g) abc", true),
            (r#""path,regsub('^/([a-z])/([a-z])','\2\1')" ba//c"#, true),
            ("hdr(n),add(1) 13", true),
            ("int(7),mod(0) 0", true),
            ("int(-7),neg 7", true),
            ("int(6),even", true),
            ("int(6),odd", false),
            ("int(12),and(10),xor(1) 9", true),
            ("src,ipmask(24) 192.0.2.0", true),
            ("str(test),sdbm 1195757874", true),
            ("str(test),djb2 2090756197", true),
            ("str(test),crc32 3632233996", true),
            ("str(test),xxh32 1042293711", true),
            ("str(a),concat(b,,c) abc", true),
        ],
    );
}

#[test]
fn the_clients_certificate_is_what_tls_found() {
    let name = Name(vec![("C".into(), b"FR".to_vec().into()), ("CN".into(), b"client".to_vec().into())]);
    let certificate = Certificate { subject: name, serial: vec![0x0a, 0xff].into(), ..Certificate::default() };
    let tls = Tls { sni: Some("a.test".into()), certificate: Some(certificate), ..Tls::default() };
    let stage = Stage { tls: Some(TlsFacts::seen_as(tls)), ..Stage::new("/", &[]) };
    assert_all(
        &stage,
        &[
            ("ssl_fc", true),
            ("ssl_fc_sni -i A.test", true),
            ("ssl_fc_sni_end .test", true),
            ("ssl_c_used", true),
            ("ssl_c_verify 0", true),
            ("ssl_c_s_dn /C=FR/CN=client", true),
            ("ssl_c_s_dn(cn) client", true),
            ("ssl_c_serial,hex 0AFF", true),
            ("ssl_fc_alpn -m found", false),
        ],
    );
}

#[test]
fn addresses_of_one_family_are_found_in_prefixes_of_the_other() {
    let of = |source| Stage { source, ..Stage::new("/", &[]) };
    for (source, prefix, expected) in [
        ("[::ffff:192.0.2.1]:1", "192.0.2.0/24", true),
        ("[2002:c000:0201::5]:1", "192.0.2.0/24", true),
        ("[::192.0.2.1]:1", "192.0.2.0/24", true),
        ("[2001:db8::1]:1", "192.0.2.0/24", false),
        ("192.0.2.1:1", "::ffff:192.0.2.0/120", true),
        ("192.0.2.1:1", "0.0.0.0/0", true),
        ("[2001:db8::1]:1", "2001:db8::/32 192.0.2.1", true),
    ] {
        assert_eq!(of(source).is(&format!("src {prefix}")), expected, "{source} {prefix}");
    }
}

#[test]
fn terms_are_joined_by_and_alternatives_by_or() {
    let acls = [("api", "hdr(host) -i api.test"), ("admin", "path_beg /admin/")];
    let check = |text: &str, target: &str, host: &str| {
        let condition = condition(&acls, text);
        Stage::new(target, &[("host", host)]).with(|facts| holds(&condition, facts))
    };
    let text = "api !admin or { path /x } !api";
    assert!(check(text, "/", "api.test"));
    assert!(!check(text, "/admin/", "api.test"));
    assert!(check(text, "/x", "www.test"));
    assert!(!check(text, "/y", "www.test"));
    assert!(check("METH_GET HTTP_1.1 TRUE !LOCALHOST !FALSE", "/", "a"));
}
