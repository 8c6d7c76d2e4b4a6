//! Stream connections: a table in the loop, a task for each connection.
//!
//! ```text
//!   loop: Streams ── outbox (bounded) ──▶ task: one socket, read and write ──▶ peer
//!                 ◀── Report (bounded) ──
//! ```
//!
//! A task reads only as fast as the loop takes its reports, so a fast sender is slowed by TCP itself. An idle
//! connection holds no read buffer: all tasks read into one scratch page and keep only an unfinished message.
//! A peer that does not finish a message, or does not take what it is sent, is cut off after a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use clock::{Duration, Instant};
use node::wire::{ConnectionId, Destination};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};

/// Cuts a byte stream into what the loop is told.
pub trait Cutter: Send + Sync + 'static {
    /// Takes bytes in. The answer says whether an unfinished message is left.
    fn cut(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>) -> Result<Progress, String>;
}

/// What a cutter found.
pub enum Cut {
    /// A whole message, or any bytes for a protocol that frames elsewhere.
    Message(Bytes),
    /// A keep-alive, to be answered at once with these bytes.
    Answer(&'static [u8]),
}

/// The state of a stream after some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Between two messages.
    Between,
    /// In the middle of one.
    Unfinished,
}

/// The bounds of one protocol's connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections held at once. One more is closed as soon as it is accepted.
    pub connections_max: usize,
    /// Bytes waiting to be sent on one connection; more is refused.
    pub outbox_bytes_max: usize,
    /// A message begun must be complete after this.
    pub message_patience: Duration,
    /// A peer must take something of what waits for it within this.
    pub write_patience: Duration,
    /// How long to try to connect.
    pub connect_patience: Duration,
}

/// What a task tells the loop.
pub struct Report {
    /// Its connection.
    pub connection: ConnectionId,
    /// When.
    pub at: Instant,
    /// What happened.
    pub what: What,
}

/// See [`Report`].
pub enum What {
    /// A connection of ours is open.
    Opened {
        /// Our end.
        local: SocketAddr,
    },
    /// Bytes, as cut.
    Message(Bytes),
    /// It has ended, or could not be opened. The reason is for people.
    Closed {
        /// Why.
        reason: String,
        /// Did the peer break the framing?
        is_malformed: bool,
    },
}

/// One connection as the loop knows it.
pub struct Connection {
    /// Our end; the listening address for an accepted one.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Is it open yet?
    pub is_open: bool,
    outbox: Arc<Outbox>,
}

#[derive(Default)]
struct Outbox {
    state: Mutex<OutboxState>,
    wake: Notify,
}

#[derive(Default)]
struct OutboxState {
    queue: VecDeque<(Bytes, Option<Destination>)>,
    bytes: usize,
    is_closing: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        // No holder can panic half-way: each does a few moves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All connections of one protocol.
pub struct Streams {
    limits: Limits,
    listeners: Vec<(SocketAddr, TcpListener)>,
    connections: BTreeMap<ConnectionId, Connection>,
    by_remote: BTreeMap<SocketAddr, BTreeSet<ConnectionId>>,
    cutter: fn() -> Box<dyn Cutter>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    id_next: u64,
    refused: u64,
    /// After a failed accept (no file descriptors left) listening rests until then.
    accept_rest_until: Option<Instant>,
}

/// Reports waiting for the loop. Few: what does not fit stays in the sockets.
const REPORTS_MAX: usize = 512;

impl Streams {
    /// Takes bound listeners. Identifiers start at `id_first` and rise by two, so that two protocols can share the
    /// numbers; starting at the microsecond of the start keeps them unlike those of an earlier process.
    pub fn new(
        limits: Limits,
        listeners: Vec<(SocketAddr, TcpListener)>,
        cutter: fn() -> Box<dyn Cutter>,
        id_first: u64,
    ) -> Streams {
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        Streams {
            limits,
            listeners,
            connections: BTreeMap::new(),
            by_remote: BTreeMap::new(),
            cutter,
            reports,
            inbox,
            id_next: id_first,
            refused: 0,
            accept_rest_until: None,
        }
    }

    /// Accepts from these listeners from now on. Connections stay.
    pub fn listen(&mut self, listeners: Vec<(SocketAddr, TcpListener)>) {
        self.listeners = listeners;
    }

    /// Sends what is queued on all connections, then closes them.
    pub fn close_all(&mut self) {
        let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
        all.into_iter().for_each(|id| self.close(id));
    }

