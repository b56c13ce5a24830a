//! The LDAP check (version 3, RFC 4511): a bind, anonymous as HAProxy's or with a name and a password.

use super::{
    Finding,
    finding::{Step, quote},
    wire::{LIMIT, Upgrade, Wire},
};
use crate::model::check::LdapCheck;

/// Tags of BER that are used here.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const ENUMERATED: u8 = 0x0A;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const BIND_REQUEST: u8 = 0x60;
    pub(super) const BIND_RESPONSE: u8 = 0x61;
    pub(super) const EXTENDED_REQUEST: u8 = 0x77;
    pub(super) const EXTENDED_RESPONSE: u8 = 0x78;
    /// The first choice of what is in another: a simple password, the name of an extension.
    pub(super) const FIRST: u8 = 0x80;
}

/// Says that we leave; it has no answer.
const UNBIND: [u8; 7] = [0x30, 5, 2, 1, 3, 0x42, 0];
/// The name of "go on in TLS" (RFC 4511 §4.14).
const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// Goes on in `tls`, if given, and binds.
pub(super) async fn probe(wire: &mut Wire, check: &LdapCheck, tls: Option<Upgrade<'_>>) -> Step<Finding> {
    if let Some(tls) = tls {
        wire.send(&message(1, &tlv(tag::EXTENDED_REQUEST, &tlv(tag::FIRST, STARTTLS)))).await?;
        answer(wire, 1, tag::EXTENDED_RESPONSE).await?.must("STARTTLS")?;
        wire.start_tls(tls.connector, tls.name).await?;
    }
    let login = check.login.as_ref();
    let name = login.map_or("", |login| &login.user);
    let password = login.and_then(|login| login.password.as_ref()).map_or("", |password| password.reveal());
    let version = tlv(tag::INTEGER, &[3]);
    let bind = [version, tlv(tag::OCTETS, name.as_bytes()), tlv(tag::FIRST, password.as_bytes())].concat();
    wire.send(&message(2, &tlv(tag::BIND_REQUEST, &bind))).await?;
    answer(wire, 2, tag::BIND_RESPONSE).await?.must("refused")?;
    wire.send(&UNBIND).await?;
    Ok(Finding::ok(if login.is_some() { "bound" } else { "bound anonymously" }))
}

/// A whole message of that number.
fn message(number: u8, operation: &[u8]) -> Vec<u8> {
    tlv(tag::SEQUENCE, &[tlv(tag::INTEGER, &[number]), operation.to_vec()].concat())
}

/// A tag, a length and what is so long.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(_) | Err(_) => {
            let length = content.len().to_be_bytes();
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            let length = length.get(zeros..).unwrap_or_default();
            bytes.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            bytes.extend_from_slice(length);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// The part of all answers that says how it went.
#[derive(Debug, Eq, PartialEq)]
struct LdapResult {
    code: u32,
    words: Vec<u8>,
}

impl LdapResult {
    /// It went well; else `what` did not.
    fn must(self, what: &str) -> Step<()> {
        let Self { code, words } = self;
        let words = if words.is_empty() { String::new() } else { format!(": {}", quote(&words)) };
        let named =
            NAMES.iter().find(|(known, _)| *known == code).map_or_else(String::new, |(_, name)| format!(" ({name})"));
        if code == 0 {
            Ok(())
        } else {
            Err(Finding::new(super::Code::L7Status, format!("{what}: result {code}{named}{words}")))
        }
    }
}

