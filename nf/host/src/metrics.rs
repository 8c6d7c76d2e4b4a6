//! Counters from events, and gauges of the process, as Prometheus text.
//!
//! Handles are looked up once and kept: counting a message costs one addition. Label values come from constant words,
//! from the methods known to SIP and from status codes, so no sender can make the number of series grow.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use clock::Duration;
use node::Event;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// The methods that have a series of their own.
const METHODS: [&str; 15] = [
    "REGISTER",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "INFO",
    "REFER",
    "PUBLISH",
    "other",
];
const STATUS_FIRST: usize = 100;
const STATUS_COUNT: usize = 600;

/// One metric as `docs/reference/metrics.md` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, without the prefix `evertone_` that all have.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, besides `function` and `instance` that all have.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    families: Vec<Family>,
    received: Messages,
    sent: Messages,
    retransmissions_sent: IntCounter,
    retransmissions_absorbed: ByMethod,
    rejected: Words<1>,
    procedures: Words<2>,
    shed: ByMethod,
    diameter: Words<2>,
    diameter_rejected: IntCounter,
    diameter_results: Mutex<BTreeMap<String, IntCounter>>,
    diameter_results_vec: IntCounterVec,
    alarms: Words<1>,
    /// How long messages waited before they were handled.
    pub queue_wait: Histogram,
    /// How long making the store durable took.
    pub store_commit: Histogram,
    /// Messages that could not be handed to the network.
    pub undeliverable: IntCounter,
    /// Datagrams lost because the send buffer was full.
    pub send_buffer_full: IntCounter,
    /// Connections closed for want of room.
    pub connections_refused: IntCounter,
    /// Open SIP connections.
    pub sip_connections: IntGauge,
    /// Diameter peers that can be used.
    pub diameter_peers_up: IntGauge,
    cpu_seconds: Mutex<(Counter, f64)>,
    resident_bytes: Gauge,
    open_files: Gauge,
}

