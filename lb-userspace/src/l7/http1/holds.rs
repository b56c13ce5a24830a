//! What holds of any bytes: the tests try generated ones and the corpus, the fuzzer in `lb-userspace/fuzz` chooses its own.
//! Where something does not hold, it panics.

use crate::l7::{
    http1::{
        Limits,
        body::{BodyError, Decoder, Piece},
        encode::{Encoder, request_head, response_head},
        has_end, hop,
        request::{Refusal, RequestHead, request},
        response::{Asked, Invalid, ResponseHead, response},
    },
    message::{Fields, Length, Request, Response, Version},
};
use crate::model::HeaderCase;
use bytes::BytesMut;

/// Small ones, so that they are met.
const LIMITS: Limits = Limits { head: 600, fields: 8, hostless: true, connect: true, ambiguous: true };

/// Reads `input` as messages in the ways that its first byte says, cut where its second byte says.
pub(crate) fn any(input: &[u8]) {
    let [ways, cuts, bytes @ ..] = input else { return };
    let way = |bit: u8| ways >> bit & 1 == 1;
    let limits = if way(0) { LIMITS } else { Limits::default() };
    let asked = Asked { head: way(1), connect: way(2), upgrade: way(3) };
    let cuts = Cuts(u32::from(*cuts));
    match (way(4), way(5)) {
        (true, _) => requests(bytes, cuts, &limits),
        (false, true) => responses(bytes, cuts, asked, &limits),
        (false, false) => {
            body(bytes, cuts, Length::Chunked);
        }
    }
}

/// Where input is cut: after any number of bytes below 48, mostly few.
#[derive(Clone, Copy)]
pub(crate) struct Cuts(pub(crate) u32);

impl Cuts {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = if self.0 >> 30 == 0 { 1 } else { self.0 >> 24 & 0x2f };
        1 + size as usize
    }
}

/// Requests, one after the other.
pub(crate) fn requests(mut input: &[u8], cuts: Cuts, limits: &Limits) {
    loop {
        let whole = request(input, limits);
        let in_pieces = pieces(input, cuts, limits, |input| request(input, limits));
        assert_eq!(shown_request(&whole), shown_request(&in_pieces), "cut otherwise");
        let Ok(Some(head)) = whole else { return };
        sound(&head.request.fields, head.consumed, input, limits);
        written_request(&head);
        let rest = &input[head.consumed..];
        let Some(left) = body(rest, cuts, head.length).filter(|_| head.persistent) else { return };
        input = &rest[rest.len() - left..];
    }
}

/// Responses, one after the other, all to the same question.
pub(crate) fn responses(mut input: &[u8], cuts: Cuts, asked: Asked, limits: &Limits) {
    loop {
        let whole = response(input, asked, limits);
        let in_pieces = pieces(input, cuts, limits, |input| response(input, asked, limits));
        assert_eq!(shown_response(&whole), shown_response(&in_pieces), "cut otherwise");
        let Ok(Some(head)) = whole else { return };
        sound(&head.response.fields, head.consumed, input, limits);
        written_response(&head, asked);
        let rest = &input[head.consumed..];
        let goes_on = head.persistent || head.response.is_interim();
        let Some(left) = body(rest, cuts, head.length).filter(|_| goes_on) else { return };
        input = &rest[rest.len() - left..];
    }
}

/// A body, whole and in pieces; gives how many bytes follow it, if it ends.
pub(crate) fn body(input: &[u8], cuts: Cuts, length: Length) -> Option<usize> {
    let whole = decoded(input, input.len().max(1), None, length);
    let in_pieces = decoded(input, 0, Some(cuts), length);
    assert_eq!(whole, in_pieces, "cut otherwise");
    let Ok(Body { data, trailers, left, ended }) = whole else { return None };
    assert!(length == Length::Chunked || trailers.is_empty(), "trailers of what is not chunked");
    if ended {
        written_body(&data, &trailers, length, cuts);
    }
    (ended && length != Length::UntilClose).then_some(left)
}

/// A body that was read.
#[derive(Debug, Default, Eq, PartialEq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes that were not taken.
    left: usize,
    /// Whether it ended, if the connection was closed after all of it.
    ended: bool,
}

/// Reads with `size` bytes more each time, or as many as `cuts` says.
fn decoded(input: &[u8], size: usize, mut cuts: Option<Cuts>, length: Length) -> Result<Body, BodyError> {
    let (mut decoder, mut buffer, mut rest) = (Decoder::new(length), BytesMut::new(), input);
    let mut body = Body::default();
    loop {
        match decoder.decode(&mut buffer)? {
            Some(Piece::Data(data)) => {
                assert!(!data.is_empty(), "no data");
                body.data.extend_from_slice(&data);
            }
            Some(Piece::Trailers(trailers)) => {
                assert!(body.trailers.is_empty() && trailers.len() > 0, "trailers twice, or none");
                body.trailers = owned(&trailers);
            }
            Some(Piece::End) => {
                assert!(decoder.is_done(), "ended and not done");
                return Ok(Body { left: buffer.len() + rest.len(), ended: true, ..body });
            }
            None if rest.is_empty() => {
                body.ended = match decoder.end_of_input() {
                    Ok(end) => matches!(end, Piece::End),
                    Err(error) => {
                        assert_eq!(error, BodyError::Cut);
                        false
                    }
                };
                // What is held until more comes is not compared: how much that is depends on the cuts.
                return Ok(body);
            }
            None => {
                let more = cuts.as_mut().map_or(size, Cuts::next).min(rest.len());
                buffer.extend_from_slice(&rest[..more]);
                rest = &rest[more..];
            }
        }
    }
}

