//! A connection to a server that speaks HTTP/1: one exchange at a time, then it is kept or closed.

use super::{Answering, Asking, NoAnswer};
use crate::l7::{
    client::Client,
    connect::Open,
    http1::{
        Limits,
        body::{Decoder, Piece},
        encode::{self, Encoder},
        hop,
        response::{self, Asked},
    },
    idle::Key,
    io::{Io, Reader, Wire, Writer},
    message::{Length, Method, Request, Response, fields::elements},
    pump::{Broken, Frame, Sink, Source},
};
use crate::model::{HeaderCase, Keeping};
use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// An open connection to a server.
pub(in crate::l7) struct Connection {
    reader: Reader,
    writer: Writer,
    owner: Owner,
}

/// Whose connection it is, and what it has done.
struct Owner {
    /// Where it leads.
    key: Key,
    keeping: Keeping,
    /// Whether it is one client's alone.
    is_own: bool,
    _open: Open,
    /// How often the server has answered on it.
    answered: u32,
}

impl Connection {
    /// On a new socket that leads there; `is_own`: for one client alone.
    pub(in crate::l7) fn new((io, open): (Io, Open), key: Key, keeping: Keeping, is_own: bool) -> Self {
        let wire = Wire::new(io, open.counted());
        let owner = Owner { key, keeping, is_own, _open: open, answered: 0 };
        Self { reader: Reader::new(Rc::clone(&wire)), writer: Writer::new(wire), owner }
    }

    /// How often the server has answered on it.
    pub(in crate::l7) const fn answered(&self) -> u32 {
        self.owner.answered
    }

    /// Whether it can be used, as far as is known: a server that has closed it, or says what nobody asked, has had its last
    /// word.
    pub(in crate::l7) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.reader.poll_fill(cx).is_pending()
    }
}

/// A request on a connection.
pub(in crate::l7) struct OnHttp1 {
    /// The connection.
    pub(in crate::l7) connection: Connection,
    /// Whether the client's `Upgrade` goes with the request.
    pub(in crate::l7) upgrade: bool,
    /// How names are written.
    pub(in crate::l7) case: HeaderCase,
}

impl Asking for OnHttp1 {
    type Sink = Upload;
    type Answer = Answer;

    fn ask(self, request: &Request, length: Length) -> (Upload, Answer) {
        let Connection { reader, mut writer, owner } = self.connection;
        encode::request_head(&mut writer.out, request, length, self.case);
        let asked = Asked {
            head: request.method == Method::Head,
            connect: request.method == Method::Connect,
            upgrade: self.upgrade,
        };
        let upload = Upload { writer, encoder: Encoder::new(length), case: self.case, closes: false };
        (upload, Answer { reader, asked, owner, persistent: false })
    }

    fn tunnel(sink: &mut Upload) {
        sink.encoder = Encoder::new(Length::UntilClose);
        sink.closes = true;
    }

    fn keep(upload: Upload, mut download: Download, client: &Client) {
        let ended = download.decoder.is_done() && upload.writer.is_empty() && !upload.closes;
        // What comes behind the answer is none to any question of ours.
        let keeps = download.persistent && download.reader.input.is_empty() && !download.reader.is_closed();
        if ended && keeps {
            download.reader.release();
            let owner = Owner { answered: download.owner.answered.saturating_add(1), ..download.owner };
            let (key, keeping, is_own) = (owner.key.clone(), owner.keeping, owner.is_own);
            let connection = Connection { reader: download.reader, writer: upload.writer, owner };
            if !is_own {
                client.thread.idle.borrow_mut().put(key, keeping, connection, Instant::now());
            } else if keeping.most > 0 {
                client.own().borrow_mut().put(key, connection);
            }
        }
    }
}

/// Where the request's body goes.
pub(in crate::l7) struct Upload {
    writer: Writer,
    encoder: Encoder,
    case: HeaderCase,
    /// Whether the end of the body is the end of the connection's direction.
    closes: bool,
}