impl Metrics {
    /// The metrics of `instance`, all at zero.
    pub fn new(function: &str, instance: &str) -> Metrics {
        let labels = [("function", function), ("instance", instance)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let registry = Registry::new_custom(Some("evertone".into()), Some(labels))
            .expect("the prefix and the label names are constant and valid");
        let process = Registrar { registry: &registry, families: RefCell::default() };
        let words = |name, help, labels| process.counters(name, help, labels);
        let diameter_results_vec = words(
            "diameter_answers_total",
            "Diameter answers by command and result, received or sent",
            &["direction", "command", "result"],
        );
        let mut metrics = Metrics {
            families: Vec::new(),
            received: Messages::new(&process, "received"),
            sent: Messages::new(&process, "sent"),
            retransmissions_sent: process
                .counter("sip_retransmissions_sent_total", "Messages repeated by a transaction timer"),
            retransmissions_absorbed: ByMethod::new(words(
                "sip_retransmissions_absorbed_total",
                "Repetitions received and absorbed, by method",
                &["method"],
            )),
            rejected: Words::new(words(
                "sip_messages_rejected_total",
                "Messages refused or dropped, by cause",
                &["cause"],
            )),
            procedures: Words::new(words(
                "procedures_total",
                "Procedures that ended, by name and outcome",
                &["procedure", "outcome"],
            )),
            shed: ByMethod::new(words(
                "sip_requests_shed_total",
                "Requests refused because of overload, by method",
                &["method"],
            )),
            diameter: Words::new(words(
                "diameter_messages_total",
                "Diameter messages by direction and command",
                &["direction", "command"],
            )),
            diameter_rejected: process
                .counter("diameter_messages_rejected_total", "Diameter messages that break a rule"),
            diameter_results: Mutex::default(),
            diameter_results_vec,
            alarms: Words::new(words("alarms_total", "Alarms by cause", &["cause"])),
            queue_wait: process.histogram(
                "sip_queue_wait_seconds",
                "Time between taking a message from its socket and handling it",
                &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0],
            ),
            store_commit: process.histogram(
                "store_commit_seconds",
                "Time to make the store durable",
                &[0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
            ),
            undeliverable: process.counter(
                "sip_messages_undeliverable_total",
                "Messages that could not be handed to the network",
            ),
            send_buffer_full: process
                .counter("sip_datagrams_dropped_total", "Datagrams lost because the send buffer was full"),
            connections_refused: process
                .counter("sip_connections_refused_total", "Connections closed because too many were open"),
            sip_connections: process.gauge("sip_connections", "Open SIP connections"),
            diameter_peers_up: process.gauge("diameter_peers_up", "Diameter peers that can be used"),
            cpu_seconds: Mutex::new((
                process.add(
                    "counter",
                    Counter::new("process_cpu_seconds_total", "CPU time used by the process, all threads"),
                ),
                0.0,
            )),
            resident_bytes: process
                .add("gauge", Gauge::new("process_resident_memory_bytes", "Resident memory")),
            open_files: process.add("gauge", Gauge::new("process_open_fds", "Open file descriptors")),
            registry: registry.clone(),
        };
        metrics.families = process.families.into_inner();
        metrics
    }

    /// All metrics there are, also those that have not counted anything yet.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// Counts an event.
    pub fn on_event(&self, event: &Event) {
        match event {
            Event::SipReceived { bytes, .. } => self.received.count(bytes),
            Event::SipSent { bytes, is_retransmission, .. } => {
                self.sent.count(bytes);
                if *is_retransmission {
                    self.retransmissions_sent.inc();
                }
            }
            Event::MessageRejected { cause, .. } => self.rejected.count([cause]),
            Event::RetransmissionAbsorbed { method } => self.retransmissions_absorbed.count(method),
            Event::Diameter { is_received, command, result, .. } => {
                let direction = if *is_received { "received" } else { "sent" };
                self.diameter.count([direction, command]);
                if let Some(result) = result {
                    self.count_diameter_result(direction, command, result);
                }
            }
            Event::DiameterRejected { .. } => self.diameter_rejected.inc(),
            Event::Procedure { name, outcome, .. } => self.procedures.count([name, outcome]),
            Event::Shed { method } => self.shed.count(method),
            Event::Alarm { cause, .. } => self.alarms.count([cause]),
            Event::DiameterPeerUp { .. } | Event::DiameterPeerDown { .. } => {}
        }
    }

    /// Prometheus's text format, with the process's gauges as of now.
    pub fn render(&self) -> String {
        {
            let mut cpu = lock(&self.cpu_seconds);
            let total = crate::clock::process_cpu_seconds();
            cpu.0.inc_by((total - cpu.1).max(0.0));
            cpu.1 = total;
        }
        self.resident_bytes.set(resident_bytes().unwrap_or(0.0));
        self.open_files.set(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as f64);
        let mut text = String::new();
        let encoded = prometheus::TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        debug_assert!(encoded.is_ok(), "every family has a series");
        text
    }

    /// Results come from the peer as text: a bounded number of them gets a series, by their number alone.
    fn count_diameter_result(&self, direction: &str, command: &str, result: &str) {
        let code = result.split(' ').next().unwrap_or("");
        let code =
            if code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_digit()) { code } else { "other" };
        let key = format!("{direction} {command} {code}");
        let mut known = lock(&self.diameter_results);
        if let Some(counter) = known.get(&key) {
            return counter.inc();
        }
        let code = if known.len() < 256 { code } else { "other" };
        let counter = self.diameter_results_vec.with_label_values(&[direction, command, code]);
        counter.inc();
        known.insert(key, counter);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Resident memory, from the kernel's account of this process.
pub fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Requests by method and responses by status, in one direction.
struct Messages {
    requests: ByMethod,
    responses_vec: IntCounterVec,
    responses: Vec<std::sync::OnceLock<IntCounter>>,
}

impl Messages {
    fn new(process: &Registrar<'_>, direction: &str) -> Messages {
        Messages {
            requests: ByMethod::new(process.counters(
                &format!("sip_requests_{direction}_total"),
                &format!("SIP requests {direction}, by method"),
                &["method"],
            )),
            responses_vec: process.counters(
                &format!("sip_responses_{direction}_total"),
                &format!("SIP responses {direction}, by status"),
                &["status"],
            ),
            responses: (0..STATUS_COUNT).map(|_| std::sync::OnceLock::new()).collect(),
        }
    }

    fn count(&self, bytes: &[u8]) {
        match status_of(bytes) {
            Some(status) => {
                let counter = &self.responses[status - STATUS_FIRST];
                counter.get_or_init(|| self.responses_vec.with_label_values(&[&status.to_string()])).inc();
            }
            None => {
                let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(0).min(32);
                self.requests.count(std::str::from_utf8(&bytes[..end]).unwrap_or(""));
            }
        }
    }
}

/// The status code when the bytes are a response.
fn status_of(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    let status = std::str::from_utf8(digits).ok()?.parse::<usize>().ok()?;
    (STATUS_FIRST..STATUS_FIRST + STATUS_COUNT).contains(&status).then_some(status)
}

/// One counter a method, made when it is first met.
struct ByMethod {
    vec: IntCounterVec,
    counters: [std::sync::OnceLock<IntCounter>; METHODS.len()],
}

impl ByMethod {
    fn new(vec: IntCounterVec) -> ByMethod {
        ByMethod { vec, counters: [const { std::sync::OnceLock::new() }; METHODS.len()] }
    }

    fn count(&self, method: &str) {
        let index = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        self.counters[index].get_or_init(|| self.vec.with_label_values(&[METHODS[index]])).inc();
    }
}

/// Counters by constant words.
struct Words<const N: usize> {
    vec: IntCounterVec,
    known: Mutex<BTreeMap<[&'static str; N], IntCounter>>,
}

impl<const N: usize> Words<N> {
    fn new(vec: IntCounterVec) -> Self {
        Words { vec, known: Mutex::default() }
    }

    fn count(&self, words: [&'static str; N]) {
        lock(&self.known).entry(words).or_insert_with(|| self.vec.with_label_values(&words)).inc();
    }
}

/// Registers metrics, and notes what was registered.
struct Registrar<'a> {
    registry: &'a Registry,
    families: RefCell<Vec<Family>>,
}

impl Registrar<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        kind: &'static str,
        collector: prometheus::Result<C>,
    ) -> C {
        let collector = collector.expect("names, labels and buckets are constant and valid");
        self.families.borrow_mut().extend(collector.desc().into_iter().map(|description| Family {
            name: description.fq_name.clone(),
            kind,
            labels: description.variable_labels.clone(),
            help: description.help.clone(),
        }));
        self.registry.register(Box::new(collector.clone())).expect("each name is registered once");
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add("counter", IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add("gauge", IntGauge::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add("counter", IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add("histogram", Histogram::with_opts(options))
    }
}

/// Seconds, for a histogram.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use node::event::Pii;
    use node::wire::{Destination, Transport};

    #[test]
    fn messages_are_counted_by_method_and_status_and_strange_methods_share_one_series() {
        let metrics = Metrics::new("scscf", "scscf-1");
        let destination = Destination {
            transport: Transport::Udp,
            remote: "127.0.0.1:5060".parse().unwrap(),
            local: None,
            connection: None,
        };
        for line in ["REGISTER sip:a SIP/2.0", "EVIL1 sip:a SIP/2.0", "EVIL2 sip:a SIP/2.0", "SIP/2.0 401 No"]
        {
            metrics.on_event(&Event::SipSent {
                destination,
                bytes: Bytes::from(line.to_owned()),
                is_retransmission: false,
            });
        }
        metrics.on_event(&Event::Procedure {
            name: "registration",
            outcome: "ok",
            identity: Pii::new("sip:a@b".into()),
            detail: String::new(),
        });
        let text = metrics.render();
        for (name, labels, end) in [
            ("evertone_sip_requests_sent_total", r#"method="REGISTER""#, " 1"),
            ("evertone_sip_requests_sent_total", r#"method="other""#, " 2"),
            ("evertone_sip_responses_sent_total", r#"status="401""#, " 1"),
            ("evertone_procedures_total", r#"outcome="ok",procedure="registration""#, " 1"),
        ] {
            let is_there = text
                .lines()
                .any(|line| line.starts_with(name) && line.contains(labels) && line.ends_with(end));
            assert!(
                is_there && text.contains(r#"instance="scscf-1""#),
                "{name} {labels}{end} not in\n{text}"
            );
        }
        assert!(!text.contains("sip:a@b"), "an identity leaked into the metrics");
        assert!(text.contains("evertone_process_cpu_seconds_total"));
    }
}
