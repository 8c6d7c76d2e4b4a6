//! The HSS as a process. Its store lies in the state directory; the key that opens the credentials in it lies
//! elsewhere, in a file of its own.

use std::process::ExitCode;

use host::{Built, Failure};
use node::Node;
use node::config::{FunctionConfig, FunctionKind};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::main_for(FunctionKind::Hss, |setup| {
        let FunctionConfig::Hss(config) = &setup.config.function else { unreachable!("checked when read") };
        let key = host::config::read_key(&config.key_encryption_key_file).map_err(Failure::config)?;
        let directory = host::config::state_directory(&setup.config).map_err(Failure::store)?;
        let store = host::store::RedbStore::open(&directory.join("hss.redb")).map_err(Failure::store)?;
        let function = hss::Hss::new(setup, config, key, store.clone()).map_err(Failure::store)?;
        Ok(Built { machine: Node::new(setup.clone(), function), store: Some(Box::new(store)) })
    })
}
