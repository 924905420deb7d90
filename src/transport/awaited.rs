//! The sockets of which the beginning of an answer is to come: their bytes end a rest.
//!
//! An epoll of its own, in which a socket is only as long as it is waited for: what else comes does not make it readable.
//! Reads nothing, and does not know when a beginning is over.
//!
//! Linux only: elsewhere `awaited_elsewhere` has the same face.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// The sockets that nobody keeps waiting: the beginning of an answer is to come.
#[derive(Debug)]
pub(super) struct Awaited(OwnedFd);

impl Awaited {
    pub(super) fn new() -> io::Result<Awaited> {
        Ok(Awaited(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Does nothing until something came for one of them, or for so long. Whether something came.
    pub(super) fn doze(&self, left: Duration) -> bool {
        let left = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        // An error ends it too.
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)).is_ok_and(|came| came > 0)
    }

    /// Whether it could be told.
    pub(super) fn add(&self, stream: &TcpStream) -> bool {
        epoll::add(
            &self.0,
            stream,
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN,
        )
        .is_ok()
    }

    pub(super) fn remove(&self, stream: &TcpStream) {
        // It fails only where it was not there.
        let _ = epoll::delete(&self.0, stream);
    }
}
