//! Checks in datagrams: one is sent, and the answer looked at. Nothing connects here, so what a refusal is to TCP, an ICMP
//! message is to UDP: the kernel gives it to a socket that is bound to one peer.

use super::{Code, Finding, finding::quote, script, wire::LIMIT};
use crate::{
    model::check::{DnsCheck, UdpCheck},
    resolver::message,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

/// How long a refusal is waited for where no answer is needed.
const REFUSAL: Duration = Duration::from_secs(1);
/// Most datagrams that are looked at because others were not the answer.
const STRAYS: usize = 64;

/// Sends what `check` says and waits for what it expects, until `deadline`.
pub(super) async fn probe(address: SocketAddr, check: &UdpCheck, deadline: Instant) -> Finding {
    let Some(content) = &check.expect else {
        let until = deadline.min(Instant::now() + REFUSAL);
        let found = ask(address, &check.send, &[until], |_| Some(Finding::ok("answered"))).await;
        let is_silent = found.code == Code::L4Timeout;
        return if is_silent { Finding::new(Code::L4Ok, "not refused") } else { found };
    };
    ask(address, &check.send, &twice(deadline), |answer| {
        Some(if script::is_in(content, answer) {
            Finding::ok("answered")
        } else {
            Finding::strange(format!("did not match: {}", quote(answer)))
        })
    })
    .await
}

/// Asks for a name, and looks at the code of the answer.
pub(super) async fn dns(address: SocketAddr, check: &DnsCheck, deadline: Instant) -> Finding {
    let query = query(check, fastrand::u16(..));
    ask(address, &query, &twice(deadline), |answer| judge(answer, &query, check)).await
}

/// A lost datagram is no lost server: half of the time is left for a second one.
fn twice(deadline: Instant) -> [Instant; 2] {
    let now = Instant::now();
    [now + deadline.saturating_duration_since(now) / 2, deadline]
}

/// Sends the datagram once for each of `until`, and waits that long for one that `judge` takes for the answer.
async fn ask(
    address: SocketAddr,
    datagram: &[u8],
    until: &[Instant],
    mut judge: impl FnMut(&[u8]) -> Option<Finding>,
) -> Finding {
    let exchange = async {
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(address).await?;
        let (mut answer, mut strays) = (vec![0; LIMIT], 0);
        for until in until {
            socket.send(datagram).await?;
            while let Ok(received) = timeout_at(*until, socket.recv(&mut answer)).await {
                if let Some(found) = judge(answer.get(..received?).unwrap_or_default()) {
                    return Ok(found);
                }
                strays += 1;
                if strays == STRAYS {
                    return Ok(Finding::strange(format!("{STRAYS} datagrams, none of them the answer")));
                }
            }
        }
        io::Result::Ok(Finding::new(Code::L4Timeout, "no answer"))
    };
    exchange.await.unwrap_or_else(|error| {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Finding::new(Code::L4Connection, "port unreachable")
        } else {
            Finding::failed(&error, Code::L4Connection)
        }
    })
}

/// A question (RFC 1035 §4.1), which a resolver may pass on.
fn query(check: &DnsCheck, id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(message::encode(&check.name));
    bytes.extend_from_slice(&check.record.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]); // Of the Internet.
    bytes
}

/// What an answer to `query` says; `None`: it is to another.
fn judge(answer: &[u8], query: &[u8], check: &DnsCheck) -> Option<Finding> {
    let (head, question) = query.split_at_checked(HEAD)?;
    let Some((answered, rest)) = answer.split_at_checked(HEAD) else {
        return Some(Finding::strange(format!("not an answer of DNS: {}", quote(answer))));
    };
    let [id @ .., flags, code, _, questions, answers_high, answers_low, _, _, _, _] = answered else { return None };
    if id != head.get(..2)? {
        return None;
    }
    let is_answer = flags & 0xF8 == 0x80;
    let rcode = code & 0x0F;
    // One that did not understand the question may leave it out.
    let has_question = *questions == 1
        && rest.len() >= question.len()
        && rest.iter().zip(question).all(|(a, b)| a.eq_ignore_ascii_case(b));
    if !is_answer || !(has_question || (*questions == 0 && rcode != 0)) {
        return Some(Finding::strange(format!("not an answer of DNS: {}", quote(answer))));
    }
    let word = RCODES.get(usize::from(rcode)).map_or_else(|| format!("code {rcode}"), |word| (*word).to_owned());
    let count = u16::from_be_bytes([*answers_high, *answers_low]);
    Some(if check.rcodes.contains(&rcode) {
        Finding::ok(format!("{word}, {count} records"))
    } else {
        Finding::new(Code::L7Status, word)
    })
}

/// Bytes before the question.
const HEAD: usize = 12;
const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

#[cfg(test)]
mod tests;
