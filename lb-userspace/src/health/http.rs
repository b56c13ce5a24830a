//! The HTTP check: a request, and the status of the answer.

use super::{
    Code, Finding,
    finding::{Step, quote},
    wire::Wire,
};
use crate::model::check::HttpCheck;

/// Sends the request and reads the status line of the answer; nothing of the rest is wanted.
pub(super) async fn probe(wire: &mut Wire, check: &HttpCheck) -> Step<Finding> {
    let HttpCheck { method, path, host, expect } = check;
    let host = host.clone().unwrap_or_else(|| wire.address().to_string());
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sluice-check\r\nConnection: close\r\n\r\n");
    wire.send(request.as_bytes()).await?;
    let line = wire.line("the answer").await?;
    match status(&line) {
        None => Err(Finding::strange(format!("not an HTTP answer: {}", quote(&line)))),
        Some(status) if expect.contains(&status) => Ok(Finding::ok(format!("status {status}"))),
        Some(status) => Err(Finding::new(Code::L7Status, format!("status {status}"))),
    }
}

/// The status of a status line (RFC 9112 §4).
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let ends = matches!(rest.first(), None | Some(b' '));
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (ends && digits.iter().all(u8::is_ascii_digit) && status >= 100).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::testing::ask;
    use std::collections::BTreeSet;

    #[test]
    fn the_status_line_decides_however_it_is_cut() {
        let check = HttpCheck { expect: BTreeSet::from([200]), ..HttpCheck::default() };
        let code = |answer: &str| ask(answer.as_bytes(), async |wire| probe(wire, &check).await).code;
        assert_eq!(code("HTTP/1.1 200 OK\r\nX: y\r\n"), Code::L7Ok);
        assert_eq!(code("HTTP/1.0 200\r\n"), Code::L7Ok);
        assert_eq!(code("HTTP/1.1 503 Service Unavailable\r\n"), Code::L7Status);
        for strange in [
            "",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1 099 OK\r\n",
            "HTTP/1.1 +20 OK\r\n",
            "HTTP/2.0 200 OK\r\n",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 20",
            "HTTP/1.1 200 OK",
        ] {
            assert_eq!(code(strange), Code::L7Response, "{strange:?}");
        }
    }
}
