//! A run for people, and the same numbers as JSON.

use serde_json::{Value, json};

use crate::core::FUNCTIONS;
use crate::tally::Delay;
use crate::traffic::Outcome;

/// Prints a run.
pub fn print(outcome: &Outcome) {
    let tally = &outcome.tally;
    println!(
        "{:<28}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "delay in ms", "n", "mean", "p50", "p90", "p95", "p99", "max"
    );
    for delay in Delay::ALL {
        let Some(found) = tally.statistics(delay) else { continue };
        println!(
            "{:<28}{:>8}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}",
            delay.name(),
            found.count,
            found.mean,
            found.p50,
            found.p90,
            found.p95,
            found.p99,
            found.maximum
        );
    }
    println!("\n{:<28}{:>8}{:>9}{:>9}{:>9}", "attempts", "started", "good", "too slow", "failed");
    for (name, ends) in &tally.ends {
        println!(
            "{name:<28}{:>8}{:>9}{:>9}{:>9}",
            ends.attempts,
            ends.successes,
            ends.inadequate,
            ends.failed()
        );
        for (reason, count) in &ends.failures {
            println!("    {count} ended with {reason}");
        }
    }
    println!("\n{:<28}{:>12}{:>14}", "CPU", "ms/attempt", "% of a core");
    for name in FUNCTIONS {
        println!("{name:<28}{:>12.3}{:>14.1}", outcome.cpu_per_attempt(name), share(outcome, name));
    }
    let generator = outcome.cpu_generator.as_secs_f64() / outcome.elapsed.as_secs_f64() * 100.0;
    println!("{:<28}{:>12.3}", "the four together", outcome.cpu_per_attempt_total());
    println!("{:<28}{:>12}{generator:>14.1}", "this generator", "");
    println!(
        "\n{:.1} attempts/s over {:.1} s; second challenges: {}; repeated by devices: {}; at most {:.1} ms late{}",
        outcome.rate(),
        outcome.elapsed.as_secs_f64(),
        tally.second_challenges,
        list(&tally.retransmissions),
        outcome.lateness_max.as_secs_f64() * 1000.0,
        if outcome.without_device > 0 {
            format!("; {} times no device was idle: more subscribers are needed", outcome.without_device)
        } else {
            String::new()
        },
    );
    if outcome.dropped > 0 {
        println!("{} datagrams of ours did not fit into the kernel's buffer", outcome.dropped);
    }
    for (what, count) in &tally.violations {
        println!("VIOLATION: {what}: {count}");
    }
}

/// Percent of one core that a function used.
pub fn share(outcome: &Outcome, name: &str) -> f64 {
    outcome.cpu_per_attempt(name) * outcome.rate() / 10.0
}

fn list(counts: &std::collections::BTreeMap<String, u64>) -> String {
    if counts.values().all(|count| *count == 0) {
        return "none".into();
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// The same as a document.
pub fn document(outcome: &Outcome) -> Value {
    let tally = &outcome.tally;
    let delays: serde_json::Map<String, Value> = Delay::ALL
        .iter()
        .filter_map(|delay| {
            let id = serde_json::to_value(delay).ok()?.as_str()?.to_owned();
            Some((id, json!(tally.statistics(*delay)?)))
        })
        .collect();
    let cpu: serde_json::Map<String, Value> =
        FUNCTIONS.iter().map(|name| ((*name).to_owned(), json!(outcome.cpu_per_attempt(name)))).collect();
    json!({
        "seconds": outcome.elapsed.as_secs_f64(),
        "attemptsPerSecond": outcome.rate(),
        "delaysMilliseconds": delays,
        "scenarios": tally.ends,
        "cpuMillisecondsPerAttempt": cpu,
        "retransmissions": tally.retransmissions,
        "secondChallenges": tally.second_challenges,
        "inadequateShare": tally.inadequate_share(),
        "violations": tally.violations,
        "latenessMaxMilliseconds": outcome.lateness_max.as_secs_f64() * 1000.0,
        "withoutDevice": outcome.without_device,
    })
}
