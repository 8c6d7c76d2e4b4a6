//! The P-CSCF as a process. Its journal lies in the state directory.

use std::process::ExitCode;

use host::{Built, Failure};
use node::Node;
use node::config::FunctionKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::main_for(FunctionKind::Pcscf, |setup| {
        let directory = host::config::state_directory(&setup.config).map_err(Failure::store)?;
        let journal =
            host::journal::Journal::open(&directory.join("pcscf.journal")).map_err(Failure::store)?;
        let function = pcscf::Pcscf::new(setup, journal.clone()).map_err(Failure::config)?;
        Ok(Built { machine: Node::new(setup.clone(), function), store: Some(Box::new(journal)) })
    })
}
