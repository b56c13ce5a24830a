//! `cookie`, of backends and servers, and `persist`.

use super::{model, said};
use crate::{
    config::{Format, parse},
    model::{Cookie, cookie::CookieMode},
};
use std::time::Duration;

/// A backend with this cookie and more keys, whose two servers have the values `a` and `b`.
fn text(cookie: &str, more: &str) -> String {
    format!(
        "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n\n[backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\", cookie = \"a\" }}, {{ name = \"t\", address = \"10.0.0.2:80\", cookie = \"b\" }}]\ncookie = {{ {cookie} }}\n{more}\n"
    )
}

fn cookie(typed: &str, more: &str) -> Cookie {
    model(&text(typed, more)).backends.remove(0).cookie.expect("a cookie")
}

#[test]
fn a_cookie_is_read_and_has_defaults() {
    let plain = cookie("name = \"SRV\"", "");
    let expected = Cookie {
        name: "SRV".into(),
        mode: CookieMode::Insert,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        maxidle: None,
        maxlife: None,
        attributes: String::new(),
        persist: false,
    };
    assert_eq!(plain, expected);
    let full = cookie(
        "name = \"S\", mode = \"insert\", indirect = true, nocache = true, postonly = true, preserve = true, httponly = true, secure = true, domain = [\"d.com\", \"e.com\"], maxidle = \"8h\", maxlife = \"7d\", attr = \"SameSite=Lax\"",
        "persist = true",
    );
    let flags = [full.indirect, full.nocache, full.postonly, full.preserve, full.persist];
    assert_eq!(flags, [true; 5]);
    assert_eq!((full.maxidle, full.maxlife), (Some(Duration::from_hours(8)), Some(Duration::from_hours(168))));
    // The order is HAProxy's.
    assert_eq!(full.attributes, "; domain=d.com; domain=e.com; HttpOnly; Secure; SameSite=Lax");
    assert_eq!(cookie("name = \"S\", mode = \"prefix\"", "").mode, CookieMode::Prefix);
    assert_eq!(cookie("name = \"S\", mode = \"rewrite\"", "").mode, CookieMode::Rewrite);
}

#[test]
fn errors_point_at_their_place() {
    let error = |typed: &str| {
        let errors = parse(&text(typed, "")).expect_err("an error").render(Format::Short);
        errors.lines().next().expect("a line").trim_start_matches("sluice.toml:").to_owned()
    };
    for (typed, expected) in [
        ("", "8:10: error: a cookie needs a `name`"),
        ("name = \"a b\"", "8:19: error: `a b` cannot be the name of a cookie"),
        ("name = \"S\", mode = \"passive\"", "8:31: error: `passive` is not a mode of a cookie"),
        ("name = \"S\", indirekt = true", "8:24: error: unknown key `indirekt` in a cookie"),
        (
            "name = \"S\", mode = \"prefix\", indirect = true",
            "8:52: error: `indirect` has no meaning for a cookie that servers set",
        ),
        (
            "name = \"S\", mode = \"rewrite\", maxlife = \"1h\"",
            "8:52: error: `maxlife` has no meaning for a cookie that servers set",
        ),
        ("name = \"S\", maxidle = \"1ms\"", "8:34: error: `maxidle` must be from 1s to 365d"),
        ("name = \"S\", domain = \"a;b\"", "8:33: error: `a;b` cannot be an attribute of a cookie"),
        ("name = \"S\", attr = [\"a\", \"\"]", "8:37: error: `` cannot be an attribute of a cookie"),
    ] {
        assert_eq!(error(typed), expected, "{typed}");
    }
}

#[test]
fn a_cookie_and_its_values_belong_together() {
    let whole = text("name = \"S\"", "");
    assert_eq!(said(&whole), [""; 0]);
    assert_eq!(said(&whole.replace("cookie = \"b\"", "cookie = \"b|\"")), ["`b|` cannot be the value of a cookie"]);
    assert_eq!(said(&whole.replace("cookie = \"b\"", "cookie = \"a\"")), ["two servers have the cookie `a`"]);
    let without = whole.replace(", cookie = \"a\"", "").replace(", cookie = \"b\"", "");
    assert_eq!(said(&without), ["no server has a value for this cookie"]);
    let alone = whole.replace("cookie = { name = \"S\" }", "persist = true");
    let expected =
        ["this backend has no cookie", "this backend has no cookie", "`persist` has no meaning without a cookie"];
    assert_eq!(said(&alone), expected);
    let relayed = whole.replace("\"http\"", "\"tcp\"");
    assert_eq!(said(&relayed), ["frontend `a` of mode `tcp` has no requests with cookies"]);
}

#[test]
fn dynamic_values_are_haproxys() {
    let text = "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n\n[backend.b]\nserver = [{ name = \"one\", address = \"127.0.0.1:28080\" }, { name = \"two\", address = \"[::1]:28081\" }, { name = \"own\", address = \"127.0.0.1:28081\", cookie = \"mine\" }]\ncookie = { name = \"SRV\", dynamic = true }\ndynamic_cookie_key = \"a secret key\"\n";
    assert_eq!(said(text), [""; 0]);
    let values: Vec<_> = model(text).backends.remove(0).servers.into_iter().map(|server| server.cookie).collect();
    // Those of HAProxy 2.6 for the same servers and key.
    assert_eq!(values, ["29770aef4f59b55f", "0b3f381f0db2111f", "mine"].map(|value| Some(value.to_owned())));
    assert_eq!(
        said(&text.replace("dynamic_cookie_key = \"a secret key\"\n", "")),
        ["`dynamic` needs the backend's `dynamic_cookie_key`"]
    );
    assert_eq!(said(&text.replace("a secret key", "")), ["`dynamic_cookie_key` is empty"]);
    assert_eq!(
        said(&text.replace("dynamic = true", "dynamic = false")),
        ["`dynamic_cookie_key` has no meaning without a dynamic cookie"]
    );
}
