//! The last sentence of a story: how it ended, and where to look when it ended badly.

use std::collections::BTreeSet;

use node::config::FunctionKind::{Icscf, Scscf};

use super::draw::{TEXT_MAX, name, shown};
use super::explain::function;
use super::{Arrival, Arrow, Party, Story, tag};

pub(super) fn sentence(story: &Story) -> String {
    let Some(first) = story.arrows.first() else { return String::new() };
    let method = first.method().to_owned();
    let told = match method.as_str() {
        _ if first.status().is_some() => {
            "not known: what is recorded begins with a response, so the beginning is missing.".into()
        }
        "REGISTER" => registration(story),
        "INVITE" => call(story),
        _ if first.is_diameter() => format!("Diameter only: {} messages.", story.arrows.len()),
        other => request(story, other),
    };
    let mut text = format!("Outcome: {told}");
    if let Some(refusal) = refusal(story) {
        text.push_str(&format!(" {refusal}"));
    }
    let (repeated, lost) = (count(story, |arrow| arrow.is_repetition), count(story, Arrow::is_lost));
    if repeated > 0 {
        text.push_str(&format!(
            " {repeated} {} sent again.",
            if repeated == 1 { "message was" } else { "messages were" }
        ));
    }
    if lost > 0 {
        text.push_str(&format!(
            " {lost} {} lost between functions.",
            if lost == 1 { "message was" } else { "messages were" }
        ));
    }
    let forgotten: BTreeSet<&Party> = story
        .arrows
        .iter()
        .filter(|arrow| arrow.arrival == Arrival::Forgotten)
        .map(|arrow| &arrow.to)
        .collect();
    for kind in forgotten.into_iter().filter_map(function) {
        text.push_str(&format!(
            " What the {} received is not known: it does not answer, or does not remember that time.",
            name(kind)
        ));
    }
    text
}

/// Responses to `method` that reached whoever began, in order.
fn answers<'a>(story: &'a Story, method: &'a str) -> impl Iterator<Item = (&'a Arrow, u16)> {
    let transaction = |arrow: &'a Arrow| (&arrow.told.cseq, &arrow.told.branch);
    let asked: BTreeSet<_> =
        story.arrows.iter().filter(|arrow| is_of_beginner(story, arrow)).map(transaction).collect();
    story.arrows.iter().filter_map(move |arrow| {
        let status = arrow.status()?;
        let is_for_device = method == "REGISTER" && matches!(arrow.to, Party::Device(_));
        let is_answer = is_for_device || asked.contains(&transaction(arrow));
        (arrow.method() == method && is_answer).then_some((arrow, status))
    })
}

/// Is it a request of the side that began? A device is known by its From tag: its address is another one when it asks
/// over UDP without rport or opens a new connection.
fn is_of_beginner(story: &Story, arrow: &Arrow) -> bool {
    let is_device = |arrow: &Arrow| matches!(arrow.from, Party::Device(_));
    arrow.is_request()
        && !arrow.is_diameter()
        && story.arrows.first().is_some_and(|first| {
            (arrow.from == first.from || is_device(arrow) && is_device(first)) && is_same_side(arrow, first)
        })
}

fn is_same_side(arrow: &Arrow, other: &Arrow) -> bool {
    tag(&arrow.told.from) == tag(&other.told.from)
}

/// How long after the start.
pub(super) fn milliseconds(story: &Story, arrow: &Arrow) -> String {
    let first = story.arrows.first().map_or(arrow.micros, |first| first.micros);
    match arrow.micros.saturating_sub(first) {
        micros if micros < 10_000_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        micros => format!("{:.1} s", micros as f64 / 1_000_000.0),
    }
}

fn registration(story: &Story) -> String {
    let is_challenge = |(arrow, status): &(&Arrow, u16)| *status == 401 && !arrow.is_repetition;
    let challenges = answers(story, "REGISTER").filter(is_challenge).count();
    let finals: Vec<(&Arrow, u16)> =
        answers(story, "REGISTER").filter(|(_, status)| *status >= 200).collect();
    let challenged = match challenges {
        0 => "without a challenge".to_owned(),
        1 => "after one challenge".to_owned(),
        more => format!(
            "after {more} challenges (more than one means a stale nonce, a wrong secret or an SQN that was behind)"
        ),
    };
    let is_leaving = story.arrows.first().is_some_and(Arrow::is_deregistration);
    let what = if is_leaving { "de-registration" } else { "registration" };
    match finals.last() {
        Some((arrow, 200..300)) => {
            format!("the {what} succeeded {challenged}; the 200 left {} after the start.", milliseconds(story, arrow))
        }
        Some((_, 401)) if challenges > 1 => {
            "the device's answer to the challenge was not accepted; `evertone subscriber check` tells which value is wrong.".into()
        }
        Some((_, 401)) => "the device was challenged and has not answered: it refuses the network's challenge, or has no credentials.".into(),
        Some((arrow, status)) => format!("the {what} failed with {status} {challenged}, {} after the start; `evertone subscriber check` may tell why.", milliseconds(story, arrow)),
        None => no_answer(story),
    }
}