    /// The connection of this name, open or being opened.
    pub fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// The newest connection to `remote`.
    pub fn connection_to(&self, remote: SocketAddr) -> Option<ConnectionId> {
        self.by_remote.get(&remote).and_then(|ids| ids.last().copied())
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Connections refused for want of room, since the last call.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Is anything still waiting to be sent?
    pub fn has_unsent(&self) -> bool {
        self.connections.values().any(|connection| connection.outbox.lock().bytes > 0)
    }

    /// Accepts what waits, and collects reports into `into`; ready when there was anything.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        into: &mut Vec<Report>,
        count_max: usize,
        on_accept: &mut dyn FnMut(ConnectionId, SocketAddr),
    ) -> Poll<()> {
        let mut is_ready = self.poll_accept(cx, now, on_accept);
        if self.inbox.poll_recv_many(cx, into, count_max).is_ready() {
            is_ready = true;
        }
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        on_accept: &mut dyn FnMut(ConnectionId, SocketAddr),
    ) -> bool {
        if self.accept_rest_until.is_some_and(|until| now < until) {
            return false;
        }
        self.accept_rest_until = None;
        let mut accepted = Vec::new();
        'listeners: for (local, listener) in &self.listeners {
            // A bounded batch: a storm of connections must not keep messages waiting.
            for _ in 0..64 {
                match listener.poll_accept(cx) {
                    Poll::Ready(Ok((stream, remote))) => accepted.push((*local, stream, remote)),
                    Poll::Ready(Err(error)) if is_of_one_connection(&error) => {}
                    Poll::Ready(Err(error)) => {
                        tracing::warn!(%error, "connections cannot be accepted");
                        self.accept_rest_until = Some(now + Duration::from_millis(100));
                        break 'listeners;
                    }
                    Poll::Pending => continue 'listeners,
                }
            }
            cx.waker().wake_by_ref();
        }
        let any = !accepted.is_empty();
        for (local, stream, remote) in accepted {
            if self.connections.len() >= self.limits.connections_max {
                self.refused += 1;
                continue;
            }
            let id = self.add(local, remote, true);
            let task = self.task(id);
            tokio::spawn(task.run(stream));
            on_accept(id, remote);
        }
        any
    }

    /// Opens a connection from an address of our own. It can be sent to at once.
    pub fn open(&mut self, from: Option<std::net::IpAddr>, remote: SocketAddr) -> ConnectionId {
        let local = SocketAddr::new(from.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()), 0);
        let id = self.add(local, remote, false);
        let task = self.task(id);
        tokio::spawn(task.connect(from, remote));
        id
    }

    /// Queues bytes on a connection; gives back `false` when it does not exist or its peer takes too little.
    pub fn send(&mut self, id: ConnectionId, bytes: Bytes, destination: Option<Destination>) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        let mut outbox = connection.outbox.lock();
        if outbox.is_closing || outbox.bytes + bytes.len() > self.limits.outbox_bytes_max {
            return false;
        }
        outbox.bytes += bytes.len();
        outbox.queue.push_back((bytes, destination));
        drop(outbox);
        connection.outbox.wake.notify_one();
        true
    }

    /// Sends what is queued on a connection, then closes it.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            connection.outbox.lock().is_closing = true;
            connection.outbox.wake.notify_one();
        }
    }

    /// Keeps the table in step with a report. For an ended connection it gives back what was known of it and where
    /// its unsent messages were meant to go.
    pub fn on_report(&mut self, report: &Report) -> Option<(Connection, Vec<Destination>)> {
        match &report.what {
            What::Opened { local } => {
                if let Some(connection) = self.connections.get_mut(&report.connection) {
                    connection.local = *local;
                    connection.is_open = true;
                }
                None
            }
            What::Message(_) => None,
            What::Closed { .. } => {
                let connection = self.connections.remove(&report.connection)?;
                if let Some(ids) = self.by_remote.get_mut(&connection.remote) {
                    ids.remove(&report.connection);
                    if ids.is_empty() {
                        self.by_remote.remove(&connection.remote);
                    }
                }
                let unsent = connection.outbox.lock().queue.drain(..).filter_map(|(_, to)| to).collect();
                Some((connection, unsent))
            }
        }
    }

    fn add(&mut self, local: SocketAddr, remote: SocketAddr, is_open: bool) -> ConnectionId {
        let id = ConnectionId(self.id_next);
        self.id_next += 2;
        self.connections.insert(id, Connection { local, remote, is_open, outbox: Arc::default() });
        self.by_remote.entry(remote).or_default().insert(id);
        id
    }

    fn task(&self, id: ConnectionId) -> Task {
        Task {
            id,
            outbox: self.connections[&id].outbox.clone(),
            cutter: (self.cutter)(),
            reports: self.reports.clone(),
            limits: self.limits,
        }
    }
}

/// Errors of accept(2) that belong to the connection, not to the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Task {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    cutter: Box<dyn Cutter>,
    reports: mpsc::Sender<Report>,
    limits: Limits,
}

/// Why a task ends.
struct End {
    reason: String,
    is_malformed: bool,
}

impl End {
    fn because(reason: impl Into<String>) -> End {
        End { reason: reason.into(), is_malformed: false }
    }
}

impl Task {
    async fn connect(self, from: Option<std::net::IpAddr>, remote: SocketAddr) {
        let attempt = async {
            let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            socket.connect(remote).await
        };
        match tokio::time::timeout(self.limits.connect_patience, attempt).await {
            Ok(Ok(stream)) => match stream.local_addr() {
                Ok(local) => {
                    self.report(What::Opened { local }).await;
                    self.run(stream).await;
                }
                Err(error) => self.end(End::because(error.to_string())).await,
            },
            Ok(Err(error)) => self.end(End::because(error.to_string())).await,
            Err(_) => self.end(End::because("no answer to the attempt to connect")).await,
        }
    }

