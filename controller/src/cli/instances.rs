//! Which processes the core of the resource in force has, and which of a pair answers questions.

use node::config::FunctionKind;
use plan::ProcessName;

use super::context::Context;
use crate::{health, watch};

/// Are the functions of the resource in force pairs?
pub fn has_pairs(context: &Context) -> bool {
    watch::accepted_text(&context.places).is_some_and(|text| watch::has_pairs(&text))
}

/// The processes of the core, in the order in which they are started.
pub fn all(context: &Context) -> Vec<ProcessName> {
    ProcessName::of_core(has_pairs(context)).collect()
}

/// The processes of one function.
pub fn of(context: &Context, kind: FunctionKind) -> Vec<ProcessName> {
    all(context).into_iter().filter(|name| name.kind() == Some(kind)).collect()
}

/// The process to ask about a function: the one that is alone; of a pair the one that says that it serves, and when neither does,
/// the first.
pub async fn serving(context: &Context, kind: FunctionKind) -> ProcessName {
    let instances = of(context, kind);
    if let [_, _] = instances[..]
        && let Some(serving) = serving_of_pair(context, kind).await
    {
        return serving;
    }
    instances[0]
}

/// The instance of a pair that says that it serves. Two say so for a moment after one stood still: the newer epoch is right.
pub async fn serving_of_pair(context: &Context, kind: FunctionKind) -> Option<ProcessName> {
    let mut serving = None;
    for name in ProcessName::pair(kind) {
        let heard = health::probe(name, &context.places.socket(name)).await;
        let place = heard.ok().and_then(|heard| heard.place);
        let place = place.filter(|place| place.role.serves());
        serving = serving.max(place.map(|place| (place.epoch, name)));
    }
    serving.map(|(_, name)| name)
}