fn call(story: &Story) -> String {
    let finals: Vec<(&Arrow, u16)> = answers(story, "INVITE").filter(|(_, status)| *status >= 200).collect();
    let ringing = answers(story, "INVITE").find(|(_, status)| (180..200).contains(status));
    let rang =
        ringing.map_or(String::new(), |(arrow, _)| format!("it rang after {}; ", milliseconds(story, arrow)));
    // A caller may ask again after 407, 420 or 422.
    let is_success = |(_, status): &&(&Arrow, u16)| (200..300).contains(status);
    let Some((answer, status)) = finals.iter().find(is_success).or(finals.last()) else {
        return format!("{rang}{}", no_answer(story));
    };
    let when = milliseconds(story, answer);
    match status {
        200..300 => {
            let bye = story.arrows.iter().find(|arrow| arrow.method() == "BYE" && arrow.status().is_none());
            let is_ack = |arrow: &Arrow| {
                arrow.method() == "ACK" && is_of_beginner(story, arrow) && arrow.micros >= answer.micros
            };
            let has_ack = story.arrows.iter().any(is_ack);
            let ack = if has_ack { "" } else { " The caller did not confirm it (no ACK)." };
            let end = match bye {
                None => "it has not ended yet, as far as is recorded".to_owned(),
                Some(bye) => {
                    let by_caller = story.arrows.first().is_some_and(|first| is_same_side(first, bye));
                    let who = if by_caller { "the caller" } else { "the called side" };
                    let seconds = bye.micros.saturating_sub(answer.micros) as f64 / 1_000_000.0;
                    format!("{who} hung up after {seconds:.1} s of talk")
                }
            };
            format!("the call succeeded: {rang}it was answered after {when}, and {end}.{ack}")
        }
        _ => format!("{rang}{} ({when}).", refused_call(story, answer, *status)),
    }
}

/// Why a call failed: the same status means something else from a device than from a function.
fn refused_call(story: &Story, answer: &Arrow, status: u16) -> String {
    let is_same = |arrow: &&Arrow| arrow.status() == Some(status) && arrow.told.cseq == answer.told.cseq;
    let first = story.arrows.iter().find(is_same).unwrap_or(answer);
    let is_invited = story.arrows.iter().any(|arrow| arrow.method() == "INVITE" && arrow.to == first.from);
    let is_cancelled =
        story.arrows.iter().any(|arrow| arrow.method() == "CANCEL" && is_of_beginner(story, arrow));
    // The CSCFs answer 404 and 480 for other reasons too: what is so of the called user, the HSS has said.
    let located = story.arrows.iter().rev().find(|arrow| arrow.method() == "LIA");
    let located = located.and_then(|arrow| arrow.told.summary.split(' ').next_back()).unwrap_or_default();
    let phrase = phrase(first);
    match (status, function(&first.from), located) {
        (487, _, _) if is_cancelled => "the caller gave up: 487".into(),
        (486 | 600, None, _) => format!("the called user is busy: {status}"),
        (480, Some(Icscf | Scscf), "ERROR_IDENTITY_NOT_REGISTERED" | "UNREGISTERED_SERVICE") => {
            "the called user cannot be reached: no registered device".into()
        }
        (404, Some(Icscf), "ERROR_USER_UNKNOWN") => "there is no such user".into(),
        (_, Some(kind), _) => format!("the call failed: the {} answered {status}: {phrase}", name(kind)),
        (_, None, _) if is_invited => {
            format!("the call failed: the callee's device answered {status} ({phrase})")
        }
        (_, None, _) => format!("the call failed with {status}: {phrase}"),
    }
}

fn request(story: &Story, method: &str) -> String {
    let last = answers(story, method).filter(|(_, status)| *status >= 200).last();
    let method = shown(method, TEXT_MAX);
    match last {
        Some((arrow, 200..300)) => format!("{method} succeeded after {}.", milliseconds(story, arrow)),
        Some((arrow, status)) => {
            format!("{method} failed with {status} after {}: {}.", milliseconds(story, arrow), phrase(arrow))
        }
        None => no_answer(story),
    }
}

/// Where an unanswered request got stuck: with whoever received last and sent nothing.
fn no_answer(story: &Story) -> String {
    let is_stuck = |arrow: &&Arrow| {
        arrow.is_request() && !arrow.is_repetition && !matches!(arrow.method(), "ACK" | "CANCEL")
    };
    let last = story.arrows.iter().rev().find(is_stuck);
    let place = last.map_or(String::new(), |arrow| match &arrow.to {
        Party::Function(kind) => format!("; it was last seen on its way to the {}", name(*kind)),
        Party::Device(address) => {
            format!("; it was last sent to the device at {}", shown(address, TEXT_MAX))
        }
    });
    format!("no final answer has reached whoever asked{place}.")
}

/// What the HSS refused, or the S-CSCF when the HSS asked it.
fn refusal(story: &Story) -> Option<String> {
    let refused = story.arrows.iter().rev().find(|arrow| {
        let code = arrow.told.summary.split(' ').nth(1).unwrap_or_default();
        arrow.is_diameter() && code.starts_with(|c: char| c.is_ascii_digit()) && !code.starts_with('2')
    })?;
    let who = function(&refused.from).map_or("peer", name);
    Some(format!("The {who} refused: {}.", refused.told.summary))
}

fn phrase(arrow: &Arrow) -> String {
    let phrase = match arrow.told.reasons.first() {
        Some(reason) => reason,
        None => arrow.told.summary.get(12..).unwrap_or_default().trim(),
    };
    shown(phrase, TEXT_MAX)
}

fn count(story: &Story, wanted: impl Fn(&Arrow) -> bool) -> usize {
    story.arrows.iter().filter(|arrow| wanted(arrow)).count()
}
