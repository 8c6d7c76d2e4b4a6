//! Explores what permission can come to, and tells.
//!
//! `model check --scenario NAME [--without RULE] [--BUDGET NUMBER]… [--in-flight N] [--depth-max N] [--states-max N] [--fair-every N]`
//! explores one scenario, `model walk` with the same flags, `--walks N` and `--seed N` goes through it at random, `model rules` shows what each rule is for, `model all` explores all scenarios, `model trials` tells how long a takeover takes, `model list`
//! names scenarios and rules.

use std::process::ExitCode;

use model::fair::TRIALS;
use model::scenario::{self, Scenario};
use model::{Explored, Limits, Verdict, explore, rules, trace, walk};
use resilience::permission::{Rule, Rules};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (verb, flags) = match arguments.split_first() {
        Some((verb, flags)) => (verb.as_str(), flags),
        None => ("", &[][..]),
    };
    let done = match verb {
        "check" => check(flags),
        "rules" => limits(flags).map(|limits| tell_rules(limits, flags)),
        "all" => check_all(flags),
        "walk" => random_walks(flags),
        "trials" => {
            tell_trials();
            Ok(true)
        }
        "list" => {
            list();
            Ok(true)
        }
        _ => Err("say check, rules, all, walk, trials or list".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("model: {why}");
            ExitCode::from(2)
        }
    }
}

fn check(flags: &[String]) -> Result<bool, String> {
    let (scenario, held) = scenario_of(flags)?;
    let limits = Limits { tells_progress: true, ..limits(flags)? };
    let start = scenario.begin(held);
    let explored = explore(&start, limits);
    println!("{}: {}", scenario.name, summary(&explored));
    if let Verdict::Violated(violation, way) = &explored.verdict {
        print!("{}", trace::tell(&start, way, violation));
        return Ok(false);
    }
    Ok(true)
}

fn random_walks(flags: &[String]) -> Result<bool, String> {
    let (scenario, held) = scenario_of(flags)?;
    let start = scenario.begin(held);
    let (from, count) = (number(flags, "--seed")?.unwrap_or(0), number(flags, "--walks")?.unwrap_or(10_000));
    let steps_max = number(flags, "--steps-max")?.unwrap_or(300);
    let mut steps = 0;
    for seed in from..from + count {
        match walk::walk(&start, seed as u64, steps_max, true) {
            Ok(length) => steps += length,
            Err((violation, way)) => {
                println!("{}, seed {seed}: WRONG after {} steps", scenario.name, way.len());
                print!("{}", trace::tell(&start, &way, &violation));
                return Ok(false);
            }
        }
    }
    println!("{}: {count} walks, {steps} steps, nothing wrong", scenario.name);
    Ok(true)
}

fn scenario_of(flags: &[String]) -> Result<(Scenario, Rules), String> {
    let name = value(flags, "--scenario").ok_or("--scenario is missing; `model list` names them")?;
    let mut scenario = Scenario::named(name).ok_or_else(|| format!("no scenario {name}"))?;
    for (flag, budget) in scenario.budget.named_mut() {
        if let Some(number) = number(flags, flag)? {
            *budget = number as u8;
        }
    }
    if let Some(number) = number(flags, "--in-flight")? {
        scenario.flights_max = number as u8;
    }
    let mut held = Rules::all();
    for rule in values(flags, "--without") {
        held = held.without(rule_named(rule)?);
    }
    Ok((scenario, held))
}

fn check_all(flags: &[String]) -> Result<bool, String> {
    let limits = limits(flags)?;
    let in_flight = number(flags, "--in-flight")?;
    let mut is_right = true;
    for scenario in scenario::ALL {
        let flights_max = in_flight.map_or(scenario.flights_max, |number| number as u8);
        let scenario = Scenario { flights_max, ..*scenario };
        let start = scenario.begin(Rules::all());
        let explored = explore(&start, limits);
        println!("| `{}` | {} | {} |", scenario.name, scenario.about, summary(&explored));
        if let Verdict::Violated(violation, way) = &explored.verdict {
            print!("{}", trace::tell(&start, way, violation));
            is_right = false;
        }
    }
    Ok(is_right)
}

fn tell_rules(limits: Limits, flags: &[String]) -> bool {
    let limits = Limits { wants_shortest_walk: true, ..limits };
    let wanted: Vec<&str> = values(flags, "--only").collect();
    for &rule in Rule::ALL {
        if !wanted.is_empty() && !wanted.contains(&rule.name()) {
            continue;
        }
        println!("{} ({}): {}", rule.name(), rule.clause(), rule.words());
        let shown = rules::show(rule, limits);
        match shown.found {
            Some(found) => println!("{found}"),
            None => println!("  no counterexample; tried: {}", shown.tried.join("; ")),
        }
    }
    true
}

fn tell_trials() {
    let settled = scenario::ALL[0].begin(Rules::all());
    for (name, trial) in TRIALS {
        match trial.run(&settled) {
            Ok(ticks) => println!("{name}: X2 holds after {ticks} ticks of a quarter lease"),
            Err(violation) => println!("{name}: WRONG: {violation}"),
        }
    }
}

fn list() {
    for scenario in scenario::ALL {
        println!("{:16} {}", scenario.name, scenario.about);
    }
    for (name, _) in TRIALS {
        println!("{name:16} (trial: X2 must come to hold)");
    }
    for rule in Rule::ALL {
        println!("{:24} {:14} {}", rule.name(), rule.clause(), rule.words());
    }
}

fn summary(explored: &Explored) -> String {
    let verdict = match &explored.verdict {
        Verdict::Complete => "all explored, nothing wrong".to_owned(),
        Verdict::UpTo(depth) => format!("nothing wrong up to depth {depth}"),
        Verdict::Violated(violation, way) => format!("WRONG after {} steps: {violation}", way.len()),
    };
    let Explored { states, depth, took, calmed, .. } = explored;
    format!("{states} worlds, depth {depth}, {:.1} s, {calmed} calmed; {verdict}", took.as_secs_f64())
}

fn limits(flags: &[String]) -> Result<Limits, String> {
    let mut limits = Limits::default();
    if let Some(number) = number(flags, "--depth-max")? {
        limits.depth_max = number;
    }
    if let Some(number) = number(flags, "--states-max")? {
        limits.states_max = number;
    }
    if let Some(number) = number(flags, "--fair-every")? {
        limits.fair_every = number as u64;
    }
    Ok(limits)
}

fn rule_named(name: &str) -> Result<Rule, String> {
    Rule::ALL.iter().copied().find(|rule| rule.name() == name).ok_or_else(|| format!("no rule {name}"))
}

fn values<'a>(flags: &'a [String], name: &str) -> impl Iterator<Item = &'a str> {
    flags.windows(2).filter(move |pair| pair[0] == name).map(|pair| pair[1].as_str())
}

fn value<'a>(flags: &'a [String], name: &str) -> Option<&'a str> {
    values(flags, name).next()
}

fn number(flags: &[String], name: &str) -> Result<Option<usize>, String> {
    value(flags, name)
        .map(|text| text.parse().map_err(|_| format!("{name} {text}: not a number")))
        .transpose()
}
