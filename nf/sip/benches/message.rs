//! What parsing and forwarding one message cost. Criterion prints the distributions; the figures that the project
//! promises are measured once more, in a plain loop, and written to `target/figures/sip.json`.

#[path = "../tests/counting/mod.rs"]
mod counting;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use counting::allocations;
use criterion::Criterion;
use sip::{Draft, Message, Name};

const REGISTER: &[u8] = include_bytes!("register.sip");
const INVITE: &[u8] = include_bytes!("invite.sip");

fn parse(text: &'static [u8]) -> Message {
    Message::parse(Bytes::from_static(text)).expect("the sample is a message")
}

/// What a proxy does to every request: its Via on top, everything else as it came.
fn forward(message: &Message, via: &str) -> Bytes {
    let mut draft = Draft::of(message);
    draft.push_front(Name::Via, via);
    draft.emit()
}

const VIA: &str = "SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK0123456789abcdef";

fn main() {
    let times = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    let mut criterion = times.configure_from_args();
    let register = parse(REGISTER);
    criterion.bench_function("parse_register", |bencher| bencher.iter(|| parse(black_box(REGISTER))));
    criterion.bench_function("parse_invite", |bencher| bencher.iter(|| parse(black_box(INVITE))));
    criterion.bench_function("validate_register", |bencher| bencher.iter(|| black_box(&register).validate()));
    criterion.bench_function("draft_of_register", |bencher| bencher.iter(|| Draft::of(black_box(&register))));
    criterion.bench_function("push_via", |bencher| {
        let prepare = || (Draft::of(&register), VIA.to_owned());
        let push = |(mut draft, via): (Draft, String)| {
            draft.push_front(Name::Via, via);
            draft
        };
        bencher.iter_batched(prepare, push, criterion::BatchSize::SmallInput);
    });
    criterion
        .bench_function("push_via_and_emit", |bencher| bencher.iter(|| forward(black_box(&register), VIA)));
    criterion.final_summary();
    write_figures(&register);
}

fn write_figures(register: &Message) {
    let allocated = allocations(|| parse(REGISTER)).1 as f64;
    let figures = [
        figure("sip.parse_register", microseconds(|| parse(black_box(REGISTER))), "us", Some(0.5)),
        figure("sip.parse_register_allocations", allocated, "count", Some(1.0)),
        figure("sip.parse_invite", microseconds(|| parse(black_box(INVITE))), "us", None),
        figure("sip.push_via_and_emit", microseconds(|| forward(black_box(register), VIA)), "us", None),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/figures");
    let text = serde_json::to_string_pretty(&figures).expect("figures are plain data");
    save(&folder, &text);
    println!("{text}");
}

fn figure(id: &str, value: f64, unit: &str, goal_max: Option<f64>) -> serde_json::Value {
    let goal = goal_max.map_or("report".to_owned(), |max| format!("<= {max}"));
    let value = (value * 1000.0).round() / 1000.0;
    let command = "cargo bench -p sip";
    serde_json::json!({ "id": id, "value": value, "unit": unit, "goal": goal, "better": "lower", "command": command })
}

/// The median over batches of the time one call takes: a batch that was interrupted does not move it.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark reads the clock")]
fn microseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    const CALLS: u32 = 10_000;
    let mut batches: Vec<f64> = (0..51)
        .map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..CALLS {
                black_box(work());
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark writes its figures")]
fn save(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder).expect("the target folder can be written");
    std::fs::write(folder.join("sip.json"), text).expect("the figures can be written");
}
