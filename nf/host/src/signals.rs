//! The signals that ask a process to stop.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT; SIGHUP is taken and ignored: the terminal that started us may go, we stay.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Was a stop asked for?
    pub fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        while self.hang_up.poll_recv(cx).is_ready() {}
        self.terminate.poll_recv(cx).is_ready() | self.interrupt.poll_recv(cx).is_ready()
    }

    /// Waits until a stop is asked for.
    pub async fn stop(&mut self) {
        poll_fn(|cx| if self.poll_stop(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}
