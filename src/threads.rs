//! Named threads with small stacks, owned by whoever started them.
//!
//! What a panic in one of them means is decided by `daemon` (the end of the process), for all threads alike.

use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

/// Enough for TLS and JSON, which want the deepest stacks of all we do. Only what is used becomes memory.
const STACK_BYTES: usize = 512 * 1024;

/// A running thread. Dropping it lets the thread run on; joining waits for its end.
#[derive(Debug)]
pub struct Thread {
    name: String,
    /// Disconnected when the thread's body has returned.
    ended: Receiver<()>,
    handle: std::thread::JoinHandle<()>,
}

impl Thread {
    /// Starts `body` on a thread named `name` (the first 15 bytes show in `top -H`).
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (alive, ended) = bounded::<()>(0);
        let handle = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let _alive = alive;
            body();
        })?;
        Ok(Self { name: name.to_owned(), ended, handle })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has it come to its end?
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for the end of the thread, but not longer than `until`; says whether it ended.
    pub fn join_until(self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match self.ended.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                // The body is over; what is left takes microseconds. A panic would have ended the process.
                let _ = self.handle.join();
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_waited_for_until_its_time_is_over() {
        let (release, held) = bounded::<()>(0);
        let thread = Thread::start("held", move || {
            let _ = held.recv();
        })
        .expect("a thread");
        assert_eq!(thread.name(), "held");
        assert!(!thread.join_until(Instant::now()));
        let (release2, held2) = bounded::<()>(0);
        let thread = Thread::start("freed", move || {
            let _ = held2.recv();
        })
        .expect("a thread");
        drop((release, release2));
        assert!(thread.join_until(Instant::now() + Duration::from_secs(10)));
    }
}
