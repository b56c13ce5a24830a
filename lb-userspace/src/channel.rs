//! The line between supervisor and worker, and to the runner: typed messages over a SEQPACKET socket pair, descriptors
//! beside them.
//!
//! A message is one packet of JSON, at most [`MESSAGE_LIMIT`] bytes; what may be larger (the configuration) travels as a
//! sealed memory file among the descriptors. Each side trusts the other no further than the types: the supervisor
//! refuses what does not parse, and acts on nothing but the variants of [`ToSupervisor`].

pub mod message;

pub use message::{ToSupervisor, ToWorker};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Seek, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use tokio::{io::Interest, net::UnixStream};
use zeroize::Zeroizing;

/// Longest message in bytes; far below the default send buffer, so that a message never half fits.
pub const MESSAGE_LIMIT: usize = 64 << 10;

/// Most descriptors beside one message; the kernel's own bound is 253 (`SCM_MAX_FD`).
pub const DESCRIPTOR_LIMIT: usize = 128;

/// A memory file with these stays as it is.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// One end of the line.
#[derive(Debug)]
pub struct Channel {
    /// Tokio has no type for SEQPACKET; its stream tells when the socket is ready, and is asked for nothing else.
    socket: UnixStream,
}

/// Why the line failed. All but `Io` mean that the other side is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed.
    #[error("the line between two processes of the daemon failed")]
    Io(#[from] io::Error),
    /// A message is not one of ours.
    #[error("a message between two processes of the daemon cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// A message is longer than allowed.
    #[error("a message of {0} bytes between two processes of the daemon; at most {MESSAGE_LIMIT} are allowed")]
    TooLong(usize),
    /// Descriptors got lost: the process is at its limit of open files.
    #[error("descriptors were lost between two processes of the daemon: raise the limit of open files")]
    DescriptorsLost,
}

impl ChannelError {
    /// Whether the other side is gone, which is no failure of this one.
    pub fn is_end(&self) -> bool {
        let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::NotConnected];
        matches!(self, Self::Io(error) if gone.contains(&error.kind()))
    }
}

impl Channel {
    /// Two connected ends, closed on exec.
    pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
    }

    /// Takes an end into use; needs a tokio runtime.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(end);
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixStream::from_std(socket)? })
    }

    /// Closes the line in both directions, as far as both sides can see.
    pub fn close(&self) {
        // A line that is closed already stays closed.
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).unwrap_or_default();
    }

    /// Sends a message with its descriptors.
    pub async fn send<M: Serialize>(&self, message: &M, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message).map_err(ChannelError::Malformed)?;
        if bytes.len() > MESSAGE_LIMIT {
            return Err(ChannelError::TooLong(bytes.len()));
        }
        let send = || send_packet(self.socket.as_fd(), &bytes, descriptors);
        Ok(self.socket.async_io(Interest::WRITABLE, send).await?)
    }

    /// The next message with its descriptors; `None` when the other side is gone.
    pub async fn receive<M: DeserializeOwned>(&self) -> Result<Option<(M, Vec<OwnedFd>)>, ChannelError> {
        let mut buffer = vec![0; MESSAGE_LIMIT];
        let receive = || receive_packet(self.socket.as_fd(), &mut buffer);
        let (length, flags, descriptors) = match self.socket.async_io(Interest::READABLE, receive).await {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if flags.contains(ReturnFlags::CTRUNC) {
            return Err(ChannelError::DescriptorsLost);
        }
        if flags.contains(ReturnFlags::TRUNC) {
            return Err(ChannelError::TooLong(length));
        }
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
        Ok(Some((serde_json::from_slice(bytes).map_err(ChannelError::Malformed)?, descriptors)))
    }
}

fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_packet(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, ReturnFlags, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((received.bytes, received.flags, descriptors))
}

