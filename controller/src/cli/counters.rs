//! Figures of a running core: how many are registered, what the functions did. Read from their admin sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use node::config::FunctionKind;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::instances;
use crate::http;

/// The figures; what cannot be read is absent.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Subscribers in the HSS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<u64>,
    /// Of these, how many have a registered identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered: Option<u64>,
    /// Procedures that ended since the functions started, by function, name and outcome.
    pub procedures: BTreeMap<String, u64>,
}

/// A figure must not hold up the picture.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Count {
    subscribers: u64,
    registered: u64,
}

/// Reads the figures.
pub async fn read(context: &Context) -> Counters {
    let mut counters = Counters::default();
    let socket = async |kind| context.places.socket(instances::serving(context, kind).await);
    let hss = socket(FunctionKind::Hss).await;
    if let Ok(answer) = http::post(&hss, "/command/subscriber.count", Vec::new(), PATIENCE).await
        && let Ok(count) = answer.json::<Count>()
    {
        (counters.subscribers, counters.registered) = (Some(count.subscribers), Some(count.registered));
    }
    for kind in FunctionKind::ALL {
        let Ok(answer) = http::get(&socket(kind).await, "/metrics", PATIENCE).await else {
            continue;
        };
        for (name, value) in procedures(&answer.text()) {
            counters.procedures.insert(format!("{} {name}", kind.as_str()), value);
        }
    }
    counters
}

/// `procedure outcome` and its count, from the Prometheus text.
fn procedures(text: &str) -> Vec<(String, u64)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("evertone_procedures_total{"));
    lines
        .filter_map(|line| {
            let (labels, value) = line.rsplit_once('}')?;
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                rest.split_once('"').map(|(value, _)| value)
            };
            let count = value.trim().parse::<f64>().ok()?;
            // A counter of whole things, written as a floating-point number by the format.
            Some((format!("{} {}", label("procedure")?, label("outcome")?), count as u64))
        })
        .collect()
}

impl Counters {
    /// For people.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let (Some(subscribers), Some(registered)) = (self.subscribers, self.registered) {
            text.push_str(&format!("\nsubscribers: {subscribers}, registered: {registered}\n"));
        }
        let counted: Vec<String> =
            self.procedures.iter().map(|(name, count)| format!("{name}: {count}")).collect();
        if !counted.is_empty() {
            text.push_str(&format!("procedures since the start: {}\n", counted.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn procedures_are_read_from_the_metrics() {
        let text = "# TYPE evertone_procedures_total counter\n\
            evertone_procedures_total{function=\"scscf\",outcome=\"ok\",procedure=\"registration\"} 12\n\
            evertone_other{outcome=\"ok\"} 3\n";
        assert_eq!(super::procedures(text), [("registration ok".to_owned(), 12)]);
    }
}
