//! The head of a request.

use super::{Fields, Version};

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its method.
    pub(crate) method: Method,
    /// As sent: a path with its query, an absolute URI, `*`, or for CONNECT an authority.
    pub(crate) target: Vec<u8>,
    /// The version that it came in.
    pub(crate) version: Version,
    /// Its fields. `Host` is among them also where HTTP/2 has `:authority`.
    pub(crate) fields: Fields,
}

/// A method. Case counts (RFC 9110 §9.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// PATCH
    Patch,
    /// TRACE
    Trace,
    /// CONNECT
    Connect,
    /// Any other token.
    Other(Box<[u8]>),
}

impl Method {
    /// From its name.
    pub(crate) fn new(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            other => Self::Other(other.into()),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::Get => b"GET",
            Self::Head => b"HEAD",
            Self::Post => b"POST",
            Self::Put => b"PUT",
            Self::Delete => b"DELETE",
            Self::Options => b"OPTIONS",
            Self::Patch => b"PATCH",
            Self::Trace => b"TRACE",
            Self::Connect => b"CONNECT",
            Self::Other(name) => name,
        }
    }

    /// Whether doing it twice is as good as once (RFC 9110 §9.2.2).
    pub(crate) const fn is_idempotent(&self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Patch | Self::Connect | Self::Other(_) => false,
        }
    }
}

impl Request {
    /// What HAProxy calls `path`: the target without scheme and authority, up to the query. Not decoded. Empty for `*` and
    /// an authority.
    pub(crate) fn path(&self) -> &[u8] {
        let with_query = self.path_and_query();
        let end = with_query.iter().position(|byte| *byte == b'?').unwrap_or(with_query.len());
        with_query.get(..end).unwrap_or_default()
    }

    /// What follows the first `?`, without it; `None` if there is none.
    pub(crate) fn query(&self) -> Option<&[u8]> {
        let with_query = self.path_and_query();
        let mark = with_query.iter().position(|byte| *byte == b'?')?;
        with_query.get(mark + 1..)
    }

    /// Path and query: the target without scheme and authority.
    pub(crate) fn path_and_query(&self) -> &[u8] {
        match self.target.as_slice() {
            target @ [b'/', ..] => target,
            target => {
                let Some(authority) = after_scheme(target) else { return b"" };
                let start = authority.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(authority.len());
                authority.get(start..).unwrap_or_default()
            }
        }
    }

    /// The authority of an absolute URI.
    pub(crate) fn authority(&self) -> Option<&[u8]> {
        if self.target.first() == Some(&b'/') {
            return None;
        }
        let authority = after_scheme(&self.target)?;
        let end = authority.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(authority.len());
        authority.get(..end)
    }

    /// The scheme of an absolute URI.
    pub(crate) fn scheme(&self) -> Option<&[u8]> {
        let colon = self.target.windows(3).position(|three| three == b"://")?;
        let scheme = self.target.get(..colon)?;
        scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).then_some(scheme)
    }

    /// Its first `Host`.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        self.fields.get("host")
    }
}

/// What follows `scheme://`.
fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    let colon = target.windows(3).position(|three| three == b"://")?;
    let is_scheme = target.get(..colon)?.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    if is_scheme { target.get(colon + 3..) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_parts() {
        let parts = |target: &str| {
            let request = Request {
                method: Method::Get,
                target: target.into(),
                version: Version::Http11,
                fields: Fields::default(),
            };
            let shown = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            (shown(Some(request.path())), shown(request.authority()), shown(request.scheme()))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("/a/b?c=d?e"), (some("/a/b"), None, None));
        assert_eq!(parts("/r?u=http://x/"), (some("/r"), None, None));
        assert_eq!(parts("http://h:1/p?"), (some("/p"), some("h:1"), some("http")));
        assert_eq!(parts("https://h"), (some(""), some("h"), some("https")));
        assert_eq!(parts("https://h?q"), (some(""), some("h"), some("https")));
        assert_eq!(parts("*"), (some(""), None, None));
        assert_eq!(parts("h:443"), (some(""), None, None));
    }

    #[test]
    fn methods_keep_their_names() {
        for name in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "PURGE"] {
            assert_eq!(Method::new(name.as_bytes()).name(), name.as_bytes());
        }
    }
}
