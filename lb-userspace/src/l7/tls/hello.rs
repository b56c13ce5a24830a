//! Hello: what the ClientHello says of a connection whose TLS is passed through (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1).
//! Pure; however the message was cut into records and segments.

/// Longest message that is read. With the largest post-quantum key shares they have some two thousand bytes.
const LONGEST: usize = 16 * 1024;

/// What is read of a ClientHello. All of it comes from the client, unchecked: good for finding the way, not for deciding who
/// may go it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Hello {
    /// The name that it asks for.
    pub(crate) sni: Option<Box<[u8]>>,
    /// The first protocol that it offers.
    pub(crate) alpn: Option<Box<[u8]>>,
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// Perhaps the beginning of a ClientHello.
    Partial,
    /// Something else.
    Other,
    /// One, complete.
    Whole(Hello),
}

/// Reads the first bytes of a connection.
pub(crate) fn read(bytes: &[u8]) -> Reading {
    let message = match message(bytes) {
        Ok(Some(message)) => message,
        Ok(None) => return Reading::Partial,
        Err(Malformed) => return Reading::Other,
    };
    hello(&mut Bytes(&message)).map_or(Reading::Other, Reading::Whole)
}

/// It is no ClientHello.
#[derive(Debug)]
struct Malformed;

/// The body of the handshake message that the records begin with, once it is complete.
fn message(bytes: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    const LONGEST_RECORD: usize = 1 << 14;
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => return Ok(None),
            [HANDSHAKE, 3, _, high, low, after @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > LONGEST_RECORD {
                    return Err(Malformed);
                }
                let (record, next) = after.split_at_checked(length).unwrap_or((after, &[]));
                message.extend_from_slice(record);
                rest = next;
            }
            _ => return Err(Malformed),
        }
        match message.as_slice() {
            [kind, ..] if *kind != CLIENT_HELLO => return Err(Malformed),
            [_, a, b, c, body @ ..] => {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if length > LONGEST {
                    return Err(Malformed);
                }
                if let Some(body) = body.get(..length) {
                    return Ok(Some(body.to_vec()));
                }
            }
            _ => {}
        }
    }
}

fn hello(bytes: &mut Bytes<'_>) -> Result<Hello, Malformed> {
    const SERVER_NAME: usize = 0;
    const ALPN: usize = 16;
    const HOST_NAME: usize = 0;
    let mut hello = Hello::default();
    // Version and random; then session, cipher suites and compression methods.
    bytes.take(2 + 32)?;
    bytes.list(1)?;
    bytes.list(2)?;
    bytes.list(1)?;
    if bytes.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = bytes.list(2)?;
    while !extensions.0.is_empty() {
        let (kind, mut data) = (extensions.number(2)?, extensions.list(2)?);
        match kind {
            SERVER_NAME => {
                let mut names = data.list(2)?;
                while !names.0.is_empty() {
                    let (kind, name) = (names.number(1)?, names.list(2)?);
                    if kind == HOST_NAME && !name.0.is_empty() && hello.sni.is_none() {
                        hello.sni = Some(name.0.into());
                    }
                }
            }
            ALPN => hello.alpn = Some(data.list(2)?.list(1)?.0.into()),
            _ => {}
        }
    }
    Ok(hello)
}

/// What is not read yet.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of that many bytes.
    fn number(&mut self, size: usize) -> Result<usize, Malformed> {
        Ok(self.take(size)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What has its length before it, which takes that many bytes.
    fn list(&mut self, size: usize) -> Result<Self, Malformed> {
        let length = self.number(size)?;
        self.take(length).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A list with its length before it.
    fn list(size: usize, parts: &[&[u8]]) -> Vec<u8> {
        let all = parts.concat();
        let length = all.len().to_be_bytes();
        [&length[length.len() - size..], &all].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &list(2, &[data])].concat()
    }

    fn hello_with(extensions: &[&[u8]]) -> Vec<u8> {
        let body = [&[3, 3][..], &[7; 32], &list(1, &[&[9; 32]]), &list(2, &[&[0x13, 1]]), &list(1, &[&[0]])].concat();
        let message = [&body[..], &list(2, extensions)].concat();
        [&[1][..], &list(3, &[&message])].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &list(2, &[part])].concat()).collect()
    }

    fn example() -> Vec<u8> {
        let sni = extension(0, &list(2, &[&[0], &list(2, &[b"a.example.com"])]));
        let alpn = extension(16, &list(2, &[&list(1, &[b"h2"]), &list(1, &[b"http/1.1"])]));
        hello_with(&[&extension(0x5a5a, b""), &sni, &extension(51, &[0; 1300]), &alpn])
    }

    #[test]
    fn name_and_protocol_are_found_however_records_are_cut() {
        let found = Hello { sni: Some((*b"a.example.com").into()), alpn: Some((*b"h2").into()) };
        for size in [1, 2, 5, 100, 1 << 14] {
            let whole = records(&example(), size);
            assert_eq!(read(&whole), Reading::Whole(found.clone()), "records of {size}");
            assert_eq!(read(&[&whole, &b"more"[..]].concat()), Reading::Whole(found.clone()));
            for end in 0..whole.len() {
                assert_eq!(read(&whole[..end]), Reading::Partial, "{end} bytes of records of {size}");
            }
        }
    }

    #[test]
    fn one_without_extensions_is_one() {
        assert_eq!(read(&records(&hello_with(&[]), 64)), Reading::Whole(Hello::default()));
    }

    #[test]
    fn what_is_none_is_known_at_once() {
        for other in
            [&b"GET / HTTP/1.1"[..], b"SSH-2.0-x", &[22, 2], &[22, 3, 1, 0, 0], &[22, 3, 1, 0, 5, 2], &[21, 3, 1]]
        {
            assert_eq!(read(other), Reading::Other, "{other:?}");
        }
        let too_long = [22, 3, 1, 0, 4, 1, 0, 0x40, 1];
        assert_eq!(read(&too_long), Reading::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_more_of_them_decide_the_same(at: usize, byte: u8, cut: usize) {
            let mut bytes = records(&example(), 300);
            let at = at % bytes.len();
            bytes[at] = byte;
            let whole = read(&bytes);
            let part = read(&bytes[..cut % bytes.len()]);
            prop_assert!(part == Reading::Partial || part == whole, "{part:?} and then {whole:?}");
        }
    }
}
