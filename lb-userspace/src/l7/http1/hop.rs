//! What belongs to one hop of a message, and must not go further.

use super::super::message::Fields;

/// Fields of one hop, whoever names them or not (RFC 9110 §7.6.1; RFC 9113 §3.1 for the settings of h2c). `Transfer-Encoding`
/// is written anew by whoever sends the body.
const OF_ONE_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"];

/// Fields that `Connection` cannot have removed: else a client could strip what a proxy before us has added, or what gives
/// the message its meaning.
const PROTECTED: [&str; 16] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "forwarded",
    "host",
    "set-cookie",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Fields that are never trailers: they would change how the message is read after it was (RFC 9110 §6.5.1).
const NEVER_TRAILERS: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "host",
    "authorization",
    "cookie",
    "set-cookie",
    "content-type",
    "content-encoding",
    "trailer",
];

/// Removes what belonged to the hop that the message came by.
pub(crate) fn remove(fields: &mut Fields) {
    // gRPC servers want to see that the client takes trailers.
    let takes_trailers = fields.lists("te", "trailers");
    let nominated: Vec<Vec<u8>> = fields
        .elements("connection")
        .filter(|name| !is_one_of(name, &PROTECTED) && !is_one_of(name, &OF_ONE_HOP))
        .filter(|name| !["close", "keep-alive"].iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes())))
        .map(<[u8]>::to_vec)
        .collect();
    fields.retain(|name, _| {
        !is_one_of(name, &OF_ONE_HOP) && !nominated.iter().any(|nominated| name.eq_ignore_ascii_case(nominated))
    });
    if takes_trailers {
        fields.push("te", "trailers");
    }
}

/// Whether a field is of one hop, and says nothing to the next but by what is written anew.
pub(crate) fn is_of_one_hop(name: &[u8]) -> bool {
    is_one_of(name, &OF_ONE_HOP)
}

/// Removes what must not come as a trailer.
pub(crate) fn filter_trailers(trailers: &mut Fields) {
    trailers.retain(|name, _| !is_one_of(name, &OF_ONE_HOP) && !is_one_of(name, &NEVER_TRAILERS));
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|other| name.len() == other.len() && name.eq_ignore_ascii_case(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fields: &Fields) -> Vec<String> {
        fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn what_belongs_to_one_hop_is_removed_and_what_is_protected_is_not() {
        let mut fields: Fields = [
            ("Host", "a"),
            ("Connection", "close, X-Mine , x-forwarded-for"),
            ("connection", "upgrade, http2-settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("TE", "gzip, trailers"),
            ("x-mine", "1"),
            ("x-kept", "1"),
            ("x-forwarded-for", "198.51.100.1"),
        ]
        .into_iter()
        .collect();
        remove(&mut fields);
        assert_eq!(names(&fields), ["Host", "x-kept", "x-forwarded-for", "te"]);
        assert_eq!(fields.get("te"), Some(&b"trailers"[..]));
    }

    #[test]
    fn a_trailer_cannot_change_what_was_read() {
        let sent = ["grpc-status", "content-length", "Transfer-Encoding", "host", "authorization", "connection"];
        let mut trailers: Fields = sent.iter().map(|name| (name, "1")).collect();
        filter_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["grpc-status"]);
    }
}
