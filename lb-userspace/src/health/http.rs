//! The HTTP check: a request, and the status of the answer.

use super::{Code, probe::failed};
use std::{collections::BTreeSet, io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest status line in bytes; what is longer is no answer to us.
const STATUS_LINE_LIMIT: usize = 1_024;

/// Sends the request and reads the status line of the answer; nothing of the rest is wanted.
pub(super) async fn ask(mut stream: TcpStream, method: &str, path: &str, host: &str) -> io::Result<Vec<u8>> {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sluice-check\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < STATUS_LINE_LIMIT {
        if stream.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    Ok(line)
}

/// What the answer means.
pub(super) fn judge(answer: io::Result<Vec<u8>>, expect: &BTreeSet<u16>) -> (Code, String) {
    let line = match answer {
        Ok(line) if line.is_empty() => return (Code::L7Response, "closed without an answer".to_owned()),
        Ok(line) => line,
        Err(error) => return failed(&error, Code::L7Response),
    };
    match status(&line) {
        None => (Code::L7Response, "not an HTTP answer".to_owned()),
        Some(status) if expect.contains(&status) => (Code::L7Ok, format!("status {status}")),
        Some(status) => (Code::L7Status, format!("status {status}")),
    }
}

/// The status of a status line (RFC 9112 §4).
fn status(line: &[u8]) -> Option<u16> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let ends = matches!(rest.first(), None | Some(b' ' | b'\r'));
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (ends && digits.iter().all(u8::is_ascii_digit) && status >= 100).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_decides() {
        let judge = |line: &str| judge(Ok(line.as_bytes().to_vec()), &BTreeSet::from([200])).0;
        assert_eq!(judge("HTTP/1.1 200 OK\r\nX: y\r\n"), Code::L7Ok);
        assert_eq!(judge("HTTP/1.0 200\r\n"), Code::L7Ok);
        assert_eq!(judge("HTTP/1.1 503 Service Unavailable\r\n"), Code::L7Status);
        for strange in [
            "",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1 099 OK\r\n",
            "HTTP/1.1 +20 OK\r\n",
            "HTTP/2.0 200 OK\r\n",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 20",
        ] {
            assert_eq!(judge(strange), Code::L7Response, "{strange:?}");
        }
    }
}
