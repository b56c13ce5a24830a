//! The client: one question to all name servers at once, over UDP, and over TCP where an answer does not fit.
//!
//! A forged answer must come from the server's address and guess the port, which the kernel draws anew for each question, and
//! the id. What does not fit the question is passed over, and the right answer waited for.

use super::{
    Failure, Found, Question,
    message::{Query, Reply, UDP_SIZE},
};
use crate::model::{Family, Resolvers};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

/// Datagrams of one socket that are looked at: whoever sends more is not the name server, or out of its mind.
const STRAYS: usize = 64;

/// Asks for the addresses of a name; within [`Resolvers::retries`] times [`Resolvers::timeout_retry`], twice that if the name
/// has addresses of the second family alone. To be called within a [`LocalSet`](tokio::task::LocalSet).
pub(super) async fn resolve(resolvers: &Rc<Resolvers>, question: &Question) -> Result<Found, Failure> {
    let mut failure = None;
    for family in question.families() {
        match ask(resolvers, &question.name, family).await {
            Err(Failure::NoName) => return Err(Failure::NoName),
            // Some name servers fail at questions for one family, and know the other (RFC 4074).
            Err(other) => failure = failure.filter(|known| *known != Failure::NoAddress).or(Some(other)),
            found => return found,
        }
    }
    Err(failure.unwrap_or(Failure::NoAddress))
}

/// Asks for those of one family.
async fn ask(resolvers: &Rc<Resolvers>, name: &str, family: Family) -> Result<Found, Failure> {
    let mut failure = Failure::Timeout;
    for _ in 0..resolvers.retries {
        let (ended, is_silent) = ask_all(resolvers, name, family).await;
        match ended {
            Ok(found) => return Ok(found),
            Err(known @ (Failure::NoAddress | Failure::NoName)) => return Err(known),
            Err(other) if !is_silent => return Err(other),
            // Something may have been lost.
            Err(other) => failure = other,
        }
    }
    Err(failure)
}

/// Asks all name servers once: the first addresses that come, or else what is to be believed most of what else came; and
/// whether any said nothing.
async fn ask_all(resolvers: &Rc<Resolvers>, name: &str, family: Family) -> (Result<Found, Failure>, bool) {
    let mut asked = JoinSet::new();
    for nameserver in resolvers.nameservers.iter().copied() {
        let name = name.to_owned();
        let within = resolvers.timeout_retry;
        asked.spawn_local(async move {
            let answered = timeout(within, ask_one(nameserver, &name, family)).await;
            answered.unwrap_or(Err(Failure::Timeout))
        });
    }
    let mut failures = Vec::new();
    while let Some(ended) = asked.join_next().await {
        match ended.unwrap_or(Err(Failure::Unreachable)) {
            Ok(found) => return (Ok(found), false),
            Err(failure) => failures.push(failure),
        }
    }
    let is_silent = failures.contains(&Failure::Timeout);
    (Err(failures.into_iter().min_by_key(|failure| rank(*failure)).unwrap_or(Failure::Timeout)), is_silent)
}

/// Lower: to be believed more.
fn rank(failure: Failure) -> u8 {
    match failure {
        Failure::NoAddress => 0,
        Failure::NoName => 1,
        Failure::Refused => 2,
        Failure::Code(_) => 3,
        Failure::Malformed => 4,
        Failure::Timeout => 5,
        Failure::Unreachable => 6,
    }
}

/// Asks one name server until it answers.
async fn ask_one(nameserver: SocketAddr, name: &str, family: Family) -> Result<Found, Failure> {
    let mut id = [0; 2];
    aws_lc_rs::rand::fill(&mut id).map_err(|_unspecified| Failure::Unreachable)?;
    let query = Query::new(u16::from_be_bytes(id), name, family);
    let reply = match over_udp(nameserver, &query).await {
        Ok(Reply::Truncated) => over_tcp(nameserver, &query).await,
        reply => reply,
    };
    match reply {
        Ok(Reply::Addresses { addresses, .. }) if addresses.is_empty() => Err(Failure::NoAddress),
        Ok(Reply::Addresses { addresses, ttl }) => Ok(Found { addresses, ttl }),
        Ok(Reply::Failed(failure)) => Err(failure),
        Ok(Reply::Truncated) => Err(Failure::Malformed),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Failure::Malformed),
        Err(_unreachable) => Err(Failure::Unreachable),
    }
}

async fn over_udp(nameserver: SocketAddr, query: &Query) -> io::Result<Reply> {
    let any: IpAddr = if nameserver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Nobody else's datagrams come then, and what ICMP says does.
    socket.connect(nameserver).await?;
    socket.send(&query.bytes()).await?;
    let mut buffer = [0; UDP_SIZE as usize];
    for _ in 0..STRAYS {
        let length = socket.recv(&mut buffer).await?;
        if let Some(reply) = buffer.get(..length).and_then(|bytes| query.read(bytes)) {
            return Ok(reply);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// RFC 7766: each message after its length.
async fn over_tcp(nameserver: SocketAddr, query: &Query) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(nameserver).await?;
    let bytes = query.bytes();
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    query.read(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
