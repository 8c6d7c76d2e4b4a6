//! The I-CSCF as a process.

use std::process::ExitCode;

use node::Node;
use node::config::FunctionKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::main_for(FunctionKind::Icscf, |setup| {
        let function = icscf::Icscf::new(setup).map_err(host::Failure::config)?;
        Ok(host::Built::stateless(Node::new(setup.clone(), function)))
    })
}
