//! What the states of all processes mean for the core: does it serve, and may whoever serves fail? Looks at statuses alone, so that it
//! says the same with and without a controller.

use crds::{FunctionRole, FunctionState, FunctionStatus, IMSCoreStatus};
use jiff::Timestamp;
use node::config::FunctionKind;
use plan::ProcessName;

/// Why the core does not serve; `None`: it does. Of a pair one that serves is enough; what pairs need besides is not needed to serve.
pub fn unready(functions: &[FunctionStatus]) -> Option<String> {
    FunctionKind::ALL.into_iter().find_map(|kind| {
        let mut processes = functions.iter().filter(move |function| of(function) == Some(kind));
        if processes.clone().any(serves) {
            return None;
        }
        let unready = processes.find(|function| function.state != FunctionState::Ready);
        Some(unready.map_or_else(|| format!("no instance of {} serves", kind.as_str()), sentence))
    })
}

/// Why not everybody who serves may fail unnoticed; `None`: they may, or nothing is a pair.
pub fn unprotected(functions: &[FunctionStatus]) -> Option<String> {
    if !has_pairs(functions) {
        return None;
    }
    let unready = functions.iter().find(|function| function.state != FunctionState::Ready).map(sentence);
    let unready = unready.or_else(|| self::unready(functions));
    unready.or_else(|| {
        let alone =
            functions.iter().find(|function| serves(function) && function.protected == Some(false))?;
        let kind = of(alone)?;
        Some(format!("the standby of {} does not know all that {} does yet", kind.as_str(), alone.name))
    })
}

/// Sets the condition `Protected` of a core that has pairs; another has none. Says why it is not true, as [`unprotected`] does.
pub fn set_condition(status: &mut IMSCoreStatus, now: Timestamp) -> Option<String> {
    if !has_pairs(&status.functions) {
        status.conditions.retain(|condition| condition.type_ != "Protected");
        return None;
    }
    let unprotected = unprotected(&status.functions);
    let (reason, message) = match &unprotected {
        None => ("AllProtected", "whoever serves may fail"),
        Some(sentence) => ("NotProtected", sentence.as_str()),
    };
    status.set_condition("Protected", unprotected.is_none(), reason, message, now);
    unprotected
}

/// Is any of these one of a pair?
pub fn has_pairs(functions: &[FunctionStatus]) -> bool {
    functions.iter().any(|function| name(function).is_some_and(ProcessName::is_of_pairs))
}

/// A process that can do its work and does not leave it to another one.
fn serves(function: &FunctionStatus) -> bool {
    function.state == FunctionState::Ready && function.role.is_none_or(FunctionRole::serves)
}

/// Which process a status is of.
pub fn name(function: &FunctionStatus) -> Option<ProcessName> {
    function.name.parse().ok()
}

fn of(function: &FunctionStatus) -> Option<FunctionKind> {
    name(function)?.kind()
}

fn sentence(function: &FunctionStatus) -> String {
    match function.message.as_str() {
        "" => format!("{} is {}", function.name, function.state.as_str()),
        message => format!("{} is {}: {message}", function.name, function.state.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: ProcessName, role: Option<FunctionRole>) -> FunctionStatus {
        FunctionStatus {
            name: name.to_string(),
            state: FunctionState::Ready,
            role,
            epoch: None,
            protected: role.map(|role| role == FunctionRole::Serving),
            pid: None,
            restarts: 0,
            last_exit: None,
            addresses: Vec::new(),
            since: None,
            message: String::new(),
        }
    }

    /// All is well; the first of each pair serves.
    fn pairs() -> Vec<FunctionStatus> {
        let role = |name: ProcessName| match name {
            ProcessName::Function(_, plan::Instance::First) => Some(FunctionRole::Serving),
            ProcessName::Function(..) => Some(FunctionRole::Standby),
            _ => None,
        };
        ProcessName::of_core(true).map(|name| status(name, role(name))).collect()
    }

    fn check(name: &str, change: impl FnOnce(&mut FunctionStatus), expected: (Option<&str>, Option<&str>)) {
        let mut functions = pairs();
        change(functions.iter_mut().find(|function| function.name == name).expect("it is there"));
        let found = (unready(&functions), unprotected(&functions));
        assert_eq!((found.0.as_deref(), found.1.as_deref()), expected);
    }

    #[test]
    fn a_core_serves_while_one_of_each_pair_does_and_is_protected_while_all_is_well() {
        let starting = |function: &mut FunctionStatus| function.state = FunctionState::Starting;
        check("hss-1", |_| {}, (None, None));
        check("scscf-2", starting, (None, Some("scscf-2 is starting")));
        check("witness", starting, (None, Some("witness is starting")));
        check("scscf-1", starting, (Some("scscf-1 is starting"), Some("scscf-1 is starting")));
        let behind = "the standby of hss does not know all that hss-1 does yet";
        check("hss-1", |hss| hss.protected = Some(false), (None, Some(behind)));
        let nobody = Some("no instance of icscf serves");
        check("icscf-1", |icscf| icscf.role = Some(FunctionRole::Standby), (nobody, nobody));
    }

    #[test]
    fn functions_that_are_alone_must_all_serve_and_are_no_question_of_protection() {
        let mut functions: Vec<_> = ProcessName::of_core(false).map(|name| status(name, None)).collect();
        assert_eq!((unready(&functions), unprotected(&functions)), (None, None));
        functions[1].state = FunctionState::NotReady;
        functions[1].message = "no Diameter peer is up".into();
        assert_eq!(unready(&functions).as_deref(), Some("scscf is not ready: no Diameter peer is up"));
        assert_eq!(unprotected(&functions), None);
    }
}