    async fn run(mut self, stream: TcpStream) {
        // Nagle would hold a small message back until the answer to the one before.
        let _ = stream.set_nodelay(true);
        let end = self.serve(&stream).await;
        drop(stream);
        self.end(end).await;
    }

    async fn end(self, end: End) {
        self.report(What::Closed { reason: end.reason, is_malformed: end.is_malformed }).await;
    }

    async fn report(&self, what: What) {
        let report = Report { connection: self.id, at: crate::clock::now(), what };
        // The loop is gone only when the process ends.
        let _ = self.reports.send(report).await;
    }

    /// Reads and writes until one side ends it.
    async fn serve(&mut self, stream: &TcpStream) -> End {
        let mut cuts = Vec::new();
        let mut front = None;
        let end = self.serve_until(stream, &mut cuts, &mut front).await;
        if let Some(unsent) = front {
            self.outbox.lock().queue.push_front(unsent);
        }
        end
    }

    async fn serve_until(
        &mut self,
        stream: &TcpStream,
        cuts: &mut Vec<Cut>,
        front: &mut Option<(Bytes, Option<Destination>)>,
    ) -> End {
        let mut message_deadline = None;
        let mut write_deadline = None;
        loop {
            let is_closing = {
                let mut outbox = self.outbox.lock();
                if front.is_none() {
                    *front = outbox.queue.pop_front();
                    if outbox.queue.is_empty() && outbox.queue.capacity() > 16 {
                        outbox.queue.shrink_to_fit();
                    }
                }
                outbox.is_closing
            };
            if let Some((bytes, _)) = front {
                match write(stream, bytes) {
                    Ok(0) => {}
                    Ok(count) => {
                        self.outbox.lock().bytes -= count;
                        write_deadline = None;
                        if bytes.is_empty() {
                            *front = None;
                            continue;
                        }
                    }
                    Err(error) => return End::because(error.to_string()),
                }
            } else if is_closing {
                return End::because("closed by us");
            }
            let mut interest = Interest::READABLE;
            if front.is_some() {
                interest |= Interest::WRITABLE;
                write_deadline.get_or_insert_with(|| after(self.limits.write_patience));
            }
            let deadline = earlier(message_deadline, write_deadline);
            tokio::select! {
                ready = stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => {
                        match read(stream, &mut *self.cutter, cuts) {
                            Ok(Some(progress)) => {
                                if progress == Progress::Between || !cuts.is_empty() {
                                    message_deadline = None;
                                }
                                if progress == Progress::Unfinished {
                                    message_deadline.get_or_insert_with(|| after(self.limits.message_patience));
                                }
                            }
                            Ok(None) => {}
                            Err(end) => {
                                self.hand_over(cuts).await;
                                return end;
                            }
                        }
                        self.hand_over(cuts).await;
                    }
                    Ok(_) => {}
                    Err(error) => return End::because(error.to_string()),
                },
                () = self.outbox.wake.notified() => {}
                () = tokio::time::sleep_until(deadline.unwrap_or_else(|| after(Duration::from_secs(86_400)))),
                    if deadline.is_some() =>
                {
                    return End::because(if message_deadline == deadline {
                        "a message was begun and not finished in time"
                    } else {
                        "the peer does not take what it is sent"
                    });
                }
            }
        }
    }

    async fn hand_over(&mut self, cuts: &mut Vec<Cut>) {
        for cut in cuts.drain(..) {
            match cut {
                Cut::Message(bytes) => self.report(What::Message(bytes)).await,
                Cut::Answer(bytes) => {
                    let mut outbox = self.outbox.lock();
                    // A peer that asks and never takes the answers gets no more of them.
                    if outbox.bytes < self.limits.outbox_bytes_max {
                        outbox.bytes += bytes.len();
                        outbox.queue.push_back((Bytes::from_static(bytes), None));
                    }
                }
            }
        }
    }
}

/// How much one read takes at most.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// One read; `None` when there was nothing after all.
fn read(stream: &TcpStream, cutter: &mut dyn Cutter, cuts: &mut Vec<Cut>) -> Result<Option<Progress>, End> {
    SCRATCH.with_borrow_mut(|scratch| match stream.try_read(scratch) {
        Ok(0) => Err(End::because("closed by the peer")),
        Ok(count) => match cutter.cut(&scratch[..count], cuts) {
            Ok(progress) => Ok(Some(progress)),
            Err(reason) => Err(End { reason, is_malformed: true }),
        },
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(End::because(error.to_string())),
    })
}

/// Writes what the socket takes and cuts it off `bytes`; 0 when it takes nothing.
fn write(stream: &TcpStream, bytes: &mut Bytes) -> io::Result<usize> {
    match stream.try_write(bytes) {
        Ok(count) => {
            let _ = bytes.split_to(count);
            Ok(count)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}

fn after(patience: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + patience
}

fn earlier(a: Option<tokio::time::Instant>, b: Option<tokio::time::Instant>) -> Option<tokio::time::Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
