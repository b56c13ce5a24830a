//! The body of a message, read: a piece at a time, and without copying data.

use super::{
    super::message::{Fields, Length},
    Limits,
};
use bytes::{Buf as _, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Status};

/// Digits of the size of a chunk. More would not fit into 64 bits, and leading zeros are of no use.
const DIGITS: u8 = 16;
/// Bytes of chunk extensions in a body: nobody uses them, and they are read for nothing.
const EXTENSIONS: usize = 16_384;
/// Fields of trailers.
const TRAILERS: usize = 101;

/// A part of a body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Some of the data; never empty.
    Data(Bytes),
    /// What comes after the data; not filtered (`hop::filter_trailers`).
    Trailers(Fields),
    /// It is complete.
    End,
}

/// Why a body cannot be read on. Nothing more can be said of the connection that it came by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The size of a chunk is no number, too long, or its line ends wrongly.
    #[error("the size of a chunk is malformed")]
    Size,
    /// Chunk extensions have control characters, or are too long in all.
    #[error("chunk extensions are malformed or too long")]
    Extension,
    /// No end of a line follows a chunk.
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// The trailers are malformed or too many.
    #[error("the trailers are malformed or too many")]
    Trailers,
    /// The trailers are longer than a head may be.
    #[error("the trailers are too large")]
    TrailersTooLarge,
    /// The connection was closed in the middle.
    #[error("the body is cut short")]
    Cut,
}

/// Reads a body of a given length.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes of chunk extensions so far.
    extensions: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// So many bytes, not 0.
    Exact(u64),
    /// Whatever comes.
    UntilClose,
    /// Digits of the size of a chunk, of which so many came.
    Size { digits: u8, size: u64 },
    /// Spaces after the size, then an extension or the end of the line.
    AfterSize(u64),
    /// The rest of the line of the size.
    Extension(u64),
    /// The line feed of the line of the size.
    SizeEnd(u64),
    /// Data of a chunk, not 0.
    Chunk(u64),
    /// The carriage return after a chunk.
    ChunkReturn,
    /// The line feed after a chunk.
    ChunkFeed,
    /// Trailers and an empty line. In so many bytes there was no end of them.
    Trailers { seen: usize },
    /// Nothing.
    Done,
}

impl Decoder {
    pub(crate) fn new(length: Length) -> Self {
        let state = match length {
            Length::EMPTY => State::Done,
            Length::Exact(bytes) => State::Exact(bytes),
            Length::Chunked => State::Size { digits: 0, size: 0 },
            Length::UntilClose => State::UntilClose,
        };
        Self { state, extensions: 0 }
    }

    /// Whether nothing more is taken from the input: at once if there is no body, with the last byte of data if the length
    /// was given, with [`Piece::End`] otherwise.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what it can from the front of `input`. `None`: more input is needed. When it is done: [`Piece::End`], however
    /// often.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, BodyError> {
        loop {
            match self.state {
                State::Done => return Ok(Some(Piece::End)),
                _ if input.is_empty() => return Ok(None),
                State::UntilClose => return Ok(Some(Piece::Data(input.split().freeze()))),
                State::Exact(left) => return Ok(Some(self.data(left, input, State::Exact, State::Done))),
                State::Chunk(left) => return Ok(Some(self.data(left, input, State::Chunk, State::ChunkReturn))),
                State::Trailers { seen } => return self.trailers(seen, input),
                State::Size { .. }
                | State::AfterSize(_)
                | State::Extension(_)
                | State::SizeEnd(_)
                | State::ChunkReturn
                | State::ChunkFeed => self.line(input)?,
            }
        }
    }

    /// The connection was closed: the end, if that is how this body ends or it was complete.
    pub(crate) fn end_of_input(&mut self) -> Result<Piece, BodyError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(Piece::End)
            }
            State::Exact(_)
            | State::Size { .. }
            | State::AfterSize(_)
            | State::Extension(_)
            | State::SizeEnd(_)
            | State::Chunk(_)
            | State::ChunkReturn
            | State::ChunkFeed
            | State::Trailers { .. } => Err(BodyError::Cut),
        }
    }

    fn data(&mut self, left: u64, input: &mut BytesMut, more: fn(u64) -> State, after: State) -> Piece {
        let size = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left.saturating_sub(size as u64);
        self.state = if left == 0 { after } else { more(left) };
        Piece::Data(input.split_to(size).freeze())
    }

    /// Goes through the bytes between data and data.
    fn line(&mut self, input: &mut BytesMut) -> Result<(), BodyError> {
        let mut taken = 0;
        for byte in input.iter() {
            if matches!(self.state, State::Chunk(_) | State::Trailers { .. }) {
                break;
            }
            self.state = self.byte(*byte)?;
            taken += 1;
        }
        input.advance(taken);
        Ok(())
    }

    /// The state after a byte between data and data. Line ends are strict: what one reader takes for one and another does not
    /// hides a request (RFC 9112 §7.1).
    fn byte(&mut self, byte: u8) -> Result<State, BodyError> {
        Ok(match (self.state, byte) {
            (State::Size { digits, size }, byte) if byte.is_ascii_hexdigit() => {
                if digits == DIGITS {
                    return Err(BodyError::Size);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (State::Size { digits: 1.., size } | State::AfterSize(size), b' ' | b'\t') => {
                self.extension()?;
                State::AfterSize(size)
            }
            (State::Size { digits: 1.., size } | State::AfterSize(size), b';') => State::Extension(size),
            (State::Size { digits: 1.., size } | State::AfterSize(size) | State::Extension(size), b'\r') => {
                State::SizeEnd(size)
            }
            (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension()?;
                State::Extension(size)
            }
            (State::Extension(_), _) => return Err(BodyError::Extension),
            (State::SizeEnd(0), b'\n') => State::Trailers { seen: 0 },
            (State::SizeEnd(size), b'\n') => State::Chunk(size),
            (State::ChunkReturn, b'\r') => State::ChunkFeed,
            (State::ChunkFeed, b'\n') => State::Size { digits: 0, size: 0 },
            (State::ChunkReturn | State::ChunkFeed, _) => return Err(BodyError::ChunkEnd),
            _ => return Err(BodyError::Size),
        })
    }

    fn extension(&mut self) -> Result<(), BodyError> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS { Err(BodyError::Extension) } else { Ok(()) }
    }

    fn trailers(&mut self, seen: usize, input: &mut BytesMut) -> Result<Option<Piece>, BodyError> {
        if input.starts_with(b"\r\n") {
            input.advance(2);
            self.state = State::Done;
            return Ok(Some(Piece::End));
        }
        let from = seen.saturating_sub(3);
        let most = Limits::default().head;
        let new = input.get(from..input.len().min(most)).unwrap_or_default();
        let Some(end) = new.windows(4).position(|four| four == b"\r\n\r\n") else {
            self.state = State::Trailers { seen: input.len() };
            return if input.len() < most { Ok(None) } else { Err(BodyError::TrailersTooLarge) };
        };
        let block = input.split_to(from + end + 4);
        let mut room = [EMPTY_HEADER; TRAILERS];
        let Ok(Status::Complete((size, found))) = httparse::parse_headers(&block, &mut room) else {
            return Err(BodyError::Trailers);
        };
        // Or there was an empty line that ended in a line feed alone.
        if size != block.len() {
            return Err(BodyError::Trailers);
        }
        self.state = State::Done;
        Ok(Some(Piece::Trailers(found.iter().map(|header| (header.name, header.value)).collect())))
    }
}