impl Sink for Upload {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.writer.poll_ready(cx).map_err(Broken::from)
    }

    fn put(&mut self, frame: Frame) -> Result<(), Broken> {
        put(&mut self.writer, &mut self.encoder, frame, self.case)
    }

    fn finish(&mut self) -> Result<(), Broken> {
        finish(&mut self.writer, &mut self.encoder)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.writer.poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.closes {
            ready!(self.writer.poll_shutdown(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        self.writer.wire().sent()
    }
}

/// Puts a piece of a body into a writer, as HTTP/1 frames it.
pub(in crate::l7) fn put(
    writer: &mut Writer,
    encoder: &mut Encoder,
    frame: Frame,
    case: HeaderCase,
) -> Result<(), Broken> {
    match frame {
        Frame::Data(data) => {
            let after = encoder.data(&mut writer.out, data.len()).map_err(|_long| Broken::Malformed)?;
            writer.put(data, after);
            Ok(())
        }
        Frame::Trailers(trailers) => {
            encoder.trailers(&mut writer.out, &trailers, case);
            Ok(())
        }
    }
}

/// Puts the end of a body into a writer.
pub(in crate::l7) fn finish(writer: &mut Writer, encoder: &mut Encoder) -> Result<(), Broken> {
    encoder.end(&mut writer.out).map_err(|_short| Broken::Malformed)
}

/// The answer that is still to come.
pub(in crate::l7) struct Answer {
    reader: Reader,
    asked: Asked,
    owner: Owner,
    persistent: bool,
}

impl Answering for Answer {
    type Body = Download;

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Response, Length), NoAnswer>> {
        loop {
            if !self.reader.input.is_empty() {
                let parsed = response::response(&self.reader.input, self.asked, &Limits::default());
                match parsed.map_err(|_invalid| NoAnswer::Invalid)? {
                    Some(head) => {
                        bytes::Buf::advance(&mut self.reader.input, head.consumed);
                        self.persistent = head.persistent;
                        let mut response = head.response;
                        self.owner.is_own |= logs_in_on_connection(&response);
                        let protocol = response.fields.get("upgrade").map(<[u8]>::to_vec);
                        hop::remove(&mut response.fields);
                        if let (101, Some(protocol)) = (response.status, protocol) {
                            response.fields.push("connection", "upgrade");
                            response.fields.push("upgrade", protocol);
                        }
                        return Poll::Ready(Ok((response, head.length)));
                    }
                    None if self.reader.is_closed() => return Poll::Ready(Err(NoAnswer::Invalid)),
                    None => {}
                }
            }
            match ready!(self.reader.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) if !self.reader.input.is_empty() => {}
                Ok(false) | Err(_) => return Poll::Ready(Err(NoAnswer::Cut)),
            }
        }
    }

    fn into_body(self, length: Length) -> Download {
        let Self { reader, owner, persistent, asked: _ } = self;
        Download { reader, decoder: Decoder::new(length), owner, persistent }
    }
}

/// Whether the client is asked to log in by what makes the connection its own from then on (RFC 4559 §6).
fn logs_in_on_connection(response: &Response) -> bool {
    let field = match response.status {
        401 => "www-authenticate",
        407 => "proxy-authenticate",
        _ => return false,
    };
    let schemes = response.fields.all(field).flat_map(elements);
    let own = |scheme: &[u8]| {
        let word = scheme.split(|byte| *byte == b' ').next().unwrap_or_default();
        ["ntlm", "negotiate", "nego2"].iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    };
    schemes.into_iter().any(own)
}

/// The body of the answer.
pub(in crate::l7) struct Download {
    reader: Reader,
    decoder: Decoder,
    owner: Owner,
    persistent: bool,
}

impl Source for Download {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>> {
        poll_frame(&mut self.reader, &mut self.decoder, cx)
    }
}

/// The next piece of a body as HTTP/1 frames it.
pub(in crate::l7) fn poll_frame(
    reader: &mut Reader,
    decoder: &mut Decoder,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Frame>, Broken>> {
    loop {
        let piece = match decoder.decode(&mut reader.input).map_err(|_flaw| Broken::Malformed)? {
            Some(piece) => piece,
            None if ready!(reader.poll_fill(cx))? => continue,
            None => decoder.end_of_input().map_err(|_cut| Broken::Cut)?,
        };
        return Poll::Ready(Ok(match piece {
            Piece::Data(data) => Some(Frame::Data(data)),
            Piece::Trailers(mut trailers) => {
                hop::filter_trailers(&mut trailers);
                Some(Frame::Trailers(trailers))
            }
            Piece::End => None,
        }));
    }
}
