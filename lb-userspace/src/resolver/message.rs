//! Messages of DNS (RFC 1035 §4), as far as addresses are concerned: a question is written, an answer is read. Pure, and
//! bounded whatever the bytes are: names follow compression backwards only, and aliases a few times.

use super::Failure;
use crate::model::Family;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// The largest answer over UDP that is asked for (RFC 6891), and taken: what fits a packet on any link.
pub const UDP_SIZE: u16 = 1_232;

/// Records of an answer that are read.
const RECORDS: usize = 512;
/// Aliases (CNAME) that are followed.
const ALIASES: usize = 16;
/// Jumps of compression in a name: more than it has parts serve only to make work.
const JUMPS: usize = 128;
/// RFC 1035 §3.1, with the length of the last label.
const LONGEST_NAME: usize = 255;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;

/// Names as they stand in messages, without compression and in small letters: text would not tell a dot between labels from
/// one within.
type Name = Vec<u8>;

/// One question.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    name: Name,
    kind: u16,
}

/// What an answer says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// It did not fit: ask over TCP.
    Truncated,
    /// These are the addresses; none: the name has none of this family.
    Addresses {
        /// In their order.
        addresses: BTreeSet<IpAddr>,
        /// The shortest of all records that led there.
        ttl: Duration,
    },
    /// It says that there is no answer.
    Failed(Failure),
}

impl Query {
    /// For the addresses of a family that `name`, a valid host name, has. `id`: nobody should guess it.
    pub fn new(id: u16, name: &str, family: Family) -> Self {
        let kind = match family {
            Family::V4 => A,
            Family::V6 => AAAA,
        };
        // No length is a letter.
        Self { id, name: encode(name).to_ascii_lowercase(), kind }
    }

    /// The message: recursion is desired, and an answer of [`UDP_SIZE`] is taken.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.name.len() + 27);
        for word in [self.id, 0x0100, 1, 0, 0, 1] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(&self.name);
        for word in [self.kind, IN] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.push(0);
        for word in [OPT, UDP_SIZE, 0, 0, 0] {
            bytes.extend(word.to_be_bytes());
        }
        bytes
    }

    /// What `bytes` answer; `None`: they are no answer to this question, and a right one may still come.
    pub fn read(&self, bytes: &[u8]) -> Option<Reply> {
        let mut at = At { bytes, place: 0 };
        let [id, flags, questions, answers, _, _] = at.words()?;
        // A response to a standard query.
        if id != self.id || flags & 0xf800 != 0x8000 {
            return None;
        }
        let code = u8::try_from(flags & 0xf).unwrap_or_default();
        if questions == 0 && code != 0 {
            // Some that do not understand a question do not repeat it.
            return Some(Reply::Failed(failure(code)));
        }
        if questions != 1 || at.name()? != self.name || at.words()? != [self.kind, IN] {
            return None;
        }
        if flags & 0x0200 != 0 {
            return Some(Reply::Truncated);
        }
        if code != 0 {
            return Some(Reply::Failed(failure(code)));
        }
        let records = (0..answers).take(RECORDS).map(|_| at.record()).collect::<Option<Vec<_>>>();
        Some(records.and_then(|records| self.addresses(&records)).unwrap_or(Reply::Failed(Failure::Malformed)))
    }

    /// The addresses at the end of the aliases. `None`: there is no end.
    fn addresses(&self, records: &[Record<'_>]) -> Option<Reply> {
        let (mut name, mut ttl) = (&self.name, Duration::MAX);
        for _ in 0..=ALIASES {
            let Some((record, alias)) = records.iter().find_map(|record| Some((record, record.alias(name)?))) else {
                let own = records.iter().filter(|record| record.kind == self.kind && record.owner == *name);
                let own = own.map(|record| Some((record.address()?, record.ttl))).collect::<Option<Vec<_>>>()?;
                let ttl = own.iter().map(|(_, ttl)| *ttl).chain([ttl]).min().unwrap_or_default();
                return Some(Reply::Addresses { addresses: own.into_iter().map(|(ip, _)| ip).collect(), ttl });
            };
            (name, ttl) = (alias, ttl.min(record.ttl));
        }
        None
    }
}

/// A name of valid labels (1 to 63 bytes), as messages have it. The last dot, and a name of nothing else, is the root.
pub fn encode(name: &str) -> Vec<u8> {
    let mut wire = Name::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

fn failure(code: u8) -> Failure {
    match code {
        3 => Failure::NoName,
        5 => Failure::Refused,
        code => Failure::Code(code),
    }
}

/// A record of the class IN; of others, `kind` is 0.
struct Record<'a> {
    owner: Name,
    kind: u16,
    ttl: Duration,
    data: &'a [u8],
    /// Of a CNAME.
    target: Option<Name>,
}

impl Record<'_> {
    /// What it says that `name` is another name of.
    fn alias(&self, name: &Name) -> Option<&Name> {
        self.target.as_ref().filter(|_| self.owner == *name)
    }

    fn address(&self) -> Option<IpAddr> {
        match self.kind {
            A => <[u8; 4]>::try_from(self.data).ok().map(|octets| Ipv4Addr::from(octets).into()),
            AAAA => <[u8; 16]>::try_from(self.data).ok().map(|octets| Ipv6Addr::from(octets).into()),
            _ => None,
        }
    }
}

/// A place in a message.
struct At<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> At<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.place.checked_add(length)?;
        let taken = self.bytes.get(self.place..end)?;
        self.place = end;
        Some(taken)
    }

    fn words<const N: usize>(&mut self) -> Option<[u16; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        }
        Some(words)
    }

    fn name(&mut self) -> Option<Name> {
        let mut name = Name::new();
        let mut at = Self { bytes: self.bytes, place: self.place };
        // Where the part began that is being read: compression leads before it, and so comes to an end.
        let (mut begun, mut after, mut jumps) = (self.place, None, 0);
        loop {
            let length = usize::from(*at.take(1)?.first()?);
            match length {
                0 => break,
                1..=63 => {
                    name.push(u8::try_from(length).ok()?);
                    name.extend(at.take(length)?.iter().map(u8::to_ascii_lowercase));
                    if name.len() >= LONGEST_NAME {
                        return None;
                    }
                }
                0xc0.. => {
                    let low = usize::from(*at.take(1)?.first()?);
                    let target = (length & 0x3f) << 8 | low;
                    jumps += 1;
                    if target >= begun || jumps > JUMPS {
                        return None;
                    }
                    after.get_or_insert(at.place);
                    (at.place, begun) = (target, target);
                }
                _ => return None,
            }
        }
        name.push(0);
        self.place = after.unwrap_or(at.place);
        Some(name)
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let owner = self.name()?;
        let [kind, class, high, low, length] = self.words()?;
        let begin = self.place;
        let data = self.take(usize::from(length))?;
        let kind = if class == IN { kind } else { 0 };
        let target = if kind == CNAME {
            let mut at = Self { bytes: self.bytes, place: begin };
            let target = at.name()?;
            if at.place != self.place {
                return None;
            }
            Some(target)
        } else {
            None
        };
        // RFC 2181 §8: with the highest bit set it is none.
        let ttl = if high & 0x8000 == 0 { u32::from(high) << 16 | u32::from(low) } else { 0 };
        Some(Record { owner, kind, ttl: Duration::from_secs(ttl.into()), data, target })
    }
}

#[cfg(test)]
mod tests;
