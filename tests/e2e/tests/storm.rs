//! Everybody at once, as after a power cut: the core sheds what it cannot serve in time, and in the end all are served.

use std::time::Duration;

use clock::Instant;
use e2e::{Core, Kind, Phones, Subscriber, subscribers};

/// Devices in the storm: more than a debug build of the core serves in a second.
const COUNT: usize = 4000;
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn a_registration_storm_is_shed_with_a_time_to_come_back_and_none_is_lost() {
    let mut people: Vec<Subscriber> = subscribers("sim", COUNT / 2, Kind::Aka);
    people.extend(subscribers("soft", COUNT / 2, Kind::Digest));
    let core = Core::serving(71, &people);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&people);
    let begun = phones.now();
    for number in &numbers {
        phones.order(*number, |device, now| device.register(now));
    }
    // A device that is told to come back later does so then (RFC 3261 §21.5.4); one that got no answer tries again.
    let mut again_at: Vec<Option<Instant>> = vec![None; COUNT];
    let mut shed_seen = vec![0; COUNT];
    let mut rounds = 0;
    let end = begun + PATIENCE;
    while phones.now() < end && numbers.iter().any(|number| phones.times_registered(*number) == 0) {
        phones.run_for(Duration::from_millis(100));
        rounds += 1;
        let now = phones.now();
        for number in &numbers {
            let (heard, is_quiet) = (phones.heard(*number), phones.device(*number).is_quiet());
            if heard.shed > shed_seen[*number] {
                shed_seen[*number] = heard.shed;
                let seconds = heard.retry_after_seconds.expect("a 503 says when to come back");
                assert!((1..=60).contains(&seconds), "{seconds}");
                again_at[*number] = Some(now + Duration::from_secs(seconds.into()));
            }
            let is_due = again_at[*number].map_or(is_quiet, |at| at <= now);
            if is_due && is_quiet && phones.times_registered(*number) == 0 {
                again_at[*number] = None;
                phones.order(*number, |device, now| device.register(now));
            }
        }
    }
    let took = phones.now() - begun;
    let shed: u32 = numbers.iter().map(|number| phones.heard(*number).shed).sum();
    let registered = numbers.iter().filter(|number| phones.times_registered(**number) > 0).count();
    println!(
        "{COUNT} devices at once: all registered after {:.1} s, {shed} requests shed with 503, {rounds} looks",
        took.as_secs_f64()
    );
    let mut delays: Vec<Duration> = numbers
        .iter()
        .flat_map(|number| phones.reports(*number))
        .filter_map(|report| match report {
            ue::Report::Registered { after, .. } => Some(*after),
            _ => None,
        })
        .collect();
    delays.sort();
    println!(
        "REGISTER with credentials to 200: median {:?}, 99 % {:?}, longest {:?}",
        delays[delays.len() / 2],
        delays[delays.len() * 99 / 100],
        delays.last()
    );
    assert_eq!(registered, COUNT, "none is lost");
    // Without shedding the last ones would wait for as long as all take.
    let most = delays[delays.len() * 99 / 100];
    assert!(most < took / 2, "{most:?} of {took:?}");
    let status =
        core.status_with_figures().succeeded().says(&format!("subscribers: {COUNT}, registered: {COUNT}"));
    println!("{}", status.out);
    assert_eq!(core.function("pcscf")["restarts"], 0, "nobody died of it");
}
