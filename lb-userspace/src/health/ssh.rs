//! The SSH check: both sides say who they are (RFC 4253 §4.2), and no more.
//!
//! A server has to log something of every client that leaves before a login. OpenSSH has two lines for one that leaves
//! without a word, one of them an error, and two for one that takes its leave by SSH_MSG_DISCONNECT, but a single line at
//! level INFO, `Connection closed by … [preauth]`, for one that says its version and ends the connection by a FIN.

use super::{
    Finding,
    finding::{Step, quote},
    wire::{LIMIT, Wire},
};
use bytes::BytesMut;

/// What we are.
const OURS: &[u8] = b"SSH-2.0-Sluice_check\r\n";

/// Reads the server's identification, whatever it says before, and answers with ours.
pub(super) async fn probe(wire: &mut Wire) -> Step<Finding> {
    let (mut before, mut length) = (None::<BytesMut>, 0);
    let line = loop {
        let line = wire.line("the identification").await.map_err(|found| match &before {
            // As OpenSSH with too many at once: a line says why, and that is the end.
            Some(said) if wire.received().is_empty() => Finding::refused("no identification, but", said),
            Some(_) | None => found,
        })?;
        if line.starts_with(b"SSH-") {
            break line;
        }
        length += line.len() + 1;
        if length > LIMIT {
            return Err(Finding::strange(format!("no identification in {LIMIT} bytes")));
        }
        before = Some(line);
    };
    // 1.99: also what was before 2 (RFC 4253 §5.1).
    if !(line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-")) {
        return Err(Finding::refused("another protocol version", &line));
    }
    wire.send(OURS).await?;
    Ok(Finding::ok(quote(&line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Code, testing::ask};
    use proptest::prelude::*;

    fn find(answers: &[u8]) -> Finding {
        ask(answers, async |wire| probe(wire).await)
    }

    #[test]
    fn the_identification_counts_whatever_is_before_it() {
        assert_eq!(find(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\0\0\x01"), Finding::ok("\"SSH-2.0-OpenSSH_9.2p1 Debian\""));
        assert_eq!(find(b"Keep out!\r\n\r\nSSH-1.99-x\n").code, Code::L7Ok);
        assert_eq!(find(b"SSH-1.5-old\r\n").code, Code::L7Status);
        let full = find(b"Exceeded MaxStartups\r\n");
        assert_eq!(full.to_string(), "L7STS no identification, but: \"Exceeded MaxStartups\"");
        for strange in ["", "SSH-2.0-cut", "220"] {
            assert_eq!(find(strange.as_bytes()).code, Code::L7Response, "{strange:?}");
        }
        assert_eq!(find("no\r\n".repeat(9_000).as_bytes()).code, Code::L7Response);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            find(&bytes);
        }
    }
}