/// Waits for an answer to the message of that number.
async fn answer(wire: &mut Wire, number: u8, operation: u8) -> Step<LdapResult> {
    let head = wire.exact(2, "the answer").await?;
    let strange = || Finding::strange("Not LDAPv3 protocol");
    let &[tag::SEQUENCE, short] = head.as_ref() else { return Err(strange()) };
    let length = match short {
        0..0x80 => usize::from(short),
        0x81..=0x84 => {
            let bytes = wire.exact(usize::from(short & 0x7F), "the answer").await?;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        // Without a length (RFC 4511 §5.1 forbids it), or with one of more than four bytes.
        0x80 | 0x85.. => return Err(strange()),
    };
    if length > LIMIT {
        return Err(Finding::strange(format!("an answer of {length} bytes")));
    }
    let content = wire.exact(length, "the answer").await?;
    let (sent_to, got, result) = parse(&content).ok_or_else(strange)?;
    match (sent_to, got) {
        (0, tag::EXTENDED_RESPONSE) => {
            result.must("it ends the connection")?;
            Err(strange())
        }
        (sent_to, got) if sent_to == u32::from(number) && got == operation => Ok(result),
        _ => Err(strange()),
    }
}

/// The number of the message, what it is, and how it went.
fn parse(content: &[u8]) -> Option<(u32, u8, LdapResult)> {
    let (number, rest) = expect(content, tag::INTEGER)?;
    let (operation, body, _controls) = split(rest)?;
    let (code, rest) = expect(body, tag::ENUMERATED)?;
    let (_matched, rest) = expect(rest, tag::OCTETS)?;
    let (words, _referral) = expect(rest, tag::OCTETS)?;
    Some((integer(number)?, operation, LdapResult { code: integer(code)?, words: words.to_vec() }))
}

/// What has that tag at the start, and what is after it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = split(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The first tag, its content, and what is after it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match short {
        0..0x80 => (usize::from(short), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(short & 0x7F))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        0x80 | 0x85.. => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A number that is not negative.
fn integer(content: &[u8]) -> Option<u32> {
    let is_negative = content.first()? & 0x80 != 0;
    (content.len() <= 4 && !is_negative).then(|| content.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

/// Results that one meets (RFC 4511 §4.1.9).
const NAMES: [(u32, &str); 15] = [
    (1, "operationsError"),
    (2, "protocolError"),
    (7, "authMethodNotSupported"),
    (8, "strongerAuthRequired"),
    (13, "confidentialityRequired"),
    (14, "saslBindInProgress"),
    (32, "noSuchObject"),
    (34, "invalidDNSyntax"),
    (48, "inappropriateAuthentication"),
    (49, "invalidCredentials"),
    (50, "insufficientAccessRights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwillingToPerform"),
    (80, "other"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{Code, testing::ask},
        model::{Secret, check::Login},
    };
    use proptest::prelude::*;

    fn find(answers: &[u8]) -> Finding {
        let check = LdapCheck { login: None, starttls: false };
        ask(answers, async |wire| probe(wire, &check, None).await)
    }

    /// How a bind went.
    fn bound(code: u8, words: &str) -> Vec<u8> {
        let result =
            [tlv(tag::ENUMERATED, &[code]), tlv(tag::OCTETS, b""), tlv(tag::OCTETS, words.as_bytes())].concat();
        message(2, &tlv(tag::BIND_RESPONSE, &result))
    }

    #[test]
    fn the_result_of_a_bind_counts_in_every_form_of_length() {
        assert_eq!(find(&bound(0, "")), Finding::ok("bound anonymously"));
        assert_eq!(find(&bound(0, &"x".repeat(300))).code, Code::L7Ok);
        // As Active Directory writes them: four bytes, whatever the length.
        let long = b"\x30\x84\0\0\0\x10\x02\x01\x02\x61\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0";
        assert_eq!(find(long), Finding::ok("bound anonymously"));
        let refused = find(&bound(48, "anonymous bind disallowed"));
        assert_eq!(
            refused.to_string(),
            "L7STS refused: result 48 (inappropriateAuthentication): \"anonymous bind disallowed\""
        );
        assert_eq!(find(&bound(99, "")).to_string(), "L7STS refused: result 99");
    }

    #[test]
    fn what_ends_the_connection_is_told() {
        let result = [tlv(tag::ENUMERATED, &[52]), tlv(tag::OCTETS, b""), tlv(tag::OCTETS, b"going down")].concat();
        let notice = message(0, &tlv(tag::EXTENDED_RESPONSE, &result));
        assert_eq!(find(&notice).to_string(), "L7STS it ends the connection: result 52 (unavailable): \"going down\"");
    }

    #[test]
    fn what_is_not_ldap_is_strange() {
        let of_another = message(3, &tlv(tag::BIND_RESPONSE, &[10, 1, 0, 4, 0, 4, 0]));
        let cut = bound(0, "")[..8].to_vec();
        let huge = b"\x30\x84\xff\xff\xff\xff".to_vec();
        let no_length = b"\x30\x80\x02\x01\x02".to_vec();
        let negative = message(2, &tlv(tag::BIND_RESPONSE, &[10, 1, 0x80, 4, 0, 4, 0]));
        for strange in [b"220 hello\r\n".to_vec(), Vec::new(), of_another, cut, huge, no_length, negative] {
            assert_eq!(find(&strange).code, Code::L7Response, "{strange:?}");
        }
    }

    #[test]
    fn requests_are_as_the_rfc_has_them() {
        let bind = [tlv(tag::INTEGER, &[3]), tlv(tag::OCTETS, b""), tlv(tag::FIRST, b"")].concat();
        assert_eq!(message(1, &tlv(tag::BIND_REQUEST, &bind)), b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0");
        assert_eq!(tlv(tag::OCTETS, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tlv(tag::OCTETS, &[0; 300])[..4], [4, 0x82, 1, 44]);
        let secret = Secret::new("s3cret");
        let check =
            LdapCheck { login: Some(Login { user: "cn=a".to_owned(), password: Some(secret) }), starttls: false };
        let found = ask(&bound(49, ""), async |wire| probe(wire, &check, None).await);
        assert_eq!(found.to_string(), "L7STS refused: result 49 (invalidCredentials)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
            find(&bytes);
        }

        #[test]
        fn a_changed_answer_ends_and_a_cut_one_is_no_success(at in 0..22_usize, with in any::<u8>(), cut in 0..22_usize) {
            let whole = bound(0, "all fine");
            let mut mutated = whole.clone();
            mutated[at] = with;
            find(&mutated);
            prop_assert_ne!(find(&whole[..cut]).code, Code::L7Ok);
        }
    }
}