/// Parses as a connection does: with what came so far, and not again before an end has come.
fn pieces<T, E>(
    input: &[u8],
    mut cuts: Cuts,
    limits: &Limits,
    parse: impl Fn(&[u8]) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let (mut came, mut seen) = (0, 0);
    while came < input.len() {
        came = input.len().min(came + cuts.next());
        if seen > 0 && !has_end(&input[..came], seen, limits) && came < input.len() {
            continue;
        }
        match parse(&input[..came]) {
            Ok(None) => seen = came,
            done => return done,
        }
    }
    parse(input)
}

/// What any head that was accepted is.
fn sound(fields: &Fields, consumed: usize, input: &[u8], limits: &Limits) {
    assert!(0 < consumed && consumed <= input.len().min(limits.head), "{consumed} bytes");
    // One may have been added: `Host`.
    assert!(fields.len() <= limits.fields + 1, "{} fields", fields.len());
    assert!(fields.all("content-length").count() <= 1, "several lengths");
    for (name, value) in fields.iter() {
        assert!(!name.is_empty() && !name.iter().any(|byte| b" \t:\r\n\0".contains(byte)), "{name:?}");
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "{value:?}");
    }
}

/// What we write of it is read as the same request, the whole of it, and has nothing of the hop.
fn written_request(head: &RequestHead) {
    let mut sent = head.request.clone();
    hop::remove(&mut sent.fields);
    let mut out = Vec::new();
    request_head(&mut out, &sent, head.length, HeaderCase::AsSent);
    if head.length == Length::Chunked && sent.host().is_none() {
        // It goes along with chunks always, and names nothing.
        sent.fields = [(&b"Host"[..], &b""[..])].into_iter().chain(sent.fields.iter()).collect();
    }
    let again = request(&out, &Limits { head: usize::MAX, fields: 200, ..LIMITS });
    let Ok(Some(again)) = again else { panic!("{again:?} of {:?}", String::from_utf8_lossy(&out)) };
    assert_eq!(again.consumed, out.len());
    assert_eq!(again.length, head.length);
    assert_eq!((&again.request.method, &again.request.target), (&sent.method, &sent.target));
    assert_eq!(plain(&again.request.fields), plain(&sent.fields));
    assert_eq!(again.upgrade, None);
}

fn written_response(head: &ResponseHead, asked: Asked) {
    let mut sent = head.response.clone();
    hop::remove(&mut sent.fields);
    let mut out = Vec::new();
    response_head(&mut out, &sent, head.length, Version::Http11, HeaderCase::AsSent, asked.head);
    let again = response(&out, asked, &Limits { head: usize::MAX, fields: 200, ..LIMITS });
    let Ok(Some(again)) = again else { panic!("{again:?} of {:?}", String::from_utf8_lossy(&out)) };
    assert_eq!(again.consumed, out.len());
    assert_eq!((again.length, again.response.status), (head.length, sent.status));
    assert_eq!(plain(&again.response.fields), plain(&sent.fields));
    if !head.response.reason.is_empty() {
        assert_eq!(again.response.reason, head.response.reason);
    }
}

/// What we write of a body is read as the same body, however it is written.
fn written_body(data: &[u8], trailers: &[(Vec<u8>, Vec<u8>)], length: Length, mut cuts: Cuts) {
    let trailers: Fields = trailers.iter().map(|(name, value)| (name, value)).collect();
    let (mut out, mut encoder, mut rest) = (Vec::new(), Encoder::new(length), data);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cuts.next().min(rest.len()));
        let after = encoder.data(&mut out, now.len()).expect("not longer than it was");
        out.extend_from_slice(now);
        out.extend_from_slice(after);
        rest = later;
    }
    if trailers.len() > 0 {
        encoder.trailers(&mut out, &trailers, HeaderCase::AsSent);
    }
    encoder.end(&mut out).expect("as long as it was");
    let again = decoded(&out, out.len().max(1), None, length).expect("what we have written");
    assert_eq!((again.data.as_slice(), again.left, again.ended), (data, 0, true));
    assert_eq!(again.trailers, owned(&trailers));
}

/// Fields without those that are written anew.
fn plain(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let framing = |name: &[u8]| {
        ["content-length", "transfer-encoding"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    owned(fields).into_iter().filter(|(name, _)| !framing(name)).collect()
}

fn owned(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn shown_request(head: &Result<Option<RequestHead>, Refusal>) -> String {
    let fields = |request: &Request| owned(&request.fields);
    format!("{head:?} {:?}", head.as_ref().ok().and_then(Option::as_ref).map(|head| fields(&head.request)))
}

fn shown_response(head: &Result<Option<ResponseHead>, Invalid>) -> String {
    let fields = |response: &Response| owned(&response.fields);
    format!("{head:?} {:?}", head.as_ref().ok().and_then(Option::as_ref).map(|head| fields(&head.response)))
}
