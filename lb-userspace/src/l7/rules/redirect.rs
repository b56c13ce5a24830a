//! Redirects, as HAProxy's `http_apply_redirect_rule` makes them.

use super::formatted;
use crate::{
    l7::{
        acl::Facts,
        message::{Request, Response},
    },
    model::rule::{Redirect, Target},
};

/// The answer; `None`: it would lead nowhere, and is to be ignored then.
pub(super) fn response(redirect: &Redirect, facts: &Facts<'_>) -> Option<Response> {
    let location = location(redirect, facts)?;
    if location.is_empty() && redirect.ignore_empty {
        return None;
    }
    let mut response = Response::new(redirect.code);
    response.reason = match redirect.code {
        301 => "Moved Permanently",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        _ => "Found",
    }
    .into();
    response.fields.push("content-length", "0");
    response.fields.push("location", location);
    if matches!(redirect.code, 302 | 303 | 307) {
        response.fields.push("cache-control", "no-cache");
    }
    if let Some(cookie) = &redirect.cookie {
        response.fields.push("set-cookie", cookie.as_bytes());
    }
    Some(response)
}

fn location(redirect: &Redirect, facts: &Facts<'_>) -> Option<Vec<u8>> {
    let path = |request: &Request| {
        let with_query = if redirect.drop_query { request.path() } else { request.path_and_query() };
        let mut path = if with_query.is_empty() { b"/".to_vec() } else { with_query.to_vec() };
        if redirect.append_slash && redirect.drop_query && path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path
    };
    Some(match &redirect.target {
        Target::Location(format) => formatted(format, facts),
        Target::Prefix(format) => {
            let mut location = formatted(format, facts);
            // A lone slash before a path would name another host.
            if location == b"/" {
                location.clear();
            }
            location.extend_from_slice(&path(facts.request?));
            location
        }
        Target::Scheme(format) => {
            let request = facts.request?;
            let host = request.host().unwrap_or_default();
            [&formatted(format, facts), &b"://"[..], host, &path(request)].concat()
        }
    })
}
