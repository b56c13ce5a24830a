//! Guard: whether what is sent to a page comes from the page itself. Browsers send name and password along whoever has made the
//! form, so that alone says nothing.

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Uri, header, uri::Authority};
use std::{net::IpAddr, sync::LazyLock};

static KEY: LazyLock<Option<hmac::Key>> =
    LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok());

/// What only the page that was made for this user of this page by this process has. `None`: there are no random numbers, and nobody
/// may act.
pub(super) fn token(page: &str, user: &str) -> Option<String> {
    let tag = hmac::sign(KEY.as_ref()?, &whose(page, user));
    Some(URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// Whether that is it. The time does not tell how much of it is right.
pub(super) fn is_token(page: &str, user: &str, typed: &str) -> bool {
    let (Some(key), Ok(tag)) = (KEY.as_ref(), URL_SAFE_NO_PAD.decode(typed)) else { return false };
    hmac::verify(key, &whose(page, user), &tag).is_ok()
}

/// Names have no zero in them.
fn whose(page: &str, user: &str) -> Vec<u8> {
    [page.as_bytes(), b"\0", user.as_bytes()].concat()
}

/// Whether the browser says that it was this very page that sent this, or is too old, or none, to say anything. `is_open`: there are
/// no users. Then a name that an attacker owns might lead here, and the browser would take the attacker's page for this one: only
/// addresses and `localhost` are believed.
pub(super) fn is_from_here(headers: &HeaderMap, is_open: bool) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if sites.any(|site| site != "same-origin") {
        return false;
    }
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let (Some(Some(host)), None) = (hosts.next(), hosts.next()) else { return false };
    if is_open && !is_address(host.host()) {
        return false;
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        origin.is_some_and(|origin| origin.scheme().is_some() && origin.authority() == Some(&host))
    })
}

fn is_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn a_token_is_of_one_page_and_one_user() {
        let token = token("ops", "alice").unwrap();
        assert!(is_token("ops", "alice", &token));
        let mut other = token.clone();
        other.replace_range(..1, if token.starts_with('A') { "B" } else { "A" });
        for (page, user, typed) in [
            ("ops", "bob", token.as_str()),
            ("other", "alice", &token),
            ("ops", "alice", &other),
            ("ops", "alice", ""),
            ("ops", "alice", "%%%"),
            ("ops", "alice", &token[..10]),
        ] {
            assert!(!is_token(page, user, typed), "{page} {user} {typed}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_known_by_what_browsers_say() {
        let host = ("host", "lb.example:8404");
        for (fields, from_here) in [
            (&[host][..], true),
            (&[host, ("origin", "http://lb.example:8404"), ("sec-fetch-site", "same-origin")], true),
            // Something that speaks TLS stands before the page.
            (&[host, ("origin", "https://LB.example:8404")], true),
            (&[host, ("origin", "http://lb.example:8404"), ("sec-fetch-site", "cross-site")], false),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (&[host, ("origin", "http://evil.example")], false),
            (&[host, ("origin", "http://lb.example")], false),
            (&[host, ("origin", "null")], false),
            (&[host, ("origin", "")], false),
            (&[host, ("origin", "lb.example:8404")], false),
            (&[host, ("origin", "http://lb.example:8404"), ("origin", "http://evil.example")], false),
            (&[host, ("host", "evil.example")], false),
            (&[("origin", "http://lb.example:8404")], false),
        ] {
            assert_eq!(is_from_here(&headers(fields), false), from_here, "{fields:?}");
        }
    }

    #[test]
    fn where_everybody_may_act_a_name_is_not_believed() {
        let from = |host: &str| is_from_here(&headers(&[("host", host), ("origin", &format!("http://{host}"))]), true);
        assert!(["127.0.0.1:8404", "[::1]:8404", "10.0.0.1", "localhost:8404"].into_iter().all(from));
        assert!(!["evil.example:8404", "127.0.0.1.evil.example"].into_iter().any(from));
    }
}