/// Puts a value of any size into a sealed memory file, to travel as a descriptor.
pub fn to_memory_file<T: Serialize>(value: &T) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("sluice", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(&serialized(value)?)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// A value as JSON, of which nothing stays behind: keys may be in it. So the length comes first, because a buffer that grows
/// leaves copies.
fn serialized<T: Serialize>(value: &T) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, value)?;
    Ok(bytes)
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads back what [`to_memory_file`] wrote, if it is that and at most `limit` bytes: anything else could keep the reader
/// waiting, or change under its eyes.
pub fn from_memory_file<T: DeserializeOwned>(file: OwnedFd, limit: u64) -> io::Result<T> {
    let sealed = rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS));
    let mut file = File::from(file);
    let length = file.metadata()?.len();
    if !sealed || length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a sealed memory file of the size that is allowed"));
    }
    file.rewind()?;
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or_default()));
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, net::TcpListener};

    fn ends() -> (Channel, Channel) {
        let (one, other) = Channel::pair().unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    #[tokio::test]
    async fn messages_and_descriptors_arrive_in_order_and_the_end_is_seen() {
        let (one, other) = ends();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = to_memory_file(&vec!["x"; 100_000]).unwrap();
        one.send(&ToSupervisor::CreateRings(vec![7]), &[]).await.unwrap();
        one.send(&ToSupervisor::Reload { only: None }, &[file.as_fd(), listener.as_fd()]).await.unwrap();
        drop(one);
        let (first, none) = other.receive::<ToSupervisor>().await.unwrap().unwrap();
        assert!(matches!(first, ToSupervisor::CreateRings(rings) if rings == [7]) && none.is_empty());
        let (_, mut descriptors) = other.receive::<ToSupervisor>().await.unwrap().unwrap();
        let copy = TcpListener::from(descriptors.pop().unwrap());
        assert_eq!(copy.local_addr().unwrap(), listener.local_addr().unwrap());
        let text: Vec<String> = from_memory_file(descriptors.pop().unwrap(), 1 << 20).unwrap();
        assert_eq!(text.len(), 100_000);
        assert!(other.receive::<ToSupervisor>().await.unwrap().is_none());
        assert!(other.send(&ToSupervisor::Reload { only: None }, &[]).await.unwrap_err().is_end());
    }

    #[tokio::test]
    async fn a_strange_message_is_refused() {
        let (one, other) = ends();
        one.send(&"open sesame", &[]).await.unwrap();
        assert!(matches!(other.receive::<ToSupervisor>().await, Err(ChannelError::Malformed(_))));
        let long = "x".repeat(MESSAGE_LIMIT);
        let refused = one.send(&long, &[]).await.unwrap_err();
        assert!(matches!(refused, ChannelError::TooLong(_)) && !refused.is_end());
    }

    #[test]
    fn a_sealed_file_cannot_change() {
        let mut file = File::from(to_memory_file(&1).unwrap());
        assert!(file.write_all(b"2").is_err());
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "1");
    }

    #[test]
    fn only_a_sealed_file_of_the_allowed_size_is_read() {
        assert_eq!(from_memory_file::<u8>(to_memory_file(&12).unwrap(), 2).unwrap(), 12);
        assert!(from_memory_file::<u8>(to_memory_file(&123).unwrap(), 2).is_err());
        let (_silent, pipe) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(from_memory_file::<u8>(pipe.into(), 2).is_err(), "reading it would wait for ever");
        let mut open = tempfile::tempfile().unwrap();
        open.write_all(b"1").unwrap();
        assert!(from_memory_file::<u8>(open.into(), 2).is_err(), "it can still change");
    }

    #[tokio::test]
    async fn the_longest_message_and_the_most_descriptors_pass_in_one_piece() {
        let (one, other) = ends();
        let text = "x".repeat(MESSAGE_LIMIT - 2);
        let file = tempfile::tempfile().unwrap();
        one.send(&text, &[file.as_fd(); DESCRIPTOR_LIMIT]).await.unwrap();
        let (received, descriptors) = other.receive::<String>().await.unwrap().unwrap();
        assert_eq!((received.len(), descriptors.len()), (text.len(), DESCRIPTOR_LIMIT));
    }
}
