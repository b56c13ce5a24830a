//! The gRPC check against servers that exist in memory.

use super::*;
use crate::health::{
    http::tests::frames::{data, head, reset, settings},
    testing::ask,
};
use proptest::prelude::*;

fn find(answers: &[u8]) -> Finding {
    let check = GrpcCheck { service: "shop.Orders".to_owned(), host: None };
    ask(answers, async |wire| probe(wire, &check).await)
}

const GRPC: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

/// An answer with a message, and what follows it.
fn answered(message: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    [settings(), head(1, &GRPC, false), data(1, &body, false), head(1, trailers, true)].concat()
}

/// An answer without a message.
fn refused(fields: &[(&str, &str)]) -> Vec<u8> {
    [settings(), head(1, &[&GRPC[..], fields].concat(), true)].concat()
}

#[test]
fn only_serving_passes() {
    let ok = [("grpc-status", "0")];
    let said = |message: &[u8]| find(&answered(message, &ok)).to_string();
    assert_eq!(said(&[8, 1]), "L7OK SERVING");
    assert_eq!(said(&[]), "L7STS UNKNOWN");
    assert_eq!(said(&[8, 2]), "L7STS NOT_SERVING");
    assert_eq!(said(&[8, 3]), "L7STS SERVICE_UNKNOWN");
    assert_eq!(said(&[8, 0x80, 0x08]), "L7STS serving status 1024");
    // Fields of later versions, of each type, and the last one of several.
    assert_eq!(
        said(&[0x12, 1, b'x', 0x18, 5, 0x25, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 8, 1]),
        "L7OK SERVING"
    );
    for strange in [
        &[8][..],
        &[8, 0x80],
        &[0],
        &[0x0a, 0],
        &[0x12, 9],
        &[0x13],
        &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
    ] {
        assert!(said(strange).starts_with("L7RSP not an answer of Health/Check"), "{strange:?}");
    }
}

#[test]
fn statuses_of_grpc_are_told_with_its_words() {
    let said = |fields: &[(&str, &str)]| find(&refused(fields)).to_string();
    assert_eq!(
        said(&[("grpc-status", "12"), ("grpc-message", "Method not found!")]),
        "L7STS UNIMPLEMENTED: \"Method not found!\""
    );
    assert_eq!(
        said(&[("grpc-status", "5"), ("grpc-message", "%C3%A4%0A %zz %")]),
        r#"L7STS NOT_FOUND: "\xc3\xa4\n %zz %""#
    );
    assert_eq!(said(&[("grpc-status", "14")]), "L7STS UNAVAILABLE");
    assert_eq!(said(&[("grpc-status", "99")]), "L7RSP grpc-status \"99\"");
    assert_eq!(said(&[]), "L7RSP no grpc-status");
    let late = answered(&[8, 1], &[("grpc-status", "13"), ("grpc-message", "oops")]);
    assert_eq!(find(&late).to_string(), "L7STS INTERNAL: \"oops\"");
    let page =
        [settings(), head(1, &[(":status", "200"), ("content-type", "text/html")], false), data(1, b"<p>", true)]
            .concat();
    assert_eq!(find(&page).to_string(), "L7RSP not gRPC, but \"text/html\"");
    assert_eq!(find(&[settings(), head(1, &[(":status", "503")], true)].concat()).to_string(), "L7STS status 503");
    assert_eq!(find(&[settings(), reset(1, 8)].concat()).code, Code::L7Response);
    assert_eq!(find(b"").to_string(), "L7RSP the answer: closed without a word");
}

#[test]
fn the_service_is_the_first_field() {
    assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
    assert_eq!(&message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    let long = message(&"x".repeat(300));
    assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
}

proptest! {
    #[test]
    fn any_message_is_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut body = vec![0];
        body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend(&bytes);
        serving(&body);
        serving(&bytes);
        unescaped(&bytes);
    }
}
