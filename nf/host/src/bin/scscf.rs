//! The S-CSCF as a process.

use std::process::ExitCode;

use node::Node;
use node::config::{FunctionConfig, FunctionKind};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::main_for(FunctionKind::Scscf, |setup| {
        let FunctionConfig::Scscf(config) = &setup.config.function else { unreachable!("checked when read") };
        let function = scscf::Scscf::new(setup, config);
        Ok(host::Built::stateless(Node::new(setup.clone(), function)))
    })
}
